"""The losses that are timed beside other libraries are those of the examples, and all libraries agree on them."""

import numpy as np
import pytest

pytest.importorskip("scipy", reason="the examples need SciPy")

from benchmarks.science import gradients, programs

PROGRAMS = programs()


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_library_computes_the_same_gradient(name):
    loss, constants, point = PROGRAMS[name]
    found = {library: act() for library, act in gradients(loss, constants, point).items()}
    for gradient in found.values():
        np.testing.assert_allclose(gradient, found["here"], rtol=1e-8)
