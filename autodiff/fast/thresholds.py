"""Every size from which something is done another way for speed: one table, with the benchmark that made each."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["FEW", "IN_PLACE", "THRESHOLDS", "Threshold"]


@dataclass
class Threshold:
    """A size, what changes there, and how it was found.

    Attributes
    ----------
    name : str
    value : int
        Elements, unless ``what`` says otherwise.
    what : str
        What is done from there on.
    benchmark : str
        What showed it.
    """

    name: str
    value: int
    what: str
    benchmark: str


IN_PLACE = Threshold("IN_PLACE", 1024, "a sum of gradients is added to in place", "benchmarks overhead")

FEW = Threshold("FEW", 12, "NumPy, not Python, looks for NaN among so many numbers", "benchmarks overhead")

THRESHOLDS = {threshold.name: threshold for threshold in (FEW, IN_PLACE)}
