"""``python -m autodiff.testing``: the table, the exit status, the page."""

import numpy as np
import pytest

from autodiff.core.op import registry
from autodiff.extend import Primitive
from autodiff.testing.__main__ import main


def test_the_table_of_some_operations(capsys, tmp_path):
    assert main(["tanh", "batch_norm", "--write", str(tmp_path / "page.md")]) == 0
    out = capsys.readouterr().out
    assert "batch_norm  fused" in out
    assert "2 operations, 0 failed" in out
    assert (tmp_path / "page.md").read_text().count("| pass |") == 2


def test_a_wrong_operation_fails_the_command(capsys):
    Primitive("test_command_wrong", lambda x: np.sin(x), lambda g, out, x: g * np.cos(x) * 1.001)
    try:
        assert main(["test_command_wrong"]) == 1
    finally:
        del registry["test_command_wrong"]
    assert "FAIL" in capsys.readouterr().out


def test_an_unknown_name_lists_the_known(capsys):
    with pytest.raises(SystemExit):
        main(["no_such_op"])
    assert "batch_norm" in capsys.readouterr().err
