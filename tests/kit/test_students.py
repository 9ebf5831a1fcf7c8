"""The diagnosis names students' mistakes at the sizes of class."""

import pytest

from autodiff.testing import check_pair
from benchmarks.students import LAYERS, MISTAKES, diagnosed, outcome


@pytest.mark.parametrize("name", LAYERS)
def test_the_right_layers_pass_as_they_stand(name, rng):
    layer = LAYERS[name]
    assert check_pair(layer.forward, layer.backward(), layer.inputs(rng)).verdict == "pass"


@pytest.mark.parametrize("mistake", MISTAKES[::6], ids=lambda m: f"{m.layer}: {m.piece} -> {m.by}")
def test_the_mistake_is_caught_and_named(mistake):
    # "$^": no explanation is known, and none may be invented.
    found = outcome(mistake, diagnosed(mistake))
    assert found == ("silent" if mistake.words == "$^" else "named")


def test_there_are_enough_and_most_have_a_known_cause():
    assert len(MISTAKES) >= 80
    assert sum(mistake.words != "$^" for mistake in MISTAKES) >= 0.8 * len(MISTAKES)
