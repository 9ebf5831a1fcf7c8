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
    template = _strip(tree, leaves)

    def rebuild(values: list[Any]) -> Any:
        if len(values) != len(leaves):
            raise ArgumentError(f"a tree of {len(leaves)} leaves cannot be rebuilt from {len(values)} values")
        return _fill(template, iter(values))

    return leaves, rebuild


class _Leaf:
    """Marks the place of a leaf in a template."""


_LEAF = _Leaf()


def _strip(tree: Any, leaves: list[Any]) -> Any:
    if tree is None:
        return None
    if isinstance(tree, dict):
        return _as_dict(tree, {key: _strip(value, leaves) for key, value in tree.items()})
    if isinstance(tree, tuple):
        return _as_tuple(tree, [_strip(value, leaves) for value in tree])
    if isinstance(tree, list):
        return [_strip(value, leaves) for value in tree]
    leaves.append(tree)
    return _LEAF


def _fill(template: Any, values: Any) -> Any:
    if template is _LEAF:
        return next(values)
    if isinstance(template, dict):
        return _as_dict(template, {key: _fill(value, values) for key, value in template.items()})
    if isinstance(template, tuple):
        return _as_tuple(template, [_fill(value, values) for value in template])
    if isinstance(template, list):
        return [_fill(value, values) for value in template]
    return None


def _as_dict(like: dict[Any, Any], values: dict[Any, Any]) -> dict[Any, Any]:
    if like.__class__ is not dict:  # an OrderedDict, a defaultdict
        made = copy.copy(like)
        made.update(values)
        return made
    return values


def _as_tuple(like: tuple[Any, ...], values: list[Any]) -> tuple[Any, ...]:
    return type(like)(*values) if hasattr(like, "_fields") else tuple(values)


def tree_map(function: Callable[[Any], Any], tree: Any) -> Any:
    """The same tree with ``function`` applied to every leaf.

    Examples
    --------
    >>> tree_map(lambda x: x + 1, {"a": [1, 2]})
    {'a': [2, 3]}
    """
    leaves, rebuild = flatten(tree)
    return rebuild([function(leaf) for leaf in leaves])
