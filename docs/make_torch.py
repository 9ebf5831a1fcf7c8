"""Write docs/torch.md: PyTorch's names, and what exists of them here.

``python docs/make_torch.py`` writes the page from docs/torch-names.json, which holds PyTorch's names so that the page
can be made without it; ``python docs/make_torch.py --names`` first reads them anew from the PyTorch that is installed.
"""

from __future__ import annotations

import importlib
import inspect
import json
import re
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
NAMES = HERE / "torch-names.json"
PAGE = HERE / "torch.md"

#: PyTorch's module -> ours, in the order of the page.
MODULES = {
    "torch.nn": "nn",
    "torch.nn.functional": "nn.functional",
    "torch.nn.init": "nn.init",
    "torch.nn.utils": "nn.utils",
    "torch.nn.utils.rnn": "nn.utils.rnn",
    "torch.utils.data": "nn.utils.data",
    "torch.optim": "optim",
    "torch.optim.lr_scheduler": "optim.lr_scheduler",
    "torch.optim.swa_utils": "optim.swa_utils",
}

#: What PyTorch's modules hold and do not offer: helpers, submodules and imports.
_HELPERS = re.compile(
    r"_.*|has_torch_function.*|handle_torch_function|boolean_dispatch|assert_int_or_pair|Tensor|lazy_load_decompositions|"
    r"EPOCH_DEPRECATION_WARNING|factory_kwargs|.*_with_indices|.*Hook"
)

_OLD = "deprecated in PyTorch; "
_INSIDE = "a base class of PyTorch's own; derive from `nn.Module`"
_GPU = "arrays live on the CPU"
_PROCESS = "data are loaded in this process"

#: Why a name is not here: the first pattern that fits the whole name.
REASONS = {
    r"Buffer": "`module.register_buffer(name, tensor)`",
    r"Container": _OLD + "`nn.Module`",
    r"NLLLoss2d": _OLD + "`nn.NLLLoss`",
    r"CrossMapLRN2d": "`nn.LocalResponseNorm`",
    r"DataParallel": "one CPU, no devices; `optim.DataParallel` shares batches between processes",
    r"SyncBatchNorm": "statistics stay in a process; `optim.DataParallel` averages the running ones",
    r"(R|LSTM|GRU)NN(Cell)?Base|RNNBase|RNNCellBase": _INSIDE,
    r"(L|l)inear_?(C|c)ross_?(E|e)ntropy.*": "a fusion for accelerators; `cross_entropy(linear(x, w), y)`",
    r"conv_tbc": "`conv1d` of the transposed input",
    r"upsample.*": _OLD + "`interpolate`",
    r"multi_head_attention_forward": "`nn.MultiheadAttention`, or `scaled_dot_product_attention`",
    r"native_channel_shuffle": "`channel_shuffle`",
    r"(scaled_)?(grouped_)?mm|scaled_grouped_mm|grouped_mm|ScalingType|SwizzleType": _GPU + "; `@`",
    r"clip_grad_norm": _OLD + "`clip_grad_norm_`",
    r"clip_grads_with_norm_|get_total_norm": "`clip_grad_norm_` does both",
    r"convert_conv.*|.*memory_format": _GPU + "; NumPy's memory order",
    r"fuse_.*": "not built: a step of deployment",
    r"skip_init": "pass `_weight`, or set `.data`",
    r"bind": "internal to PyTorch",
    r"swap_in_optimizer_params_and_state": "`load_state_dict`",
    r"swap.*": "internal to PyTorch",
    r"(xavier|kaiming|normal|uniform|constant|dirac|eye|orthogonal|sparse)(_\w+)?": _OLD
    + "the name with `_` at its end",
    r"Distributed.*|get_worker_info|DFIterDataPipe|IterDataPipe|MapDataPipe|DataChunk|.*DataPipe.*|"
    r"functional_datapipe|runtime_validation.*|guaranteed_datapipes.*|non_deterministic|argument_validation": _PROCESS,
    r"default_convert": "`default_collate` makes Tensors",
    r"ChainDataset": "`itertools.chain`",
    r"StackDataset": "`TensorDataset`, or a `Dataset` of your own",
    r"Sampler": "any iterable of indices is a sampler",
    r"SubsetRandomSampler": "`RandomSampler` of a `Subset`",
}


def names_of(module: str) -> list[str]:
    """The public functions and classes of a module of PyTorch's."""
    found = importlib.import_module(module)
    listed = getattr(found, "__all__", None) or dir(found)
    public = []
    for name in listed:
        value = getattr(found, name, None)
        home = getattr(value, "__module__", None) or "torch"
        if callable(value) and home.startswith("torch") and not _HELPERS.fullmatch(name):
            public.append(name)
    return sorted(set(public), key=lambda name: (name.lower(), name))


def read() -> dict[str, Any]:
    """The names, from the file."""
    return json.loads(NAMES.read_text())  # type: ignore[no-any-return]


def reason(name: str) -> str | None:
    """Why it is not here."""
    return next((why for pattern, why in REASONS.items() if re.fullmatch(pattern, name)), None)


def text() -> str:
    """The page."""
    held = read()
    ours = {theirs: importlib.import_module(name) for theirs, name in MODULES.items()}
    rows, below = [], []
    elsewhere = {name for names in held["modules"].values() for name in names}
    for theirs, mine in MODULES.items():
        names = held["modules"][theirs]
        here = [name for name in names if hasattr(ours[theirs], name)]
        rows.append(f"| `{theirs}` | `{mine}` | {len(here)} | {len(names)} |")
        missing = [name for name in names if name not in here]
        own = [
            name
            for name in getattr(ours[theirs], "__all__", [])
            if name not in names
            and callable(value := getattr(ours[theirs], name))
            and inspect.isroutine(value) | inspect.isclass(value)
            and mine in ("nn", "nn.functional", "optim")
            and name not in elsewhere
        ]
        below += [f"## {mine}", "", f"Here, of `{theirs}`: " + ", ".join(f"`{name}`" for name in here) + ".", ""]
        if own:
            below += ["Ours alone: " + ", ".join(f"`{name}`" for name in sorted(own, key=str.lower)) + ".", ""]
        if missing:
            below += ["| not here | instead |", "|---|---|"]
            grouped: dict[str, list[str]] = {}
            for name in missing:
                grouped.setdefault(reason(name) or "?", []).append(f"`{name}`")
            below += [f"| {', '.join(group)} | {why} |" for why, group in grouped.items()] + [""]
    head = [
        "# PyTorch's names",
        "",
        "<!-- Written by docs/make_torch.py; do not edit. -->",
        "",
        f"Names of PyTorch {held['version']}, and what exists of them here. Arguments, defaults and arithmetic are"
        " PyTorch's: tests compare",
        "values and gradients. [Coming from PyTorch](guides/pytorch.md) tells what differs.",
        "",
        "| PyTorch | here | names here | names there |",
        "|---|---|---|---|",
        *rows,
        "",
        "What is not here is an `AttributeError`. The tables tell what to take instead, or why there is nothing.",
        "",
    ]
    return "\n".join([*head, *below]).rstrip() + "\n"


def main() -> None:
    """Write the page."""
    if "--names" in sys.argv:
        torch = importlib.import_module("torch")
        version = ".".join(torch.__version__.split("+")[0].split(".")[:2])
        modules = {module: names_of(module) for module in MODULES}
        NAMES.write_text(json.dumps({"version": version, "modules": modules}, indent=1) + "\n")
    PAGE.write_text(text())


if __name__ == "__main__":
    sys.path.insert(0, str(HERE.parent))
    main()
