"""Files that are either whole or not there, and readers that end in one typed error.

A process may be killed between any two instructions. So a file is written under another name, forced to the disk, and
moved over the old one by a rename, which the operating system makes atomic: at every moment the path holds a complete
file, the old or the new. What a killed process leaves behind is removed when the path is next written.

Parsers raise nearly anything on a damaged file: a list of the exceptions that they may raise is never complete. So
whatever goes wrong while a file is read (:func:`reading`) is an :class:`~autodiff.core.errors.ArgumentError` that names
the file.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import itertools
import json
import math
import os
import platform
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from autodiff.core.errors import ArgumentError, AutodiffError

Arrays = dict[str, np.ndarray[Any, Any]]

#: The name under which a file holds the checksums of its arrays.
CHECKSUMS = "autodiff.sha256"

#: So many bytes at most become of one byte that zlib packed; a file that claims more is not worth unpacking.
DEFLATION = 1032

# Bytes of an archive of nothing.
_EMPTY = 22

_count = itertools.count()


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[IO[bytes]]:
    """Open a file for writing that takes ``path``'s place when the block ends without an exception, and never existed
    otherwise.

    Parameters
    ----------
    path : str or Path
        Replaced if it exists; its folder is made if need be. A symbolic link stays, and what it points to is replaced.

    Yields
    ------
    binary file

    Raises
    ------
    OSError
        If the disk refuses.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder) / "a.bin"
    ...     with replacing(path) as file:
    ...         _ = file.write(b"whole")
    ...     path.read_bytes()
    b'whole'
    """
    path = Path(path)
    if path.is_symlink():
        path = Path(os.path.realpath(path))
        if path.is_symlink():
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    # The name is short whatever the path's is; machine and process tell whose it is, the count tells threads apart.
    beginning = (
        f".autodiff-{hashlib.sha256(f'{platform.node()}/{path.name}'.encode(errors='surrogatepass')).hexdigest()[:16]}-"
    )
    _clear(path.parent, beginning)
    aside = path.with_name(f"{beginning}{os.getpid()}-{next(_count)}.tmp")
    try:
        with open(aside, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(OSError):
            aside.chmod(path.stat().st_mode & 0o7777)
        os.replace(aside, path)
    except BaseException:
        with contextlib.suppress(OSError):
            aside.unlink()
        raise
    _sync_folder(path.parent)


def save_figure(figure: Any, path: str | Path) -> None:
    """Write a figure of matplotlib's, whole or not at all; the suffix chooses the format."""
    with replacing(path) as file:
        figure.savefig(file, format=Path(path).suffix.removeprefix(".") or None, dpi=120)


def _clear(folder: Path, beginning: str) -> None:
    """Remove what processes that are no more have left of the same file."""
    for left in folder.glob(f"{beginning}*.tmp"):
        owner = left.name[len(beginning) :].partition("-")[0]
        if owner.isdecimal() and not _runs(int(owner)):
            with contextlib.suppress(OSError):
                left.unlink()


def _runs(process: int) -> bool:
    if os.name == "nt":  # there a file that is open cannot be removed
        return process == os.getpid()
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


def _sync_folder(folder: Path) -> None:
    """Force the rename itself to the disk, where the system lets a folder be opened."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


@contextlib.contextmanager
def reading(path: str | Path, fault: str) -> Iterator[None]:
    """Turn whatever goes wrong in the block into one error that names the file.

    Parameters
    ----------
    path : str or Path
    fault : str
        What is said of the file, such as ``"is no whole checkpoint"``.

    Raises
    ------
    ArgumentError
        For every exception but those of this library and FileNotFoundError, which stay what they are.

    Examples
    --------
    >>> with reading("a.txt", "is no whole number"):
    ...     int("three")
    Traceback (most recent call last):
    autodiff.ArgumentError: a.txt is no whole number (ValueError: invalid literal for int() with base 10: 'three')
    """
    try:
        yield
    except (AutodiffError, FileNotFoundError):
        raise
    except Exception as error:
        said = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise ArgumentError(f"{path} {fault} ({said})") from error


# --- archives of arrays, with checksums


def write_npz(path: str | Path, arrays: Mapping[str, Any]) -> None:
    """Write named arrays as an ``.npz`` without pickle, with a checksum of each, whole or not at all.

    Raises
    ------
    ArgumentError
        If a name is not one for a member of an archive, or is taken by the checksums.
    OSError
        If the disk refuses.
    """
    for name in arrays:
        if name == CHECKSUMS:
            raise ArgumentError(f"save {path}: the name {CHECKSUMS!r} is taken by the checksums; choose another")
        if zipfile.ZipInfo(name).filename != name or name.encode(errors="replace").decode() != name:
            raise ArgumentError(f"save {path}: {name!r} cannot be the name of an array in an archive")
    told = np.frombuffer(checksums(arrays).encode(), np.uint8)
    with replacing(path) as file, zipfile.ZipFile(file, "w") as archive:
        # The comment says that there are checksums, should their name be damaged.
        archive.comment = CHECKSUMS.encode()
        for name, array in {CHECKSUMS: told, **arrays}.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asarray(array), allow_pickle=False)


def read_npz(path: str | Path, fault: str = "is no whole .npz file") -> Arrays:
    """Named arrays of an ``.npz``, compared with their checksums where it has some.

    Parameters
    ----------
    path : str or Path
    fault : str
        What is said of a file that cannot be read; see :func:`reading`.

    Raises
    ------
    ArgumentError
        If the file is truncated, altered or no archive of plain arrays; the array at fault is named.
    FileNotFoundError
        If there is none.
    """
    arrays: Arrays = {}
    with reading(path, fault), zipfile.ZipFile(path) as archive:
        signed = archive.comment == CHECKSUMS.encode()
        size = os.stat(path).st_size
        if not archive.infolist() and size > _EMPTY + len(archive.comment):
            raise ValueError("its table of contents is gone")
        for member in archive.infolist():
            name = member.filename.removesuffix(".npy")
            if name in arrays:
                raise ValueError(f"the tensor {name!r} is in it twice")
            with reading(path, f"{fault}: the tensor {name!r} cannot be read"):
                arrays[name] = _array(archive, member, size)
    told = arrays.pop(CHECKSUMS, None)
    if told is not None:
        check(path, arrays, told.tobytes())
    if signed != (told is not None):
        raise ArgumentError(f"{path}: its checksums are not whole; the file was altered after it was written")
    return arrays


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo, size: int) -> Any:
    """One array, after its header was found to be possible: a damaged one may claim terabytes."""
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"its compression is of the unknown kind {member.compress_type}")
    if member.compress_size > size or member.file_size > member.compress_size * DEFLATION + 64:
        raise ValueError(f"it claims {member.file_size} bytes of {member.compress_size} in a file of {size}")
    with archive.open(member) as file:
        version = np.lib.format.read_magic(file)
        if version not in ((1, 0), (2, 0)):
            raise ValueError(f"the version {version} of its format is unknown")
        header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = header(file)
        if not dtype.hasobject and file.tell() + math.prod(shape) * dtype.itemsize != member.file_size:
            raise ValueError(f"it claims shape {shape} of {dtype} and has {member.file_size} bytes")
    with archive.open(member) as file:
        array = np.lib.format.read_array(file, allow_pickle=False)
        # The archive's own checksum is compared when the end of the member is reached.
        if file.read(1):
            raise ValueError("there is more in it than its array")
    return array


def checksums(arrays: Mapping[str, Any]) -> str:
    """The checksum of every array, as JSON: of its bytes and of what says how to read them."""
    return json.dumps({name: _checksum(np.asarray(array)) for name, array in arrays.items()})


def _checksum(array: Any) -> str:
    little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    return hashlib.sha256(f"{little.dtype.str}{array.shape}".encode() + little.tobytes()).hexdigest()


def check(path: str | Path, arrays: Arrays, told: str | bytes) -> None:
    """Compare arrays with what :func:`checksums` gave.

    Raises
    ------
    ArgumentError
        If one is gone, altered or new; it is named.
    """
    altered = "the file was altered after it was written"
    with reading(path, f"has no checksums that can be read; {altered}"):
        expected = json.loads(told)
        if not isinstance(expected, dict):
            raise TypeError(f"it holds a {type(expected).__name__}")
    for name in expected:
        if name not in arrays:
            raise ArgumentError(f"{path}: the tensor {name!r} is gone from the file; {altered}")
    for name, array in arrays.items():
        if expected.get(name) != _checksum(array):
            raise ArgumentError(f"{path}: the tensor {name!r} does not have its checksum; {altered}")
