"""Readers for the data sets that courses use, from files the user has; nothing is downloaded.

Every reader returns a dictionary from the name of a part ("train", "test") to a pair ``(inputs, targets)``, which is
what :meth:`optim.Trainer.fit` takes. A file that is truncated, altered or something else is refused with what was
expected of it.
"""

from __future__ import annotations

import gzip
import io
import math
import os
import pickle
import struct
import tarfile
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from autodiff.core.errors import ArgumentError, ShapeError
from autodiff.extras import require
from autodiff.files import DEFLATION, read_npz, reading

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

    from autodiff.signatures import ArrayLike

__all__ = ["load_cifar10", "load_mnist", "load_npz", "load_sklearn", "read_idx", "split", "standardize"]

Array = np.ndarray[Any, Any]
Parts = dict[str, tuple[Array, Array]]

# --- CIFAR-10 ---------------------------------------------------------------------------------------------------------

_CIFAR_TRAIN = tuple(f"data_batch_{i}" for i in range(1, 6))
_CIFAR_TEST = ("test_batch",)
# A batch has 31 million bytes, and in the oldest kind of pickle some four times as many.
_CIFAR_BYTES = 1 << 28


def load_cifar10(folder: str | Path) -> Parts:
    """CIFAR-10 from its Python batches.

    Parameters
    ----------
    folder : str or Path
        The folder ``cifar-10-batches-py``, the one that holds it, or the archive ``cifar-10-python.tar.gz`` itself.

    Returns
    -------
    dict
        "train" (50,000 images) and "test" (10,000): uint8 (N, 3, 32, 32), channels red, green, blue, and int64 (N,)
        classes 0 to 9.

    Raises
    ------
    ArgumentError
        If a batch is missing, truncated, altered or no such pickle; the file is named.
    FileNotFoundError
        If there is no such folder.

    Notes
    -----
    The batches are pickles, which may run any code when they are opened. They are read by an unpickler that knows NumPy
    arrays and plain containers and refuses everything else. Format: Krizhevsky 2009, "Learning Multiple Layers of
    Features from Tiny Images", and the data set's own page.
    """
    read = _member_reader(Path(folder))
    return {part: _cifar_part(folder, read, names) for part, names in (("train", _CIFAR_TRAIN), ("test", _CIFAR_TEST))}


def _member_reader(path: Path) -> Callable[[str], bytes]:
    """How to get the bytes of a batch: from a folder or from the archive."""
    if path.is_dir():
        base = next((p for p in (path, path / "cifar-10-batches-py") if (p / _CIFAR_TEST[0]).exists()), None)
        if base is None:
            raise ArgumentError(
                f"load_cifar10: {path} holds no {_CIFAR_TEST[0]}; give the folder cifar-10-batches-py or the one that"
                " holds it"
            )

        def from_folder(name: str) -> bytes:
            file = base / name
            if not file.exists():
                raise ArgumentError(f"load_cifar10: {file} is missing; unpack the whole archive again")
            if file.stat().st_size > _CIFAR_BYTES:
                raise ArgumentError(f"load_cifar10: {file} is no batch of CIFAR-10: it has {file.stat().st_size} bytes")
            return file.read_bytes()

        return from_folder
    if not path.exists():
        raise FileNotFoundError(f"load_cifar10: there is no {path}")
    found: dict[str, bytes] = {}
    with reading(f"load_cifar10: {path}", "is no whole archive cifar-10-python.tar.gz"), tarfile.open(path) as archive:
        for member in archive:
            name = Path(member.name).name
            if name in (*_CIFAR_TRAIN, *_CIFAR_TEST) and member.isfile():
                if member.size > _CIFAR_BYTES:
                    raise ValueError(f"{name} has {member.size} bytes")
                found[name] = archive.extractfile(member).read()  # type: ignore[union-attr]

    def from_archive(name: str) -> bytes:
        if name not in found:
            raise ArgumentError(f"load_cifar10: {path} holds no {name}")
        return found[name]

    return from_archive


def _cifar_part(where: str | Path, read: Callable[[str], bytes], names: Sequence[str]) -> tuple[Array, Array]:
    parts = []
    for name in names:
        data = read(name)
        with reading(f"load_cifar10: {where}: {name}", "is truncated or no batch of CIFAR-10"):
            parts.append(_cifar_batch(data))
    images, labels = zip(*parts, strict=True)
    return np.concatenate(images), np.concatenate(labels)


def _cifar_batch(data: bytes) -> tuple[Array, Array]:
    batch = _ArrayUnpickler(io.BytesIO(data), encoding="bytes").load()
    if not isinstance(batch, dict):
        raise ValueError(f"it holds a {type(batch).__name__}, not a dictionary")
    # Python 2 wrote the keys as bytes; a batch saved again by Python 3 has them as str.
    batch = {key.decode("latin1") if isinstance(key, bytes) else key: value for key, value in batch.items()}
    for key in ("data", "labels"):
        if key not in batch:
            raise ValueError(f"it has no {key!r}; it has {sorted(map(str, batch))}")
    pixels = batch["data"]
    if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or pixels.ndim != 2 or pixels.shape[1] != 3072:
        what = f"{pixels.dtype}{list(pixels.shape)}" if isinstance(pixels, np.ndarray) else type(pixels).__name__
        raise ValueError(f"its data are {what}; expected uint8[N, 3072]")
    labels = batch["labels"]
    if not isinstance(labels, (list, np.ndarray)) or not all(
        isinstance(c, (int, np.integer)) and 0 <= c <= 9 for c in labels
    ):
        raise ValueError("its labels are no classes 0 to 9")
    if len(labels) != len(pixels):
        raise ValueError(f"it has {len(pixels)} images and {len(labels)} labels")
    return pixels.reshape(-1, 3, 32, 32), np.asarray(labels, np.int64)


def _empty_array(cls: Any, shape: Any, kind: Any) -> Array:
    """What NumPy's ``_reconstruct`` does for a pickled array: an empty one, which then receives its state."""
    return np.ndarray.__new__(np.ndarray, (0,), np.uint8)


def _encode(text: str, encoding: Any = "latin1") -> bytes:
    """How Python 3 writes bytes into a pickle of protocol 2."""
    return text.encode("latin1")


_ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): _empty_array,
    ("numpy._core.multiarray", "_reconstruct"): _empty_array,
    ("numpy", "ndarray"): None,  # is named as the type to make, and never called
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): _encode,
}


class _ArrayUnpickler(pickle.Unpickler):
    """Opens plain containers, numbers, strings and NumPy arrays; calls nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        """The few callables that an array's pickle names."""
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(
                f"it asks for {module}.{name}, which no CIFAR-10 batch needs; it was not opened"
            ) from None


# --- MNIST ------------------------------------------------------------------------------------------------------------

# NumPy's limit.
_MOST_AXES = 64
_IDX_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def read_idx(path: str | Path) -> Array:
    """An array from a file in MNIST's idx format, gzipped or not.

    Parameters
    ----------
    path : str or Path
        Its first bytes, not its name, tell whether it is gzipped.

    Returns
    -------
    ndarray
        Of the shape and dtype that the file states, in native byte order.

    Raises
    ------
    ArgumentError
        If the file is no idx file, or shorter or longer than it says.
    FileNotFoundError
        If there is none.

    Notes
    -----
    Two zero bytes, one for the type, one for the number of axes, each length as a big-endian int32, then the numbers
    (LeCun, Cortes and Burges, "The MNIST database").
    """
    with reading(f"read_idx: {path}", "cannot be read"), open(path, "rb") as raw:
        size, packed = os.stat(path).st_size, raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        with reading(f"read_idx: {path}", f"is no {'whole gzip file of an ' * packed}idx file"):
            file: Any = gzip.open(raw) if packed else raw
            begin = file.read(4)
            if len(begin) < 4 or begin[:2] != b"\0\0" or begin[2] not in _IDX_TYPES:
                raise ValueError(f"it begins with {begin.hex(' ') or 'nothing'}")
            ndim = begin[3]
            if ndim > _MOST_AXES:
                raise ValueError(f"it has {ndim} axes; arrays have {_MOST_AXES} at most")
            header = file.read(4 * ndim)
            if len(header) < 4 * ndim:
                raise ValueError("it is truncated within its header")
            shape, dtype = struct.unpack(f">{ndim}I", header), np.dtype(_IDX_TYPES[begin[2]])
            expected, says = math.prod(shape) * dtype.itemsize, f"it says shape {shape} of {dtype.name}"
            there = size * DEFLATION if packed else size - file.tell()
            if expected > there or (expected != there and not packed):
                raise ValueError(f"{says}, {expected} bytes, and has {'at most ' * packed}{there}")
            data = file.read(expected + 1)
            if len(data) != expected:
                raise ValueError(f"{says}, {expected} bytes, and has {'more' if len(data) > expected else len(data)}")
            return np.frombuffer(data, dtype).reshape(shape).astype(dtype.newbyteorder("="))


def load_mnist(folder: str | Path) -> Parts:
    """MNIST, or any set in its layout (Fashion-MNIST, KMNIST), from its four idx files.

    Parameters
    ----------
    folder : str or Path
        Holds ``train-images-idx3-ubyte``, ``train-labels-idx1-ubyte`` and the two of ``t10k``, each with or without
        ``.gz``; a dot before ``idx`` is fine, too.

    Returns
    -------
    dict
        "train" and "test": uint8 (N, 28, 28) and int64 (N,) classes.

    Raises
    ------
    ArgumentError
        If a file is missing or damaged, or images and labels do not belong together; the file is named.
    """
    parts: Parts = {}
    for part, stem in (("train", "train"), ("test", "t10k")):
        images = read_idx(_idx_file(Path(folder), f"{stem}-images", "idx3-ubyte"))
        labels = read_idx(_idx_file(Path(folder), f"{stem}-labels", "idx1-ubyte"))
        if images.ndim != 3 or labels.ndim != 1 or images.dtype != np.uint8 or labels.dtype != np.uint8:
            what = " and ".join(f"{array.dtype}{list(array.shape)}" for array in (images, labels))
            raise ArgumentError(
                f"load_mnist: the {part} images and labels are {what}; expected uint8[N, 28, 28] and uint8[N]"
            )
        if len(images) != len(labels):
            raise ArgumentError(f"load_mnist: {len(images)} {part} images and {len(labels)} labels")
        parts[part] = images, labels.astype(np.int64)
    return parts


def _idx_file(folder: Path, stem: str, ending: str) -> Path:
    names = [f"{stem}{dot}{ending}{gz}" for dot in "-." for gz in ("", ".gz")]
    for name in names:
        if (folder / name).exists():
            return folder / name
    raise ArgumentError(f"load_mnist: {folder} has none of {', '.join(names)}")


# --- any archive, scikit-learn's sets ---------------------------------------------------------------------------------


def load_npz(path: str | Path) -> Parts:
    """A data set from a NumPy archive, without pickle.

    Parameters
    ----------
    path : str or Path
        Holds ``x_train``, ``y_train`` and perhaps ``x_test``, ``y_test`` (Keras' layout; ``x_validation`` and so on
        likewise), or ``x`` and ``y``, which become "train". Capital ``X`` is fine.

    Returns
    -------
    dict
        Every part found: arrays as they are.

    Raises
    ------
    ArgumentError
        If the file is damaged or holds something else; the message lists what it holds.
    ShapeError
        If inputs and targets differ in length.
    FileNotFoundError
        If there is none.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.savez(pathlib.Path(folder) / "d.npz", x=np.ones((3, 2)), y=np.arange(3))
    ...     {part: (x.shape, y.shape) for part, (x, y) in load_npz(pathlib.Path(folder) / "d.npz").items()}
    {'train': ((3, 2), (3,))}
    """
    found = read_npz(path, "is no whole .npz file of plain arrays")
    arrays = {name.lower(): array for name, array in found.items()}
    parts: Parts = {}
    for name in arrays:
        if name == "x" or name.startswith("x_"):
            part, partner = name[2:] or "train", "y" + name[1:]
            if partner not in arrays:
                raise ArgumentError(f"load_npz: {path} has {name!r} without {partner!r}; it holds {sorted(arrays)}")
            x, y = arrays[name], arrays[partner]
            if x.ndim < 1 or y.ndim < 1 or len(x) != len(y):
                raise ShapeError(
                    f"load_npz: {name!r} has shape {x.shape} and {partner!r} {y.shape}; they need one length"
                )
            parts[part] = x, y
    if not parts:
        raise ArgumentError(f"load_npz: {path} has neither x and y nor x_train and y_train; it holds {sorted(arrays)}")
    return parts


_SKLEARN = ("breast_cancer", "diabetes", "digits", "iris", "linnerud", "wine")


def load_sklearn(name: str) -> tuple[Array, Array]:
    """One of the data sets that scikit-learn brings along.

    Parameters
    ----------
    name : str
        "digits" (1,797 scans of 8x8), "iris", "wine", "breast_cancer" with classes; "diabetes", "linnerud" with numbers
        to predict.

    Returns
    -------
    (inputs, targets)
        float64 (N, features); int64 (N,) classes, or float64 targets.

    Raises
    ------
    ArgumentError
        For another name.
    MissingExtraError
        If scikit-learn is not installed.

    Examples
    --------
    >>> x, y = load_sklearn("digits")
    >>> x.shape, y.shape
    ((1797, 64), (1797,))
    """
    if name not in _SKLEARN:
        raise ArgumentError(f"load_sklearn: no data set {name!r}; there are {', '.join(_SKLEARN)}")
    x, y = getattr(require("sklearn.datasets"), f"load_{name}")(return_X_y=True)
    return x, y.astype(np.int64) if y.dtype.kind in "iu" else y


# --- before training --------------------------------------------------------------------------------------------------


def split(
    x: ArrayLike, y: ArrayLike, fractions: Sequence[float], generator: np.random.Generator | int = 0
) -> list[tuple[Array, Array]]:
    """Shuffled parts of a data set.

    Parameters
    ----------
    x, y : array_like, (N, ...)
    fractions : sequence of float
        The size of each part as a fraction of N; what is left over at the end is used by nobody.
    generator : numpy.random.Generator or int
        Shuffles.

    Returns
    -------
    list of (inputs, targets)
        One per fraction, without a common example.

    Raises
    ------
    ArgumentError
        If the fractions are not positive or sum to more than 1, or a part would be empty.
    ShapeError
        If lengths differ.

    Examples
    --------
    >>> [len(x) for x, y in split(np.arange(10), np.arange(10), (0.7, 0.3))]
    [7, 3]
    """
    x, y = np.asarray(x), np.asarray(y)
    if x.ndim < 1 or y.ndim < 1 or len(x) != len(y):
        raise ShapeError(f"split: x of shape {x.shape} and y of shape {y.shape}; they need one length")
    if not all(f > 0 for f in fractions) or not sum(fractions) <= 1 + 1e-9:
        raise ArgumentError(f"split: fractions must be positive and sum to 1 at most, got {list(fractions)}")
    order = np.random.default_rng(generator).permutation(len(x))
    ends = [0, *(round(float(end) * len(x)) for end in np.cumsum(fractions))]
    parts = [order[start:end] for start, end in pairwise(ends)]
    if not all(map(len, parts)):
        raise ArgumentError(f"split: {len(x)} examples in fractions {list(fractions)} leave a part empty")
    return [(x[rows], y[rows]) for rows in parts]


def standardize(train: ArrayLike, *others: ArrayLike, dtype: DTypeLike | None = np.float32) -> list[Array]:
    """Subtract the training part's mean and divide by its deviation, feature by feature.

    Parameters
    ----------
    train : array_like, (N, ...)
    *others : array_like, (M, ...)
        Treated with the training part's numbers, so that nothing of them is known in training.
    dtype : dtype

    Returns
    -------
    list of ndarray
        The parts in order. A feature that never varies becomes 0 in training.

    Examples
    --------
    >>> standardize([[0.0], [2.0]], [[4.0]])
    [array([[-1.],
           [ 1.]], dtype=float32), array([[3.]], dtype=float32)]
    """
    parts = [np.asarray(part, np.float64) for part in (train, *others)]
    mean, deviation = parts[0].mean(axis=0), parts[0].std(axis=0)
    deviation = np.where(deviation > 0, deviation, 1.0)
    return [((part - mean) / deviation).astype(dtype) for part in parts]
