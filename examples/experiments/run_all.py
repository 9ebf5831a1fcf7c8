"""Run every experiment and write its table, its paragraph and its figure to one page.

    python examples/experiments/run_all.py --out docs/experiments

writes ``README.md`` and a PNG for each into the folder. With ``--quick`` everything runs in a few seconds and nothing
is learned in earnest.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import sys
import time
from collections.abc import Sequence
from pathlib import Path

NAMES = (
    "classifiers",
    "overfit",
    "optimizers",
    "batchnorm",
    "weight_scale",
    "batch_size",
    "dropout",
    "regularization",
    "activations",
    "convnet",
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the experiments; the exit status is 0."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"any of {', '.join(NAMES)}; all unless given")
    parser.add_argument("--out", type=Path, default=Path("experiments-out"), metavar="FOLDER")
    parser.add_argument("--cifar10", type=Path, default=None, metavar="DIR")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(argv)
    unknown = sorted(set(options.names) - set(NAMES))
    if unknown:
        parser.error(f"no experiment {', '.join(unknown)}; there are {', '.join(NAMES)}")
    flags = ["--out", str(options.out), "--seed", str(options.seed), *(["--quick"] if options.quick else [])]
    flags += [] if options.cifar10 is None else ["--cifar10", str(options.cifar10)]
    page = [
        "# The classic experiments",
        "",
        "Written by `python examples/experiments/run_all.py --out docs/experiments`.",
        "",
    ]
    for name in options.names or NAMES:
        module = importlib.import_module(name)
        started = time.perf_counter()
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            module.main(flags)
        text = printed.getvalue().partition("\nwritten: ")[0]
        print(f"{text}\n{name}: {time.perf_counter() - started:.0f} s\n", flush=True)
        tables, _, paragraph = text.rstrip().rpartition("\n\n")
        title = (module.__doc__ or "").partition("\n")[0]
        page += [
            f"## {title}",
            "",
            "```",
            tables.rstrip(),
            "```",
            "",
            " ".join(paragraph.split()),
            "",
            f"![{name}]({name}.png)",
            "",
        ]
    if not options.names:
        (options.out / "README.md").write_text("\n".join(page))
    return 0


if __name__ == "__main__":
    sys.exit(main())
