"""What a :class:`~optim.Trainer` is given to learn from: arrays that it cuts itself, or batches that come ready.

Arrays may stand in tuples, lists and dicts: ``(inputs, targets)``, where several inputs are a tuple or, by the model's
names, a dict. A batch has the same form.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from autodiff import Tensor
from autodiff.core.errors import ArgumentError, DTypeError, ShapeError
from autodiff.dispatch import bare


def leaves(tree: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """The arrays of a tree with the words that tell which they are."""
    if isinstance(tree, Mapping):
        for key, value in tree.items():
            yield from leaves(value, f"{name}[{key!r}]")
    elif isinstance(tree, tuple | list):
        for i, value in enumerate(tree):
            yield from leaves(value, f"{name}[{i}]")
    elif tree is not None:
        yield name, tree


def _mapped(function: Callable[[Any], Any], tree: Any) -> Any:
    if isinstance(tree, Mapping):
        return {key: _mapped(function, value) for key, value in tree.items()}
    if isinstance(tree, tuple | list):
        parts = [_mapped(function, value) for value in tree]
        return type(tree)(*parts) if hasattr(tree, "_fields") else tuple(parts)
    return None if tree is None else function(tree)


def _is_array(x: Any) -> bool:
    return isinstance(x, Tensor) or bool(getattr(x, "shape", ()))


def _as_array(x: Any) -> Any:
    """Another library's array, such as a PyTorch DataLoader gives, as one of NumPy's; all else as it is."""
    return np.asarray(x) if hasattr(x, "__array__") and not isinstance(x, Tensor | np.ndarray | np.generic) else x


def arrays(what: str, tree: Any, pair: bool) -> Any:
    """A tree of arrays of one length that hold numbers.

    Parameters
    ----------
    what : str
        Whose data these are, for messages.
    tree : array_like, or tuple, list or dict of such
    pair : bool
        Whether it must be ``(inputs, targets, ...)``.

    Raises
    ------
    ArgumentError, ShapeError, DTypeError
        If there is nothing, lengths differ, or something is not finite or no number.
    """
    if pair and not isinstance(tree, Mapping):
        if not isinstance(tree, tuple | list) or len(tree) < 2:
            raise ArgumentError(
                f"{what} must be a pair (inputs, targets), a dict with the key 'targets', or an iterable of batches"
            )
        # A list of numbers as inputs or targets is an array; several inputs stand in a tuple or a dict.
        tree = tuple(np.asarray(part) if isinstance(part, list) else part for part in tree)
    elif isinstance(tree, list) and not any(map(_is_array, tree)):
        tree = np.asarray(tree)
    held = _mapped(lambda a: np.asarray(bare(a)), tree)
    if pair and isinstance(held, tuple):
        named = [*leaves(held[0], "inputs"), *leaves(held[1], "targets")]
        named += [entry for i, part in enumerate(held[2:]) for entry in leaves(part, f"part {i + 2}")]
    else:
        named = list(leaves(held, "data"))
    lengths = {len(a) if a.ndim else None for _, a in named}
    if len(lengths) > 1:
        words = " and ".join(f"{name} of shape {a.shape}" for name, a in named)
        raise ShapeError(f"{what} {words}; they need one length")
    if lengths in (set(), {None}):
        raise ShapeError(f"{what} holds no arrays with an axis of examples")
    if not len(named[0][1]):
        raise ArgumentError(f"{what} is empty")
    for name, array in named:
        if array.dtype.kind not in "biuf":
            raise DTypeError(f"{what} {name} have dtype {array.dtype}; pass numbers")
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            bad = np.argwhere(~np.isfinite(array))[0]
            raise ArgumentError(f"{what} {name} hold NaN or infinity, first at index {bad.tolist()}")
    return held


def rows(tree: Any, index: Any) -> Any:
    """The examples of a tree of arrays that ``index`` names."""
    if tree.__class__ is tuple and len(tree) == 2 and all(part.__class__ is np.ndarray for part in tree):
        return tree[0][index], tree[1][index]
    return _mapped(lambda a: a[index], tree)


def size_of(batch: Any) -> int:
    """How many examples a batch holds: the length of its first array."""
    for _, array in leaves(batch):
        if np.ndim(array):
            return len(array)
    raise ShapeError("fit: a batch holds no array with an axis of examples")


def parts_of(batch: Any) -> tuple[Any, tuple[Any, ...]]:
    """Inputs, and what the loss is given besides the model's scores: targets first."""
    if isinstance(batch, Mapping):
        if "targets" not in batch:
            raise ArgumentError(
                f"a batch is a dict with the keys {list(batch)}; name one 'targets', or give the Trainer an objective"
            )
        return {key: value for key, value in batch.items() if key != "targets"}, (batch["targets"],)
    if not isinstance(batch, tuple | list) or len(batch) < 2:
        raise ArgumentError("a batch is (inputs, targets); for other batches give the Trainer an objective")
    return batch[0], tuple(batch[1:])


def call(model: Any, inputs: Any) -> Any:
    """The model of one input, of a tuple of several, or of a dict of them by name."""
    if isinstance(inputs, Mapping):
        return model(**inputs)
    return model(*inputs) if isinstance(inputs, tuple | list) else model(inputs)


class Batches:
    """An iterable of batches, gone through once an epoch.

    Parameters
    ----------
    source : iterable, or callable
        Such as ``nn.DataLoader``; a function is called at the start of every epoch and gives an iterable.
    """

    def __init__(self, source: Iterable[Any] | Callable[[], Iterable[Any]]) -> None:
        self.source = source
        self._begun = False

    @staticmethod
    def fits(data: Any) -> bool:
        """Whether these are batches, and not arrays."""
        if isinstance(data, tuple | np.ndarray | Tensor | Mapping | str):
            return False
        if isinstance(data, list):
            return bool(data) and all(
                isinstance(batch, tuple | Mapping) or (isinstance(batch, list) and any(map(_is_array, batch)))
                for batch in data
            )
        return hasattr(data, "__iter__") or callable(data)

    def __iter__(self) -> Iterator[Any]:
        source: Any = self.source
        iterator: Iterator[Any] = iter(source if hasattr(source, "__iter__") else source())
        if iterator is source:
            if self._begun:
                raise ArgumentError(
                    "fit: the iterator of batches is used up after one epoch; give a list, an nn.DataLoader, or a"
                    " function that returns a new iterator"
                )
            self._begun = True
        return (_mapped(_as_array, batch) for batch in iterator)

    def count(self) -> int | None:
        """How many batches an epoch has, where that is known."""
        try:
            return len(self.source)  # type: ignore[arg-type]
        except TypeError:
            return None
