"""Every law over every registered operation, on calls that Hypothesis draws and shrinks."""

import hypothesis
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import autodiff
from autodiff.core.op import registry
from autodiff.facts import sample_call
from autodiff.testing import NastyDraw, RandomDraw, bounded
from autodiff.testing.draw import NASTY
from autodiff.testing.laws import LAWS
from autodiff.testing.mutation import mutants, telling_calls

# Examples in docstrings and tests register operations of their own, under these prefixes.
OPS = sorted(autodiff._AT_IMPORT)
# Numerical references take a hundred evaluations each, so these two laws draw fewer calls.
COSTLY = {"gradients_match_numeric", "second_order_matches_numeric"}
PROFILE = hypothesis.settings.default.max_examples


@pytest.mark.parametrize("name", OPS)
@pytest.mark.parametrize("law", sorted(LAWS))
def test_law(law: str, name: str) -> None:
    op = registry[name]

    @bounded
    @hypothesis.settings(max_examples=max(3, PROFILE // (5 if law in COSTLY else 3)))
    @given(st.data())
    def holds(data: st.DataObject) -> None:
        args, kwargs = sample_call(op, NastyDraw(data.draw, kinds=NASTY[:-1]))
        LAWS[law](op, args, kwargs)

    holds()


@pytest.mark.parametrize("name", OPS)
def test_every_mutant_is_caught(name: str) -> None:
    op = registry[name]
    draw = RandomDraw(np.random.default_rng([5, *name.encode()]))
    found = mutants(op, telling_calls(op, draw))
    assert found.passed, str(found)
    # Flat inputs apart there are five ways at least to bend a gradient.
    assert found.made >= (0 if name == "imag" else 4)
