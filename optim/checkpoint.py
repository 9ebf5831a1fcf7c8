"""Checkpoints that are either whole or not there: one ``.npz`` without pickle, written aside and moved into place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from autodiff.core.errors import ArgumentError
from autodiff.files import read_npz, reading, write_npz

if TYPE_CHECKING:
    from optim.optimizer import Options

__all__ = ["load_checkpoint", "save_checkpoint"]

_META = "__meta__"


def save_checkpoint(path: str | Path, arrays: dict[str, NDArray[Any]], meta: Options) -> None:
    """Write arrays and a tree of plain values, atomically.

    Parameters
    ----------
    path : str or Path
        Replaced if it exists; its folder is made if need be.
    arrays : dict of str to ndarray
        Any shapes, any dtypes but object.
    meta : dict
        What JSON can hold: None, bool, int, float (NaN and infinity, too), str, lists, and dicts with str keys. NumPy's
        scalars become Python's.

    Raises
    ------
    ArgumentError
        If something cannot be saved without pickle; nothing is written then.
    OSError
        If the disk refuses.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder) / "run.npz"
    ...     save_checkpoint(path, {"w": np.ones(2)}, {"step": 3})
    ...     load_checkpoint(path)
    ({'w': array([1., 1.])}, {'step': 3})
    """
    path = Path(path)
    try:
        text = json.dumps(meta, default=_number)
    except (TypeError, ValueError) as error:
        raise ArgumentError(f"checkpoint {path}: {error}; only plain values and arrays can be saved") from error
    for name, array in arrays.items():
        if array.dtype.hasobject or name == _META:
            raise ArgumentError(f"checkpoint {path}: the array {name!r} of dtype {array.dtype} cannot be saved")
    write_npz(path, {**arrays, _META: np.frombuffer(text.encode(), np.uint8)})


def _number(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} {value!r:.60} is no plain value")


def load_checkpoint(path: str | Path) -> tuple[dict[str, NDArray[Any]], Options]:
    """Read what :func:`save_checkpoint` wrote.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    arrays : dict of str to ndarray
    meta : dict

    Raises
    ------
    ArgumentError
        If the file is truncated, altered or no checkpoint.
    FileNotFoundError
        If there is none.
    """
    fault = "is no whole checkpoint"
    with reading(path, fault):
        arrays = read_npz(path, fault)
        meta = json.loads(arrays.pop(_META).tobytes())
        if not isinstance(meta, dict):
            raise TypeError(f"its description is a {type(meta).__name__}")
    return arrays, meta


def generator_state(generator: np.random.Generator) -> dict[str, Any]:
    """The state of a random generator as plain values.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> state = generator_state(rng)
    >>> a = rng.random()
    >>> set_generator_state(rng, state)
    >>> a == rng.random()
    True
    """
    state: dict[str, Any] = _plain(generator.bit_generator.state)
    return state


def set_generator_state(generator: np.random.Generator, state: dict[str, Any]) -> None:
    """Put a generator into a state that :func:`generator_state` gave.

    Raises
    ------
    ArgumentError
        If it is the state of another kind of generator.
    """
    kind = type(generator.bit_generator).__name__
    saved = state.get("bit_generator") if isinstance(state, dict) else state
    if saved != kind:
        raise ArgumentError(f"the saved random state is of {saved!r}, the generator here is a {kind}")
    with reading(f"the saved random state of a {kind}", "is not whole"):
        generator.bit_generator.state = _restored(state)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, np.ndarray):
        return {"array": value.tolist(), "dtype": value.dtype.str}
    return value.item() if isinstance(value, np.generic) else value


def _restored(value: Any) -> Any:
    if isinstance(value, dict):
        if set(value) == {"array", "dtype"}:
            return np.array(value["array"], dtype=value["dtype"])
        return {key: _restored(part) for key, part in value.items()}
    return value
