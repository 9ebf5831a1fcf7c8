"""Wrong gradients as they happen, from courses, papers and issue trackers: what a gradient checker is for.

A first-order case is a pair of plain NumPy functions that looks right, so that every checker can be given the same mistake; a second-order case has
a right gradient whose own gradient is wrong. Each names where the mistake happened (a repository and issue number) or where it is usually made.
"""

from benchmarks.wrong_gradients import elementwise, losses, normalization, precision, shapes
from benchmarks.wrong_gradients.case import Case, SecondCase
from benchmarks.wrong_gradients.second_order import SECOND_CASES

__all__ = ["CASES", "SECOND_CASES", "Case", "SecondCase"]

CASES = [*elementwise.CASES, *normalization.CASES, *losses.CASES, *shapes.CASES, *precision.CASES]
