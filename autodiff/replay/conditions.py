"""The conditions under which a plan holds, gathered one by one and written out as one function of Python."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

__all__ = ["LARGEST", "NO_NAME", "Conditions"]

#: Bytes of an array that plain NumPy reads and that is compared before every replay; of a larger one only the shape is.
LARGEST = 1 << 16

#: Stands for what is not there.
NO_NAME = object()

# What is compared without a key: the condition, and what has changed where it does not hold.
_WHOLE = {
    "cell": ("{0}.cell_contents is {1}", "a variable of the enclosing function"),
    "order": ("(*{0},) == {1}", "the order of a dict"),
    "entries": ("all(map(same, {0}, {1}))", "an entry of a list"),
    "values": ("all(map(same, {0}.values(), {1}))", "an entry of a dict"),
    "set": ("{0} == {1}", "a set"),
    "memory": ("bytes({0}) == {1}", "the bytes of an array"),
    "reference": ("{0}() is {1}", "a weak reference"),
}


class Conditions:
    """Conditions in Python, which are gathered and written out as one function."""

    def __init__(self) -> None:
        self.scope: dict[str, Any] = {"len": len, "all": all, "map": map, "same": operator.is_}
        self.tests: list[tuple[str, str]] = []
        self._names: dict[int, str] = {}
        self._empty: list[Any] = []

    def add(self, test: str, what: str, *things: Any) -> None:
        """A condition in which ``{0}`` stands for the first of ``things``, and what has changed where it does not
        hold.
        """
        self.tests.append((test.format(*map(self._name, things)), what))

    def _name(self, thing: Any) -> str:
        name = self._names.get(id(thing))
        if name is None:
            name = self._names[id(thing)] = f"c{len(self.scope)}"
            self.scope[name] = thing
        return name

    def place(self, kind: str, container: Any, key: Any, value: Any) -> None:
        """That a place holds what it held."""
        if kind == "slot" and value is NO_NAME:
            self.add(f"not hasattr({{0}}, {key!r})", f"the attribute {key!r}", container)
        elif kind == "slot":
            self.add(f"{{0}}.{key} is {{1}}", f"the attribute {key!r}", container, value)
        elif kind in ("length", "set") and not value and type(container) in (dict, list, set):
            self._empty.append(container)
        elif kind == "length":
            self.add(f"len({{0}}) == {value}", "the length of a list or dict", container)
        elif kind == "context":
            self.add("{0}.get({1}) is {2}", "a context variable", container, key, value)
        elif kind in _WHOLE:
            self.add(*_WHOLE[kind], container, value)
        else:
            what = f"{'the global' if kind == 'global' else 'the entry or attribute'} {key!r}"
            if isinstance(key, int) or (isinstance(key, str) and key.isidentifier()):
                self.add(f"{{0}}[{key!r}] is {{1}}", what, container, value)
            else:
                self.add("{0}[{1}] is {2}", what, container, key, value)

    def array(self, found: Any) -> None:
        """That an array holds what it held, as far as it is not too large."""
        if found.nbytes <= LARGEST:
            self.add(
                f"{{0}}.shape == {found.shape!r} and {{0}}.tobytes() == {{1}}",
                "an array that plain NumPy reads",
                found,
                found.tobytes(),
            )
        else:
            self.add(f"{{0}}.shape == {found.shape!r}", "the shape of an array", found)

    def written(self) -> tuple[Callable[[], bool], Callable[[], str]]:
        """The function, and another one that says what has changed."""
        if (
            self._empty
        ):  # a network's modules have many tables with nothing in them, hooks above all: one call looks at them all
            self.scope |= {"any": any, "empty": tuple(self._empty)}
            self.tests.append(("not any(empty)", "the length of a list, dict or set"))
        tests, scope = self.tests, self.scope
        test = "\n            and ".join([test for test, _ in tests] or ["True"])
        source = (
            f"def same_():\n    try:\n        return ({test})\n    except (AttributeError, LookupError, ValueError):\n "
            "       return False"
        )
        exec(compile(source, "<autodiff surroundings>", "exec"), scope)

        def changed() -> str:
            for test, what in tests:
                try:
                    if not eval(test, scope):
                        return what
                except (AttributeError, LookupError, ValueError):
                    return what
            return ""

        return scope["same_"], changed
