"""Two trees of arrays compared: the leaves of one in the order of the other, or whether they have one structure."""

from __future__ import annotations

from typing import Any

from autodiff.core.errors import ArgumentError


def outline(tree: Any, leaves: list[Any]) -> Any:
    """The structure of a tree as nested tuples, which are equal where two trees differ in their leaves alone; these are
    added to ``leaves``.

    Examples
    --------
    >>> from autodiff.trees import outline
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
    return ...


def flatten_like(tree: Any, like: Any, words: str) -> list[Any]:
    """The leaves of ``tree`` in the order of those of ``like``, whatever order its dicts were filled in.

    Raises
    ------
    ArgumentError
        If the two differ in structure; ``words`` names what ``tree`` is.

    Examples
    --------
    >>> from autodiff.trees import flatten_like
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


def as_tuple(args: Any) -> tuple[Any, ...]:
    """Further arguments, of which one may be given by itself."""
    return tuple(args) if isinstance(args, (tuple, list)) else (args,)
