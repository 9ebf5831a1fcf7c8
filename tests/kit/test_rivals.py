"""The page of derivatives that others have wrong: measured, and none of ours among them."""

import re
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("mpmath", reason="the truth is computed with many digits")
pytest.importorskip("sympy", reason="the truth is a symbolic derivative")
from autodiff.testing import rivals

PAGE = Path(__file__).parents[2] / "docs" / "rivals.md"


def test_the_page_lists_forty_cases_and_none_of_ours_is_wrong():
    rows = [line.split("|")[1:-1] for line in PAGE.read_text().splitlines() if re.match(r"\| `", line)]
    assert len(rows) >= 40
    for _, _, _, ours, torch, jax in rows:
        assert "**" not in ours
        assert "**" in torch + jax


def test_arrays_are_measured_again():
    pytest.importorskip("torch", reason="a library to be measured")
    pytest.importorskip("jax", reason="a library to be measured")
    with np.errstate(all="ignore"):
        cases = list(rivals._of_arrays())
    assert len(cases) > 10
    assert all(case.ours <= rivals.WRONG for case in cases)
