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
    with pytest.raises(SystemExit):
        main(["my_package.no_such_module"])
    assert "no module my_package.no_such_module" in capsys.readouterr().err


def test_inputs_of_a_course_give_way_to_those_that_fit(tmp_path, monkeypatch, capsys):
    # CS231n's affine layer flattens its input; this one does not.
    (tmp_path / "kit_plain_affine.py").write_text(
        "def affine_forward(x, w, b):\n    return x @ w + b, (x, w)\n"
        "def affine_backward(dout, cache):\n    x, w = cache\n    return dout @ w.T, x.T @ dout, dout.sum(0)\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert main(["kit_plain_affine"]) == 0
    assert "affine_backward: passed" in capsys.readouterr().out


def test_a_module_is_checked_and_a_page_written(tmp_path, monkeypatch, capsys, temporary):
    (tmp_path / "kit_example_ops.py").write_text(
        "import numpy as np\nfrom autodiff.extend import Primitive\n"
        "cube = Primitive('test_module_cube', lambda x: x**3, lambda g, out, x: 3 * g * x * x, domain=(0.5, 2.0))\n"
        "def relu_forward(x):\n    return np.maximum(x, 0), x\n"
        "def relu_backward(dout, cache):\n    return dout * (cache > 0)\n"
        "def affine_forward(x, w, b):\n    return x.reshape(len(x), -1) @ w + b, (x, w)\n"
        "def affine_backward(dout, cache):\n    x, w = cache\n"
        "    return (dout @ w.T).reshape(x.shape), x.reshape(len(x), -1).T @ dout, dout.mean(0)\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert main(["kit_example_ops"]) == 1
    out = capsys.readouterr().out
    assert "test_module_cube: passed" in out
    assert "relu_backward: passed" in out
    assert "affine_backward: failed" in out
    assert "a mean where there should be a sum" in (tmp_path / "gradient-report.html").read_text()


def test_a_modules_gradients_obey_the_laws_or_are_named(tmp_path, monkeypatch, capsys):
    pytest.importorskip("torch")
    (tmp_path / "kit_lawless.py").write_text(
        "import numpy as np\nimport torch\nimport autodiff\n"
        "def relu_forward(x):\n    return np.maximum(x, 0), x\n"
        "def relu_backward(dout, cache):\n    return np.where(np.abs(dout) < 1e-3, 0, dout) * (cache > 0)\n"
        "@autodiff.custom_vjp\ndef cube(x):\n    return x**3\n"
        "cube.defvjp(lambda x: (x**3, x), lambda x, g: (3 * g * x**2,))\n"
        "cube.gradcase_inputs = lambda: [np.array([0.5, -2.0])]\n"
        "def scale_forward(x, w):\n    return x * w, (x, w)\n"
        "def scale_backward(dout, cache):\n    return dout * cache[1], (dout * cache[0]).sum(0)\n"
        "class Forgotten(torch.autograd.Function):\n"
        "    @staticmethod\n    def forward(ctx, x):\n        return x\n"
        "    @staticmethod\n    def backward(ctx, g):\n        return g\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert main(["kit_lawless", "--deep"]) == 1
    out = capsys.readouterr().out
    assert "relu_backward: failed\nGradientMismatch: linear in the cotangent" in out
    assert "cube: passed" in out
    assert "scale_backward: failed\nArgumentError: not checked, for inputs guessed from the names" in out
    assert "Forgotten: failed\nArgumentError: not checked, for no inputs are known" in out


def test_classes_that_hold_both_passes_are_found(tmp_path, monkeypatch, capsys):
    # minitorch's, needle's, and a layer without parameters; what is only a base and what needs arguments is left out.
    (tmp_path / "kit_classes.py").write_text(
        "import numpy as np\nclass Function:\n    def forward(ctx): raise NotImplementedError\n"
        "    def backward(ctx, g): raise NotImplementedError\n"
        "class Mul(Function):\n    @staticmethod\n    def forward(ctx, a, b):\n"
        "        ctx.save_for_backward(a, b)\n        return a * b\n"
        "    @staticmethod\n    def backward(ctx, g):\n        a, b = ctx.saved_values\n        return g * b, g * a\n"
        "class Exp:\n    def forward(self, ctx, a):\n        ctx.save_for_backward(a)\n        return np.exp(a)\n"
        "    def backward(self, ctx, g):\n        return g * ctx.saved_tensors[0]\n"
        "class Join:\n    @staticmethod\n    def forward(ctx, x, y):\n        ctx.n = len(x)\n"
        "        return np.concatenate([x, y])\n"
        "    @staticmethod\n    def backward(ctx, g):\n        return g[:ctx.n], g[ctx.n:]\n"
        "class Add:\n    def compute(self, a, b):\n        return a + b\n"
        "    def gradient(self, out_grad, node):\n        return out_grad, out_grad\n"
        "class Relu:\n    def forward(self, x):\n        self.x = x\n        return np.maximum(x, 0)\n"
        "    def backward(self, dout):\n        return dout * (self.x > 0)\n"
        "class Scale:\n    def __init__(self, by):\n        self.by = by\n"
        "    def forward(self, x):\n        return self.by * x\n"
        "    def backward(self, dout):\n        return self.by * dout\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert main(["kit_classes"]) == 1
    out = capsys.readouterr().out
    assert [line for line in out.splitlines() if line.endswith(": passed")] == [
        f"{name}: passed" for name in ("Mul", "Join", "Add", "Relu")
    ]
    assert "Exp: failed\nGradientMismatch: Exp: fail" in out
    assert "5 checked, 1 failed" in out


@pytest.mark.parametrize(("text", "words"), [("def f(:", "SyntaxError"), ("raise RuntimeError('boom')", "boom")])
def test_a_module_that_raises_is_answered_in_one_line(text, words, tmp_path, monkeypatch, capsys):
    (tmp_path / "broken_module.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        main(["broken_module"])
    assert stopped.value.code == 2
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1


def test_a_report_that_cannot_be_written_is_answered_in_one_line(tmp_path, monkeypatch, capsys):
    (tmp_path / "some_pairs.py").write_text(
        "def sq_forward(x):\n    return x * x, x\n\n\ndef sq_backward(d, x):\n    return 2 * d * x\n"
    )
    (tmp_path / "taken").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        main(["some_pairs", "--write", str(tmp_path / "taken" / "page.html")])
    assert stopped.value.code == 2
    assert "--write" in capsys.readouterr().err
