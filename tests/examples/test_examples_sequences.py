"""The character-level examples: quick runs learn, check themselves and draw; their helpers do what they say."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

pytestmark = pytest.mark.slow

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def start(folder: Path, name: str, *flags: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(EXAMPLES.parent), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(EXAMPLES / f"{name}.py"), *flags]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.parametrize(
    ("name", "flags"),
    [("char_lstm", []), ("gpt", []), ("gpt", ["--positions", "sinusoidal", "--dropout", "0.1", "--steps", "60"])],
)
def test_a_quick_run_learns_and_checks_itself(name: str, flags: list[str], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="the example draws with matplotlib")
    result = start(tmp_path, name, "--quick", "--out", "made/here", *flags)
    assert result.returncode == 0, result.stderr
    before, after, unigram, bigram = map(
        float, re.search(r"loss (\S+) -> (\S+) nats.*unigram (\S+), bigram (\S+)", result.stdout).groups()
    )  # type: ignore[union-attr]
    assert after < unigram < before
    assert bigram < unigram
    assert float(re.search(r"largest difference (\S+)", result.stdout)[1]) < 1e-12  # type: ignore[index]
    assert ("no score depends on a later character" in result.stdout) == (name == "gpt")
    assert len(result.stdout.partition("sample at")[2]) > 100
    assert (tmp_path / "made" / "here" / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_failing_to_learn_is_a_failure(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="the example draws with matplotlib")
    result = start(tmp_path, "char_lstm", "--quick", "--steps", "1")
    assert result.returncode == 1
    assert "has not come below" in result.stderr
    assert start(tmp_path, "gpt", "--steps", "0").returncode == 2


@pytest.fixture(scope="module")
def characters() -> ModuleType:
    spec = importlib.util.spec_from_file_location("characters", EXAMPLES / "characters.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_texts_round_trip_and_targets_follow(characters: ModuleType) -> None:
    text = characters.Text("to be or not to be, that is the question: " * 20)
    assert text.decode(text.encode("to be")) == "to be"
    assert len(text.train) == 756
    for codes, following in (
        next(characters.batches(text.train, 4, 7, np.random.default_rng(0))),
        characters.stretches(text.validation, 7, 5),
    ):
        assert codes.shape == following.shape
        np.testing.assert_array_equal(codes[:, 1:], following[:, :-1])
        assert all(text.decode(row) in "to be or not to be, that is the question: " * 3 for row in codes)


def test_baselines_are_the_entropies(characters: ModuleType) -> None:
    """In "ababab..." one character tells the next, and both are as frequent."""
    known = characters.baselines(characters.Text("ab" * 5000))
    assert known["unigram"] == pytest.approx(np.log(2), rel=1e-6)
    assert known["bigram"] == pytest.approx(-np.log(4500 / 4501), rel=1e-3)


def test_sampling_follows_temperature_and_top_k(characters: ModuleType) -> None:
    generator, scores = np.random.default_rng(0), np.log(np.array([0.1, 0.2, 0.3, 0.4]))

    def shares(**options: float) -> np.ndarray:
        return np.bincount([characters.pick(scores, generator, **options) for _ in range(4000)], minlength=4) / 4000

    np.testing.assert_allclose(shares(), [0.1, 0.2, 0.3, 0.4], atol=0.03)
    np.testing.assert_allclose(shares(top_k=2), [0, 0, 3 / 7, 4 / 7], atol=0.03)
    np.testing.assert_allclose(shares(temperature=0.5), np.array([1, 4, 9, 16]) / 30, atol=0.03)
    np.testing.assert_array_equal(shares(temperature=0), [0, 0, 0, 1])
