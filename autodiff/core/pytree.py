"""Nested dicts, lists and tuples of arrays, as one flat list of leaves and back: the arguments of transforms."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from autodiff.core.errors import ArgumentError

__all__ = ["flatten", "flatten_like", "outline", "tree_map"]


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


def outline(tree: Any, leaves: list[Any]) -> Any:
    """The structure of a tree as nested tuples, which are equal where two trees differ in their leaves alone; these are
    added to ``leaves``.

    Examples
    --------
    >>> from autodiff.core.pytree import outline
    >>> outline({"a": 1.0, "b": None}, []) == outline({"a": 2.0, "b": None}, [])
    True
    >>> outline({"a": 1.0}, []) == outline({"b": 1.0}, [])
    False
    """
    if tree is None:
        return None
    if isinstance(tree, dict):
        return (tree.__class__, *tree, *[outline(value, leaves) for value in tree.values()])
    if isinstance(tree, (tuple, list)):
        return (tree.__class__, *[outline(value, leaves) for value in tree])
    leaves.append(tree)
    return _LEAF


def _as_dict(like: dict[Any, Any], values: dict[Any, Any]) -> dict[Any, Any]:
    if like.__class__ is not dict:  # an OrderedDict, a defaultdict
        made = copy.copy(like)
        made.update(values)
        return made
    return values


def _as_tuple(like: tuple[Any, ...], values: list[Any]) -> tuple[Any, ...]:
    return type(like)(*values) if hasattr(like, "_fields") else tuple(values)


def flatten_like(tree: Any, like: Any, words: str) -> list[Any]:
    """The leaves of ``tree`` in the order of those of ``like``, whatever order its dicts were filled in.

    Raises
    ------
    ArgumentError
        If the two differ in structure; ``words`` names what ``tree`` is.

    Examples
    --------
    >>> from autodiff.core.pytree import flatten_like
    >>> flatten_like({"b": 2.0, "a": 1.0}, {"a": 0.0, "b": 0.0}, "the tangent")
    [1.0, 2.0]
    """
    leaves: list[Any] = []
    _match(tree, like, words, "", leaves)
    return leaves


def _match(tree: Any, like: Any, words: str, place: str, leaves: list[Any]) -> None:
    if isinstance(like, dict):
        if not isinstance(tree, dict) or tree.keys() != like.keys():
            raise ArgumentError(f"{words}{place} must be a dict with the keys {list(like)}, it is {_words(tree)}")
        for key, value in like.items():
            _match(tree[key], value, words, f"{place}[{key!r}]", leaves)
    elif isinstance(like, (tuple, list)):
        if not isinstance(tree, (tuple, list)) or len(tree) != len(like):
            raise ArgumentError(f"{words}{place} must be a {type(like).__name__} of {len(like)}, it is {_words(tree)}")
        for i, (part, value) in enumerate(zip(tree, like, strict=True)):
            _match(part, value, words, f"{place}[{i}]", leaves)
    elif like is None:
        if tree is not None:
            raise ArgumentError(f"{words}{place} must be None, it is {_words(tree)}")
    else:
        if isinstance(tree, (dict, tuple, list)) or tree is None:
            raise ArgumentError(f"{words}{place} must be an array, it is {_words(tree)}")
        leaves.append(tree)


def _words(tree: Any) -> str:
    if isinstance(tree, dict):
        return f"a dict with the keys {list(tree)}"
    if isinstance(tree, (tuple, list)):
        return f"a {type(tree).__name__} of {len(tree)}"
    return "None" if tree is None else f"a {type(tree).__name__}"


def tree_map(function: Callable[[Any], Any], tree: Any) -> Any:
    """The same tree with ``function`` applied to every leaf.

    Examples
    --------
    >>> tree_map(lambda x: x + 1, {"a": [1, 2]})
    {'a': [2, 3]}
    """
    leaves, rebuild = flatten(tree)
    return rebuild([function(leaf) for leaf in leaves])
