"""By classes of functions: no right gradient is called wrong, no doubled or zeroed entry passes."""

import pytest

from benchmarks.verdicts import CLASSES, counted, ours


@pytest.mark.parametrize("name", CLASSES)
def test_no_false_alarm_and_no_doubled_or_zeroed_entry_passes(name):
    found = counted(name, 1 if name == "long vectors" else 4, ours)
    assert found["right"]["fail"] == 0
    assert found["doubled"]["pass"] == found["zero"]["pass"] == 0
    if name in ("smooth", "branches", "near kinks", "at kinks", "mixed scales, 1e-8 to 1e4", "float32 inside"):
        assert found["right"]["pass"] == 4
    if name == "smooth":
        assert found["1 + 1e-9"]["pass"] == 0
