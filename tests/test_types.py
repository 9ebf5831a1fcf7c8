"""What type checkers and editors know: the stubs are what their program writes, and promise what calls return."""

import ast
import functools
import importlib
import importlib.util
import re
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest

import autodiff as ad
import nn
import optim

ROOT = Path(__file__).parents[1]

PROGRAM = """
import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import autodiff as ad
import nn
import numpy as np
import numpy.typing as npt
import optim
from autodiff import implicit, integrate, optimize, sparse
from autodiff.extend import Primitive
from autodiff.fft import rfft
from autodiff.special import erf
from autodiff.testing import check_gradients, check_pair
from typing import assert_type
from optim.swa_utils import AveragedModel

x = ad.tensor([1.0, 2.0], requires_grad=True)
assert_type(ad.sum(x, axis=0), ad.Tensor)
assert_type(1 + x @ x / 2, ad.Tensor)
assert_type(-x.exp(), ad.Tensor)
assert_type(x == 1, ad.Tensor)
assert_type(ad.linalg.inv(x), ad.Tensor)
assert_type(rfft(erf(x)), ad.Tensor)
x += 1
assert_type(x, ad.Tensor)
assert_type(ad.nn.Linear(1, 2), nn.Linear)

opt = optim.SGD(nn.Linear(3, 2).parameters(), lr=0.1)

class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(2, 3)

    def forward(self, x: ad.Tensor, times: int = 1) -> ad.Tensor:
        return self.inner(x).relu() * times

net = Net()
assert_type(net(x), ad.Tensor)
optim.Adam(net.parameters(), lr=1e-3)
optim.SGD(net.parameters(), 0.1, momentum=0.9)
optim.Trainer(net, nn.CrossEntropyLoss(), optim.SGD(net.parameters()))
optim.Trainer(net, nn.functional.mse_loss, optim.SGD(net.parameters()), callbacks=[optim.JSONLog("run.jsonl")])
optim.SGD([{"params": list(net.parameters()), "lr": 0.1}], lr=0.2)
assert_type(nn.CrossEntropyLoss(label_smoothing=0.1)(np.ones((2, 3)), np.array([0, 1])), ad.Tensor)
assert_type(nn.MaxPool2d(2)(x), ad.Tensor)
assert_type(nn.MaxPool2d(2, return_indices=True)(x), tuple[ad.Tensor, ad.Tensor])
assert_type(ad.nn.LazyLinear(3)(x), ad.Tensor)
assert_type(nn.LSTM(3, 4)(x)[0], ad.Tensor)
assert_type(ad.linalg.eigh(x).eigenvalues, ad.Tensor)

@dataclass
class Options:
    rate: float = 0.1

class Params(NamedTuple):
    w: np.ndarray
    b: np.ndarray

def loss(params: dict[str, ad.Tensor], x: np.ndarray) -> ad.Tensor:
    return ad.sum((x @ params["w"] - params["b"]) ** 2)

def cubes(x: ad.Tensor) -> ad.Tensor:
    return ad.sum(x**3)

def newton(f: Callable[[ad.Tensor], ad.Tensor], x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return x - np.linalg.solve(ad.hessian(f)(x), ad.grad(f)(x))

w = np.ones(3)
g = ad.grad(cubes)(w)
w = w - Options().rate * g
w -= 0.1 * g
print(g.shape, float(g.sum()), g[0], -g, g @ w, np.linalg.norm(g))
print(f"{float(ad.grad(ad.grad(lambda x: x**3))(2.0)):.3f}")
value, slope = ad.value_and_grad(cubes)(w)
history: list[float] = [float(value), value.item()]
params = {"w": np.ones((3, 2)), "b": np.zeros(2)}
grads: dict[str, np.ndarray] = ad.grad(loss)(params, np.ones((4, 3)))
params = {k: p - 0.1 * grads[k] for k, p in params.items()}
tracked = {"w": ad.tensor(np.ones((3, 2))), "b": ad.tensor(np.zeros(2))}
tracked["w"].data -= 0.1 * ad.grad(loss)(tracked, np.ones((4, 3)))["w"]
named = ad.grad(lambda p: ad.sum(p.w * p.b))(Params(w, w))
assert_type(named, Params)
gw, gb = ad.grad(lambda w, b: ad.sum(w * b), argnums=(0, 1))(w, 2.0)
w = w - 0.1 * gw
print(ad.grad(lambda x, p: ad.sum(p["w"] * x), argnums=1)(w, params)["w"].shape)
gx, aux = ad.grad(lambda x: (ad.sum(x), {"n": 1}), has_aux=True)(w)
assert_type(aux["n"], int)
(loss_value, metrics), gx = ad.value_and_grad(lambda x: (ad.sum(x), "text"), has_aux=True)(w)
assert_type(metrics, str)
print(np.linalg.det(ad.jacobian(lambda x: x * x)(w)), ad.jacfwd(np.sin)(w)[0, 0], newton(cubes, w))
out, pullback = ad.vjp(lambda x, y: x * y, 2.0, 5.0)
cx, cy = pullback(1.0)
out, tangent = ad.jvp(np.sin, (w,), (np.ones(3),))
(product,) = ad.hvp(cubes, (w,), (w,))
w = w - product
assert_type(ad.checkpoint(cubes)(x), ad.Tensor)
rows = ad.vmap(ad.grad(lambda w, r: ad.sum(w * r**2)), in_axes=(None, 0))
print(rows(w, np.ones((5, 3))).shape, rows.looped)
y = cubes(x)
ga, gc = ad.gradients(y, [x, x], create_graph=True)
ga.sum().backward()
y.backward()
x.data -= 0.1 * x.grad
x.grad = None
total = math.sqrt(sum(float((p.grad**2).sum()) for p in net.parameters()))
history.append(y.item())
print(f"{y.item():.3f}", range(x.argmax().item()), x.argmax().item() / 2)
table: list[list[float]] = ad.tensor(np.eye(2)).tolist()
ad.concatenate([x, [1.0], np.ones(2)])
ad.array([[x[0], 0.0], [0, x[1]]])
a = ad.tensor(2.0, requires_grad=True)
implicit.root(lambda x, a: x * x - a, 1.0, args=(a,)).x.backward()
implicit.minimize(lambda p: ad.sum((p["u"] - a) ** 2), {"u": np.zeros(2)}).x["u"].sum().backward()
implicit.linear_solve(lambda v: a * v, np.ones(2)).sum().backward()
best: float = optimize.minimize(lambda p: (1 - p["x"]) ** 2, {"x": -1.0}, tol=1e-9).fun
popt, pcov = optimize.curve_fit(lambda t, a, b: a + b * t, np.arange(4.0), np.arange(4.0))
popt.sum().backward()
ode = integrate.solve_ivp(lambda t, y: -y, (0.0, a), [1.0], dense_output=True, events=lambda t, y: y[0])
print(ode.y[0, -1].item(), ode.sol(0.5).shape, ode.t_events[0])
integrate.odeint(lambda y, t: -y, {"u": np.ones(1)}, np.linspace(0, 1, 5))["u"].sum().backward()
area, error = integrate.quad(lambda x: np.exp(-x), 0.0, np.inf)
area.backward()
A = sparse.csr_array((x, ([0, 1], [1, 0])), shape=(2, 2))
(A @ A + A).toarray().sum().backward()
sparse.spsolve(A, np.ones(2)).sum().backward()
softsign = Primitive("softsign", lambda x: x / (1 + np.abs(x)), lambda g, out, x: g / (1 + np.abs(x)) ** 2)
print(softsign(x).sum(), functools.partial(loss, x=np.ones((4, 3)))(tracked))
check_gradients(np.tanh, np.ones(3), order=1)
check_pair(lambda x: (x * x, x), lambda g, cache: 2 * g * cache, [np.ones(3)]).verdict

@ad.compile
def step(x: np.ndarray) -> ad.Tensor:
    return net(ad.tensor(x)).sum()

assert_type(step(w), ad.Tensor)
carry, steps = ad.scan(lambda c, x: (c + x, c * x), 0.0, np.ones(4))
carry.backward()
found = optimize.minimize(lambda p: ad.sum(p["w"] ** 2), params).x
print(loss(found, w), steps[0], len(steps), {k: v.sum() for k, v in found.items()})
fast = ad.jit(ad.grad(loss))
print(step.plan, fast(params, np.ones((4, 3)))["w"].sum(), fast.plans)
"""
MISTAKES = [
    "ad.summ(x)",
    "ad.sum(x, axs=0)",
    "ad.linalg.invv(x)",
    "x.expp()",
    "net(x, times='twice')",
    "nn.LeakyReLU(slope=3)",
    "nn.MSELoss()(x)",
    "nn.functional.reluu(x)",
    "optim.Adam(net.parameters(), lrr=1e-3)",
    'nn.Linear("3", 2)',
    "nn.Linear(3)",
    "nn.Sequential(nn.Linear(3, 2), nn.functional.relu)",
    "net(x, x)",
    "net(x).relux()",
    "net(y=x)",
    "nn.ModuleList([nn.Linear, nn.ReLU])",
    "nn.ModuleDict({1: nn.ReLU()})",
    'net.register_forward_hook("hook")',
    "net.apply(3)",
    "nn.Identity()(x).relux()",
    "net.load_state_dict([1, 2])",
    'net.train("no")',
    'optim.SGD(net.parameters(), lr="0.1")',
    "optim.Adam(net.parameters(), beta=(0.9, 0.9))",
    "opt.step(3)",
    "opt.step(lambda: x).relux()",
    "opt.load_state_dict(3)",
    'opt.state_dict()["groups"]',
    "optim.StepLR(opt)",
    "optim.Trainer(net, nn.MSELoss(), net)",
    "optim.Trainer(3, nn.MSELoss(), opt)",
    "optim.Trainer(net, nn.MSELoss, opt).fit((x, x), epoch=3)",
    "optim.Trainer(net, nn.MSELoss(), opt).predict(x).relu()",
    "AveragedModel(3)",
    "nn.DataLoader(3)",
    'nn.DataLoader(nn.TensorDataset(np.ones(3)), batch_size="2")',
    "nn.DataLoader(nn.TensorDataset(np.ones(3)), bacth_size=2)",
    'nn.DataLoader([1.0], collate_fn=len, num_workers="2")',
    "nn.utils.data.random_split(3, [0.5, 0.5])",
    "nn.utils.data.RandomSampler(3)",
    "for a in nn.DataLoader([1.0], batch_size=2): a.relux()",
    "optim.DataParallel(net)",
    'optim.option(default=0.1, allowed=(lambda lr: lr.foo, "x"))',
    "nn.Sequential(nn.ReLU())(x).relux()",
    'nn.ParameterDict({"a": x})["a"].relux()',
    'nn.ModuleDict()["a"](x).relux()',
    "ad.grad(cubes)(w).summ()",
    "ad.grad(3)(w)",
    "ad.grad(cubes, argnum=1)",
    "ad.value_and_grad(cubes)(w).shape",
    "ad.gradients(y, 3.0)",
    "ad.jacobian(cubes)(w).shap",
    "ad.vmap(cubes, in_axes=0.5)",
    "ad.vmap(cubes).loopd",
    "ad.checkpoint(cubes)(x, x)",
    "step('text')",
    "step.plans",
    "fast(params).w",
    "implicit.root(cubes, x0=w).y",
    "optimize.minimize(cubes, w).func",
    "optimize.curve_fit(cubes, w, w)[2]",
    "integrate.quad(3, 0.0, 1.0)",
    "integrate.solve_ivp(cubes, (0.0, 1.0), w).ts",
    "sparse.spsolve(A, {'b': 1})",
    "Primitive('p', 3)",
    "y.item().shape",
    "x.grad.summ",
    "check_pair(np.tanh, 3, [w])",
    "named.c",
    "ad.scan(3, 0.0)",
    "steps.shap",
]


def maker() -> types.ModuleType:
    spec = importlib.util.spec_from_file_location("make_stubs", ROOT / "docs/make_stubs.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.skipif(importlib.util.find_spec("ruff") is None, reason="the stubs are formatted by ruff")
def test_the_stubs_are_what_their_program_writes():
    pytest.importorskip("scipy")
    for name, text in maker().stubs().items():
        assert (ROOT / "autodiff" / name).read_text() == text, f"autodiff/{name}: run python docs/make_stubs.py"


def calls(function):
    """Results of calls that a function takes, of many that it may."""
    x, k = ad.tensor([[2.0, 0.5], [0.5, 3.0]]), np.array([0, 1])
    for args in [
        (x,),
        (x, x),
        (x[0],),
        (x[0], x[0]),
        (x, 1),
        ([x, x],),
        (x, (2, 2)),
        (x, k),
        (2, x),
        (x, k, 1),
        (3, 2),
    ]:
        try:
            yield function(*args)
        except Exception:
            continue


@pytest.mark.filterwarnings("ignore")
def test_calls_return_what_the_stubs_promise():
    pytest.importorskip("scipy")
    kinds = {"Tensor": ad.Tensor, "None": type(None), "list[Tensor]": list}
    make, tried = maker(), 0
    special = [name for name in dir(ad.special) if not name.startswith("_")]
    for module, names in [
        (ad, sorted(ad._NUMPY)),
        (ad.linalg, ad.linalg.__all__),
        (ad.fft, ad.fft.__all__),
        (ad.signal, ad.signal.__all__),
        (ad.special, special),
    ]:
        for name in names:
            function = getattr(module, name)
            if not callable(function):
                continue
            promised = re.findall(r"-> (.*):", make.function(module.__name__, name, function))
            kind = tuple(kinds.get(p, tuple if p.startswith("tuple") else object) for p in promised)
            for result in calls(function):
                assert isinstance(result, kind), f"{name} gave {type(result)}, its stub says {promised}"
                tried += 1
    assert tried > 600


#: Signatures that still say Any, by package: they may only become fewer. What an array holds (``ndarray[Any, Any]``)
#: and the protocols by which NumPy, pickle and copies speak to an object are not counted.
STILL_ANY = {"autodiff": 0, "nn": 0, "optim": 0}
#: What decides these is known when the program runs, so the types that could be said would report correct programs.
DECIDED_LATER = {
    "tensor: Tensor.grad()": "None before the first backward pass, and `p.data -= lr * p.grad` comes after it",
    "tensor: Tensor.tolist()": "a number, or lists as deep as the tensor has axes; NumPy's stubs say Any",
}
MODULES = (
    "autodiff autodiff.linalg autodiff.fft autodiff.signal autodiff.special autodiff.stats autodiff.random"
    " autodiff.sparse autodiff.implicit autodiff.optimize autodiff.integrate autodiff.interpolate autodiff.ndimage"
    " autodiff.extend autodiff.testing autodiff.testing.course autodiff.viz nn nn.functional nn.init nn.utils"
    " nn.utils.data nn.utils.rnn optim optim.swa_utils optim.datasets optim.lr_scheduler"
).split()
PROTOCOLS = re.compile(r"__(array|dlpack|reduce|deepcopy|copy|getstate|setstate|init_subclass|getattr|setattr)\w*")


@functools.cache
def told(module):
    """The file that type checkers read of a module, and its syntax tree."""
    path = ROOT.joinpath(*module.split("."))
    for found in (path / "__init__.pyi", path.with_suffix(".pyi"), path / "__init__.py", path.with_suffix(".py")):
        if found.exists():
            return found, ast.parse(found.read_text())
    return None


def definitions(module, name, depth=0):
    """What defines a public name: functions (its overloads, if there are any), or a class."""
    if depth > 6 or told(module) is None:
        return None
    path, tree = told(module)
    found = [node for node in tree.body if getattr(node, "name", None) == name]
    overloads = [
        node for node in found if any("overload" in ast.unparse(d) for d in getattr(node, "decorator_list", []))
    ]
    if found:
        return path, overloads or found
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                if alias.name == "*" or (alias.asname or alias.name) == name:
                    there = definitions(node.module, name if alias.name == "*" else alias.name, depth + 1)
                    if there is not None:
                        return there
    return None


def says_any(annotation):
    text = re.sub(r"\b(np\.)?(ndarray\[Any, Any\]|dtype\[Any\]|NDArray\[Any\])", "Array", ast.unparse(annotation))
    return bool(re.search(r"\b(Any|MaybeNone)\b", text))


def anys(node, owner=""):
    """Parameters and results of a public definition that say Any."""
    if isinstance(node, ast.ClassDef):
        overloaded = {n.name for n in node.body if "overload" in map(ast.unparse, getattr(n, "decorator_list", []))}
        for inner in node.body:
            if getattr(inner, "name", None) in overloaded and not inner.decorator_list:
                continue  # type checkers read the overloads alone
            if not PROTOCOLS.fullmatch(getattr(inner, "name", "")) and not re.match(
                r"_[^_]", getattr(inner, "name", "")
            ):
                yield from anys(inner, f"{node.name}.")
    elif isinstance(node, ast.FunctionDef):
        given = node.args
        for p in [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]:
            if p is not None and p.annotation is not None and says_any(p.annotation):
                yield f"{owner}{node.name}({p.arg})"
        if node.returns is not None and says_any(node.returns):
            yield f"{owner}{node.name}()"


def test_public_signatures_say_any_no_more_often_than_before():
    pytest.importorskip("scipy")
    found, seen = {package: set() for package in STILL_ANY}, 0
    for module in MODULES:
        there = importlib.import_module(module)
        names = getattr(there, "__all__", [name for name in dir(there) if not name.startswith("_")])
        for name in {*names, *getattr(there, "_FUNCTIONS_ON_DEMAND", ())}:
            value = getattr(there, name)
            place = definitions(module, name) or definitions(getattr(value, "__module__", ""), name)
            if place is None or not callable(value):
                continue
            seen += 1
            package = place[0].relative_to(ROOT).parts[0]
            found[package] |= {f"{place[0].stem}: {where}" for node in place[1] for where in anys(node)}
    assert seen > 850
    assert DECIDED_LATER.keys() <= found["autodiff"]
    for package, names in found.items():
        names -= DECIDED_LATER.keys()
        assert len(names) <= STILL_ANY[package], f"{package} says Any in {sorted(names)}; say what it takes and gives"


def test_dir_holds_what_can_be_asked_for():
    for module in (ad, ad.special):
        if module is ad.special:
            pytest.importorskip("scipy")
        for name in dir(module):
            getattr(module, name)
    assert {"compile", "jit", "scan", "viz", "testing", "nn", "optim", "sum"} <= set(dir(ad))
    assert set(nn.__all__) <= set(dir(nn))
    assert set(optim.__all__) <= set(dir(optim))


@pytest.mark.slow
@pytest.mark.parametrize("checker", ["mypy", "pyright"])
def test_type_checkers_find_mistakes_and_nothing_else(checker, tmp_path):
    pytest.importorskip(checker)
    path, ordinary = tmp_path / "program.py", tmp_path / "ordinary_program.py"
    ordinary.write_text((ROOT / "tests/ordinary_program.py").read_text())
    path.write_text(PROGRAM + "\n".join(MISTAKES) + "\n")
    (tmp_path / "pyrightconfig.json").write_text(f'{{"extraPaths": ["{ROOT}"]}}')
    command = (
        ["mypy", "--strict", "--cache-dir", str(tmp_path)] if checker == "mypy" else ["pyright", "-p", str(tmp_path)]
    )
    done = subprocess.run(
        [sys.executable, "-m", *command, *([str(path), str(ordinary)] if checker == "mypy" else [])],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    first = PROGRAM.count("\n") + 1
    found = {int(line.split(":")[1]) for line in done.stdout.splitlines() if "program.py:" in line and "error" in line}
    assert found == set(range(first, first + len(MISTAKES))), done.stdout
    assert not re.findall(r"ordinary_program\.py:\d+.*error.*", done.stdout)
