"""Data sets and minibatches: ``torch.utils.data``, in one process.

A :class:`TensorDataset` is cut by one indexing operation a batch; other data sets give one example after the other.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeAlias, overload

import numpy as np

from autodiff import Tensor
from autodiff.arguments import refuse_unless_positive, whole
from autodiff.core.errors import ArgumentError, ShapeError
from nn.init import default_generator

if TYPE_CHECKING:
    from typing_extensions import TypedDict, TypeVar, Unpack

    from autodiff.signatures import ArrayLike

    class _More(TypedDict, total=False):
        """What does not decide the type of a DataLoader's batches."""

        sampler: Iterable[int] | None
        batch_sampler: Iterable[Sequence[int]] | None
        num_workers: int
        pin_memory: bool
        drop_last: bool
        generator: np.random.Generator | int | None

    T = TypeVar("T", covariant=True, default=object)
    Batch = TypeVar("Batch", covariant=True, default=list[Tensor])
else:
    from typing import TypeVar

    T = TypeVar("T", covariant=True)
    Batch = TypeVar("Batch", covariant=True)

__all__ = [
    "BatchSampler",
    "ConcatDataset",
    "DataLoader",
    "Dataset",
    "IterableDataset",
    "RandomSampler",
    "SequentialSampler",
    "Subset",
    "TensorDataset",
    "WeightedRandomSampler",
    "default_collate",
    "random_split",
]

S = TypeVar("S")
B = TypeVar("B")

#: An example that stacks into one Tensor, and one of several.
Number: TypeAlias = "Tensor | np.ndarray[Any, Any] | np.generic | complex"
Row: TypeAlias = "tuple[Number, ...] | list[Number]"


class Indexed(Protocol[T]):
    """What has examples under ``[i]``: a Dataset, a list, an array."""

    def __getitem__(self, index: int, /) -> T: ...


class _NamedTuple(Protocol):
    @property
    def _fields(self) -> tuple[str, ...]: ...


Named = TypeVar("Named", bound=_NamedTuple)
Examples: TypeAlias = "Indexed[S] | Iterable[S]"


class Dataset(Generic[T]):
    """Base of data sets: ``dataset[i]`` is an example; ``len(dataset)`` tells how many there are.

    Examples
    --------
    >>> class Squares(Dataset):
    ...     def __len__(self):
    ...         return 4
    ...     def __getitem__(self, i):
    ...         return float(i), float(i * i)
    >>> [batch[1].tolist() for batch in DataLoader(Squares(), batch_size=2)]
    [[0.0, 1.0], [4.0, 9.0]]
    """

    def __getitem__(self, index: int) -> T:
        raise NotImplementedError(f"{type(self).__name__} defines no __getitem__")

    def __add__(self: Indexed[B], other: Indexed[S]) -> ConcatDataset[B | S]:
        return ConcatDataset([self, other])


class IterableDataset(Dataset[T]):
    """Base of data sets that can only be gone through: ``iter(dataset)`` gives examples."""

    def __iter__(self) -> Iterator[T]:
        raise NotImplementedError(f"{type(self).__name__} defines no __iter__")


class TensorDataset(Dataset[tuple[Tensor, ...]]):
    """Arrays of one length; example i is the tuple of their rows i.

    Parameters
    ----------
    *tensors : Tensor or array_like

    Attributes
    ----------
    tensors : tuple of Tensor

    Raises
    ------
    ShapeError
        If there are none, or they differ in length.

    Examples
    --------
    >>> data = TensorDataset(np.ones((3, 2)), np.arange(3))
    >>> len(data), data[2][1].item()
    (3, 2)
    """

    def __init__(self, *tensors: ArrayLike) -> None:
        held = tuple(t if isinstance(t, Tensor) else Tensor(np.asarray(t)) for t in tensors)
        if not held or any(t.ndim < 1 or len(t) != len(held[0]) for t in held):
            raise ShapeError(f"TensorDataset: arrays of shapes {[t.shape for t in held]}; they need one length")
        self.tensors = held

    def __len__(self) -> int:
        return len(self.tensors[0])

    def __getitem__(self, index: int | slice | Sequence[int] | np.ndarray[Any, Any]) -> tuple[Tensor, ...]:
        return tuple(t[index] for t in self.tensors)


class ConcatDataset(Dataset[T]):
    """Data sets one after the other.

    Parameters
    ----------
    datasets : iterable of Dataset

    Examples
    --------
    >>> len(TensorDataset(np.ones(2)) + TensorDataset(np.ones(3)))
    5
    """

    def __init__(self, datasets: Iterable[Indexed[T]]) -> None:
        self.datasets: list[Any] = list(datasets)
        if not self.datasets:
            raise ArgumentError("ConcatDataset: got no data sets")
        self.cumulative_sizes = list(itertools.accumulate(map(len, self.datasets)))

    def __len__(self) -> int:
        return self.cumulative_sizes[-1]

    def __getitem__(self, index: int) -> T:
        if not -len(self) <= index < len(self):
            raise IndexError(f"ConcatDataset of {len(self)} examples has no index {index}")
        index %= len(self)
        which = int(np.searchsorted(self.cumulative_sizes, index, side="right"))
        return self.datasets[which][index - (self.cumulative_sizes[which - 1] if which else 0)]  # type: ignore[no-any-return]


class Subset(Dataset[T]):
    """The examples of a data set that ``indices`` name.

    Parameters
    ----------
    dataset : Dataset
    indices : sequence of int
    """

    def __init__(self, dataset: Indexed[T], indices: Sequence[int]) -> None:
        self.dataset: Any = dataset
        self.indices = indices

    def __len__(self) -> int:
        return len(self.indices)

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: np.ndarray[Any, Any] | list[int]) -> object: ...
    def __getitem__(self, index: int | np.ndarray[Any, Any] | list[int]) -> object:
        if isinstance(index, np.ndarray | list):
            return self.dataset[np.asarray(self.indices)[index]]
        return self.dataset[self.indices[index]]


def random_split(
    dataset: Indexed[T], lengths: Sequence[float], generator: np.random.Generator | None = None
) -> list[Subset[T]]:
    """A data set as several without common examples.

    Parameters
    ----------
    dataset : Dataset
    lengths : sequence of int, or of float
        Numbers of examples; or parts that add up to 1.
    generator : numpy.random.Generator, optional
        Default the one of ``nn.init.manual_seed``.

    Raises
    ------
    ArgumentError
        If the lengths do not add up.

    Examples
    --------
    >>> [len(part) for part in random_split(range(10), [0.75, 0.25])]
    [8, 2]
    """
    total = len(dataset)  # type: ignore[arg-type]
    counts: list[Any] = list(lengths)
    if np.isclose(sum(counts), 1) and sum(counts) <= 1 + 1e-9 and all(0 <= part <= 1 for part in counts):
        counts = [int(total * part) for part in lengths]
        for i in range(total - sum(counts)):
            counts[i % len(counts)] += 1
    if not all(map(whole, counts)) or sum(counts) != total or min(counts, default=0) < 0:
        raise ArgumentError(f"random_split: lengths {list(lengths)} of a data set of {total} examples")
    order = default_generator(generator).permutation(total).tolist()
    ends = list(itertools.accumulate(counts))
    return [Subset(dataset, order[end - count : end]) for end, count in zip(ends, counts, strict=True)]


# --- which examples, in which order


class SequentialSampler:
    """0, 1, 2 ... for a data set."""

    def __init__(self, data_source: Sized) -> None:
        self.data_source = data_source

    def __len__(self) -> int:
        return len(self.data_source)

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self)))


class RandomSampler:
    """Examples in a new random order each time, or drawn with replacement.

    Parameters
    ----------
    data_source : Dataset
    replacement : bool
    num_samples : int, optional
        Default the length of the data set.
    generator : numpy.random.Generator, optional
        Default the one of ``nn.init.manual_seed``.

    Examples
    --------
    >>> sorted(RandomSampler(range(3)))
    [0, 1, 2]
    """

    def __init__(
        self,
        data_source: Sized,
        replacement: bool = False,
        num_samples: int | None = None,
        generator: np.random.Generator | None = None,
    ) -> None:
        if num_samples is not None:
            refuse_unless_positive("RandomSampler: num_samples", num_samples)
        self.data_source, self.replacement, self.generator = data_source, replacement, generator
        self.num_samples = len(data_source) if num_samples is None else num_samples

    def __len__(self) -> int:
        return self.num_samples

    def __iter__(self) -> Iterator[int]:
        rng, n = default_generator(self.generator), len(self.data_source)
        if self.replacement:
            yield from rng.integers(n, size=self.num_samples).tolist()
            return
        left = self.num_samples
        while left > 0 and n:
            yield from rng.permutation(n)[:left].tolist()
            left -= n


class WeightedRandomSampler:
    """Examples drawn with probabilities in proportion to ``weights``.

    Parameters
    ----------
    weights : sequence of float
    num_samples : int
    replacement : bool
    generator : numpy.random.Generator, optional
        Default the one of ``nn.init.manual_seed``.

    Examples
    --------
    >>> list(WeightedRandomSampler([0.0, 1.0], 3))
    [1, 1, 1]
    """

    def __init__(
        self,
        weights: ArrayLike,
        num_samples: int,
        replacement: bool = True,
        generator: np.random.Generator | None = None,
    ) -> None:
        self.weights = np.asarray(weights, dtype=float)
        if self.weights.ndim != 1 or not (self.weights >= 0).all() or not 0 < self.weights.sum() < np.inf:
            raise ArgumentError("WeightedRandomSampler: weights are finite numbers >= 0 on one axis, not all of them 0")
        refuse_unless_positive("WeightedRandomSampler: num_samples", num_samples)
        found = np.count_nonzero(self.weights)
        if not replacement and found < num_samples:
            raise ArgumentError(f"WeightedRandomSampler: {num_samples} of {found} examples, none of them twice")
        self.num_samples, self.replacement, self.generator = num_samples, replacement, generator

    def __len__(self) -> int:
        return self.num_samples

    def __iter__(self) -> Iterator[int]:
        rng, weights = default_generator(self.generator), self.weights
        drawn = rng.choice(len(weights), self.num_samples, self.replacement, weights / weights.sum())
        yield from drawn.tolist()


class BatchSampler:
    """Lists of ``batch_size`` indices from another sampler.

    Parameters
    ----------
    sampler : iterable of int
    batch_size : int
    drop_last : bool
        Leave the last one out where it is shorter.

    Examples
    --------
    >>> list(BatchSampler(range(5), 2, drop_last=False))
    [[0, 1], [2, 3], [4]]
    """

    def __init__(self, sampler: Iterable[int], batch_size: int, drop_last: bool) -> None:
        refuse_unless_positive("batch_size", batch_size)
        self.sampler, self.batch_size, self.drop_last = sampler, batch_size, drop_last

    def __len__(self) -> int:
        whole, rest = divmod(len(self.sampler), self.batch_size)  # type: ignore[arg-type]
        return whole + bool(rest and not self.drop_last)

    def __iter__(self) -> Iterator[list[int]]:
        indices = iter(self.sampler)
        while batch := list(itertools.islice(indices, self.batch_size)):
            if len(batch) == self.batch_size or not self.drop_last:
                yield batch


# --- batches


@overload
def default_collate(batch: Sequence[Number]) -> Tensor: ...
@overload
def default_collate(batch: Sequence[str]) -> list[str]: ...
@overload
def default_collate(batch: Sequence[Named]) -> Named: ...
@overload
def default_collate(batch: Sequence[Row]) -> list[Tensor]: ...
@overload
def default_collate(batch: Sequence[Mapping[S, Number]]) -> dict[S, Tensor]: ...
@overload
def default_collate(batch: Sequence[Mapping[S, object]]) -> Mapping[S, object]: ...
@overload
def default_collate(batch: Sequence[object]) -> object: ...
def default_collate(batch: Sequence[Any]) -> object:
    """Examples as a batch: arrays and numbers stacked into Tensors, tuples, lists and dicts entry by entry.

    Parameters
    ----------
    batch : list of examples

    Raises
    ------
    ShapeError
        If arrays differ in shape; pass a ``collate_fn`` that fills them up, such as one with
        :func:`nn.utils.rnn.pad_sequence`.

    Examples
    --------
    >>> default_collate([{"x": 1.0, "name": "a"}, {"x": 2.0, "name": "b"}])
    {'x': tensor([1., 2.]), 'name': ['a', 'b']}
    """
    first = batch[0]
    if isinstance(first, str | bytes) or first is None:
        return list(batch)
    if isinstance(first, Mapping):
        return {key: default_collate([example[key] for example in batch]) for key in first}
    if isinstance(first, tuple) and hasattr(first, "_fields"):
        return type(first)(*(default_collate(column) for column in zip(*batch, strict=True)))
    if isinstance(first, tuple | list):
        if any(len(example) != len(first) for example in batch):
            raise ShapeError("default_collate: the examples hold different numbers of entries")
        return [default_collate(column) for column in zip(*batch, strict=True)]
    arrays = [example if isinstance(example, Tensor) else np.asarray(example) for example in batch]
    shapes = {array.shape for array in arrays}
    if len(shapes) > 1:
        raise ShapeError(
            f"default_collate: arrays of shapes {sorted(shapes)} do not stack; pass collate_fn, for example one with"
            " nn.utils.rnn.pad_sequence"
        )
    stacked = np.stack(arrays)  # type: ignore[arg-type]
    return stacked if isinstance(stacked, Tensor) else Tensor(stacked)


class DataLoader(Generic[Batch]):
    """Minibatches of a data set, a new order in every epoch where that is asked for.

    Parameters
    ----------
    dataset : Dataset, sequence or iterable
        A :class:`TensorDataset`, anything with ``len`` and ``[i]``, or an :class:`IterableDataset`.
    batch_size : int, optional
        None: examples one by one, as they are.
    shuffle : bool, optional
    sampler : iterable of int, optional
        Which examples, instead of ``shuffle``.
    batch_sampler : iterable of list of int, optional
        Which batches, instead of ``batch_size``, ``shuffle``, ``sampler`` and ``drop_last``.
    num_workers : int
        0: examples are loaded in this process.
    collate_fn : callable, optional
        A list of examples to a batch; default :func:`default_collate`, whose arrays are Tensors.
    pin_memory : bool
        Means nothing here.
    drop_last : bool
        Leave the last batch out where it is shorter.
    generator : numpy.random.Generator or int, optional
        Shuffles; default the one of ``nn.init.manual_seed``.

    Raises
    ------
    ArgumentError
        If options do not go together.

    Examples
    --------
    >>> data = TensorDataset(np.arange(10.0).reshape(5, 2), np.arange(5))
    >>> loader = DataLoader(data, batch_size=2, shuffle=True, generator=0)
    >>> len(loader), [x.shape for x, y in loader]
    (3, [(2, 2), (2, 2), (1, 2)])
    """

    # The kind of the batches, by that of the examples and by collate_fn.
    # fmt: off
    @overload
    def __init__(
        self: DataLoader[S], dataset: Examples[S], batch_size: None, shuffle: bool | None = None, **more: Unpack[_More]
    ) -> None: ...
    @overload
    def __init__(
        self: DataLoader[B], dataset: Examples[S], batch_size: None, shuffle: bool | None = None, *,
        collate_fn: Callable[[S], B], **more: Unpack[_More]
    ) -> None: ...
    @overload
    def __init__(
        self: DataLoader[B], dataset: Examples[S], batch_size: int = 1, shuffle: bool | None = None, *,
        collate_fn: Callable[[list[S]], B], **more: Unpack[_More]
    ) -> None: ...
    @overload
    def __init__(
        self: DataLoader[Tensor], dataset: np.ndarray[Any, Any] | Examples[Number],
        batch_size: int = 1, shuffle: bool | None = None, **more: Unpack[_More]
    ) -> None: ...
    @overload
    def __init__(
        self: DataLoader[list[str]], dataset: Examples[str],
        batch_size: int = 1, shuffle: bool | None = None, **more: Unpack[_More]
    ) -> None: ...
    @overload
    def __init__(
        self: DataLoader[Named], dataset: Examples[Named],
        batch_size: int = 1, shuffle: bool | None = None, **more: Unpack[_More]
    ) -> None: ...
    @overload
    def __init__(
        self: DataLoader[list[Tensor]], dataset: Examples[Row],
        batch_size: int = 1, shuffle: bool | None = None, **more: Unpack[_More]
    ) -> None: ...
    @overload
    def __init__(
        self: DataLoader[dict[S, Tensor]], dataset: Examples[Mapping[S, Number]],
        batch_size: int = 1, shuffle: bool | None = None, **more: Unpack[_More]
    ) -> None: ...
    @overload
    def __init__(
        self: DataLoader[Mapping[S, object]], dataset: Examples[Mapping[S, object]],
        batch_size: int = 1, shuffle: bool | None = None, **more: Unpack[_More]
    ) -> None: ...
    @overload
    def __init__(
        self: DataLoader[object], dataset: Examples[object],
        batch_size: int = 1, shuffle: bool | None = None, **more: Unpack[_More]
    ) -> None: ...
    # fmt: on
    def __init__(
        self,
        dataset: Examples[object],
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Iterable[int] | None = None,
        batch_sampler: Iterable[Sequence[int]] | None = None,
        num_workers: int = 0,
        collate_fn: Callable[..., object] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        *,
        generator: np.random.Generator | int | None = None,
    ) -> None:
        if num_workers:
            raise ArgumentError(f"DataLoader: num_workers={num_workers}; data are loaded in this process, pass 0")
        if sampler is not None and shuffle:
            raise ArgumentError("DataLoader: give sampler or shuffle, not both")
        if batch_sampler is not None and (batch_size not in (1, None) or shuffle or sampler is not None or drop_last):
            raise ArgumentError("DataLoader: batch_sampler stands for batch_size, shuffle, sampler and drop_last")
        if batch_size is None and drop_last:
            raise ArgumentError("DataLoader: drop_last needs a batch_size")
        self._goes_once = not hasattr(dataset, "__getitem__") or isinstance(dataset, IterableDataset)
        if self._goes_once and (shuffle or sampler is not None or batch_sampler is not None):
            raise ArgumentError("DataLoader: the order of a data set that can only be gone through is its own")
        if collate_fn is not None and not callable(collate_fn):
            raise ArgumentError(f"DataLoader: collate_fn is a function of a list of examples, got {collate_fn!r}")
        for option, order in (("sampler", sampler), ("batch_sampler", batch_sampler)):
            if order is not None and not hasattr(order, "__iter__"):
                raise ArgumentError(f"DataLoader: {option} is an iterable, got {order!r}")
        if self._goes_once and not hasattr(dataset, "__iter__"):
            raise ArgumentError(f"DataLoader: {type(dataset).__name__} has neither [i] and len nor an iterator")
        held: Any = dataset
        self.dataset, self.batch_size, self.drop_last = held, batch_size, drop_last
        drawn = np.random.default_rng(generator) if isinstance(generator, int) else generator
        self.generator = None if drawn is None else default_generator(drawn)
        self.collate_fn: Callable[..., Any] = default_collate if collate_fn is None else collate_fn
        self._own_collate = collate_fn is not None
        self.sampler: Any = sampler
        self.batch_sampler: Any = batch_sampler
        if self._goes_once:
            return
        if sampler is None:
            self.sampler = RandomSampler(held, generator=self.generator) if shuffle else SequentialSampler(held)
        if batch_sampler is None and batch_size is not None:
            self.batch_sampler = BatchSampler(self.sampler, batch_size, drop_last)

    def __len__(self) -> int:
        if not self._goes_once:
            return len(self.sampler if self.batch_sampler is None else self.batch_sampler)
        if self.batch_size is None:
            return len(self.dataset)
        return len(BatchSampler(self.dataset, self.batch_size, self.drop_last))

    def __iter__(self) -> Iterator[Batch]:
        if self.batch_size is None and self.batch_sampler is None:
            examples = self.dataset if self._goes_once else (self.dataset[i] for i in self.sampler)
            yield from map(self.collate_fn, examples) if self._own_collate else examples
        elif self._goes_once:
            yield from map(self.collate_fn, BatchSampler(self.dataset, self.batch_size, self.drop_last))  # type: ignore[arg-type]
        else:
            yield from map(self._batch, self.batch_sampler)

    def _batch(self, indices: Sequence[int]) -> Any:
        """Arrays are read at all places at once; what that gives is what stacking the examples gives."""
        dataset: Any = self.dataset
        places: Any = indices
        while type(dataset) is Subset:
            dataset, places = dataset.dataset, [dataset.indices[i] for i in places]
        many = type(dataset) is TensorDataset or isinstance(dataset, np.ndarray | Tensor)
        if many and not self._own_collate:
            places = np.asarray(places) if len(places) else np.zeros(0, np.intp)
            if places.dtype.kind not in "iu":
                raise ArgumentError(f"DataLoader: indices of examples are integers, got {indices!r:.80}")
            batch = dataset[places]
            if isinstance(batch, tuple):
                return list(batch)
            return batch if isinstance(batch, Tensor) else Tensor(batch)
        return self.collate_fn([self.dataset[i] for i in indices])
