"""What the benchmarks found: ``docs/performance.md`` with tables, ``performance.json`` with the numbers, ``performance.svg`` with a plot.

The numbers of a run are laid over those of earlier ones, so that a single benchmark can be measured again; every table says under which settings
and on which machine it was measured.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness import table
from benchmarks.threads import VARIABLES

__all__ = ["growth", "machine", "markdown", "slope", "write"]

TITLES = {
    "overhead": "One elementwise operation",
    "scalar_chain": "Scalars",
    "training": "A training step",
    "kernels": "Kernels",
    "graphs": "Growth",
    "jacobians": "Jacobians",
    "chains": "Chains of elementwise operations",
}
LIBRARIES = ("numpy", "torch", "jax", "autograd", "mygrad", "micrograd", "numba")


def machine() -> dict[str, Any]:
    """The processor, cores, system, Python, libraries and BLAS kernels that a run had."""
    from autodiff.performance import blas_core

    model = platform.processor()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = re.findall(r"^model name\s*:\s*(.+)$", info.read_text(), re.M)
        model = names[0] if names else model
    versions = {}
    for name in LIBRARIES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}, {' '.join(platform.libc_ver()) or 'unknown C library'}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "versions": versions,
        "blas": blas_core(),
        "load": load,
    }


def slope(sizes: Sequence[float], amounts: Sequence[float]) -> float:
    """The exponent p of ``amount ~ size^p``, by least squares on logarithms.

    Examples
    --------
    >>> round(slope([1, 10, 100], [2, 20, 200]), 6)
    1.0
    """
    return float(np.polyfit(np.log(sizes), np.log(amounts), 1)[0])


def growth(rows: Sequence[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """For every series of cases that differ in size, the exponent with which each candidate's whole time grows."""
    found: dict[str, dict[str, float]] = {}
    for series in dict.fromkeys(row["series"] for row in rows if row["series"]):
        ours = [row for row in rows if row["series"] == series]
        for name in dict.fromkeys(name for row in ours for name in row["seconds"]):
            points = [(row["size"], row["seconds"][name]["median"] * row["per"]) for row in ours if name in row["seconds"]]
            if len(points) > 1:
                found.setdefault(series, {})[name] = slope(*zip(*points, strict=True))
    return found


def markdown(sections: dict[str, dict[str, Any]]) -> str:
    """The whole page.

    Parameters
    ----------
    sections : dict
        What ``performance.json`` holds: per benchmark and number of threads the rows, the settings and the machine.
    """
    targets = [target for section in sections.values() for row in section["rows"] for target in row["targets"]]
    reached = sum(target["reached"] for target in targets)
    lines = [
        "# Performance",
        "",
        "Written by `python -m benchmarks`. Candidates take turns in one process; a cell gives the median, half the interquartile range, and "
        "the median ratio to the baseline within a round. Every candidate's result was "
        "compared with the reference before it was timed. Lower is better.",
        "",
        f"Targets: {reached} of {len(targets)} reached.",
        "",
        "![Times relative to each table's baseline](performance.svg)",
        "",
    ]
    for section in sections.values():
        lines += _section(section)
    return "\n".join(lines).rstrip() + "\n"


def _section(section: dict[str, Any]) -> list[str]:
    rows, settings, where = section["rows"], section["settings"], section["machine"]
    threads = settings["threads"]
    lines = [f"## {TITLES[section['name']]}, {threads} thread{'s' if threads > 1 else ''}", ""]
    # A table has the same columns and one baseline throughout.
    kinds = dict.fromkeys((row["series"], row["baseline"]) for row in rows)
    for kind in kinds:
        lines += [f"Baseline: {kind[1]}.", "", table([row for row in rows if (row["series"], row["baseline"]) == kind])]
    for series, exponents in growth(rows).items():
        words = ", ".join(f"{name} {round(value, 2) + 0.0:.2f}" for name, value in exponents.items())  # no minus before a zero
        lines += [f"Time grows with {series} to the power of: {words}.", ""]
    for name, held in section.get("bytes_per_node", {}).items():
        words = ", ".join(f"{value:,.0f} at {int(depth):,} nodes" for depth, value in held.items())
        lines += [f"Bytes a node, {name}: {words}.", ""]
    for series, held in section.get("peak_bytes", {}).items():
        sizes, amounts = [int(size) for size in held], list(held.values())
        words = ", ".join(f"{amount / 2**20:.1f} MiB at {size}" for size, amount in zip(sizes, amounts, strict=True))
        known = [(size, amount) for size, amount in zip(sizes, amounts, strict=True) if amount > 0]
        power = f"; to the power of {slope(*zip(*known, strict=True)):.2f}" if len(known) > 1 else ""
        lines += [f"Peak memory of a training step by {series}, autodiff: {words}{power}.", ""]
    verdicts = [(row["case"], target) for row in rows for target in row["targets"]]
    if verdicts:
        lines += ["| target | at most | measured | |", "|---|---|---|---|"]
        lines += [
            f"| {case}: {t['candidate']} / {t['against']} | {t['at_most']:g} | {t['ratio']:.2f} | {'reached' if t['reached'] else '**missed**'} |"
            for case, t in verdicts
        ]
        lines.append("")
    skipped = {f"{name} ({why})" for row in rows for name, why in row["skipped"].items()}
    if skipped:
        lines += [f"Did not take part: {', '.join(sorted(skipped))}.", ""]
    versions = ", ".join(f"{name} {version}" for name, version in where["versions"].items())
    lines += [
        f"{where['processor']}, {where['cores']} cores, load {'unknown' if where['load'] is None else format(where['load'], '.1f')} at the end; "
        f"{where['system']}; {where['python']}; {versions}; OpenBLAS kernels {where['blas'] or 'unknown'}; "
        f"{'wall' if settings['clock'] == 'wall' else 'processor'} time, {settings['seconds']:g} s a case, malloc {settings['malloc']}.",
        "",
    ]
    return lines


def plot(sections: dict[str, dict[str, Any]], path: Path) -> None:
    """One panel per section: every candidate's time relative to the baseline of its case, on a logarithmic axis.

    Raises
    ------
    ModuleNotFoundError
        If matplotlib is not installed; the message names the command that installs it.
    """
    try:
        import matplotlib
        from matplotlib.backends.backend_svg import FigureCanvasSVG
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("the plot needs matplotlib: pip install matplotlib") from error
    names = list(dict.fromkeys(name for section in sections.values() for row in section["rows"] for name in row["seconds"]))
    heights = [max(len(section["rows"]), 1) for section in sections.values()]
    with matplotlib.rc_context({"svg.hashsalt": "autodiff", "svg.fonttype": "none"}):
        figure = Figure(figsize=(10, 1.5 + 0.28 * sum(heights) + 0.7 * len(heights)), layout="constrained")
        FigureCanvasSVG(figure)
        panels = figure.subplots(len(heights), 1, squeeze=False, height_ratios=[h + 2 for h in heights])[:, 0]
        marks = "osD^vP*Xh<>d"
        for panel, section in zip(panels, sections.values(), strict=True):
            cases = [row["case"] for row in section["rows"]]
            for i, name in enumerate(names):
                points = [(row["seconds"][name]["ratio"], y) for y, row in enumerate(section["rows"]) if name in row["seconds"]]
                if points:
                    ours = name == "autodiff"
                    size, layer = (60, 3) if ours else (28, 2)
                    panel.scatter(
                        *zip(*points, strict=True), label=name, marker=marks[i % len(marks)], s=size, zorder=layer, color=f"C{i % 10}"
                    )
            panel.axvline(1, color="black", linewidth=0.8)
            panel.set_xscale("log")
            panel.set_yticks(range(len(cases)), cases, fontsize=7)
            panel.invert_yaxis()
            panel.grid(axis="x", which="both", alpha=0.25)
            panel.set_title(f"{TITLES[section['name']]}: time / baseline, {section['settings']['threads']} thread(s)", fontsize=9, loc="left")
        handles = {label: handle for panel in panels for handle, label in zip(*panel.get_legend_handles_labels(), strict=True)}
        figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=6, fontsize=7)
        figure.savefig(path, format="svg", metadata={"Date": None})


def write(found: dict[str, Any], settings: dict[str, Any], folder: Path) -> str:
    """Lay the results over what the folder's ``performance.json`` holds, and write the three files anew.

    Parameters
    ----------
    found : dict
        Per benchmark what its process left: ``rows``, and for growth ``bytes_per_node`` and ``peak_bytes``.
    settings : dict
        ``threads``, ``clock``, ``malloc``, ``seconds``; with ``only`` set, the cases measured replace their namesakes and the others stay.
    folder : Path
        Made if it is not there.

    Returns
    -------
    str
        The names of the files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "performance.json"
    sections: dict[str, dict[str, Any]] = json.loads(file.read_text()) if file.exists() else {}
    where = machine() | {"thread_variables": {name: os.environ[name] for name in VARIABLES if name in os.environ}}
    for name, result in found.items():
        key = f"{name}, {settings['threads']}"
        rows = result["rows"]
        if settings.get("only") and key in sections:
            new = {row["case"]: row for row in rows}
            rows = [new.pop(row["case"], row) for row in sections[key]["rows"]] + list(new.values())
            result = {**sections[key], **result}
        if rows:
            sections[key] = {**result, "name": name, "rows": rows, "settings": settings, "machine": where}
    sections = dict(sorted(sections.items(), key=lambda item: (list(TITLES).index(item[1]["name"]), item[1]["settings"]["threads"])))
    file.write_text(json.dumps(sections, indent=1) + "\n")
    (folder / "performance.md").write_text(markdown(sections))
    plot(sections, folder / "performance.svg")
    return ", ".join(str(folder / f"performance.{suffix}") for suffix in ("md", "json", "svg"))
