"""Nested dicts, lists and tuples of arrays, as one flat list of leaves and back: the arguments of transforms."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from autodiff.core.errors import ArgumentError


def flatten(tree: Any) -> tuple[list[Any], Callable[[list[Any]], Any]]:
    """The leaves of a tree, and a function that puts a list of as many values into the same structure.

    Dicts are walked in their own order, they and named tuples keep their type, None is a tree without leaves.

    Examples
    --------
    >>> leaves, rebuild = flatten({"w": 1.0, "b": [2.0, None]})
    >>> leaves
    [1.0, 2.0]
    >>> rebuild([10.0, 20.0])
    {'w': 10.0, 'b': [20.0, None]}
    """
    leaves: list[Any] = []

    def place(leaf: Any) -> bool:
        leaves.append(leaf)
        return True

    template = tree_map(place, tree)

    def rebuild(values: list[Any]) -> Any:
        if len(values) != len(leaves):
            raise ArgumentError(f"a tree of {len(leaves)} leaves cannot be rebuilt from {len(values)} values")
        given = iter(values)
        return tree_map(lambda _: next(given), template)

    return leaves, rebuild


def tree_map(function: Callable[[Any], Any], tree: Any) -> Any:
    """The same tree with ``function`` applied to every leaf.

    Examples
    --------
    >>> tree_map(lambda x: x + 1, {"a": [1, 2]})
    {'a': [2, 3]}
    """
    if tree is None:
        return None
    if isinstance(tree, dict):
        made: Any = {key: tree_map(function, value) for key, value in tree.items()}
        if tree.__class__ is not dict:  # an OrderedDict, a defaultdict
            values, made = made, copy.copy(tree)
            made.update(values)
        return made
    if isinstance(tree, tuple | list):
        parts = [tree_map(function, value) for value in tree]
        return parts if isinstance(tree, list) else type(tree)(*parts) if hasattr(tree, "_fields") else tuple(parts)
    return function(tree)
