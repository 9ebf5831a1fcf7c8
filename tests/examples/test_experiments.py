"""The classic experiments: each runs in quick mode, prints its table and its paragraph, writes its figure, and shows
what it says.
"""

from __future__ import annotations

import importlib
import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.slow

EXPERIMENTS = Path(__file__).resolve().parents[2] / "examples" / "experiments"

pytest.importorskip("sklearn", reason="the images are scikit-learn's digits")
pytest.importorskip("matplotlib", reason="the experiments draw with matplotlib")


def experiment(name: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(EXPERIMENTS))
    module = importlib.import_module(name)
    # Names as short as "dropout" and "common" must not stay in the way of other tests.
    for held in [p.stem for p in EXPERIMENTS.glob("*.py")]:
        sys.modules.pop(held, None)
    return module


NAMES = [path.stem for path in sorted(EXPERIMENTS.glob("*.py")) if path.stem not in ("common", "run_all")]


@pytest.mark.parametrize("name", NAMES)
def test_quick_mode(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    result = experiment(name, monkeypatch).main(["--quick", "--out", str(tmp_path)])
    assert result
    printed = capsys.readouterr().out
    assert "-----" in printed, "a table"
    tables, _, paragraph = printed.partition("\nwritten: ")[0].rstrip().rpartition("\n\n")
    assert tables
    assert len(paragraph.split()) > 30
    assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_every_experiment_is_on_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    assert sorted(experiment("run_all", monkeypatch).NAMES) == NAMES


def test_fifty_images_are_learnt_by_heart_within_twenty_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    module = experiment("overfit", monkeypatch)
    options = module.arguments("", ["--quick", "--out", "."])
    data = module.load(options)
    for name, hidden, scale in (("three", [100] * 2, 0.1), ("five", [100] * 4, 0.15)):
        net = module.nn.FullyConnectedNet(hidden, data.input_dim, 10, weight_scale=scale, seed=0)
        reached = module._fit(net, data, data.few(50), 0)
        assert len(reached) == 20
        assert reached[-1] == 1.0, name


def test_the_three_ways_of_both_linear_losses_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    module = experiment("classifiers", monkeypatch)
    rng = np.random.default_rng(5)
    X, y, W = rng.normal(size=(7, 4)), rng.integers(0, 3, 7), rng.normal(size=(4, 3))
    for naive, vectorized, line in module.LOSSES.values():
        loss, dW = naive(W, X, y)
        for value, gradient in (vectorized(W, X, y), module.ad.value_and_grad(line)(W, X, y)):
            np.testing.assert_allclose(value, loss, rtol=1e-12)
            np.testing.assert_allclose(gradient, dW, rtol=1e-10, atol=1e-13)
    np.testing.assert_allclose(module.distances(X, X[:3]), module.distances_naive(X, X[:3]), atol=1e-7)


def test_cifar10_is_used_when_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    for name in [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]:
        batch = {"data": rng.integers(0, 256, (20, 3072), dtype=np.uint8), "labels": rng.integers(0, 10, 20).tolist()}
        (tmp_path / name).write_bytes(pickle.dumps(batch, protocol=2))
    for name in ("optimizers", "convnet"):
        experiment(name, monkeypatch).main(["--quick", "--out", str(tmp_path), "--cifar10", str(tmp_path)])
        assert "CIFAR-10" in capsys.readouterr().out
