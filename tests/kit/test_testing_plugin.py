"""The pytest plugin, used as its users use it: in a test run of its own."""

import re
import subprocess
import sys
import tomllib
import types
from pathlib import Path

import numpy as np
import pytest

from autodiff.core.errors import ArgumentError
from autodiff.testing.plugin import gradcase

SOURCE = """
import numpy as np
from autodiff.extend import Primitive
from autodiff.testing.plugin import gradcase

right = Primitive("plugin_right", lambda x: x * x, lambda g, out, x: 2 * g * x)
wrong = Primitive("plugin_wrong", lambda x: x * x, lambda g, out, x: 2.001 * g * x)
forgotten = Primitive("plugin_forgotten", lambda x: x + x, lambda g, out, x: 2 * g)

@gradcase()
def test_right():
    return right, (np.linspace(0.5, 2.0, 6).reshape(2, 3),)

@gradcase(orders=(1,), dtypes=("float64",), layouts=("contiguous",))
def test_wrong():
    return wrong, (np.linspace(0.5, 2.0, 3),)
"""


def run(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    (folder / "test_cases.py").write_text(SOURCE)
    return pytest_in(folder, "-p", "autodiff.testing", *options, str(folder))


def pytest_in(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options]
    # Other plugins that happen to be installed are none of ours.
    env = {"PYTHONPATH": str(Path(__file__).parents[2]), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, env=env)


def test_cases_pass_fail_and_are_reported(tmp_path: Path) -> None:
    result = run(tmp_path, "--grad-report", str(tmp_path / "report.md"))
    assert "1 failed, 6 passed" in result.stdout
    assert "GradientMismatch" in result.stdout
    report = (tmp_path / "report.md").read_text()
    assert len(re.findall(r"plugin_right \| float(64|32) \| (contiguous|reversed) \| [12] \| passed", report)) == 6
    assert "| plugin_wrong | float64 | contiguous | 1 | failed |" in report
    assert "without a case: plugin_forgotten" in report
    assert "every entry is 1.0005 times what it should be" in report
    assert "reproduce" in report


def test_the_report_may_be_a_page_of_html(tmp_path: Path) -> None:
    run(tmp_path, "--grad-report", str(tmp_path / "report.html"))
    page = (tmp_path / "report.html").read_text()
    assert page.startswith("<!doctype html>")
    assert page.count('<td class="passed">') == 6
    assert page.index('class="failed">failed') < page.index('class="passed">passed')
    # Everything that a test says is escaped.
    assert "&lt;" in page
    assert "http" not in page


def test_either_name_loads_the_plugin_once(tmp_path: Path) -> None:
    (tmp_path / "test_cases.py").write_text(SOURCE)
    names = ("autodiff.testing", "autodiff.testing.plugin", "autodiff.testing.hooks")
    result = pytest_in(tmp_path, *(word for name in names for word in ("-p", name)), "--grad-coverage", str(tmp_path))
    assert "plugin_forgotten" in result.stdout
    assert "1 failed, 6 passed" in result.stdout


def test_installing_brings_the_plugin() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    assert project["project"]["entry-points"]["pytest11"] == {"autodiff": "autodiff.testing.hooks"}
    assert project["tool"]["hatch"]["build"]["targets"]["wheel"] == {"packages": ["autodiff", "nn", "optim"]}


def test_the_coverage_gate_names_the_forgotten_operation(tmp_path: Path) -> None:
    result = run(tmp_path, "--grad-coverage", "-k", "right")
    assert result.returncode == 1
    assert "plugin_forgotten" in result.stdout
    assert "plugin_wrong" in result.stdout
    assert run(tmp_path, "-k", "right").returncode == 0


def test_it_loads_where_an_entry_point_has_loaded_it(tmp_path: Path) -> None:
    # As an installation does: the entry point's name stands for the hooks.
    (tmp_path / "test_cases.py").write_text(SOURCE)
    (tmp_path / "autodiff_gradients-1.dist-info").mkdir()
    (tmp_path / "autodiff_gradients-1.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: x\nVersion: 1\n"
    )
    (tmp_path / "autodiff_gradients-1.dist-info" / "entry_points.txt").write_text(
        "[pytest11]\nautodiff = autodiff.testing.hooks\n"
    )
    for name in ("autodiff.testing", "autodiff.testing.plugin", "autodiff.testing.hooks"):
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", name, "--grad-coverage"]
        env = {"PYTHONPATH": f"{Path(__file__).parents[2]}:{tmp_path}"}
        result = subprocess.run(
            [*command, "-k", "right", str(tmp_path)], capture_output=True, text=True, cwd=tmp_path, env=env
        )
        assert "plugin_forgotten" in result.stdout, result.stdout + result.stderr


MORE = """
import numpy as np
import pytest
from autodiff.testing.plugin import gradcase

@pytest.fixture
def point():
    return np.linspace(0.5, 2.0, 6).reshape(2, 3)

class TestSquares:
    scale = 3.0

    @gradcase(orders=(1,))
    def test_in_a_class_with_a_fixture(self, point):
        return (lambda x: self.scale * x * x), (point,)

@gradcase(check="pair")
def test_a_pair(point):
    return (lambda x: x**2), (lambda g, x: 2 * g * x), [point]

@gradcase
def test_bare(point):
    return np.tanh, (point,)

@gradcase(check="pair", dtypes=("float64",), layouts=("contiguous",))
def test_a_wrong_pair(point):
    return (lambda x: x**2), (lambda g, x: g * x), [point]
"""


def test_cases_take_fixtures_and_stand_in_classes_and_over_adapters(tmp_path: Path) -> None:
    (tmp_path / "test_more.py").write_text(MORE)
    result = pytest_in(tmp_path, "-p", "autodiff.testing.plugin", str(tmp_path))
    assert "1 failed, 14 passed" in result.stdout, result.stdout
    assert "every entry is 1/2 of what it should be" in result.stdout


def test_checks_of_other_libraries_need_numpy_and_hypothesis_alone(tmp_path: Path) -> None:
    # A process in which every other package that is installed is out of reach.
    program = tmp_path / "alone.py"
    program.write_text(
        """
import importlib.abc
import sys

ALLOWED = {"numpy", "hypothesis", "sortedcontainers", "attr", "attrs", "autodiff", "alone"}


class Refuse(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top not in ALLOWED and top not in sys.stdlib_module_names and not top.startswith("_"):
            raise ModuleNotFoundError(name)


sys.meta_path.insert(0, Refuse())
import numpy as np

from autodiff.testing import bounded, check_engine, check_pair, strategies
from autodiff.testing.laws import laws_of
from hypothesis import given, settings

f, backward, x = np.tanh, lambda g, x: g / np.cosh(x) ** 2, [np.array([0.3, -1.0])]
assert check_pair(f, backward, x).verdict == "pass"
assert check_pair(f, lambda g, x: g * np.cosh(x), x, raises=False).verdict == "fail"
assert laws_of(check_pair, f, backward, x) == {}
bounded(settings(max_examples=3, database=None, deadline=None)(given(strategies.arrays())(lambda a: None)))()
print("alone")
"""
    )
    done = subprocess.run(
        [sys.executable, str(program)],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(Path(__file__).parents[2])},
        cwd=tmp_path,
    )
    assert done.stdout == "alone\n", done.stderr[-2000:]


PROJECT = """
import numpy as np
import autodiff

@autodiff.custom_vjp
def cube(x):
    return x**3

cube.defvjp(lambda x: (x**3, x), lambda x, g: (3 * g * x**2,))

@autodiff.custom_vjp
def forgotten_square(x):
    return x**2

forgotten_square.defvjp(lambda x: (x**2, x), lambda x, g: (2 * g * x,))

def relu_forward(x):
    return np.maximum(x, 0), x

def relu_backward(dout, cache):
    return dout * (cache > 0)

def affine_forward(x, w):
    return x @ w, (x, w)

def affine_backward(dout, cache):
    return dout @ cache[1].T, cache[0].T @ dout

def tanh_forward(x):
    return np.tanh(x), x

def tanh_backward(dout, cache):
    return dout / np.cosh(cache) ** 2
"""
CASES = """
import numpy as np
from autodiff.testing.course import gradient_tests
from autodiff.testing.plugin import gradcase
from project_layers import *

@gradcase(orders=(1,), dtypes=("float64",), layouts=("contiguous",))
def test_cube():
    return cube, (np.array([0.5, -2.0]),)

@gradcase(check="pair")
def test_affine():
    return affine_forward, affine_backward, [np.eye(2), np.eye(2)]

from project_tanh import *
test_course = gradient_tests("project_tanh")
"""


def test_the_gate_knows_custom_rules_and_pairs_of_the_project(tmp_path: Path) -> None:
    (tmp_path / "project_layers.py").write_text(PROJECT.partition("def tanh_forward")[0])
    (tmp_path / "project_tanh.py").write_text(
        "import numpy as np\ndef tanh_forward" + PROJECT.partition("def tanh_forward")[2]
    )
    (tmp_path / "test_project.py").write_text(CASES)
    result = pytest_in(tmp_path, "-p", "autodiff.testing.plugin", "--grad-coverage", str(tmp_path))
    assert result.returncode == 1
    assert "operations without a gradcase: forgotten_square, relu_backward\n" in result.stdout, result.stdout


def test_checks_of_other_libraries_run_without_our_engine(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    # A process in which the package itself is empty: what the kit imports by itself is all there is.
    program = tmp_path / "alone.py"
    program.write_text(
        """
import sys
import types

for name in ("autodiff", "autodiff.testing"):
    package = types.ModuleType(name)
    package.__path__ = [sys.argv[1] + "/" + name.replace(".", "/")]
    sys.modules[name] = package

import numpy as np
from autodiff.testing import strategies
from autodiff.testing.adapters import check_engine, check_jax, check_pair, check_torch
from autodiff.testing.course import check_layer
from autodiff.testing.foreign import laws_of, mutants_of
from autodiff.testing.plugin import gradcase
import torch

pair = np.tanh, lambda g, x: g / np.cosh(x) ** 2, [np.array([0.3, -1.0])]
report = check_pair(np.tanh, lambda g, x: g * np.cosh(x), pair[2], raises=False)
assert report.verdict == "fail" and report.hints is not None and "check_pair" in str(report)
assert check_pair(*pair).verdict == "pass" and laws_of(check_pair, *pair) == {} and mutants_of(check_pair, *pair).passed
assert check_torch(lambda x: torch.sin(x) * x, np.array([0.3, -1.2])).verdict == "pass"
allowed = {"core", "core.errors", "core.pytree", "extras", "facts", "files", "tables"}
loaded = {name.partition(".")[2] for name in sys.modules if name.startswith("autodiff.")}
print(sorted(name for name in loaded - allowed if name.partition(".")[0] != "testing"))
print(sorted(loaded & {f"testing.{name}" for name in ("laws", "mutation", "truths", "verify")}))
"""
    )
    root = str(Path(__file__).parents[2])
    done = subprocess.run(
        [sys.executable, str(program), root], capture_output=True, text=True, env={"PYTHONPATH": root}, cwd=tmp_path
    )
    assert done.stdout == "[]\n[]\n", done.stdout + done.stderr[-2000:]


@pytest.mark.parametrize(
    ("check", "value"),
    [
        (None, None),
        (None, (np.sin,)),
        (None, (np.sin, np.ones(2))),
        (None, (np.sin, (np.ones(2),), 3)),
        ("pair", 3),
        ("pair", (np.sin, np.cos, np.ones(2))),
    ],
)
def test_a_case_that_returns_something_else_is_a_usage_error(check, value):
    def test_mine():
        return value

    made = gradcase(test_mine, check=check)
    request = types.SimpleNamespace(node=types.SimpleNamespace(user_properties=[]))
    with pytest.raises(ArgumentError, match="test_mine must return"):
        made(request=request, dtype="float64", layout="contiguous", order=1)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"dtypes": ("float12",)}, "no dtype 'float12'"),
        ({"dtypes": "float64"}, "dtypes is a sequence that is not empty"),
        ({"dtypes": ("int64",)}, "floating-point numbers, got 'int64'"),
        ({"dtypes": ()}, "that is not empty"),
        ({"layouts": "reversed"}, "layouts is a sequence that is not empty"),
        ({"layouts": []}, "that is not empty"),
        ({"orders": 2}, "orders is a sequence that is not empty"),
        ({"orders": ()}, "that is not empty"),
    ],
)
def test_options_without_a_case_are_refused(options, words):
    with pytest.raises(ArgumentError, match=words):
        gradcase(lambda: (np.sin, (np.ones(2),)), **options)


@pytest.mark.parametrize("dtype", ["double", "f8", np.float64, np.dtype(float), "float64"])
def test_float64_is_compared_with_numbers_however_it_is_told(dtype):
    def test_sine():
        return np.sin, (np.ones(2),)

    made = gradcase(test_sine, dtypes=[dtype], orders=(1,))
    (cases,) = (mark.args[1] for mark in made.pytestmark if mark.name == "parametrize")
    assert {name for name, *_ in cases} == {"float64"}


UNUSUAL = """
import numpy as np
import torch
from autodiff.extend import Primitive
from autodiff.testing.plugin import gradcase

X = np.linspace(0.1, 1.0, 12).reshape(3, 4)


def doubled_if(wrong):
    return lambda g, out, x: g * np.cos(x) * (2 if wrong(np.asarray(x.data if hasattr(x, "_node") else x)) else 1)


narrow = Primitive("unusual_narrow", np.sin, doubled_if(lambda a: a.dtype == np.float32))
gapped = Primitive("unusual_gapped", np.sin, doubled_if(lambda a: not a.flags.c_contiguous))


class Narrow(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return torch.sin(x)

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return g * torch.cos(x) * (2 if x.dtype is torch.float32 or not x.is_contiguous() else 1)


def soft(x):
    e = np.exp(x)
    return e / e.sum(), e / e.sum()


def soft_backward(dout, s):
    return s * (dout - (dout * s).sum()) * (2 if s.dtype == np.float32 else 1)


def sine_backward(dout, x):
    return dout * np.cos(x) * (1 if x.flags.c_contiguous else 2)


@gradcase(dtypes=("float32",))
def test_narrow():
    return narrow, (1e-7 * X,)


@gradcase(dtypes=("float64", "float32"), layouts=("fortran", "gapped", "reversed"), orders=(1,))
def test_gapped():
    return gapped, (X,)


@gradcase(check="torch", dtypes=("float32",))
def test_torch_narrow():
    return Narrow, (X,)


@gradcase(check="torch", dtypes=("float64",), layouts=("fortran", "gapped"), orders=(1,))
def test_torch_gapped():
    return Narrow, (X,)


@gradcase(check="pair", dtypes=("float32",))
def test_pair_narrow():
    return soft, soft_backward, (X,)


@gradcase(check="pair", dtypes=("float64",), layouts=("fortran", "gapped", "reversed"))
def test_pair_gapped():
    return np.sin, sine_backward, (X,)
"""


@pytest.mark.slow
def test_dtypes_and_layouts_reach_the_gradient(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    (tmp_path / "test_unusual.py").write_text(UNUSUAL)
    result = pytest_in(tmp_path, "-p", "autodiff.testing", str(tmp_path))
    assert "17 failed" in result.stdout, result.stdout
    assert "passed" not in result.stdout.splitlines()[-1]
