"""Parameters in files: safetensors, which PyTorch reads and writes, and ``.npz``; neither can run code when it is read.

Every file written here carries a checksum of each tensor. Reading compares all of them, and all names, shapes and
dtypes, before the first parameter changes; what does not fit is refused by the name of the tensor at fault. A file from
PyTorch has no checksums and is checked for its structure alone.
"""

from __future__ import annotations

import hashlib
import json
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from autodiff import Tensor
from autodiff.core.errors import ArgumentError, DTypeError, require
from autodiff.files import replacing
from nn.module import Module

__all__ = ["load", "load_file", "save", "save_file"]

Arrays = dict[str, np.ndarray[Any, Any]]
_CHECKSUMS = "autodiff.sha256"
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


def save(module: Module, path: str | Path) -> None:
    """Write a module's ``state_dict`` to a file, whole or not at all.

    Parameters
    ----------
    module : Module
    path : str or Path
        ``.safetensors`` (PyTorch reads it with ``safetensors.torch.load_file``) or ``.npz``.

    Raises
    ------
    ArgumentError
        For another suffix.
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
    ([], [])
    >>> bool((net.weight.data == other.weight.data).all())
    True
    """
    save_file(module.state_dict(), path)


def load(module: Module, path: str | Path, strict: bool = True) -> tuple[list[str], list[str]]:
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
    (missing, unexpected)
        Names, both empty when ``strict``.

    Raises
    ------
    ArgumentError
        If the file is truncated, altered or no such file, or names do not fit.
    ShapeError, DTypeError
        If a tensor does not fit; it is named, and the module is left as it was.
    FileNotFoundError
        If there is none.
    """
    return module.load_state_dict(load_file(path), strict=strict)


def save_file(tensors: Mapping[str, Any], path: str | Path) -> None:
    """Write named arrays or Tensors to a file; see :func:`save`."""
    suffix = _suffix(path)
    arrays: Arrays = {name: np.ascontiguousarray(t.data if isinstance(t, Tensor) else t) for name, t in tensors.items()}
    # ascontiguousarray makes a vector of a scalar.
    arrays = {name: array.reshape(np.shape(tensors[name])) for name, array in arrays.items()}
    for name, array in arrays.items():
        if array.dtype.newbyteorder("=").type not in _DTYPES.values():
            raise DTypeError(
                f"save {path}: {name!r} has dtype {array.dtype}, which the file cannot hold; save it as another dtype"
            )
    arrays = {name: array.astype(array.dtype.newbyteorder("<"), copy=False) for name, array in arrays.items()}
    checksums = json.dumps({name: _checksum(array) for name, array in arrays.items()})
    if suffix == ".safetensors":
        data = require("safetensors.numpy").save(arrays, metadata={"format": "pt", _CHECKSUMS: checksums})
        with replacing(path) as file:
            file.write(data)
    else:
        if _CHECKSUMS in arrays:
            raise ArgumentError(f"save {path}: the name {_CHECKSUMS!r} is taken by the checksums; choose another")
        # The checksums come first: damage to the archive's table of contents can swallow only what follows it.
        with replacing(path) as file, zipfile.ZipFile(file, "w") as archive:
            for name, array in {_CHECKSUMS: np.frombuffer(checksums.encode(), np.uint8), **arrays}.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, array, allow_pickle=False)


def load_file(path: str | Path) -> Arrays:
    """Read named arrays; see :func:`load`.

    Returns
    -------
    dict of str to ndarray
        BF16 tensors, which NumPy does not have, come as float32.
    """
    arrays, checksums = (_read_safetensors if _suffix(path) == ".safetensors" else _read_npz)(Path(path))
    if checksums is not None:
        for name in checksums:
            if name not in arrays:
                raise ArgumentError(
                    f"{path}: the tensor {name!r} is gone from the file; it was altered after it was written"
                )
        for name, array in arrays.items():
            if checksums.get(name) != _checksum(array):
                raise ArgumentError(
                    f"{path}: the tensor {name!r} does not have its checksum; the file was altered after it was written"
                )
    return arrays


def _suffix(path: str | Path) -> str:
    suffix = Path(path).suffix.lower()
    if suffix not in _SUFFIXES:
        raise ArgumentError(f"{path}: the suffix must be one of {', '.join(_SUFFIXES)}, got {suffix!r}")
    return suffix


def _checksum(array: Any) -> str:
    """Of the bytes and of what says how to read them."""
    little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    return hashlib.sha256(f"{little.dtype.str}{array.shape}".encode() + little.tobytes()).hexdigest()


def _read_safetensors(path: Path) -> tuple[Arrays, dict[str, str] | None]:
    data = path.read_bytes()
    library = require("safetensors")
    try:
        parts = library.deserialize(data)
    except library.SafetensorError as error:
        raise ArgumentError(f"{path}: {_fault(data) or f'no safetensors file: {error}'}") from error
    arrays: Arrays = {}
    for name, part in parts:
        if part["dtype"] == "BF16":
            arrays[name] = (
                (np.frombuffer(part["data"], "<u2").astype(np.uint32) << 16).view(np.float32).reshape(part["shape"])
            )
        elif part["dtype"] in _DTYPES:
            little = np.dtype(_DTYPES[part["dtype"]]).newbyteorder("<")
            arrays[name] = np.frombuffer(part["data"], little).astype(little.newbyteorder("=")).reshape(part["shape"])
        else:
            raise DTypeError(
                f"{path}: the tensor {name!r} has dtype {part['dtype']}, which NumPy does not have; save it as float32"
            )
    written = _header(data).get("__metadata__", {}).get(_CHECKSUMS)
    return arrays, None if written is None else _parsed(path, written)


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


def _read_npz(path: Path) -> tuple[Arrays, dict[str, str] | None]:
    arrays: Arrays = {}
    name = ""
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.namelist():
                name = member.removesuffix(".npy")
                with archive.open(member) as file:
                    arrays[name] = np.lib.format.read_array(file, allow_pickle=False)
                    # The archive's own checksum is compared when the end of the member is reached.
                    if file.read(1):
                        raise ValueError("there is more in it than its array")
    except FileNotFoundError:
        raise
    except (OSError, ValueError, EOFError, RuntimeError, NotImplementedError, zipfile.BadZipFile, zlib.error) as error:
        where = f"the tensor {name!r} cannot be read" if name else "no whole .npz file (it may be truncated)"
        raise ArgumentError(f"{path}: {where}: {error}") from error
    written = arrays.pop(_CHECKSUMS, None)
    return arrays, None if written is None else _parsed(path, written.tobytes())


def _parsed(path: Path, text: str | bytes) -> dict[str, str]:
    try:
        found = json.loads(text)
    except ValueError as error:
        raise ArgumentError(
            f"{path}: its checksums cannot be read; the file was altered after it was written"
        ) from error
    if not isinstance(found, dict):
        raise ArgumentError(f"{path}: its checksums cannot be read; the file was altered after it was written")
    return found
