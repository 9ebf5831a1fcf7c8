"""Our kit notices every wrong gradient of the collection, and does not cry wolf on right ones."""

import numpy as np
import pytest

from autodiff.testing import check_pair
from benchmarks.checkers import false_alarms
from benchmarks.wrong_gradients import CASES


def test_there_are_enough():
    assert len(CASES) >= 30
    assert len({case.name for case in CASES}) == len(CASES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_it_is_caught(case):
    with np.errstate(all="ignore"):
        assert check_pair(case.forward, case.backward, case.inputs, raises=False).verdict == "fail"


def test_no_false_alarms():
    judged, alarms, undecided = false_alarms(600, seed=3, show=False)
    assert judged > 550
    assert alarms == []
    assert len(undecided) <= 6
