"""The house: who may import whom, what the public surface is, and that the core needs NumPy alone."""

import ast
import importlib.util
import io
import subprocess
import sys
import tokenize
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("autodiff", "nn", "optim")
OPTIONAL = {
    "scipy",
    "torch",
    "jax",
    "autograd",
    "hypothesis",
    "pytest",
    "graphviz",
    "pygraphviz",
    "matplotlib",
    "tqdm",
    "sklearn",
}
# autodiff.nn and autodiff.optim: second names, which import what they name and nothing else.
SECOND_NAMES = {"nn.py", "optim.py"}
OPTIONAL |= {"safetensors", "tensorboardX", "mpi4py", "numba", "llvmlite", "IPython"}

# Of every room of autodiff, which rooms it may import: wherever it stands, and inside functions alone. "*" is the
# package itself, for those that use the library as its users do. docs/internals.md draws the same arrows.
BASE = (
    "core fast functions zero_times_infinity dispatch batching higher levels views reads writes watch trees extras cuts"
    " arguments facts containers decorators rows signatures results"
)
ROOMS: dict[str, tuple[str, str]] = {
    "core/errors": ("", ""),
    "core/graph": ("", ""),
    "core/modes": ("", ""),
    "core/pytree": ("core/errors", ""),
    "core/op": ("core/errors core/graph core/modes", ""),
    "core/backward": ("core/errors core/graph core/modes core/op", ""),
    "core/forward": ("core/errors core/graph core/modes core/op core/backward", ""),
    "functions": ("core", ""),
    "reads": ("core", ""),
    "zero_times_infinity": ("core reads", ""),
    "fast": ("core reads zero_times_infinity", ""),
    "errors": ("core extras", ""),
    "files": ("core", ""),
    "tables": ("core extras", ""),
    # A second name of a package loads that package.
    "naming": ("", "*"),
    "nn": ("naming", ""),
    "optim": ("naming", ""),
    "cuts": ("", ""),
    # Lists of Tensors are joined by the operation that does so.
    "containers": ("core batching dispatch", "ops"),
    "docstrings": ("", ""),
    "facts": ("core", ""),
    "views": ("core", ""),
    "dispatch": ("core watch", ""),
    "batching": ("core", ""),
    "levels": ("core batching containers views", ""),
    "decorators": ("core", ""),
    "higher": ("core reads", ""),
    # The door to optional packages loads what it is given a name of.
    "extras": ("core", "*"),
    "trees": ("core", ""),
    "rows": ("core kernels", ""),
    "watch": ("core cuts", ""),
    "writes": ("core views", ""),
    # The slope of a function of a symmetric matrix is asked of grad.
    "ops": (BASE, "transforms"),
    # A matrix that is sparse, and the array API's namespace, are loaded when asked for.
    "tensor": (f"{BASE} ops signatures", "array_api sparse"),
    # What type checkers alone know of a Tensor.
    "signatures": ("tensor", ""),
    "results": ("signatures sparse tensor", ""),
    "closures": (BASE, ""),
    "checkpointing": (f"{BASE} closures", ""),
    "arguments": ("core", ""),
    "clipping": ("arguments core tensor rows", ""),
    "transforms": (f"{BASE} ops tensor", "checkpointing"),
    "custom": ("arguments core containers decorators levels trees tensor", ""),
    "mapping": (f"{BASE} ops tensor transforms", ""),
    "kernels": ("core fast extras", ""),
    "fused": (f"{BASE} ops kernels", ""),
    "extend": (f"{BASE} ops", ""),
    "words": (f"{BASE} ops fused", ""),
    "linalg": (f"{BASE} ops", ""),
    "array_api": (f"{BASE} ops", "special"),
    "fft": (f"{BASE} ops", ""),
    "ndimage": (f"{BASE} ops", ""),
    "signal": (f"{BASE} ops fft ndimage", ""),
    "random": ("core batching ops results signatures", ""),
    "sparse": (f"{BASE} ops", ""),
    "interpolate": (f"{BASE} ops sparse", ""),
    "special": (f"{BASE} ops fused", ""),
    "stats": (f"{BASE} ops random special transforms", "implicit"),
    "coloring": (f"{BASE} closures ops transforms", ""),
    "implicit": (f"{BASE} closures ops transforms", "coloring optimize sparse"),
    "integrate": (f"{BASE} closures ops implicit mapping", ""),
    "optimize": (f"{BASE} ops tensor transforms", "implicit"),
    "compiler": (f"{BASE} ops tensor kernels checkpointing transforms", "viz"),
    "command": ("", ""),
    "performance": ("core command", ""),
    "viz": (f"{BASE} arguments ops tensor files tables command *", ""),
    "testing": (f"{BASE} ops tensor files tables command *", ""),
}


def rooms() -> set[str]:
    found = set()
    for path in (ROOT / "autodiff").iterdir():
        if path.suffix in (".py", ".pyi") or (path / "__init__.py").exists():
            found.add(path.stem)
    found -= {"__init__", "core"}
    return found | {f"core/{path.stem}" for path in (ROOT / "autodiff/core").glob("*.py")} - {"core/__init__"}


def room_of(name: str) -> str:
    """The room that a dotted name of autodiff lies in; "*" for a name of the package itself."""
    parts = name.split(".")[1:]
    for room in ("/".join(parts[:2]), *parts[:1]):
        if room in ROOMS:
            return room
    return "core" if parts[:1] == ["core"] else "*"


_LOADERS = ("import_module", "__import__", "find_spec", "resolve_name", "run_module")


def arrows(source: str, package: tuple[str, ...] = ("autodiff",)) -> set[tuple[str, bool]]:
    """The rooms that a module imports, and whether inside a function."""
    found: set[tuple[str, bool]] = set()

    def spelled(node: ast.AST | None) -> str:
        """The name that a loader is given; one that is put together may be any."""
        return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else "autodiff"

    def is_loader(node: ast.AST) -> bool:
        return isinstance(node, ast.Name | ast.Attribute) and ast.unparse(node).rpartition(".")[2] in _LOADERS

    def scan(node: ast.AST, inside: bool) -> None:
        for child in ast.iter_child_nodes(node):
            names: list[str] = []
            if isinstance(child, ast.Import):
                names = [alias.name for alias in child.names]
            elif isinstance(child, ast.ImportFrom):
                base = ".".join(package[: len(package) - child.level + 1]) if child.level else ""
                module = ".".join(part for part in (base, child.module) if part)
                names = [f"{module}.{alias.name}" for alias in child.names]
                names += ["autodiff" for alias in child.names if alias.name in _LOADERS and alias.asname]
            elif isinstance(child, ast.Call) and is_loader(child.func):
                names = [spelled(child.args[0] if child.args else None)]
            elif is_loader(child) and not (isinstance(node, ast.Call) and node.func is child):
                names = ["autodiff"]  # under whatever name it is called
            elif isinstance(child, ast.Subscript) and ast.unparse(child.value) == "sys.modules":
                names = [spelled(child.slice)]
            found.update((room_of(name), inside) for name in names if name.partition(".")[0] == "autodiff")
            scan(child, inside or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda))

    scan(ast.parse(source), False)
    return found


def strays(room: str, found: set[tuple[str, bool]]) -> set[str]:
    """What a room imports and may not."""
    always, inside = (set(words.split()) | {room} for words in ROOMS[room])
    return {
        to
        for to, in_function in found
        if to not in always and (to.partition("/")[0] not in always or to == "*") and not (in_function and to in inside)
    }


def code_lines(path: Path) -> int:
    """Lines of code, without docstrings, comments and blank lines."""
    source = path.read_text()
    texts: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            texts |= set(range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1))
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.string.strip() and token.type != tokenize.COMMENT:
            lines |= set(range(token.start[0], token.end[0] + 1))
    return len(lines - texts)


def test_every_room_has_a_row() -> None:
    assert rooms() == set(ROOMS)


@pytest.mark.parametrize("path", sorted((ROOT / "autodiff").rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT)))
def test_a_room_imports_what_its_row_allows_inside_functions_too(path: Path) -> None:
    parts = path.relative_to(ROOT).with_suffix("").parts
    if parts[1] == "__init__" or parts == ("autodiff", "core", "__init__"):
        return
    room = f"core/{parts[2]}" if parts[1] == "core" else parts[1]
    assert not strays(room, arrows(path.read_text(), parts[:-1])), f"{room} imports what its row does not allow"


@pytest.mark.parametrize(
    ("room", "source"),
    [
        ("stats", "from autodiff import testing"),
        ("core/op", "def f():\n    from autodiff.tensor import Tensor"),
        ("core/op", "def f():\n    import autodiff.core.backward"),
        ("core/graph", "from . import op"),
        ("core/op", "def f():\n    return importlib.import_module('autodiff.tensor')"),
        ("core/op", "def f(name):\n    return __import__(name)"),
        ("core/op", "from importlib import import_module as load\nload('autodiff.tensor')"),
        ("core/op", "load = importlib.import_module\nload('autodiff.tensor')"),
        ("core/op", "Tensor = pkgutil.resolve_name('autodiff.tensor:Tensor')"),
        ("core/op", "def f():\n    return sys.modules['autodiff.tensor'].Tensor"),
        ("fast", "from autodiff import Tensor"),
        ("ops", "from autodiff.transforms import grad"),
        ("optimize", "from autodiff import implicit"),
        ("kernels", "from .. import ops"),
    ],
)
def test_an_arrow_that_is_not_drawn_is_found(room: str, source: str) -> None:
    assert strays(room, arrows(source, ("autodiff", room.partition("/")[0])))


@pytest.mark.parametrize("path", sorted((ROOT / "autodiff/core").glob("*.py")), ids=lambda p: p.stem)
def test_the_core_imports_numpy_alone_inside_functions_too(path: Path) -> None:
    outside = {name.partition(".")[0] for name in every_import(path)} - {"autodiff", "numpy", "__future__"}
    assert outside <= sys.stdlib_module_names


def test_the_core_keeps_to_its_budget() -> None:
    """What one must read to know how the library works, counted with every docstring and blank line."""
    sizes = {path.name: len(path.read_text().splitlines()) for path in (ROOT / "autodiff/core").glob("*.py")}
    assert sum(sizes.values()) <= 1400, sizes
    assert sum(code_lines(path) for path in (ROOT / "autodiff/fast").glob("*.py")) <= 640


#: Whole numbers that are no sizes from which on something is faster, and what they are.
NO_SPEED = {
    "compiler/body.py": "how long the body of a loop may be",
    "compiler/native.py": "how many numbers are added up at once, for accuracy",
    "compiler/emit.py": "bytes of which a name is let go of after its last use",
    "compiler/follow.py": "how long a traced call may be, and how many entries are prepared at once",
    "compiler/layout.py": "bytes to which memory is aligned",
    "compiler/passes/chains.py": "how many steps a chain may have, and how far ahead they are looked for",
    "compiler/record.py": "bytes that are held until code is written",
    "files.py": "how much deflation can shrink",
    "kernels/adapters.py": "places that one byte can tell apart",
    "kernels/compiled.py": "how many numbers are added up in the arrays' own dtype, for accuracy",
    "kernels/threads.py": "microseconds that a thread waits",
    "ops/filters.py": "where SciPy's start of a recursion is felt",
    "ops/hypergeometric.py": "how many terms a series may have",
    "ops/parameters.py": "the largest order and argument of a Bessel function's derivative in its order",
    "ops/stable.py": "levels of a continued fraction; whole numbers that a float64 holds",
    "performance.py": "bounds of the C library's own setting",
    "sparse.py": "the largest index of 32 bits",
    "special.py": "where a tail leaves the range",
    "stats.py": "from how many trials on large terms are subtracted by hand",
    "saving.py": "how long a file's header may be",
    "matrices.py": "an option's range",
    "datasets.py": "sizes of the CIFAR files; how many axes an array may have",
}


def whole(node: ast.expr | None) -> int:
    """The value of a whole number as it is spelled, such as ``1 << 16``; 0 of anything else."""
    if isinstance(node, ast.Constant) and type(node.value) is int:
        return node.value
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.LShift | ast.Pow | ast.Mult):
        left, right = whole(node.left), whole(node.right)
        if left and 0 < right < 100:
            return left << right if isinstance(node.op, ast.LShift) else left ** max(1, right)
    return 0


def sizes_in(source: str) -> list[str]:
    """Whole numbers that may be thresholds: constants of a module from 64 on, and comparisons with 32 and more."""
    tree = ast.parse(source)
    constants = [n for n in tree.body if isinstance(n, ast.Assign | ast.AnnAssign) and whole(n.value) >= 64]
    compared = [
        n
        for n in ast.walk(tree)
        if isinstance(n, ast.Compare) and any(whole(part) >= 32 for part in (n.left, *n.comparators))
    ]
    return [ast.unparse(node) for node in (*constants, *compared)]


def test_every_size_from_which_something_is_faster_stands_in_the_table() -> None:
    found = {}
    for path in modules():
        parts = path.relative_to(ROOT).parts
        if parts[:2] in (("autodiff", "testing"), ("autodiff", "viz")) or parts[1:] == ("fast", "thresholds.py"):
            continue
        if sizes_in(path.read_text()):
            found["/".join(parts[1:])] = sizes_in(path.read_text())
    assert set(found) == set(NO_SPEED), {name: found.get(name) for name in set(found) ^ set(NO_SPEED)}
    assert sizes_in("_LEAST = 1 << 13")
    assert sizes_in("def f(x):\n    return x.size > 4096")


def test_the_core_alone_applies_and_differentiates() -> None:
    """What it needs from above is bound by hooks; nothing else of the library is loaded."""
    code = """
import sys, types, importlib
package = types.ModuleType("autodiff"); package.__path__ = ["autodiff"]; sys.modules["autodiff"] = package
op, backward = (importlib.import_module(f"autodiff.core.{name}") for name in ("op", "backward"))
from autodiff.core.graph import Variable
import numpy as np
class Box:
    __slots__ = ("_data", "_node")
op.above.tensor = Box
square = op.Primitive("square", np.square, lambda g, out, x: g * (2 * x))
x = op.wrap(np.array([3.0]), Variable((1,), np.dtype(float)))
backward.backpropagate([square(x)._node], [np.ones(1)])
print(x._node.grad, sorted(name for name in sys.modules if name.startswith("autodiff.") and "core" not in name))
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert out.stdout.split() == ["[6.]", "[]"]


def modules() -> list[Path]:
    return [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]


def module_level_imports(path: Path) -> set[str]:
    """Dotted names imported when the module is, not inside its functions or for type checkers."""
    names: set[str] = set()
    stack: list[ast.AST] = [ast.parse(path.read_text())]
    while stack:
        node = stack.pop()
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            continue
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            stack.extend(ast.iter_child_nodes(node))
    return names


def every_import(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module)
    return found


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(ROOT)))
def test_the_packages_import_in_one_direction(path: Path) -> None:
    package = path.relative_to(ROOT).parts[0]
    for name in every_import(path):
        top = name.partition(".")[0]
        if package == "autodiff" and path.name not in SECOND_NAMES:
            assert top not in ("nn", "optim"), f"autodiff imports {name}"
        if package == "optim":
            assert top != "nn", f"optim imports {name}"


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(ROOT)))
def test_optional_packages_are_loaded_on_demand(path: Path) -> None:
    if path.relative_to(ROOT).parts[:2] == ("autodiff", "testing"):
        pytest.skip("the verification kit is loaded on demand itself")
    if path.relative_to(ROOT).parts in {
        ("autodiff", "kernels", name) for name in ("compiled.py", "jit.py", "threads.py", "tiles.py", "windows.py")
    }:
        pytest.skip("the compiled kernels are loaded on demand themselves")
    if path.relative_to(ROOT).parts == ("autodiff", "compiler", "native.py"):
        pytest.skip("native loops are written on demand themselves")
    assert not {name.partition(".")[0] for name in module_level_imports(path)} & OPTIONAL


@pytest.mark.parametrize("package", PACKAGES)
def test_importing_a_package_loads_numpy_alone(package: str) -> None:
    slow = OPTIONAL | {"numpy.f2py", "numpy.testing", "numpy.ctypeslib"}
    code = f"import sys; import {package}; print(sorted({slow!r} & set(sys.modules)))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert out.stdout.strip() == "[]"


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_are_typed(package: str) -> None:
    assert (ROOT / package / "py.typed").exists()


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(ROOT)))
def test_modules_say_why_they_exist(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text())), "a module opens with why it exists"


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(ROOT)))
def test_public_functions_are_documented(path: Path) -> None:
    missing = [
        node.name
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
        and not node.name.startswith("_")
        and not ast.get_docstring(node)
        and "overload" not in map(ast.unparse, node.decorator_list)
    ]
    assert missing == []


def test_the_map_of_the_inside_points_to_what_it_names() -> None:
    """Lines may be some way off until ``python docs/make_internals.py`` is run again."""
    spec = importlib.util.spec_from_file_location("make_internals", ROOT / "docs/make_internals.py")
    assert spec is not None
    assert spec.loader is not None
    pages = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(pages)
    references = pages.REFERENCE.findall(pages.PAGE.read_text())
    assert len(references) >= 15
    for path, line, name in references:
        assert abs(int(line) - pages.line_of(path, name)) <= 40, f"{path}:{line} {name}: run docs/make_internals.py"


def test_the_source_distribution_holds_every_page_of_the_repository():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    patterns = [p.lstrip("/") for p in project["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]]
    pages = [*ROOT.glob("*.md"), *ROOT.glob("*.cff")]
    assert "CHANGELOG.md" in {page.name for page in pages}
    assert not [page.name for page in pages if not any(page.match(pattern) for pattern in patterns)]
