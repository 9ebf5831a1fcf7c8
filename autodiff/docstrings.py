"""Docstrings that follow from others: a layer's from its function's, an optimiser's from its table of options."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

#: In the order that NumPy's style gives them.
ORDER = ("Parameters", "Returns", "Attributes", "Raises", "Notes", "References", "Examples")


class Derived:
    """A class's docstring that is put together when somebody reads it, so that importing costs nothing.

    Examples
    --------
    >>> class Layer:
    ...     __doc__ = Derived(lambda cls: f"The docs of {cls.__name__}.")
    >>> Layer.__doc__
    'The docs of Layer.'
    """

    def __init__(self, make: Callable[[Any], str]) -> None:
        self._make = make

    def __get__(self, instance: object, owner: type) -> str:
        return self._make(owner)


_LENGTHS = ("L", "H, W", "D, H, W")


def of_axes(text: str, axes: int) -> str:
    """A docstring written for any number of axes, for one, two or three of them.

    ``Nd`` stands for ``2d``, ``<axes>`` for "two axes", ``<L>`` for ``H, W``, ``<KL>`` for ``KH, KW``, ``<x>`` for
    ``H x W`` and ``<8>`` for ``8, 8``; of one axis "or one per axis" is left out.

    Examples
    --------
    >>> of_axes("poolNd of (N, C, <L>) by <2>, int or one per axis", 2)
    'pool2d of (N, C, H, W) by 2, 2, int or one per axis'
    >>> of_axes("poolNd of (N, C, <L>) by <2>, int or one per axis", 1)
    'pool1d of (N, C, L) by 2, int'
    """
    lengths = _LENGTHS[axes - 1].split(", ")
    said = {"axes": ("one axis", "two axes", "three axes")[axes - 1], "x": " x ".join(lengths)}
    said["L"], said["KL"] = ", ".join(lengths), "K" if axes == 1 else ", ".join(f"K{n}" for n in lengths)
    text = re.sub(r"<(\w+)>", lambda match: said.get(match[1], ", ".join([match[1]] * axes)), text)
    text = re.sub(r",? or one per axis|, one per axis", "", text) if axes == 1 else text
    return re.sub(r"Nd\b", f"{axes}d", text)


def of_kind(kind: Any, axes: int | None) -> None:
    """Give a class for so many axes the sections of its bases' docstrings, which are written for any number of them: of
    each the parameters that no class nearer describes.

    Without ``axes`` the class is such a base. Its docstring, which describes no class yet, is put aside.
    """
    if axes is None:
        kind._written, kind.__doc__ = kind.__doc__ or "", None
        return
    own = kind.__doc__
    bases = [vars(base)["_written"] for base in kind.__mro__ if "_written" in vars(base)]

    def joined(kind: Any) -> str:
        parts: dict[str, list[str]] = {}
        for there in (sections(of_axes(written, axes)) for written in reversed(bases)):
            parts |= there | {"Parameters": parts.get("Parameters", []) + there.get("Parameters", [])}
        return completed(own, list(inspect.signature(kind.__init__).parameters)[1:], parts, {})

    kind.__doc__ = Derived(joined)


def sections(text: str | None) -> dict[str, list[str]]:
    """The lines of each section of a docstring; those before the first heading under ``""``.

    Examples
    --------
    >>> sections("A line.\\n\\nRaises\\n------\\nKeyError\\n")
    {'': ['A line.'], 'Raises': ['KeyError']}
    """
    found: dict[str, list[str]] = {"": []}
    lines, name = inspect.cleandoc(text or "").splitlines(), ""
    for line, after in zip(lines, [*lines[1:], ""], strict=True):
        if line in ORDER and after and set(after) == {"-"}:
            name = line
            found[name] = []
        elif not (name and not found[name] and line and set(line) == {"-"}):
            found[name].append(line)
    return {name: _stripped(body) for name, body in found.items()}


def _stripped(lines: list[str]) -> list[str]:
    while lines and not lines[-1]:
        lines = lines[:-1]
    return lines


def entries(lines: Iterable[str]) -> dict[str, list[str]]:
    """The lines that describe each name of a section; names that stand together share them.

    Examples
    --------
    >>> entries(["a, b : float", "    Sides.", "c : int"])
    {'a': ['a, b : float', '    Sides.'], 'b': ['a, b : float', '    Sides.'], 'c': ['c : int']}
    """
    found: dict[str, list[str]] = {}
    held: list[str] = []
    for line in lines:
        if line and not line.startswith(" "):
            held = []
            found |= dict.fromkeys(line.partition(" :")[0].split(", "), held)
        held.append(line)
    return found


def described(names: Iterable[str], told: Mapping[str, list[str]], otherwise: Mapping[str, str]) -> list[str]:
    """A section of parameters: each name as it is told, those told together once; else as ``otherwise`` says."""
    lines: list[str] = []
    said: set[int] = set()
    wanted = list(names)
    for name in wanted:
        body = told.get(name)
        if body is None:
            lines.append(f"{name} : {otherwise[name]}" if name in otherwise else name)
        elif id(body) not in said:
            said.add(id(body))
            together = ", ".join(other for other in wanted if told.get(other) is body)
            lines += [together + body[0][body[0].find(" :") :] if " :" in body[0] else together, *body[1:]]
    return _stripped(lines)


def put_together(parts: Mapping[str, list[str]]) -> str:
    """A docstring of its sections; empty ones are left out."""
    text = "\n".join(parts.get("", []))
    for name in ORDER:
        if parts.get(name):
            text += "\n\n" + "\n".join([name, "-" * len(name), *parts[name]])
    return text


def moved(lines: Iterable[str], name: str, call: Callable[[ast.Call], ast.expr], module: Any = None) -> list[str]:
    """Examples in which every call of ``name`` is written as ``call`` says, and other functions of ``module`` are
    called as ``F``'s.

    Examples
    --------
    >>> moved([">>> f(2)", "4"], "f", lambda node: ast.Call(ast.Name("g"), node.args, node.keywords))
    ['>>> g(2)', '4']
    """

    class Move(ast.NodeTransformer):
        def visit_Call(self, node: ast.Call) -> ast.expr:
            self.generic_visit(node)
            if not isinstance(node.func, ast.Name):
                return node
            if node.func.id != name and hasattr(module, node.func.id):
                node.func = ast.Attribute(ast.Name("F"), node.func.id)
            return call(node) if ast.unparse(node.func) == name else node

    found = []
    for line in lines:
        if line.startswith(">>> "):
            line = ">>> " + ast.unparse(ast.fix_missing_locations(Move().visit(ast.parse(line[4:]))))
        found.append(line)
    return found


def completed(own: str, names: Iterable[str], parts: Mapping[str, list[str]], otherwise: Mapping[str, str]) -> str:
    """A docstring with all of its parameters: its own words on them, else the shared ones; and the shared sections.

    Parameters
    ----------
    own : str
        What is written in the class.
    names : iterable of str
        All parameters in their order.
    parts : dict
        Shared sections, such as Raises; of Parameters the entries that own ones replace.
    otherwise : dict
        Types of those that nobody describes.

    Examples
    --------
    >>> print(completed("A line.", ["lr", "k"], {"Parameters": ["lr : float", "    The rate."]}, {"k": "int"}))
    A line.
    <BLANKLINE>
    Parameters
    ----------
    lr : float
        The rate.
    k : int
    """
    there = sections(own)
    told = entries(parts.get("Parameters", [])) | entries(there.get("Parameters", []))
    return put_together({**parts, **there, "Parameters": described(names, told, otherwise)})
