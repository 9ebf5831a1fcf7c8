"""Benchmarks: ``python -m benchmarks [--quick] [NAMES]``, the library against NumPy by hand and against its rivals.

Nothing here is installed with the library. Timings are only ever compared within one run of one process, with the
candidates taking turns; every candidate must first agree with a hand-written reference.
"""
