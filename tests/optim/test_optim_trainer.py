"""The trainer: what it does, what it refuses, and that a killed run ends bit for bit as one that was not."""

from __future__ import annotations

import math
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import autodiff
import nn
import optim
from autodiff.core.errors import AnomalyError, ArgumentError, DTypeError, ShapeError

ROOT = Path(__file__).resolve().parents[2]


def blobs(n: int = 60, seed: int = 0) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, n)
    return (np.eye(3, 5)[y] * 3 + rng.normal(size=(n, 5))).astype(np.float32), y


def network(seed: int = 0, dropout: float = 0.8) -> nn.FullyConnectedNet:
    return nn.FullyConnectedNet(
        [12],
        input_dim=5,
        num_classes=3,
        dropout_keep_ratio=dropout,
        normalization="batchnorm",
        weight_scale=0.3,
        seed=seed,
    )


def trainer(net: Any, lr: float = 0.02, make: Any = optim.Adam, **options: Any) -> optim.Trainer:
    optimizer = make(net.parameters(), lr=lr)
    schedule = options.pop("schedule", lambda o: None)(optimizer)
    return optim.Trainer(net, nn.CrossEntropyLoss(), optimizer, schedule, progress=False, **options)


def test_learns_and_keeps_its_history() -> None:
    t = trainer(network())
    history = t.fit(blobs(), blobs(seed=1), epochs=8, batch_size=16)
    assert history is t.history
    assert len(history.loss) == 8 * 4
    assert history.steps == [4] * 8
    assert history.train_accuracy[-1] > 0.8
    assert (
        len(history.validation_accuracy) == len(history.validation_loss) == len(history.seconds) == history.epochs == 8
    )
    assert all(type(v) is float for v in history.loss + history.validation_loss)
    assert t.evaluate(blobs(seed=1))[1] == max(history.validation_accuracy)
    assert not t.model.training


def test_same_seed_same_run_and_other_seed_another() -> None:
    def losses(seed: int) -> list[float]:
        return trainer(network(), generator=seed).fit(blobs(), epochs=2).loss

    assert losses(1) == losses(1)
    assert losses(1) != losses(2)


def test_steps_instead_of_epochs() -> None:
    history = trainer(network()).fit(blobs(), batch_size=16, steps=6)
    assert len(history.loss) == 6
    assert history.steps == [4, 2]


def test_the_last_batch_is_kept_unless_it_is_a_single_example() -> None:
    assert trainer(network()).fit(blobs(10), epochs=1, batch_size=4).steps == [3]
    assert trainer(network()).fit(blobs(9), epochs=1, batch_size=4).steps == [2]
    assert trainer(network()).fit(blobs(2), epochs=1, batch_size=32).steps == [1]


def test_accumulated_minibatches_are_one_large_batch() -> None:
    x, y = blobs(44)  # the last step has minibatches of 8, 8 and 4
    x = x.astype(np.float64)

    def parameters(**options: Any) -> Any:
        net = nn.FullyConnectedNet([8], input_dim=5, num_classes=3, weight_scale=0.3, dtype=np.float64, seed=0)
        batch_size = options.pop("batch_size")
        history = trainer(net, **options).fit((x, y), epochs=3, batch_size=batch_size)
        return history.loss, np.concatenate([p.data.ravel() for p in net.parameters()])

    (loss_a, a), (loss_b, b) = parameters(batch_size=24), parameters(batch_size=8, accumulate=3)
    np.testing.assert_allclose(loss_a, loss_b, rtol=1e-12)
    np.testing.assert_allclose(a, b, rtol=1e-9)


def test_early_stopping_and_best_parameters() -> None:
    t = trainer(network(), lr=0.5, patience=2)
    history = t.fit(blobs(), blobs(seed=1), epochs=60, batch_size=16)
    assert history.epochs < 60
    best = int(np.argmax(history.validation_accuracy))
    assert best == history.epochs - 3
    assert t.evaluate(blobs(seed=1)) == (history.validation_loss[best], history.validation_accuracy[best])


def test_a_later_fit_without_validation_is_kept() -> None:
    data, net = blobs(), network()
    learner = trainer(net)
    learner.fit(data, data, epochs=2)
    before = net.state_dict()
    learner.fit(data, epochs=3)  # it was put back to the best epoch of the first
    assert any((value != before[name]).any() for name, value in net.state_dict().items())


def test_schedules_per_epoch_and_per_step() -> None:
    per_epoch = trainer(network(), schedule=lambda o: optim.ExponentialLR(o, 0.5)).fit(blobs(), epochs=3, batch_size=16)
    np.testing.assert_allclose(per_epoch.learning_rate, [0.02, 0.01, 0.005])
    per_step = trainer(network(), schedule=lambda o: optim.ExponentialLR(o, 0.5), schedule_per="step").fit(
        blobs(), epochs=2, batch_size=16
    )
    np.testing.assert_allclose(per_step.learning_rate, [0.02 / 2**4, 0.02 / 2**8])
    plateau = trainer(network(), lr=0.0, schedule=lambda o: optim.ReduceLROnPlateau(o, patience=0, eps=0)).fit(
        blobs(), blobs(), epochs=3
    )
    assert plateau.epochs == 3


def test_clipping_bounds_the_step() -> None:
    for option in ({"clip_norm": 1e-3}, {"clip_value": 5e-5}):
        net = network()
        before = {name: p.data.copy() for name, p in net.named_parameters()}
        trainer(net, lr=1.0, make=optim.SGD, **option).fit(blobs(), steps=1)
        moved = np.concatenate([(p.data - before[name]).ravel() for name, p in net.named_parameters()])
        assert 0 < np.linalg.norm(moved) <= 1e-3 * 1.001


def test_callbacks_see_the_trainer_and_may_stop_it() -> None:
    seen: list[Any] = []

    class Watch:
        def on_step(self, t: optim.Trainer) -> bool:
            seen.append(t.step)
            return t.step == 7

    history = trainer(network(), callbacks=[Watch()]).fit(blobs(), epochs=9, batch_size=16)
    assert seen == list(range(1, 8))
    assert history.steps == [4, 3]
    assert trainer(network(), callbacks=[lambda t: t.epoch == 2]).fit(blobs(), epochs=9).epochs == 2


def test_regression_has_no_accuracy_and_keeps_the_lowest_loss() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(64, 3))
    y = x @ np.array([[1.0], [-2.0], [0.5]])
    net = nn.Linear(3, 1, dtype=np.float64, generator=rng)
    t = optim.Trainer(net, nn.MSELoss(), optim.SGD(net.parameters(), lr=0.1), progress=False)
    history = t.fit((x, y), (x, y), epochs=30)
    assert np.isnan(history.train_accuracy).all()
    assert t.evaluate((x, y))[0] == min(history.validation_loss) < 1e-3


def test_whole_numbers_may_be_targets_of_a_regression() -> None:
    x = np.arange(6.0)[:, None]
    for targets in (np.arange(6), np.arange(6)[:, None]):
        net = nn.Linear(1, 1, dtype=np.float64, generator=np.random.default_rng(0))
        loss = lambda scores, y: ((scores - y.reshape(-1, 1)) ** 2).mean()
        history = optim.Trainer(net, loss, optim.SGD(net.parameters(), lr=0.01), progress=False).fit(
            (x, targets), (x, targets), epochs=2
        )
        assert np.isnan(history.validation_accuracy).all()


def test_progress_bar_shows_loss_accuracy_and_rate(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("tqdm", reason="the progress bar is tqdm's")
    net = network()
    optim.Trainer(net, nn.CrossEntropyLoss(), optim.Adam(net.parameters(), lr=0.02)).fit(blobs(), epochs=1)
    shown = capsys.readouterr().err
    assert "loss=" in shown
    assert "accuracy=" in shown
    assert "lr=0.02" in shown


# --- bad data, bad numbers --------------------------------------------------------------------------------------------


def poisoned() -> tuple[Any, Any]:
    x, y = blobs()
    x[7, 2] = np.nan
    return x, y


@pytest.mark.parametrize(
    ("data", "kind", "words"),
    [
        (poisoned(), ArgumentError, r"train inputs hold NaN or infinity, first at index \[7, 2\]"),
        ((blobs()[0], blobs()[1][:-1]), ShapeError, "they need one length"),
        ((blobs()[0][:0], blobs()[1][:0]), ArgumentError, "train is empty"),
        ((blobs()[0], blobs()[1] + 1), ArgumentError, "is no class; the model gives 3 scores"),
        ((blobs()[0], blobs()[1] - 1), ArgumentError, "target -1 at index"),
        ((np.array([["a"]]), np.array([0])), DTypeError, "pass numbers"),
        ((np.float32(1.0), np.array([0])), ShapeError, "they need one length"),
        ((blobs()[0],), ArgumentError, "a pair"),
        (3, ArgumentError, "a pair"),
        ((blobs()[0][:, :4], blobs()[1]), ShapeError, "needs 5 numbers per example"),
    ],
    ids=["nan", "lengths", "empty", "high", "low", "text", "scalar", "single", "number", "width"],
)
def test_bad_data_is_refused_before_the_first_step(data: Any, kind: type[Exception], words: str) -> None:
    net = network()
    before = net.state_dict()
    with pytest.raises(kind, match=words):
        trainer(net).fit(data)
    good = blobs()
    if isinstance(data, tuple) and len(data) == 2:
        with pytest.raises(kind, match=words.replace("train", "validation")):
            trainer(net).fit(good, data)
    for name, array in net.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


def test_ignored_labels_are_allowed() -> None:
    x, y = blobs()
    y[3] = -100
    assert trainer(network()).fit((x, y), epochs=1).epochs == 1


class Broken(nn.Module):
    """Takes the logarithm of a negative number on one example."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(5, 3, generator=np.random.default_rng(0))

    def forward(self, x: Any) -> Any:
        y = self.inner(x)
        with np.errstate(all="ignore"):
            return y + autodiff.log(autodiff.Tensor(1.0 - 2.0 * (np.abs(x[:, :1]) > 50)))


def test_a_nan_loss_stops_with_step_examples_and_operation() -> None:
    x, y = blobs(16)
    net = Broken()
    t = trainer(net, make=optim.SGD)
    x[11] = 100.0
    order = np.random.default_rng(0).permutation(16)
    step = int(np.argwhere(order == 11)[0, 0]) // 4 + 1
    with pytest.raises(
        AnomalyError, match=rf"the loss became nan at step {step}, on examples \[.*\b11\b.*\]: log made nan"
    ):
        t.fit((x, y), batch_size=4, epochs=1)


def test_a_bad_gradient_stops_before_it_spreads() -> None:
    class Root(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(np.zeros((5, 1)))

        def forward(self, x: Any) -> Any:
            return np.sqrt(x @ self.weight)

    net = Root()
    t = optim.Trainer(net, nn.MSELoss(), optim.SGD(net.parameters()), progress=False)
    x = np.ones((4, 5))
    with np.errstate(all="ignore"), pytest.raises(AnomalyError, match="the gradient of weight is not finite at step 1"):
        t.fit((x, np.ones((4, 1))), epochs=1)
    np.testing.assert_array_equal(net.weight.data, np.zeros((5, 1)))


def test_parameters_that_were_bad_already_are_named() -> None:
    net = network()
    net.affine2.bias.data = np.full(3, np.nan, np.float32)
    with pytest.raises(AnomalyError, match=r"not finite before it: affine2\.bias"):
        trainer(net).fit(blobs(), epochs=1)


@pytest.mark.parametrize(
    ("options", "fit", "words"),
    [
        ({"schedule_per": "batch"}, {}, "'epoch' or 'step'"),
        ({"accumulate": 0}, {}, "accumulate must be at least 1"),
        ({"checkpoint_every": 3}, {}, "needs a path"),
        ({"schedule": optim.ReduceLROnPlateau, "schedule_per": "step"}, {}, "once per epoch"),
        ({}, {"epochs": 0}, "epochs must be at least 1"),
        ({}, {"batch_size": 0}, "batch_size"),
        ({}, {"epochs": 1, "steps": 1}, "not both"),
        ({}, {"resume": True}, "needs a path"),
        ({"patience": 2}, {}, "give validation data"),
        ({"callbacks": print}, {}, "callbacks are a list"),
        ({"callbacks": [3]}, {}, "callbacks are a list"),
        ({"clip_norm": -1.0}, {}, "clip_norm must not be negative"),
        ({"clip_value": math.nan}, {}, "clip_value must not be negative"),
    ],
)
def test_refuses_options(options: dict[str, Any], fit: dict[str, Any], words: str) -> None:
    with pytest.raises(ArgumentError, match=words):
        trainer(network(), **options).fit(blobs(), **fit)


# --- killed and resumed -----------------------------------------------------------------------------------------------


class Stop(Exception):
    """Ends a run between two steps, as a power cut would."""


def run(
    path: Path | None, die_at: int | None, resume: bool, accumulate: int = 1
) -> tuple[optim.Trainer, dict[str, Any]]:
    net = network()

    class Die:
        def on_step(self, t: optim.Trainer) -> None:
            if t.step == die_at:
                raise Stop

    t = trainer(
        net,
        schedule=lambda o: optim.CosineAnnealingLR(o, 30),
        schedule_per="step",
        generator=3,
        accumulate=accumulate,
        callbacks=[Die()],
        checkpoint=path,
        checkpoint_every=None if path is None else 2,
    )
    t.fit(blobs(), blobs(seed=1), epochs=5, batch_size=8, resume=resume, restore_best=False)
    return t, net.state_dict() | {
        f"{n}": v for n, s in t.optimizer.state_dict()["state"].items() for v in [s["exp_avg_sq"]]
    }


@pytest.mark.parametrize("accumulate", [1, 3])
@pytest.mark.parametrize("die_at", [1, 5, 8, 9, 12])
def test_an_interrupted_run_ends_as_if_it_had_not_been(tmp_path: Path, die_at: int, accumulate: int) -> None:
    straight, expected = run(None, None, False, accumulate)
    path = tmp_path / "run.npz"
    with pytest.raises(Stop):
        run(path, die_at, True, accumulate)
    resumed, found = run(path, None, True, accumulate)
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array)
    for name in ("loss", "train_accuracy", "validation_loss", "validation_accuracy", "learning_rate", "steps"):
        assert getattr(resumed.history, name) == getattr(straight.history, name)
    assert (resumed._best, resumed._since_best) == (straight._best, straight._since_best)
    assert straight.best_state is not None
    assert resumed.best_state is not None
    for name, array in straight.best_state.items():
        np.testing.assert_array_equal(resumed.best_state[name], array)
    # A finished run stays finished.
    again, final = run(path, None, True, accumulate)
    assert again.history.loss == straight.history.loss
    np.testing.assert_array_equal(final["affine1.weight"], expected["affine1.weight"])


def test_early_stopping_counts_on_across_an_interruption(tmp_path: Path) -> None:
    def fit(die_in: int | None) -> int:
        net = nn.Linear(5, 3, generator=np.random.default_rng(0))

        def die(t: optim.Trainer) -> None:
            if t.epoch == die_in:
                raise Stop

        # At rate 0 the first epoch is the best one for ever.
        options = {"patience": 4, "callbacks": [die], "checkpoint": tmp_path / "run.npz"}
        return trainer(net, lr=0.0, **options).fit(blobs(), blobs(), epochs=50, resume=True).epochs

    with pytest.raises(Stop):
        fit(3)
    assert fit(None) == 5


SCRIPT = """
import sys, time, numpy as np, nn, optim
path, out, pause = sys.argv[1], sys.argv[2], float(sys.argv[3])
rng = np.random.default_rng(0)
y = rng.integers(0, 3, 64)
x = (np.eye(3, 5)[y] * 2 + rng.normal(size=(64, 5))).astype(np.float32)
net = nn.Sequential(nn.Linear(5, 16, generator=rng), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 3, generator=rng))
optimizer = optim.Adam(net.parameters(), lr=0.01)
class Slow:
    told = False
    def on_step(self, trainer):
        if not self.told:
            print("running", flush=True)
        self.told = True
        time.sleep(pause)
trainer = optim.Trainer(net, nn.CrossEntropyLoss(), optimizer, optim.OneCycleLR(optimizer, 0.05, total_steps=200), schedule_per="step",
                        callbacks=[Slow()], progress=False, checkpoint=path, checkpoint_every=1)
history = trainer.fit((x, y), (x, y), epochs=20, batch_size=8, resume=True)
np.savez(out, loss=history.loss, **net.state_dict())
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="kill -9 needs a POSIX system")
def test_kill_9_at_any_moment_and_resume_bit_for_bit(tmp_path: Path) -> None:
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}

    def start(name: str, pause: float) -> subprocess.Popen[str]:
        command = [
            sys.executable,
            "-c",
            SCRIPT,
            str(tmp_path / f"{name}.npz"),
            str(tmp_path / f"{name}-out.npz"),
            str(pause),
        ]
        return subprocess.Popen(command, env=env, cwd=tmp_path, stdout=subprocess.PIPE, text=True)

    moments = random.Random(7)
    kills = 0
    for _ in range(4):
        with start("killed", 0.004) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(moments.uniform(0.0, 0.15))
            kills += process.poll() is None
            process.kill()
    assert kills >= 2
    for name in ("killed", "straight"):
        with start(name, 0.0) as process:
            assert process.wait(60) == 0
    with np.load(tmp_path / "straight-out.npz") as a, np.load(tmp_path / "killed-out.npz") as b:
        assert a.files == b.files
        for name in a.files:
            assert a[name].tobytes() == b[name].tobytes(), name


def test_a_damaged_or_foreign_checkpoint_is_refused_and_nothing_touched(tmp_path: Path) -> None:
    path = tmp_path / "run.npz"
    run(path, None, False)
    whole = path.read_bytes()
    net = network(seed=9)
    before = net.state_dict()
    for damaged in (whole[:1000], b"", b"no zip", whole[:3000] + bytes([whole[3000] ^ 255]) + whole[3001:]):
        path.write_bytes(damaged)
        t = trainer(net, schedule=lambda o: optim.CosineAnnealingLR(o, 30), checkpoint=path)
        with pytest.raises(ArgumentError, match="is no whole checkpoint"):
            t.fit(blobs(), epochs=5, batch_size=8, resume=True)
    path.write_bytes(whole)
    scheduled = {"schedule": lambda o: optim.CosineAnnealingLR(o, 30)}
    for options, data, batch_size, words in (
        (scheduled, blobs(), 16, "batch_size 8 there, 16 here"),
        (scheduled, blobs(seed=4), 8, "another run: data"),
        ({}, blobs(), 8, "another run: with a schedule"),
    ):
        with pytest.raises(ArgumentError, match=words):
            trainer(net, checkpoint=path, **options).fit(data, epochs=5, batch_size=batch_size, resume=True)
    other = nn.Linear(5, 3)
    with pytest.raises(ArgumentError, match="another model"):
        trainer(other, checkpoint=path, **scheduled).fit(blobs(), epochs=5, batch_size=8, resume=True)
    optim.save_checkpoint(path, {}, {"facts": {}})
    with pytest.raises(ArgumentError, match="no checkpoint of a Trainer"):
        trainer(net, checkpoint=path).fit(blobs(), epochs=5, batch_size=8, resume=True)
    for name, array in net.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


# --- checkpoints and history by themselves ----------------------------------------------------------------------------


def test_checkpoint_round_trip_and_refusals(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "c.npz"
    arrays = {"a/b": np.arange(6).reshape(2, 3), "scalar": np.float32(3.5) * np.ones(()), "empty": np.zeros((0, 2))}
    meta = {"x": [1.5, float("inf"), None, "é"], "big": 2**127}
    optim.save_checkpoint(path, arrays, meta)
    found, told = optim.load_checkpoint(path)
    assert told == meta
    assert set(found) == set(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype
    optim.save_checkpoint(path, {}, {"rate": np.float32(0.5), "n": np.int64(3)})
    assert optim.load_checkpoint(path) == ({}, {"rate": 0.5, "n": 3})
    with pytest.raises(ArgumentError, match="only plain values"):
        optim.save_checkpoint(path, {}, {"x": object()})
    with pytest.raises(ArgumentError, match="cannot be saved"):
        optim.save_checkpoint(path, {"o": np.array([object()])}, {})
    assert [p.name for p in path.parent.iterdir()] == ["c.npz"]
    with pytest.raises(FileNotFoundError):
        optim.load_checkpoint(tmp_path / "none.npz")


def test_a_failing_disk_leaves_the_old_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "c.npz"
    optim.save_checkpoint(path, {}, {"n": 1})

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("autodiff.files.os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        optim.save_checkpoint(path, {}, {"n": 2})
    assert optim.load_checkpoint(path) == ({}, {"n": 1})
    assert [p.name for p in tmp_path.iterdir()] == ["c.npz"]


@pytest.mark.parametrize("kind", [np.random.PCG64, np.random.SFC64, np.random.MT19937, np.random.Philox])
def test_generators_of_every_kind_are_restored(kind: Any, tmp_path: Path) -> None:
    from optim.checkpoint import generator_state, set_generator_state

    rng = np.random.Generator(kind(5))
    rng.normal(size=7)
    rng.integers(10, dtype=np.int32)
    optim.save_checkpoint(tmp_path / "c.npz", {}, {"state": generator_state(rng)})
    expected = rng.normal(size=9)
    other = np.random.Generator(kind(0))
    set_generator_state(other, optim.load_checkpoint(tmp_path / "c.npz")[1]["state"])
    np.testing.assert_array_equal(other.normal(size=9), expected)
    wrong = np.random.Generator(np.random.PCG64DXSM(0))
    with pytest.raises(ArgumentError, match="the generator here is a PCG64DXSM"):
        set_generator_state(wrong, generator_state(rng))


def test_history_as_csv_and_picture(tmp_path: Path) -> None:
    history = trainer(network()).fit(blobs(), blobs(seed=1), epochs=3, batch_size=16)
    history.to_csv(tmp_path / "h.csv")
    lines = (tmp_path / "h.csv").read_text().splitlines()
    assert lines[0] == "epoch,mean_loss,train_accuracy,validation_accuracy,validation_loss,learning_rate,steps,seconds"
    assert [float(line.split(",")[1]) for line in lines[1:]] == history.mean_losses()
    pytest.importorskip("matplotlib", reason="history.plot() draws with matplotlib")
    figure = history.plot(tmp_path / "h.png")
    assert (tmp_path / "h.png").read_bytes().startswith(b"\x89PNG")
    assert len(figure.axes) == 2
    with pytest.raises(ArgumentError, match="nothing was recorded"):
        optim.History().plot()


# --- clipping ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("norm_type", [1.0, 2.0, 3.0, float("inf")])
@pytest.mark.parametrize("max_norm", [0.0, 0.7, 100.0])
def test_clip_grad_norm_follows_pytorch(norm_type: float, max_norm: float) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is the independent truth here")
    rng = np.random.default_rng(0)
    grads = [rng.normal(size=shape) for shape in ((3, 4), (5,), ())]
    grads[1] = grads[1] + 1j * rng.normal(size=5)
    ours = [autodiff.Tensor(np.zeros_like(g), requires_grad=True) for g in grads]
    theirs = [torch.nn.Parameter(torch.zeros_like(torch.tensor(g))) for g in grads]
    for p, q, g in zip(ours, theirs, grads, strict=True):
        p.grad, q.grad = g, torch.tensor(g)
    kept = [g.copy() for g in grads]
    a = optim.clip_grad_norm_(ours, max_norm, norm_type, foreach=False)
    b = torch.nn.utils.clip_grad_norm_(theirs, max_norm, norm_type)
    np.testing.assert_allclose(a, b.item(), rtol=1e-12)
    for p, q, g, k in zip(ours, theirs, grads, kept, strict=True):
        np.testing.assert_allclose(p.grad, q.grad.numpy(), rtol=1e-9, atol=1e-15)
        np.testing.assert_array_equal(g, k)


def test_clipping_by_value_and_refusals() -> None:
    x = autodiff.Tensor(np.zeros(3, np.float32), requires_grad=True)
    x.grad = np.array([-3.0, 0.5, 2.0], np.float32)
    optim.clip_grad_value_(x, 1.0)
    np.testing.assert_array_equal(x.grad, np.array([-1.0, 0.5, 1.0], np.float32))
    assert x.grad.dtype == np.float32
    assert optim.clip_grad_norm_([autodiff.Tensor([1.0], requires_grad=True)], 1.0) == 0.0
    with pytest.raises(ArgumentError):
        optim.clip_grad_value_(x, -1.0)
    z = autodiff.Tensor(np.zeros(1, complex), requires_grad=True)
    z.grad = np.array([3 + 4j])
    with pytest.raises(DTypeError, match="real numbers"):
        optim.clip_grad_value_([x, z], 0.1)
    assert x.grad[0] == -1.0
    with pytest.raises(ArgumentError):
        optim.clip_grad_norm_(x, -1.0)
    x.grad = np.array([np.nan, 0, 0], np.float32)
    with pytest.raises(ArgumentError, match="nan"):
        optim.clip_grad_norm_(x, 1.0, error_if_nonfinite=True)


def test_a_compiled_trainer_gives_the_same_numbers():
    x, y = np.random.default_rng(0).normal(size=(33, 4)).astype(np.float32), np.random.default_rng(1).integers(0, 3, 33)

    def run(compile):
        g = np.random.default_rng(2)
        net = nn.Sequential(nn.Linear(4, 8, generator=g), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3, generator=g))
        trainer = optim.Trainer(
            net,
            nn.CrossEntropyLoss(),
            optim.Adam(net.parameters(), lr=0.01),
            clip_norm=1.0,
            accumulate=2,
            progress=False,
            compile=compile,
        )
        history = trainer.fit((x, y), epochs=4, batch_size=8)
        return trainer, history.loss, [p.data for p in net.parameters()]

    (trainer, losses, parameters), (_, others, plain) = run(True), run(False)
    assert losses == others
    for p, q in zip(parameters, plain, strict=True):
        np.testing.assert_array_equal(p, q)
    assert trainer._take_step.replays > trainer._take_step.recordings


def test_curves_show_themselves_in_a_notebook_without_a_magic_line() -> None:
    pytest.importorskip("matplotlib", reason="the curves are matplotlib's")
    t = trainer(network())
    t.fit(blobs(), epochs=1)
    for drawn in (t.history.plot(), t.find_lr(blobs(), steps=5).plot()):
        assert drawn._repr_png_().startswith(b"\x89PNG")
    interactive = pytest.importorskip("IPython.core.formatters")
    assert interactive.DisplayFormatter().format(t.history.plot())[0]["image/png"]
    assert "<table>" in interactive.DisplayFormatter().format(t.history)[0]["text/html"]


class Tagger(nn.Module):
    def __init__(self, last):
        super().__init__()
        rng = np.random.default_rng(0)
        self.words, self.scores, self.last = nn.Embedding(5, 16, generator=rng), nn.Linear(16, 5, generator=rng), last

    def forward(self, tokens):
        scores = self.scores(self.words(tokens))
        return scores if self.last else scores.transpose(0, 2, 1)


def flat_loss(scores, targets):
    return nn.functional.cross_entropy(scores.reshape(-1, 5), targets.reshape(-1))


@pytest.mark.parametrize("ready", [False, True], ids=["arrays", "batches"])
@pytest.mark.parametrize(
    ("last", "loss", "ignored"),
    [
        (False, nn.CrossEntropyLoss(), -100),
        (False, nn.functional.cross_entropy, -100),
        (False, nn.CrossEntropyLoss(ignore_index=2), 2),
        (True, flat_loss, -100),
    ],
)
def test_accuracy_of_tokens_is_over_all_that_the_loss_does_not_ignore(last, loss, ignored, ready):
    rng = np.random.default_rng(1)
    tokens = rng.integers(0, 5, (8, 6))
    targets = np.where(rng.random((8, 6)) < 0.3, ignored, rng.integers(0, 5, (8, 6)))
    net = Tagger(last)
    trainer = optim.Trainer(net, loss, optim.SGD(net.parameters(), lr=1e-9), progress=False)
    data = [(tokens[:4], targets[:4]), (tokens[4:], targets[4:])] if ready else (tokens, targets)
    said = net(tokens).data.argmax(-1 if last else 1)
    expected = (said == targets)[targets != ignored].mean()
    history = trainer.fit(data, data, epochs=1, batch_size=3)
    assert history.train_accuracy[-1] == pytest.approx(expected)
    assert history.validation_accuracy[-1] == pytest.approx(expected)
    assert trainer.evaluate(data)[1] == pytest.approx(expected)


def test_accuracy_is_not_guessed_where_classes_and_places_cannot_be_told_apart():
    net = Tagger(last=True)
    tokens = np.zeros((4, 5), int)
    trainer = optim.Trainer(net, flat_loss, optim.SGD(net.parameters(), lr=0.1), progress=False)
    assert math.isnan(trainer.evaluate((tokens, tokens))[1])


def test_a_token_that_is_no_class_is_named():
    net = Tagger(last=False)
    trainer = optim.Trainer(net, nn.CrossEntropyLoss(), optim.SGD(net.parameters(), lr=0.1), progress=False)
    with pytest.raises(ArgumentError, match=r"train target 7 at index 1, 2 is no class; the model gives 5 scores"):
        trainer.fit((np.zeros((2, 3), int), np.array([[0, 0, 0], [0, 0, 7]])))


def test_a_run_of_another_optimiser_or_schedule_is_refused_and_nothing_touched(tmp_path: Path) -> None:
    path, data = tmp_path / "run.npz", blobs()
    options: Any = {"checkpoint": path, "schedule": lambda o: optim.StepLR(o, 3)}
    trainer(network(), **options).fit(data, epochs=2)
    for make, schedule, words in (
        (optim.RMSprop, lambda o: optim.StepLR(o, 3), "optimizer Adam there, RMSprop here"),
        (optim.Adam, lambda o: optim.ExponentialLR(o, 0.5), "ExponentialLR: not its state"),
        (optim.Adam, lambda o: None, "with a schedule"),
    ):
        net = network()
        t = trainer(net, make=make, checkpoint=path, schedule=schedule)
        before = {**net.state_dict(), "drawn": t.generator.bit_generator.state["state"]["state"]}
        with pytest.raises(ArgumentError, match=words):
            t.fit(data, epochs=4, resume=True)
        after = {**net.state_dict(), "drawn": t.generator.bit_generator.state["state"]["state"]}
        assert t.step == 0
        assert not t.optimizer.state
        assert all(np.array_equal(before[name], after[name]) for name in before)


def test_patience_begins_anew_with_every_fit() -> None:
    t = trainer(nn.Linear(5, 3, generator=np.random.default_rng(0)), lr=0.0, patience=3)
    t.fit(blobs(), blobs(), epochs=9)
    assert t.epoch == 4
    t.fit(blobs(), blobs(), epochs=9)
    assert t.epoch == 3  # none is better than the first run's best


def test_a_search_of_rates_leaves_the_mode() -> None:
    for training in (True, False):
        net = network().train(training)
        trainer(net).find_lr(blobs(), steps=5)
        assert net.training is training
