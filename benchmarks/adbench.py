"""ADBench's four tasks against PyTorch and JAX: the part ``adbench`` of ``python -m benchmarks``."""

from benchmarks.gradbench.contests import adbench as contests

__all__ = ["contests"]
