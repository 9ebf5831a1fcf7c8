"""What a Trainer learns from besides a pair of arrays: several inputs, dicts, masks, loaders, whole-step losses; and what
it offers around a run: predictions, averages, a search for the rate, logs.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import autodiff
import nn
import optim
from autodiff.core.errors import AnomalyError, ArgumentError, MissingExtraError, ShapeError
from nn import functional as F

RNG = np.random.default_rng


def blobs(n: int = 64, seed: int = 0) -> tuple[Any, Any]:
    rng = RNG(seed)
    y = rng.integers(0, 3, n)
    return (rng.normal(size=(n, 5)) + 2 * np.eye(3, 5)[y]).astype(np.float32), y


def network() -> Any:
    return nn.Sequential(nn.Linear(5, 8, generator=RNG(0)), nn.ReLU(), nn.Linear(8, 3, generator=RNG(1)))


def trainer(net: Any, loss: Any = None, **options: Any) -> optim.Trainer:
    given = {"objective", "training_step"} & set(options)
    return optim.Trainer(
        net,
        loss or (None if given else nn.CrossEntropyLoss()),
        optim.Adam(net.parameters(), lr=0.02),
        progress=False,
        **options,
    )


class TwoInputs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Linear(2, 3, generator=RNG(0)), nn.Linear(3, 3, generator=RNG(1))

    def forward(self, left: Any, right: Any, mask: Any = None) -> Any:
        out = self.left(left) + self.right(right)
        return out if mask is None else out * mask


@pytest.mark.parametrize("compiled", [False, True])
def test_several_inputs_by_place_and_by_name_are_the_same_run(compiled: bool) -> None:
    x, y = blobs()
    left, right = x[:, :2], x[:, 2:]
    runs = [
        trainer(TwoInputs(), compile=compiled).fit(data, data, epochs=3, batch_size=16)
        for data in (
            ((left, right), y),
            ({"left": left, "right": right}, y),
            {"right": right, "targets": y, "left": left},
            ((left, autodiff.tensor(right)), y),
        )
    ]
    for other in runs[1:]:
        assert other.loss == runs[0].loss
        assert other.validation_accuracy == runs[0].validation_accuracy
    assert runs[0].train_accuracy[-1] > runs[0].train_accuracy[0]


def test_a_mask_goes_to_the_model_or_to_the_loss() -> None:
    x, y = blobs()
    mask = (RNG(1).random((64, 1)) > 0.3).astype(np.float32)
    trainer(TwoInputs()).fit((({"left": x[:, :2], "right": x[:, 2:], "mask": mask}), y), epochs=1)
    weights = mask[:, 0]
    seen = []

    def weighted(scores: Any, targets: Any, weights: Any) -> Any:
        seen.append(weights.shape)
        return (F.cross_entropy(scores, targets, reduction="none") * weights).sum() / max(weights.sum(), 1)

    history = trainer(network(), weighted).fit((x, y, weights), (x, y, weights), epochs=2, batch_size=16)
    assert set(seen) >= {(16,), (64,)}
    assert len(history.validation_loss) == 2


def test_a_loader_gives_the_run_that_its_batches_give_by_hand() -> None:
    x, y = blobs(50)
    loader = nn.DataLoader(nn.TensorDataset(x, y), batch_size=16, shuffle=True, generator=0)
    net = network()
    history = trainer(net).fit(loader, nn.DataLoader(nn.TensorDataset(x, y), batch_size=50), epochs=2)
    assert history.steps == [4, 4]
    by_hand = network()
    optimizer = optim.Adam(by_hand.parameters(), lr=0.02)
    losses, states = [], []
    again = nn.DataLoader(nn.TensorDataset(x, y), batch_size=16, shuffle=True, generator=0)
    for _ in range(2):
        for inputs, targets in again:
            optimizer.zero_grad()
            loss = F.cross_entropy(by_hand(inputs), targets)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        states.append(by_hand.state_dict())
    assert history.loss == losses
    best = states[int(np.argmax(history.validation_accuracy))]
    np.testing.assert_array_equal(net.state_dict()["0.weight"], best["0.weight"])


def test_lists_functions_and_iterators_of_batches() -> None:
    x, y = blobs()
    batches = [(x[i : i + 16], y[i : i + 16]) for i in range(0, 64, 16)]
    runs = [
        trainer(network()).fit(batches, epochs=2).loss,
        trainer(network()).fit(lambda: iter(batches), epochs=2).loss,
        trainer(network()).fit(iter(batches + batches), epochs=1).loss,
        trainer(network()).fit(lambda: iter(batches), steps=8).loss,
        trainer(network()).fit([{"input": a, "targets": b} for a, b in batches], epochs=2).loss,
    ]
    assert all(run == runs[0] for run in runs)
    assert len(runs[0]) == 8
    with pytest.raises(ArgumentError, match="used up after one epoch"):
        trainer(network()).fit(iter(batches), epochs=2)
    accumulated = trainer(network(), accumulate=2).fit(batches, epochs=2)
    assert accumulated.steps == [2, 2]
    with pytest.raises(ArgumentError, match="without a batch"):
        trainer(network()).fit(lambda: iter(()), epochs=1)
    with pytest.raises(ArgumentError, match="name one 'targets'"):
        trainer(network()).fit([{"x": x, "y": y}], epochs=1)
    with pytest.raises(ArgumentError, match="need arrays"):
        trainer(network(), checkpoint="never.npz", checkpoint_every=1).fit(batches, epochs=1)


def test_a_bad_batch_is_named() -> None:
    x, y = blobs(8)
    bad = x.copy()
    bad[3, 2] = np.nan
    with pytest.raises(AnomalyError, match="in batch 1 of the epoch"):
        trainer(network()).fit([(x, y), (bad, y)], epochs=1)


def test_trees_of_arrays_are_checked() -> None:
    x, y = blobs()
    bad = x[:, 2:].copy()
    bad[5, 1] = np.inf
    with pytest.raises(ArgumentError, match=r"train inputs\[1\] hold NaN or infinity, first at index \[5, 1\]"):
        trainer(TwoInputs()).fit(((x[:, :2], bad), y))
    with pytest.raises(ShapeError, match="one length"):
        trainer(TwoInputs()).fit(({"left": x[:, :2], "right": x[:9, 2:]}, y))


@pytest.mark.parametrize("die_at", [3, 5])
def test_a_run_of_a_loader_resumes_bit_for_bit(tmp_path: Path, die_at: int) -> None:
    class Stop(Exception):
        pass

    x, y = blobs()

    def run(path: Path, die_at: int | None, resume: bool) -> optim.Trainer:
        net = nn.Sequential(nn.Linear(5, 8, generator=RNG(0)), nn.Dropout(0.2), nn.Linear(8, 3, generator=RNG(1)))

        class Die:
            def on_step(self, trainer: Any) -> None:
                if trainer.step == die_at:
                    raise Stop

        t = trainer(net, checkpoint=path, callbacks=[Die()], ema=0.9)
        loader = nn.DataLoader(nn.TensorDataset(x, y), batch_size=32, shuffle=True, generator=0)
        t.fit(loader, (x, y), epochs=4, resume=resume)
        return t

    whole = run(tmp_path / "whole.npz", None, False)
    with pytest.raises(Stop):
        run(tmp_path / "cut.npz", die_at, False)
    resumed = run(tmp_path / "cut.npz", None, True)
    assert resumed.history.loss == whole.history.loss
    assert resumed.averaged.n_averaged == whole.averaged.n_averaged == 8
    for name, array in whole.model.state_dict().items():
        np.testing.assert_array_equal(resumed.model.state_dict()[name], array)
    other = trainer(network(), checkpoint=tmp_path / "cut.npz")
    other.model = resumed.model
    loader = nn.DataLoader(nn.TensorDataset(x, y), batch_size=32, shuffle=True, generator=0)
    with pytest.raises(ArgumentError, match="with ema"):
        other.fit(loader, epochs=5, resume=True)


# --- whole-step losses


class Autoencoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = nn.Linear(5, 4, generator=RNG(0)), nn.Linear(2, 5, generator=RNG(1))
        self.rng = RNG(2)

    def forward(self, x: Any) -> Any:
        code = self.encoder(x)
        mean, log_variance = code[:, :2], code[:, 2:]
        noise = self.rng.standard_normal(mean.shape).astype(np.float32)
        return self.decoder(mean + np.exp(log_variance / 2) * noise), mean, log_variance


def evidence(model: Any, x: Any) -> Any:
    out, mean, log_variance = model(x)
    divergence = -0.5 * (1 + log_variance - mean**2 - np.exp(log_variance)).sum(1).mean()
    return ((out - x) ** 2).sum(1).mean() + 0.1 * divergence


@pytest.mark.parametrize("compiled", [False, True])
def test_an_autoencoder_has_no_targets(compiled: bool) -> None:
    x, _ = blobs(128)
    t = trainer(Autoencoder(), objective=evidence, compile=compiled)
    history = t.fit(x, x, epochs=15, batch_size=32)
    assert history.mean_losses()[-1] < 0.7 * history.mean_losses()[0]
    assert np.isnan(history.train_accuracy).all()
    out, mean, spread = t.predict(x, batch_size=50)
    assert out.shape == (128, 5)
    assert mean.shape == spread.shape == (128, 2)
    assert np.isfinite(t.evaluate(x)[0])


def test_a_language_model_has_the_next_letters_as_targets() -> None:
    text = np.array([ord(c) - 97 for c in "abcde" * 40]).reshape(20, 10)

    class Letters(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table, self.out = nn.Embedding(5, 8, generator=RNG(0)), nn.Linear(8, 5, generator=RNG(1))

        def forward(self, letters: Any) -> Any:
            return self.out(self.table(letters))

    def objective(model: Any, batch: Any) -> Any:
        scores = model(batch["text"][:, :-1])
        return F.cross_entropy(scores.reshape(-1, 5), batch["text"][:, 1:].reshape(-1))

    t = trainer(Letters(), objective=objective)
    history = t.fit({"text": text}, epochs=60, batch_size=5)
    assert history.loss[-1] < 0.1


def test_two_networks_with_an_optimiser_each() -> None:
    real = (3 + RNG(0).standard_normal((256, 1))).astype(np.float32)
    maker, judge = (
        nn.Linear(1, 1, generator=RNG(1)),
        nn.Sequential(nn.Linear(1, 8, generator=RNG(2)), nn.ReLU(), nn.Linear(8, 1, generator=RNG(3))),
    )
    of_maker, of_judge = optim.Adam(maker.parameters(), lr=0.05), optim.Adam(judge.parameters(), lr=0.05)
    rng = RNG(4)
    loss = F.binary_cross_entropy_with_logits

    def step(t: Any, x: Any) -> dict[str, Any]:
        noise = rng.standard_normal(x.shape).astype(np.float32)
        fake = maker(noise)
        of_judge.zero_grad()
        told = loss(judge(x), np.ones_like(x)) + loss(judge(fake.detach()), np.zeros_like(x))
        told.backward()
        of_judge.step()
        of_maker.zero_grad()
        fooled = loss(judge(maker(noise)), np.ones_like(x))
        fooled.backward()
        of_maker.step()
        return {"judge": told, "maker": fooled}

    t = optim.Trainer(maker, None, of_maker, training_step=step, progress=False)
    history = t.fit(real, epochs=8, batch_size=32)
    assert set(history.metrics) == {"judge", "maker"}
    assert len(history.metrics["judge"]) == len(history.loss) == 64
    np.testing.assert_allclose(history.loss, np.add(history.metrics["judge"], history.metrics["maker"]))
    assert abs(maker.bias.item() - 3) < abs(3 - 0.5)
    with pytest.raises(ArgumentError, match="no loss of data"):
        t.evaluate(real)
    with pytest.raises(ArgumentError, match="returned None"):
        optim.Trainer(maker, None, of_maker, training_step=lambda t, x: None, progress=False).fit(real)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "give one of loss"),
        ({"objective": evidence, "loss": nn.MSELoss()}, "give one of loss"),
        ({"training_step": lambda t, b: 0.0, "checkpoint": "run.npz"}, "has no checkpoint"),
    ],
)
def test_options_that_do_not_go_together_are_refused(options: dict[str, Any], words: str) -> None:
    net = network()
    loss = options.pop("loss", None)
    with pytest.raises(ArgumentError, match=words):
        optim.Trainer(net, loss, optim.SGD(net.parameters()), **options)


# --- around a run


def test_predictions_are_the_models_in_evaluation() -> None:
    x, y = blobs()
    net = nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.Dropout(), nn.Linear(8, 3))
    t = trainer(net)
    t.fit((x, y), epochs=1)
    net.train()
    found = t.predict(x, batch_size=10)
    assert net.training
    np.testing.assert_allclose(found, net.eval()(x).data, rtol=1e-5, atol=1e-6)
    loader = nn.DataLoader(nn.TensorDataset(x, y), batch_size=10)
    np.testing.assert_array_equal(t.predict(loader), found)
    two = trainer(TwoInputs())
    assert (
        two.predict((x[:, :2], x[:, 2:])).shape == two.predict({"left": x[:, :2], "right": x[:, 2:]}).shape == (64, 3)
    )


def test_averages_are_validated_and_left_in_the_model() -> None:
    x, y = blobs()
    plain, averaged = trainer(network()), trainer(network(), ema=0.5)
    plain.fit((x, y), epochs=2, batch_size=16)
    history = averaged.fit((x, y), epochs=2, batch_size=16)
    assert history.loss == plain.history.loss, "averages change nothing of the steps"
    expected = {}
    again = network()
    optimizer, loop = optim.Adam(again.parameters(), lr=0.02), RNG(0)
    for _ in range(2):
        order = loop.permutation(64)
        for k in range(4):
            optimizer.zero_grad()
            chosen = order[k * 16 : (k + 1) * 16]
            F.cross_entropy(again(x[chosen]), y[chosen]).backward()
            optimizer.step()
            for name, array in again.state_dict().items():
                expected[name] = 0.5 * expected[name] + 0.5 * array if name in expected else array
    for name, array in averaged.model.state_dict().items():
        np.testing.assert_allclose(array, expected[name], rtol=1e-4, atol=1e-6)
    held_out = trainer(network(), ema=0.5)
    history = held_out.fit((x, y), (x, y), epochs=2, batch_size=16)
    assert held_out.evaluate((x, y))[1] in history.validation_accuracy


def test_the_search_for_a_rate_leaves_everything_as_it_was() -> None:
    x, y = blobs()
    net = nn.Sequential(
        nn.Linear(5, 8, generator=RNG(0)), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 3, generator=RNG(1))
    )
    t = trainer(net)
    t.fit((x, y), epochs=1)
    before, state = net.state_dict(), t.optimizer.state_dict()
    search = t.find_lr((x, y), batch_size=16, steps=60)
    for name, array in net.state_dict().items():
        np.testing.assert_array_equal(array, before[name])
    assert t.optimizer.param_groups[0]["lr"] == 0.02
    np.testing.assert_array_equal(t.optimizer.state_dict()["state"][0]["exp_avg"], state["state"][0]["exp_avg"])
    assert np.all(np.diff(np.log(search.rates)) > 0)
    assert 1e-6 < search.suggestion < 1
    assert "suggested rate" in search._repr_html_()
    pytest.importorskip("matplotlib")
    assert search.plot().axes[0].get_xscale() == "log"
    assert trainer(network()).find_lr([(x, y)] * 2, steps=5).losses
    with pytest.raises(ArgumentError, match="two steps"):
        t.find_lr((x, y), steps=1)


def test_logs_are_lines_of_json(tmp_path: Path) -> None:
    log = optim.JSONLog(tmp_path / "run.jsonl", every=2)
    trainer(network(), callbacks=[log]).fit(blobs(), blobs(seed=1), epochs=2, batch_size=16)
    lines = [json.loads(line) for line in log.path.read_text().splitlines()]
    assert [line["kind"] for line in lines] == ["step", "step", "epoch"] * 2
    assert [line["step"] for line in lines if line["kind"] == "step"] == [2, 4, 6, 8]
    assert {"mean_loss", "validation_loss", "validation_accuracy"} <= set(lines[2])


def test_tensorboard_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    told = []

    class Writer:
        def add_scalar(self, name: str, value: float, step: int) -> None:
            told.append((name, step))

        def flush(self) -> None:
            told.append(("flush", 0))

    trainer(network(), callbacks=[optim.TensorBoardLog(writer=Writer())]).fit(blobs(), epochs=1, batch_size=32)
    assert ("step/loss", 2) in told
    assert ("epoch/mean_loss", 1) in told
    assert told[-1] == ("flush", 0)
    monkeypatch.setitem(__import__("sys").modules, "tensorboardX", None)
    with pytest.raises(MissingExtraError, match="tensorboardX"):
        optim.TensorBoardLog()


def small():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(24, 3)).astype(np.float32)
    return x, (x.sum(1) > 0).astype(int), nn.Linear(3, 2, generator=rng)


def test_a_batch_may_be_a_list():
    x, y, net = small()
    trainer = optim.Trainer(net, nn.CrossEntropyLoss(), optim.SGD(net.parameters()), progress=False)
    history = trainer.fit([[x[:9], y[:9]], [x[9:], y[9:]]], epochs=2)
    assert history.steps == [2, 2]
    assert not np.isnan(history.train_accuracy).any()


def test_pytorchs_loaders_give_batches():
    torch = pytest.importorskip("torch")
    x, y, net = small()
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.tensor(x), torch.tensor(y)), batch_size=8)
    trainer = optim.Trainer(net, nn.CrossEntropyLoss(), optim.SGD(net.parameters(), lr=0.1), progress=False)
    history = trainer.fit(loader, loader, epochs=2)
    assert not np.isnan(history.validation_accuracy).any()
    assert trainer.predict(loader).shape == (24, 2)


@pytest.mark.parametrize("search", [None, "strong_wolfe"])
def test_lbfgs_gets_a_closure_of_the_batch(search):
    x, y, net = small()
    alone = nn.Linear(3, 2)
    alone.load_state_dict(net.state_dict())
    optimizer = optim.LBFGS(alone.parameters(), line_search_fn=search)

    def closure():
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(alone(x), y)
        loss.backward()
        return loss

    losses = [optimizer.step(closure).item() for _ in range(2)]
    mine = optim.LBFGS(net.parameters(), line_search_fn=search)
    history = optim.Trainer(net, nn.CrossEntropyLoss(), mine, progress=False).fit((x, y), epochs=2, batch_size=24)
    np.testing.assert_allclose(history.loss, losses, rtol=1e-2)  # the examples come in another order


@pytest.mark.parametrize(
    "loss", [nn.CrossEntropyLoss(reduction="none"), lambda scores, y: 1.0], ids=["a vector", "a float"]
)
def test_a_loss_that_is_no_scalar_tensor_is_refused_with_what_it_gave(loss):
    x, y, net = small()
    trainer = optim.Trainer(net, loss, optim.SGD(net.parameters()), progress=False)
    with pytest.raises(ArgumentError, match=r"the loss gave a (Tensor of shape \(24,\)|float)"):
        trainer.fit((x, y), epochs=1)


@pytest.mark.parametrize("ask", [lambda t, x: t.predict(x), lambda t, x: t.evaluate((x, np.zeros(len(x), int)))])
def test_a_model_that_fails_on_the_data_is_in_training_as_before(ask):
    t = trainer(network())
    for x in (np.ones((4, 5), np.float32), np.ones((4, 7), np.float32)):
        if x.shape[1] == 5:
            ask(t, x)
        else:
            with pytest.raises(ShapeError):
                ask(t, x)
        assert t.model.training


class Example(NamedTuple):
    x: Any
    y: Any


class Examples(nn.utils.data.Dataset):
    def __len__(self) -> int:
        return 8

    def __getitem__(self, i: int) -> Example:
        return Example(np.full(5, i, np.float32), np.float32(i))


def test_named_tuples_keep_their_names_in_batches_and_predictions():
    class Named(nn.Module):
        def forward(self, x):
            return Example(2 * x, x)

    for data in (nn.DataLoader(Examples(), batch_size=4), Example(np.ones((8, 5), np.float32), np.ones(8, np.float32))):
        t = trainer(nn.Linear(5, 1), objective=lambda model, batch: ((model(batch.x)[:, 0] - batch.y) ** 2).mean())
        assert len(t.fit(data, epochs=1, batch_size=4).loss) == 2
    x = np.ones((5, 3), np.float32)
    t = optim.Trainer(Named(), None, optim.SGD([nn.Parameter(x)]), training_step=lambda trainer, batch: 0.0)
    np.testing.assert_array_equal(t.predict(x, batch_size=2).x, 2 * x)


def test_predictions_keep_the_models_tuples_and_dicts():
    x, _, net = small()

    class Both(nn.Module):
        def forward(self, x):
            return {"scores": net(x), "pair": (x, None)}

    loss = lambda out, y: out["scores"].sum()
    trainer = optim.Trainer(Both(), loss, optim.SGD(net.parameters()), progress=False)
    given = trainer.predict(x, batch_size=10)
    assert given["scores"].shape == (24, 2)
    np.testing.assert_array_equal(given["pair"][0], x)
    assert given["pair"][1] is None
    assert trainer.predict(x.tolist())["scores"].shape == (24, 2)
