"""Parameters in files: safetensors, which PyTorch reads and writes, and ``.npz``; neither can run code when it is read.

Every file written here carries a checksum of each tensor. Reading compares all of them, and all names, shapes and
dtypes, before the first parameter changes; what does not fit is refused by the name of the tensor at fault. A file from
PyTorch has no checksums and is checked for its structure alone.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from autodiff.core.errors import ArgumentError, AutodiffError, DTypeError
from autodiff.dispatch import bare
from autodiff.extras import require
from autodiff.files import CHECKSUMS, check, checksums, read_npz, reading, replacing, write_npz
from nn.module import IncompatibleKeys, Module

__all__ = ["load", "load_file", "save", "save_file"]

Arrays = dict[str, np.ndarray[Any, Any]]
_SIGNED = "autodiff.signed"
# So long a header at most does the safetensors library read.
_HEADER = 100_000_000
_SUFFIXES = (".safetensors", ".npz")
# What the format calls each dtype that NumPy has too; BF16 is widened to float32, which holds every value of it.
_DTYPES = {
    "BOOL": np.bool_,
    "U8": np.uint8,
    "I8": np.int8,
    "U16": np.uint16,
    "I16": np.int16,
    "U32": np.uint32,
    "I32": np.int32,
    "U64": np.uint64,
    "I64": np.int64,
    "F16": np.float16,
    "F32": np.float32,
    "F64": np.float64,
    "C64": np.complex64,
}


def save(module: Module | Mapping[str, object], path: str | Path) -> None:
    """Write a module's ``state_dict`` to a file, whole or not at all.

    Parameters
    ----------
    module : Module or mapping
        A mapping from names to arrays or Tensors, such as a ``state_dict``, is written as it is.
    path : str or Path
        ``.safetensors`` (PyTorch reads it with ``safetensors.torch.load_file``) or ``.npz``.

    Raises
    ------
    ArgumentError
        For another suffix, or what is neither a module nor a mapping.
    DTypeError
        If the format has no such dtype; the tensor is named and nothing is written.
    MissingExtraError
        If safetensors is not installed.

    Examples
    --------
    >>> import tempfile, pathlib, nn
    >>> net, other = nn.Linear(3, 2), nn.Linear(3, 2)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(net, pathlib.Path(folder) / "net.npz")
    ...     load(other, pathlib.Path(folder) / "net.npz")
    IncompatibleKeys(missing_keys=[], unexpected_keys=[])
    >>> bool((net.weight.data == other.weight.data).all())
    True
    """
    if not isinstance(module, Module | Mapping):
        where = "" if isinstance(path, Module | Mapping) else f" {path}"
        hint = "" if where else "; write save(module, path)"
        raise ArgumentError(f"save{where}: give a module or its state_dict(), got a {type(module).__name__}{hint}")
    save_file(module if isinstance(module, Mapping) else module.state_dict(), path)


def load(module: Module, path: str | Path, strict: bool = True) -> IncompatibleKeys:
    """Read a file into a module, entirely or not at all.

    Parameters
    ----------
    module : Module
    path : str or Path
        ``.safetensors`` (PyTorch's, too) or ``.npz``.
    strict : bool
        Refuse missing and unexpected names.

    Returns
    -------
    (missing_keys, unexpected_keys)
        A named tuple of names, both empty when ``strict``.

    Raises
    ------
    ArgumentError
        If the file is truncated, altered or no such file, or names do not fit.
    ShapeError, DTypeError
        If a tensor does not fit; it is named, and the module is left as it was.
    FileNotFoundError
        If there is none.
    """
    if not isinstance(module, Module):
        swapped = isinstance(path, Module)
        raise ArgumentError(
            f"load: the first argument is a module, got a {type(module).__name__}; "
            + ("write load(module, path)" if swapped else "load_file(path) gives the arrays alone")
        )
    state = load_file(path)
    try:
        return module.load_state_dict(state, strict=strict)
    except AutodiffError as error:
        raise type(error)(f"load {path}: {error}") from error


def save_file(tensors: Mapping[str, object], path: str | Path) -> None:
    """Write named arrays or Tensors to a file; see :func:`save`."""
    suffix = _suffix(path)
    arrays: Arrays = {name: np.ascontiguousarray(bare(t)) for name, t in tensors.items()}
    # ascontiguousarray makes a vector of a scalar.
    arrays = {name: array.reshape(np.shape(tensors[name])) for name, array in arrays.items()}  # type: ignore[call-overload]
    known = {*_DTYPES.values(), *([np.complex128] if suffix == ".npz" else [])}
    for name, array in arrays.items():
        text = name if isinstance(name, str) and name != "__metadata__" and len(name) < 16_000 else ""
        if text.encode(errors="ignore").decode() != name:
            raise ArgumentError(f"save {path}: {name!r:.40} cannot be the name of a tensor in a file")
        if array.dtype.newbyteorder("=").type not in known:
            raise DTypeError(
                f"save {path}: {name!r} has dtype {array.dtype}, which the file cannot hold; save it as another dtype"
            )
    arrays = {name: array.astype(array.dtype.newbyteorder("<"), copy=False) for name, array in arrays.items()}
    if suffix == ".npz":
        write_npz(path, arrays)
        return
    # The second key says that there are checksums, should the name of the first be damaged.
    metadata = {"format": "pt", CHECKSUMS: checksums(arrays), _SIGNED: CHECKSUMS}
    data = require("safetensors.numpy").save(arrays, metadata=metadata)
    with replacing(path) as file:
        file.write(data)


def load_file(path: str | Path) -> Arrays:
    """Read named arrays; see :func:`load`.

    Returns
    -------
    dict of str to ndarray
        BF16 tensors, which NumPy does not have, come as float32.
    """
    return _read_safetensors(Path(path)) if _suffix(path) == ".safetensors" else read_npz(path)


def _suffix(path: str | Path) -> str:
    suffix = Path(path).suffix.lower()
    if suffix not in _SUFFIXES:
        raise ArgumentError(f"{path}: the suffix must be one of {', '.join(_SUFFIXES)}, got {suffix!r}")
    return suffix


def _read_safetensors(path: Path) -> Arrays:
    library = require("safetensors")
    with reading(path, "is no whole safetensors file"):
        with open(path, "rb") as file:
            # The beginning tells whether the rest is worth reading.
            start, size = file.read(9), os.stat(path).st_size
            length = struct.unpack("<Q", start[:8])[0]
            if not 2 <= length <= min(size - 8, _HEADER) or start[8:] != b"{":
                raise ValueError(f"it begins with {start.hex(' ')}")
            data = start + file.read()
        try:
            parts = library.deserialize(data)
        except library.SafetensorError as error:
            raise ArgumentError(f"{path}: {_fault(data) or f'no whole safetensors file: {error}'}") from error
        arrays = {name: _array(path, name, part) for name, part in parts}
        told = _header(data).get("__metadata__", {})
        if CHECKSUMS in told:
            check(path, arrays, told[CHECKSUMS])
        elif _SIGNED in told:
            raise ArgumentError(f"{path}: its checksums are gone; the file was altered after it was written")
    return arrays


def _array(path: Path, name: str, part: Any) -> Any:
    kind, shape, data = part["dtype"], part["shape"], part["data"]
    if kind == "BF16":
        return (np.frombuffer(data, "<u2").astype(np.uint32) << 16).view(np.float32).reshape(shape)
    if kind not in _DTYPES:
        raise DTypeError(f"{path}: the tensor {name!r} has dtype {kind}, which NumPy does not have; save it as float32")
    little = np.dtype(_DTYPES[kind]).newbyteorder("<")
    return np.frombuffer(data, little).astype(little.newbyteorder("=")).reshape(shape)


def _header(data: bytes) -> dict[str, Any]:
    (length,) = struct.unpack("<Q", data[:8])
    found = json.loads(data[8 : 8 + length])
    if not isinstance(found, dict):
        raise ValueError("the header is no object")
    return found


def _fault(data: bytes) -> str:
    """Which tensor the file fails to hold, if its header can still be read."""
    try:
        header = _header(data)
        start = 8 + struct.unpack("<Q", data[:8])[0]
        ends = sorted((entry["data_offsets"][1], name) for name, entry in header.items() if name != "__metadata__")
    except (struct.error, ValueError, KeyError, TypeError, IndexError):
        return ""
    cut = [name for end, name in ends if start + end > len(data)]
    return f"the file ends within the tensor {cut[0]!r}; it is truncated" if cut else ""
