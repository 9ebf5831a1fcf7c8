"""``python -m autodiff.viz script.py:function``: draw what a function computes, from the shell."""

from __future__ import annotations

import argparse
import ast
import importlib
import runpy
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from autodiff.command import Parser, at_least, one_line
from autodiff.core.errors import ArgumentError, AutodiffError
from autodiff.tensor import Tensor
from autodiff.viz.picture import draw

_EPILOG = """\
ARG is a Python literal, such as 2.0 or [[1.0, 2.0], [3.0, 4.0]], or shape:4x3 for standard normal numbers of that shape
(seed 0). Whole numbers (2, not 2.0) are indices and labels, which are not followed.
Without -o the listing is printed; -o may be given several times. Examples:

  python -m autodiff.viz train.py:loss -o loss.html
  python -m autodiff.viz model.py:net shape:8x3 -o net.svg --depth 1 --gradients
"""


def _loaded(target: str) -> Any:
    """What ``script.py:name`` or ``package.module:name`` stands for; a dotted name reaches into objects."""
    where, colon, name = target.rpartition(":")
    if not colon or not where or not name:
        raise ArgumentError(f"{target!r}: write script.py:function or package.module:function")
    if where.endswith(".py"):
        path = Path(where)
        if not path.is_file():
            raise ArgumentError(f"{where!r}: there is no such file")
        sys.path.insert(0, str(path.parent.resolve()))
        found: Any = runpy.run_path(str(path), run_name="__viz__")
    else:
        sys.path.insert(0, str(Path.cwd()))
        found = vars(importlib.import_module(where))
    first, *rest = name.split(".")
    if first not in found:
        names = sorted(key for key, value in found.items() if callable(value) and not key.startswith("_"))
        raise ArgumentError(f"{where!r} defines no {first!r}; it has {', '.join(names) or 'no functions'}")
    value = found[first]
    for part in rest:
        if not hasattr(value, part):
            raise ArgumentError(f"{target!r}: a {type(value).__name__} has no {part!r}")
        value = getattr(value, part)
    return value


def _argument(text: str) -> Any:
    """A literal as a number or array, or standard normal numbers of a shape."""
    if text.startswith("shape:"):
        try:
            shape = tuple(int(part) for part in text.removeprefix("shape:").split("x"))
            return np.random.default_rng(0).normal(size=shape)
        except (ValueError, MemoryError, OverflowError) as error:
            raise ArgumentError(f"{text!r}: write a shape as shape:4x3 ({error})") from None
    try:
        value = ast.literal_eval(text)
        return np.asarray(value) if isinstance(value, list) else value
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        raise ArgumentError(f"{text!r:.80} is neither a Python literal nor a shape such as shape:4x3") from None


def main(argv: Sequence[str] | None = None) -> int:
    """Draw as the arguments say; 0, or 2 where something was wrong with what was asked for."""
    parser = Parser(
        prog="python -m autodiff.viz",
        description="Draw what a function or module computes.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("target", help="script.py:function, or package.module:function")
    parser.add_argument("args", nargs="*", metavar="ARG", help="arguments of the function")
    parser.add_argument(
        "-o", "--output", action="append", default=[], help="file to write: .svg, .html, .pdf, .png, .dot or .txt"
    )
    for flag in ("expand", "compare", "values", "statistics", "gradients", "profile"):
        parser.add_argument(f"--{flag}", action="store_true")
    parser.add_argument("--direction", choices=("forward", "backward", "both"), default="forward")
    parser.add_argument("--rankdir", choices=("TB", "LR", "BT", "RL"), default="TB")
    parser.add_argument("--theme", choices=("auto", "light", "dark"), default="auto")
    parser.add_argument("--depth", type=at_least(0), help="levels of modules to open")
    parser.add_argument("--boxes", type=at_least(0), help="fold to at most this many boxes; 0 draws all")
    parser.add_argument("--title", default="")
    # All else are options of draw.
    options = vars(parser.parse_args(argv))
    target, texts, output, boxes = (options.pop(key) for key in ("target", "args", "output", "boxes"))
    fold: bool | int = True if boxes is None else (boxes or False)
    try:
        value = _loaded(target)
        arguments = [_argument(text) for text in texts]
        if not callable(value) and not isinstance(value, Tensor):
            raise ArgumentError(f"{target!r} is a {type(value).__name__}, neither a function, a module nor a Tensor")
        graph = draw(value, *arguments, fold=fold, **options)
        for path in output:
            print(graph.save(path))
        if not output:
            print(graph)
    except (AutodiffError, ImportError, OSError) as error:
        print(f"autodiff.viz: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except (Exception, SystemExit) as error:  # whatever the script, the function or an argument is the cause of
        print(f"autodiff.viz: {one_line(error)}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
