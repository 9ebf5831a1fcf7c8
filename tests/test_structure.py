"""The house: who may import whom, what the public surface is, and that the core needs NumPy alone."""

import ast
import subprocess
import sys
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
OPTIONAL |= {"safetensors", "mpi4py", "numba", "llvmlite", "IPython"}

# Room -> rooms of autodiff that it may import at module level; design.md draws the same arrows.
CORE = {"core", "fast", "dispatch", "ops", "tensor", "facts", "batching", "views", "containers", "cuts"}
ALLOWED = {
    "core": {"batching"},
    "fast": {"core"},
    "files": {"core"},
    "naming": set(),
    "nn": {"naming"},
    "optim": {"naming"},
    "facts": {"core"},
    "views": {"core"},
    "dispatch": {"core"},
    "batching": {"core"},
    "ops": CORE - {"tensor"},
    "tensor": CORE,
    "closures": CORE,
    "checkpointing": CORE | {"closures"},
    "transforms": CORE | {"checkpointing"},
    "kernels": {"core"},
    "fused": CORE | {"extend", "kernels"},
    "extend": CORE,
    "sparse": CORE,
    "compiler": CORE | {"kernels", "checkpointing", "transforms"},
    "interpolate": CORE | {"sparse"},
    "coloring": CORE | {"closures", "transforms"},
    "implicit": CORE | {"closures", "transforms"},
    "integrate": CORE | {"closures", "implicit"},
}


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
def test_imports_follow_the_arrows(path: Path) -> None:
    package, *rest = path.relative_to(ROOT).parts
    for name in every_import(path):
        top = name.partition(".")[0]
        if package == "autodiff" and path.name not in SECOND_NAMES:
            assert top not in ("nn", "optim"), f"autodiff imports {name}"
        if package == "optim":
            assert top != "nn", f"optim imports {name}"
    if package == "autodiff" and rest[0] != "__init__.py":
        room = rest[0].removesuffix(".py")
        if room in ALLOWED:
            for name in module_level_imports(path):
                parts = name.split(".")
                if parts[0] == "autodiff" and len(parts) > 1 and parts[1] != room:
                    assert parts[1] in ALLOWED[room], f"{room} imports autodiff.{parts[1]}"


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(ROOT)))
def test_optional_packages_are_loaded_on_demand(path: Path) -> None:
    if path.relative_to(ROOT).parts[:2] == ("autodiff", "testing"):
        pytest.skip("the verification kit is loaded on demand itself")
    if path.relative_to(ROOT).parts in {
        ("autodiff", "kernels", name) for name in ("compiled.py", "jit.py", "team.py", "tiles.py", "windows.py")
    }:
        pytest.skip("the compiled kernels are loaded on demand themselves")
    assert not {name.partition(".")[0] for name in module_level_imports(path)} & OPTIONAL


@pytest.mark.parametrize("package", PACKAGES)
def test_importing_a_package_loads_numpy_alone(package: str) -> None:
    code = f"import sys; import {package}; print(sorted({OPTIONAL!r} & set(sys.modules)))"
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
    ]
    assert missing == []
