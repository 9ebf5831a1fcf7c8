"""ADBench's four tasks against PyTorch and JAX: the part ``adbench`` of ``python -m benchmarks``."""

from benchmarks.gradbench.rivals import adbench as contests

__all__ = ["contests"]
