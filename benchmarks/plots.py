"""The plots of the performance pages: all cases at a glance, ratios to a baseline, and growth with size."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from benchmarks.harness import NUMPY_ALONE, is_ours
from benchmarks.parts import PARTS
from benchmarks.report import AGAINST, best_ratios, measured
from benchmarks.report import growth as exponents
from benchmarks.targets import COMPILED, JITTED

__all__ = ["growth", "ratios", "summary"]

Sections = Mapping[str, Mapping[str, Any]]

#: One colour and one mark per candidate in all plots; the library's own are red and large.
STYLES: dict[str, tuple[str, str]] = {
    "autodiff": ("#d62728", "D"),
    COMPILED: ("#8c0d12", "*"),
    JITTED: ("#fb6a4a", "v"),
    NUMPY_ALONE: ("#f08a5d", "d"),
    f"{COMPILED}, NumPy alone": ("#f08a5d", "p"),
    "textbook NumPy": ("#9a9a9a", "s"),
    "careful NumPy": ("#4d4d4d", "s"),
    "NumPy by hand": ("#4d4d4d", "s"),
    "NumPy in place": ("#9a9a9a", "s"),
    "Python floats by hand": ("#4d4d4d", "s"),
    "composed": ("#4d4d4d", "s"),
    "PyTorch": ("#1f77b4", "o"),
    "PyTorch, fused Adam": ("#6baed6", "o"),
    "PyTorch, fused": ("#6baed6", "o"),
    "PyTorch (torch.func)": ("#1f77b4", "o"),
    "torch.compile": ("#08306b", "h"),
    "JAX jit": ("#2ca02c", "^"),
    "autograd": ("#9467bd", "v"),
    "MyGrad": ("#bcbd22", "P"),
    "micrograd": ("#17becf", "X"),
}
OTHER = ("#e377c2", "<")

#: Parts drawn as ratios, in the order of the panels.
RATIOS = ("overhead", "scalar_chain", "chains", "training", "kernels")

_SETTINGS = {"svg.hashsalt": "autodiff", "svg.fonttype": "none", "font.size": 8, "font.family": "sans-serif"}


def _mark(panel: Axes, name: str, xs: Any, ys: Any, line: bool = False, label: str = "") -> None:
    colour, mark = STYLES.get(name, OTHER)
    ours = is_ours(name)
    size = 9 if mark == "*" else 6.5 if ours else 5
    panel.plot(
        xs,
        ys,
        linestyle="-" if line else "none",
        linewidth=1.6 if ours else 0.9,
        color=colour,
        marker=mark,
        markersize=size,
        markeredgecolor="white",
        markeredgewidth=0.5,
        label=label or name,
        zorder=3 if ours else 2,
        alpha=1.0 if ours else 0.85,
    )


def summary(sections: Sections, path: Path) -> bool:
    """A line a part, a mark for every case and every one that it is compared with.

    Returns
    -------
    bool
        Whether there was anything to draw.
    """
    parts = [section for section in sections.values() if section["threads"] == 1 and section["rows"]]
    if not parts:
        return False
    with matplotlib.rc_context(_SETTINGS):
        figure = Figure(figsize=(8, 1.2 + 0.45 * len(parts)), layout="constrained")
        FigureCanvasSVG(figure)
        panel = figure.subplots()
        for rival, shift, like in zip(
            AGAINST, (-0.25, 0.0, 0.25), ("careful NumPy", "PyTorch", "JAX jit"), strict=True
        ):
            colour, mark = STYLES[like]
            for y, section in enumerate(parts):
                found = list(best_ratios(section, AGAINST[rival]).values())
                panel.plot(
                    found,
                    [y + shift] * len(found),
                    linestyle="none",
                    marker=mark,
                    color=colour,
                    markersize=4,
                    alpha=0.7,
                )
            panel.plot([], [], linestyle="none", marker=mark, color=colour, label=f"to {rival}")
        panel.axvline(1, color="black", linewidth=0.8, zorder=1)
        panel.set_xscale("log")
        panel.set_yticks(range(len(parts)), [PARTS[section["name"]].title for section in parts])
        panel.set_ylim(len(parts) - 0.5, -0.5)
        ticks = [
            tick for tick in (0.01, 0.1, 0.2, 0.5, 1, 2, 5, 10) if panel.get_xlim()[0] <= tick <= panel.get_xlim()[1]
        ]
        panel.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        panel.set_xticks([], minor=True)
        panel.grid(axis="x", alpha=0.35, linewidth=0.6)
        panel.set_xlabel("our time / theirs")
        figure.legend(loc="outside lower center", ncols=3, frameon=False)
        figure.savefig(path, format="svg", metadata={"Date": None})
    return True


def ratios(sections: Sections, path: Path) -> bool:
    """Every candidate's time relative to the baseline of its case, one thread on the left and two on the right.

    Returns
    -------
    bool
        Whether there was anything to draw.
    """
    drawn = [
        name for name in RATIOS if any(section["name"] == name and section["rows"] for section in sections.values())
    ]
    if not drawn:
        return False
    counts = sorted({section["threads"] for section in sections.values() if section["name"] in drawn})
    heights = [max(len(section["rows"]) for section in sections.values() if section["name"] == name) for name in drawn]
    with matplotlib.rc_context(_SETTINGS):
        figure = Figure(
            figsize=(2.4 + 4.3 * len(counts), 1.4 + sum(0.27 * h + 0.55 for h in heights)), layout="constrained"
        )
        FigureCanvasSVG(figure)
        panels = figure.subplots(len(drawn), len(counts), squeeze=False, height_ratios=[h + 1.5 for h in heights])
        for name, across in zip(drawn, panels, strict=True):
            labelled = False
            for threads, panel in zip(counts, across, strict=True):
                section = sections.get(f"{name}, {threads}")
                if section is None or not section["rows"]:
                    panel.axis("off")
                    continue
                _ratios(panel, section, cases=not labelled)
                labelled = True
                title = (
                    f"{PARTS[name].title}, {threads} thread{'s' if threads > 1 else ''}: time /"
                    f" {section['rows'][0]['baseline']}"
                )
                panel.set_title(title, loc="left", fontsize=8)
        handles = {
            label: handle
            for panel in panels.flat
            for handle, label in zip(*panel.get_legend_handles_labels(), strict=True)
        }
        order = sorted(handles, key=lambda name: list(STYLES).index(name) if name in STYLES else len(STYLES))
        columns = 5 if len(counts) > 1 else 3
        figure.legend(
            [handles[name] for name in order],
            order,
            loc="outside lower center",
            ncols=columns,
            fontsize=8,
            frameon=False,
        )
        figure.savefig(path, format="svg", metadata={"Date": None})
    return True


def _ratios(panel: Axes, section: Mapping[str, Any], cases: bool) -> None:
    rows = section["rows"]
    for y, row in enumerate(rows):
        if y % 2:
            panel.axhspan(y - 0.5, y + 0.5, color="#f4f4f4", zorder=0)
        for name, timing in row["seconds"].items():
            if name != row["baseline"]:
                _mark(panel, name, [timing["ratio"]], [y])
    panel.axvline(1, color="black", linewidth=0.8, zorder=1)
    panel.set_xscale("log")
    panel.set_yticks(range(len(rows)), [row["case"].removeprefix("softmax ") for row in rows] if cases else [])
    panel.set_ylim(len(rows) - 0.5, -0.5)
    panel.tick_params(length=2)
    low, high = panel.get_xlim()
    ticks = [tick for tick in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100) if low <= tick <= high]
    panel.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    panel.set_xticks([], minor=True)
    panel.grid(axis="x", alpha=0.35, linewidth=0.6)


def growth(sections: Sections, path: Path) -> bool:
    """Time and memory against depth, width and batch, with the exponent of each candidate in the legend.

    Returns
    -------
    bool
        Whether there was anything to draw.
    """
    series = ("depth", "width", "batch")
    found: dict[tuple[str, bool], tuple[str, Any, Any]] = {}
    for key in ("graphs, 1", "memory, 1"):
        section = sections.get(key)
        if section is None:
            continue
        powers = exponents(section)
        for (along, what), points in measured(section).items():
            time = what == "time"
            if along in series and (time or what.startswith("peak")):
                found[along, time] = (what, points, powers.get((along, what), {}))
    if not found:
        return False
    with matplotlib.rc_context(_SETTINGS):
        figure = Figure(figsize=(11, 7), layout="constrained")
        FigureCanvasSVG(figure)
        panels = figure.subplots(2, 3, squeeze=False)
        for down, time in enumerate((True, False)):
            for panel, along in zip(panels[down], series, strict=True):
                if (along, time) not in found:
                    panel.axis("off")
                    continue
                _growth(panel, *found[along, time][1:], along=along, time=time)
        figure.savefig(path, format="svg", metadata={"Date": None})
    return True


def _growth(panel: Axes, points: Mapping[str, Any], powers: Mapping[str, float], *, along: str, time: bool) -> None:
    for name, pairs in points.items():
        power = f"  p = {round(powers[name], 2) + 0.0:.2f}" if name in powers else ""
        sizes, amounts = zip(*sorted(pairs), strict=True)
        _mark(panel, name, sizes, [a * 1e3 if time else a / 2**20 for a in amounts], line=True, label=name + power)
    panel.set_xscale("log", base=10 if along == "depth" else 2)
    panel.set_yscale("log")
    sizes = sorted({size for pairs in points.values() for size, _ in pairs})
    panel.set_xticks(sizes, [f"{size:,.0f}" for size in sizes])
    panel.set_xticks([], minor=True)
    what = ("forward + backward" if along == "depth" else "training step") if time else "peak memory"
    panel.set_title(f"{what} by {along}: {'ms' if time else 'MiB'}", loc="left", fontsize=9)
    panel.set_xlabel("operations" if along == "depth" else along)
    panel.grid(which="major", alpha=0.35, linewidth=0.6)
    panel.legend(fontsize=7, frameon=False)
