"""Where a program asks for a plain array or number of a tensor that requires a gradient, and what to advise there."""

from __future__ import annotations

import dis
import os
import sysconfig
from pathlib import Path
from types import FrameType

import numpy as np

# Python 3.12 writes a[:] = x with an instruction of its own.
_STORES = {dis.opmap[name] for name in ("STORE_SUBSCR", "STORE_SLICE") if name in dis.opmap}
#: Where the library's own files lie; what stands beside them under a longer name is a program's.
OURS = ("<autodiff", *(f"{Path(__file__).parents[1] / room}{os.sep}" for room in ("autodiff", "nn", "optim")))
#: Where other people's libraries lie; a program's own lines lie elsewhere.
_LIBRARIES = (
    *OURS,
    str(Path(np.__file__).parents[1]),
    *{sysconfig.get_path(name) for name in ("stdlib", "platstdlib")},
)

#: What to use instead, by the package that asked.
_REMEDIES = {
    "scipy.sparse": (
        "SciPy's sparse arrays multiply plain arrays alone; write t @ A, or autodiff.sparse.csr_array(A) @ t for A @ t"
    ),
    "scipy": (
        "SciPy's functions take plain arrays; autodiff has differentiable ones under SciPy's names (autodiff.linalg,"
        " special, stats, signal, ndimage, integrate, optimize, interpolate), and with SCIPY_ARRAY_API=1, set before"
        " SciPy is imported, many of SciPy's own take tensors (docs/scipy.md)"
    ),
    "pandas": (
        "pandas would drop the gradient; use series.to_numpy() beside tensors, and t.data (or t.detach().numpy()) in a"
        " Series or DataFrame"
    ),
    "xarray": "xarray would drop the gradient; use array.values beside tensors, and t.data in a DataArray",
    "matplotlib": "draw t.data (or t.detach())",
    "seaborn": "draw t.data (or t.detach())",
    "numpy.ma": "fill the masked array first (m.filled(0)) and use np.where with its mask",
    "torch": "use t.detach(), or torch.from_dlpack(t.detach())",
    "sklearn": "pass t.data (or t.detach())",
}
_GENERAL = (
    "use NumPy functions on the tensor itself, autodiff.stack or autodiff.array to join tensors, autodiff.random for"
    " permutations and choices, or .data where no gradient is wanted"
)
INTO_PLAIN = (
    "assigning a tensor that requires a gradient into a plain array would cut its graph; make the array a Tensor first"
    " (autodiff.tensor(array)), build it with autodiff.array([...]) or autodiff.stack, or assign t.data where no"
    " gradient is wanted"
)


def stores(frame: FrameType) -> bool:
    """Whether a frame is at ``container[index] = value``."""
    return frame.f_code.co_code[frame.f_lasti] in _STORES


def users_frame(frame: FrameType) -> FrameType:
    """The innermost frame, at or around ``frame``, of a program that is no library; ``frame`` itself if there is
    none.
    """
    found: FrameType | None = frame
    while found is not None and found.f_code.co_filename.startswith(_LIBRARIES):
        found = found.f_back
    return found or frame


def remedy(asker: FrameType) -> str | None:
    """What to use instead in the package that a frame belongs to; None for a package that nothing is known of."""
    frame: FrameType | None = asker
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "numpy":
        frame = frame.f_back
    name = "" if frame is None else frame.f_globals.get("__name__", "")
    while name and name not in _REMEDIES:
        name = name.rpartition(".")[0]
    if not name:
        return None
    return f"{name} asked for plain numbers of a tensor that requires a gradient: {_REMEDIES[name]}"


def advice(asker: FrameType) -> str:
    """The message for ``np.asarray(tensor)`` of a tracked tensor, asked for in the frame ``asker``."""
    if stores(asker):
        return INTO_PLAIN
    return remedy(asker) or (f"np.asarray(tensor) on a tensor that requires a gradient would cut its graph; {_GENERAL}")


def draws(asker: FrameType) -> bool:
    """Whether a frame belongs to a package that draws, of whose numbers no gradient is wanted."""
    return asker.f_globals.get("__name__", "").partition(".")[0] in ("matplotlib", "seaborn")
