"""Hypothesis profiles: ``dev`` by default, ``ci`` derandomised, ``few`` for the matrix of versions, ``deep`` for long
runs; chosen by HYPOTHESIS_PROFILE.
"""

import os
from collections.abc import Iterator

import hypothesis
import matplotlib
import numpy as np
import pytest

import nn  # noqa: F401 (an operation that a file of nn defines is held to the laws, too)
from autodiff.core.op import registry

matplotlib.use("Agg")

_COMMON = {
    "deadline": None,
    "suppress_health_check": [hypothesis.HealthCheck.too_slow, hypothesis.HealthCheck.data_too_large],
}
hypothesis.settings.register_profile("dev", max_examples=20, **_COMMON)
hypothesis.settings.register_profile("ci", max_examples=50, derandomize=True, **_COMMON)
hypothesis.settings.register_profile("few", max_examples=4, derandomize=True, **_COMMON)
hypothesis.settings.register_profile("deep", max_examples=2000, **_COMMON)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))


@pytest.fixture
def rng() -> np.random.Generator:
    """A seeded generator, the same in every test."""
    return np.random.default_rng(20240229)


@pytest.fixture
def temporary() -> Iterator[None]:
    """Operations registered in a test are gone after it."""
    before = set(registry)
    yield
    for name in set(registry) - before:
        del registry[name]
