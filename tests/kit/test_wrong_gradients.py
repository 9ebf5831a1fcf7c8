"""Our kit notices every wrong gradient of the collection, and does not cry wolf on right ones."""

import numpy as np
import pytest

from autodiff.testing import check_gradients, check_pair
from benchmarks.checkers import false_alarms, traced
from benchmarks.wrong_gradients import CASES, SECOND_CASES


def test_there_are_enough_and_each_says_where_it_happens():
    every = [*CASES, *SECOND_CASES]
    assert len(CASES) >= 50
    assert len(SECOND_CASES) >= 10
    assert len({case.name for case in every}) == len(every)
    assert all(case.source for case in every)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_it_is_caught(case):
    with np.errstate(all="ignore"):
        assert check_pair(case.forward, case.backward, case.inputs, raises=False).verdict == "fail"


@pytest.mark.parametrize("case", SECOND_CASES, ids=lambda case: case.name)
def test_it_is_right_in_first_order_and_caught_in_second(case):
    assert check_pair(case.forward, case.first, [case.x], raises=False).verdict == "pass"
    with traced(case) as function:
        assert check_gradients(function, case.x, order=1, raises=False).verdict == "pass"
        assert check_gradients(function, case.x, order=2, raises=False).verdict == "fail"


def test_no_false_alarms():
    judged, alarms, undecided = false_alarms(250, seed=3, show=False)
    assert judged > 225
    assert alarms == []
    assert len(undecided) <= 3
