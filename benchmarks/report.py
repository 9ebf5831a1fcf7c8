"""What the benchmarks found, for a reader: ``docs/performance.md``, one table and one picture, and behind it
``docs/performance-details.md`` with every table and verdict, both made from figures that were stored.

Only what stands between two marks is written anew; the rest of the pages is kept by hand. The figures of a part that
was not run again stay, and every part tells when, where and from which state of the sources it was measured.
"""

from __future__ import annotations

import contextlib
import datetime
import importlib.metadata
import json
import os
import platform
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness import SHORT, duration, is_ours, table
from benchmarks.parts import PARTS
from benchmarks.targets import PROMISES, Promise, Verdict, anchor, judge
from benchmarks.threads import TUNED, VARIABLES

__all__ = ["BEGIN", "END", "amounts_table", "growth", "machine", "measured", "render", "slope", "store", "unexplained"]

BEGIN = "<!-- measured: `python -m benchmarks` writes what stands from here to the closing mark -->"
END = "<!-- measured: end -->"
LIBRARIES = ("numpy", "scipy", "torch", "jax", "autograd", "mygrad", "micrograd", "numba")

Sections = Mapping[str, Mapping[str, Any]]


# --- where and when --------------------------------------------------------------------------------------------------


def machine() -> dict[str, Any]:
    """The processor, system, libraries, BLAS kernels, threads, allocator and sources of this process, and the time."""
    from autodiff.performance import blas_core

    model = platform.processor()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = re.findall(r"^model name\s*:\s*(.+)$", info.read_text(), re.M)
        model = names[0] if names else model
    versions = {}
    for name in LIBRARIES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "pinned": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        "system": f"{platform.system()} {platform.machine()}, {' '.join(platform.libc_ver()) or 'unknown C library'}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "versions": versions,
        "blas": blas_core(),
        "load": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
        "variables": {
            name: os.environ[name]
            for name in (*VARIABLES, *TUNED, "OPENBLAS_CORETYPE", "AUTODIFF_KERNELS")
            if name in os.environ
        },
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": _commit(),
    }


def _commit() -> str:
    """The commit that the sources are at, with a plus where they were changed since."""

    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", *arguments], capture_output=True, text=True, check=True, cwd=Path(__file__).parent.parent
        )
        return done.stdout.strip()

    try:
        return git("rev-parse", "--short", "HEAD") + (
            "+" if git("status", "--porcelain", "--", "autodiff", "nn", "optim", "benchmarks/*.py") else ""
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


# --- figures ---------------------------------------------------------------------------------------------------------


def store(found: Sequence[dict[str, Any]], file: Path, *, whole: bool = True) -> dict[str, dict[str, Any]]:
    """Lay sections over what the file holds; returns all of them.

    Parameters
    ----------
    found : sequence of dict
        What the processes of the parts left.
    file : Path
        Made, with its folder, if it is not there.
    whole : bool
        False: only some cases were run; they replace their namesakes and the others stay.
    """
    sections = _load(file)
    for section in found:
        key = f"{section['name']}, {section['threads']}"
        old = sections.get(key)
        if old and not (section["rows"] or section["amounts"]):
            old["failures"] = [f"a later run: {failure}" for failure in section["failures"]]
            continue
        if old and not whole:
            section = section | {kind: _laid_over(old[kind], section[kind]) for kind in ("rows", "amounts")}
        sections[key] = section
    order = list(PARTS)
    sections = dict(sorted(sections.items(), key=lambda item: (order.index(item[1]["name"]), item[1]["threads"])))
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(_rounded(sections), indent=1) + "\n")
    return sections


def _load(file: Path) -> dict[str, dict[str, Any]]:
    return json.loads(file.read_text()) if file.exists() else {}


def _laid_over(old: Sequence[dict[str, Any]], new: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    fresh = {(row["case"], row.get("what")): row for row in new}
    return [fresh.pop((row["case"], row.get("what")), row) for row in old] + list(fresh.values())


def _rounded(value: Any) -> Any:
    """Five significant digits: the file is read by people, too."""
    if isinstance(value, dict):
        return {key: _rounded(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_rounded(part) for part in value]
    return float(f"{value:.5g}") if isinstance(value, float) else value


def slope(sizes: Sequence[float], amounts: Sequence[float]) -> float:
    """The exponent p of ``amount ~ size^p``, by least squares on logarithms.

    Examples
    --------
    >>> round(slope([1, 10, 100], [2, 20, 200]), 6)
    1.0
    """
    return float(np.polyfit(np.log(sizes), np.log(amounts), 1)[0])


def measured(section: Mapping[str, Any]) -> dict[tuple[str, str], dict[str, list[tuple[float, float]]]]:
    """For every series of cases that differ in size, and what was measured (``"time"`` or an amount), each candidate's
    ``(size, whole amount)``.

    What a table gives per operation or per node is multiplied out, so that an exponent tells how the whole grows.
    """
    found: dict[tuple[str, str], dict[str, list[tuple[float, float]]]] = {}

    def put(series: str, what: str, name: str, size: float, amount: float) -> None:
        if series and amount > 0:
            found.setdefault((series, what), {}).setdefault(name, []).append((size, amount))

    for row in section["rows"]:
        for name, timing in row["seconds"].items():
            put(row["series"], "time", name, row["size"], timing["median"] * row["per"])
    for row in section["amounts"]:
        for name, value in row["values"].items():
            put(
                row["series"], row["what"], name, row["size"], value * row["size"] if "a node" in row["what"] else value
            )
    return found


def growth(section: Mapping[str, Any]) -> dict[tuple[str, str], dict[str, float]]:
    """The exponents of :func:`measured`, where there are at least two sizes."""
    found = {}
    for key, candidates in measured(section).items():
        powers = {name: slope(*zip(*points, strict=True)) for name, points in candidates.items() if len(points) > 1}
        if powers:
            found[key] = powers
    return found


# --- the page --------------------------------------------------------------------------------------------------------


def render(results: Path, folder: Path) -> list[str]:
    """Write the page and its plots from the stored figures; returns lines that say what was written and what is still
    wanted.

    Parameters
    ----------
    results : Path
        The file that :func:`store` writes.
    folder : Path
        Holds the two pages, whose text outside the marks stays; made if they are not there.
    """
    sections = _load(results)
    folder.mkdir(parents=True, exist_ok=True)
    short, details = (_Page(folder / f"performance{end}.md", title) for end, title in _PAGES.items())
    pictures = _plots(sections, folder)
    first = {name: caption for name, caption in pictures.items() if name == "performance.svg"}
    rest = {name: caption for name, caption in pictures.items() if name not in first}
    short.write(summary(sections, first))
    details.write(_markdown(sections, rest, details.after))
    written = [short.path.name, details.path.name, *pictures]
    if (folder / "index.md").exists():
        _Page(folder / "index.md", "").write(gains(sections))
        written.append("index.md")
    lines = [f"written: {', '.join(str(folder / name) for name in written)}"]
    wanted = unexplained(details.path.read_text(), sections)
    if wanted:
        lines.append(
            "missed, and not yet explained on the page under a heading '### Limit: TOPIC': " + ", ".join(wanted)
        )
    return lines


_PAGES = {"": "Performance", "-details": "Performance, figure by figure"}


class _Page:
    """A page, of which what stands between the marks is written anew."""

    def __init__(self, path: Path, title: str) -> None:
        self.path = path
        text = path.read_text() if path.exists() else f"# {title}\n\n{BEGIN}\n{END}\n"
        self.before, begin, rest = text.partition(BEGIN)
        _, end, self.after = rest.partition(END)
        if not (begin and end):
            raise ValueError(f"{path} lacks the marks between which the figures are written:\n{BEGIN}\n{END}")

    def write(self, text: str) -> None:
        """Put a text between the marks."""
        self.path.write_text(f"{self.before}{BEGIN}\n\n{text}\n{END}{self.after}")


#: Whom the summary compares with: a heading, and what the candidates' names begin with.
AGAINST = {"NumPy by hand": ("careful NumPy", "NumPy by hand"), "PyTorch": ("PyTorch", "torch"), "JAX": ("JAX",)}


def best_ratios(section: Mapping[str, Any], names: Sequence[str]) -> dict[str, float]:
    """For every case the time of the library's best form over the best of the candidates whose names begin so."""
    found = {}
    for row in section["rows"]:
        medians = {name: timing["median"] for name, timing in row["seconds"].items()}
        ours = min(filter(is_ours, medians), key=medians.__getitem__, default=None)
        theirs = min((n for n in medians if n.startswith(tuple(names))), key=medians.__getitem__, default=None)
        if ours and theirs:
            found[row["case"]] = row["ratios"][ours][theirs]
    return found


#: Parts that the first page tells of, and what their cases are called there.
GAINS = {
    "training": "training steps of small networks",
    "gradbench": "programs of GradBench",
    "adbench": "programs of ADBench",
    "jacobians": "Jacobians and Hessians",
    "sequences": "models of sequences",
}


def gains(sections: Sections) -> str:
    """What the first page says: the share of PyTorch's and of JAX's time, and in how many cases it is less."""
    lines = ["| programs | of PyTorch's time | of JAX's, compiled |", "|---|---|---|"]
    for name, words in GAINS.items():
        section = sections.get(f"{name}, 1")
        if section is None:
            continue
        cells = []
        for rival in ("PyTorch", "JAX"):
            values = sorted(best_ratios(section, AGAINST[rival]).values())
            less = sum(value < 1 for value in values)
            cells.append(f"{float(np.median(values)):.2f}; less in {less} of {len(values)}" if values else "")
        lines.append(f"| {len(section['rows'])} {words} | {' | '.join(cells)} |")
    return "\n".join([*lines, "", "Medians at one thread on a CPU, the library's best form over the other's best.", ""])


def _ratio(value: float) -> str:
    return f"{value:.2f}" if value >= 0.1 else f"{value:.1g}"


def summary(sections: Sections, pictures: Mapping[str, str]) -> str:
    """One table: a line a part, at one thread."""
    lines = [
        "Time of the library's best form, eager, compiled or jitted, over the best form of the other, at one thread:"
        " the median over the cases, and from the best to the worst. Below 1 we win.",
        "",
        f"| what | cases | {' | '.join(f'to {name}' for name in AGAINST)} | where we lose most |",
        "|---" * (len(AGAINST) + 3) + "|",
    ]
    for section in sections.values():
        if section["threads"] != 1 or not section["rows"]:
            continue
        cells, worst = [], (1.0, "")
        for rival, names in AGAINST.items():
            ratios = best_ratios(section, names)
            values = sorted(ratios.values())
            cells.append(
                f"**{_ratio(float(np.median(values)))}** ({_ratio(values[0])} to {_ratio(values[-1])})"
                if values
                else ""
            )
            worst = max([worst, *((ratio, f"{case}: {ratio:.1f} of {rival}") for case, ratio in ratios.items())])
        if any(cells):
            title = PARTS[section["name"]].title
            lines.append(f"| {title} | {len(section['rows'])} | {' | '.join(cells)} | {worst[1]} |")
    where = [section["machine"] for section in sections.values() if section.get("machine")]
    if where:
        loads = [one["load"] for one in where if one["load"] is not None]
        busy = f" The load was up to {max(loads):g}: only the ratios mean anything." if loads and max(loads) > 2 else ""
        lines += ["", f"Measured at {where[0]['commit']}, {where[0]['date']}; {where[0]['processor']}.{busy}"]
    for name, caption in pictures.items():
        lines += ["", f"![{caption}]({name})", "", f"*{caption}.*"]
    return "\n".join([*lines, ""])


def _plots(sections: Sections, folder: Path) -> dict[str, str]:
    """File names and captions of the plots; none where matplotlib is not installed."""
    try:
        from benchmarks import plots
    except ModuleNotFoundError as error:
        print(f"no plots: {error}")
        return {}
    made: dict[str, str] = {}
    for name, caption, draw in (
        (
            "performance.svg",
            "Our best form over the best of NumPy by hand, PyTorch and JAX, case by case; left of the line we win",
            plots.summary,
        ),
        (
            "performance-ratios.svg",
            "Time by case, divided by the baseline's, on a logarithmic axis; further left is faster",
            plots.ratios,
        ),
        (
            "performance-growth.svg",
            "Time and memory by depth, width and batch, both axes logarithmic; lower is better",
            plots.growth,
        ),
    ):
        if draw(sections, folder / name):
            made[name] = caption
    return made


def unexplained(page: str, sections: Sections) -> list[str]:
    """Topics with a missed figure that no heading ``### Limit: topic`` on the page answers."""
    return [
        topic
        for topic, verdicts in _topics(sections)
        if any(_missed(v) for v in verdicts) and f"\n### Limit: {topic}\n" not in page
    ]


def _topics(sections: Sections) -> Iterator[tuple[str, list[Verdict]]]:
    for topics in PROMISES.values():
        for topic, promises in topics.items():
            yield topic, [verdict for promise in promises for verdict in judge(promise, sections)]


def _missed(verdict: Verdict) -> bool:
    return verdict.measured is not None and not verdict.reached


def _markdown(sections: Sections, pictures: Mapping[str, str], by_hand: str) -> str:
    lines = _where(sections)
    for name, caption in pictures.items():
        lines += [f"![{caption}]({name})", "", f"*{caption}.*", ""]
    lines += _promises(sections, by_hand)
    for name, part in PARTS.items():
        found = [section for section in sections.values() if section["name"] == name]
        if found:
            lines += [f"## {part.title}", "", part.about, ""]
            for section in found:
                lines += _section(section, several=len(found) > 1 or section["threads"] > 1)
    return "\n".join(lines)


def _where(sections: Sections) -> list[str]:
    """The machine once, if it is one, and how each part was run."""
    lines = ["## Where and how this was measured", ""]
    if not sections:
        return [*lines, "Nothing was measured yet: run `python -m benchmarks`.", ""]
    machines: dict[str, list[str]] = {}
    for key, section in sections.items():
        where = section.get("machine")
        if where:
            versions = ", ".join(f"{name} {version}" for name, version in where["versions"].items())
            words = f"{where['processor']}, {where['cores']} cores; {where['system']}; {where['python']}; {versions}; "
            words += f"OpenBLAS kernels {where['blas'] or 'unknown'}."
            machines.setdefault(words, []).append(key)
    for words, keys in machines.items():
        lines += [words if len(machines) == 1 else f"{'; '.join(keys)}: {words}", ""]
    lines += [
        (
            "Every part runs in a process of its own, nothing beside it. Candidates take turns within the process, in"
            " rotating order, each turn an untimed call and then about two milliseconds, or one call; a cell gives the"
            " median, half the interquartile range, and after the dot the median over rounds of the ratio to the"
            " baseline *of the same round*. Every candidate's result was compared with the hand-written reference"
            " before it was timed. The garbage collector is on. The process is pinned to as many cores as it may use"
            " threads; with two threads there is a pause of 30 ms before each turn, so that another library's spinning"
            " threads do not count, and 20 ms of untimed calls after it, since a second core that has slept takes some"
            " ten to be of use. Lower is better; us are microseconds."
        ),
        "",
        (
            "| part | threads | pinned to cores | seconds a case | clock | malloc | load at the end | measured | commit"
            " | took |"
        ),
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for section in sections.values():
        where, how = section.get("machine", {}), section.get("settings", {})
        cells = [
            section["name"],
            section["threads"],
            where.get("pinned"),
            f"{how['seconds']:g}" if section["rows"] and how else "",
            how.get("clock"),
            how.get("malloc"),
            where.get("load"),
            where.get("date"),
            where.get("commit"),
            f"{section.get('took', 0):.0f} s",
        ]
        lines.append("| " + " | ".join("" if cell is None else str(cell) for cell in cells) + " |")
    failures = [f"- {key}: {failure}" for key, section in sections.items() for failure in section["failures"]]
    if failures:
        lines += ["", "What failed:", "", *failures]
    return [*lines, ""]


def _promises(sections: Sections, by_hand: str) -> list[str]:
    everything = [verdict for _, verdicts in _topics(sections) for verdict in verdicts]
    known = [verdict for verdict in everything if verdict.measured is not None]
    lines = [
        "## Targets, kept and missed",
        "",
        (
            f"Of {len(everything)} figures {sum(v.reached for v in known)} are within their target,"
            f" {sum(_missed(v) for v in known)} miss it, {len(everything) - len(known)} were not measured. A figure is"
            " the ratio of the first to the second, unless a unit is given."
        ),
        "",
    ]
    for chapter, topics in PROMISES.items():
        lines += [
            f"### {chapter}",
            "",
            "| topic | figure | at most | measured | kept | missed |",
            "|---|---|---|---|---|---|",
        ]
        cases = []
        for topic, promises in topics.items():
            name = f"[{topic}](#{anchor(topic)})" if f"\n### Limit: {topic}\n" in by_hand else topic
            for promise in promises:
                for threads in promise.threads:
                    verdicts = [v for v in judge(promise, sections) if v.threads == threads]
                    lines.append(
                        f"| {name} | {_words(promise, threads)} | {_figure(promise, promise.at_most)} |"
                        f" {_summary(promise, verdicts)} |"
                    )
                    name = ""
                    cases += [
                        f"| {v.case} | {_words(promise, threads)} | {_figure(promise, promise.at_most)} |"
                        f" {_figure(promise, v.measured)} |"
                        f" {'not measured' if v.measured is None else 'kept' if v.reached else '**missed**'} |"
                        for v in verdicts
                    ]
        lines += [
            "",
            "<details><summary>Case by case</summary>",
            "",
            "| case | figure | at most | measured | |",
            "|---|---|---|---|---|",
            *cases,
            "",
            "</details>",
            "",
        ]
    return lines


def _words(promise: Promise, threads: int) -> str:
    words = f"{promise.candidate} / {promise.against}" if promise.against else promise.candidate
    words += f", {promise.what}" if promise.what else f" ({PARTS[promise.part].title.lower()})"
    return words + (f", {threads} threads" if threads > 1 else "")


def _figure(promise: Promise, value: float | None) -> str:
    if value is None:
        return ""
    if promise.against:
        return f"{value:.2f}"
    return _amount(promise.what, value) if promise.what else duration(value)


def _summary(promise: Promise, verdicts: Sequence[Verdict]) -> str:
    figures = sorted(v.measured for v in verdicts if v.measured is not None)
    span = (
        _figure(promise, figures[0]) + (f" to {_figure(promise, figures[-1])}" if len(figures) > 1 else "")
        if figures
        else "not measured"
    )
    missed = "; ".join(f"{v.case} **{_figure(promise, v.measured)}**" for v in verdicts if _missed(v))
    absent = len(verdicts) - len(figures)
    return (
        f"{span} | {sum(v.reached for v in verdicts)} of {len(verdicts)} |"
        f" {missed}{f' ({absent} not measured)' if absent and figures else ''}"
    )


def _section(section: Mapping[str, Any], several: bool) -> list[str]:
    rows: Sequence[dict[str, Any]] = section["rows"]
    lines = (
        [f"### {PARTS[section['name']].title}: {section['threads']} thread{'s' if section['threads'] > 1 else ''}", ""]
        if several
        else []
    )
    # A table has one baseline and one series throughout.
    for series, baseline in dict.fromkeys((row["series"], row["baseline"]) for row in rows):
        lines += [
            f"Baseline: {baseline}.",
            "",
            table([row for row in rows if (row["series"], row["baseline"]) == (series, baseline)]),
        ]
    for what in dict.fromkeys(row["what"] for row in section["amounts"]):
        lines += [
            f"{what[0].upper()}{what[1:]}:",
            "",
            amounts_table([row for row in section["amounts"] if row["what"] == what]),
        ]
    powers = growth(section)
    if powers:
        lines += [
            "How fast it grows: the exponent p of size^p, by least squares over all sizes.",
            "",
            _powers_table(powers),
            "",
        ]
    verdicts = [(row["case"], target) for row in rows for target in row["targets"]]
    if verdicts:
        lines += ["| this part's own aims | at most | measured | |", "|---|---|---|---|"]
        lines += [
            f"| {case}: {t['candidate']} / {t['against']} | {t['at_most']:g} | {t['ratio']:.2f} |"
            f" {'reached' if t['reached'] else '**missed**'} |"
            for case, t in verdicts
        ]
        lines.append("")
    skipped = {
        (name, why) for row in (*rows, *section["amounts"]) for name, why in row["skipped"].items() if len(why) > SHORT
    }
    if skipped:
        lines += [f"Did not take part: {', '.join(f'{name} ({why})' for name, why in sorted(skipped))}.", ""]
    return lines


def _powers_table(powers: Mapping[tuple[str, str], Mapping[str, float]]) -> str:
    names = list(dict.fromkeys(name for candidates in powers.values() for name in candidates))
    lines = ["| | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    for (series, what), candidates in powers.items():
        cells = [f"{round(candidates[name], 2) + 0.0:.2f}" if name in candidates else "" for name in names]
        lines.append(f"| {what} by {series} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def amounts_table(rows: Sequence[dict[str, Any]]) -> str:
    """A Markdown table of amounts, cases in rows, candidates in columns.

    Parameters
    ----------
    rows : sequence of dict
        As ``benchmarks.memory.amounts`` yields them, all of one ``what``.
    """
    names = list(dict.fromkeys(name for row in rows for name in (*row["values"], *row["skipped"])))
    lines = ["| " + " | ".join(["case", *names]) + " |", "|---" * (len(names) + 1) + "|"]
    for row in rows:
        cells = []
        for name in names:
            if name in row["values"]:
                text = _amount(row["what"], row["values"][name])
                cells.append(f"**{text}**" if is_ours(name) else text)
            else:
                why = row["skipped"].get(name, "")
                cells.append(why if len(why) <= SHORT else "—")
        lines.append("| " + " | ".join([row["case"], *cells]) + " |")
    return "\n".join([*lines, ""])


def _amount(what: str, value: float) -> str:
    if "instructions" in what:
        return f"{value:,.0f}"
    if "seconds" in what:
        return duration(value)
    if "calls" in what or "times as long" in what:
        return f"{value:.2f}" if value < 10 else f"{value:.0f}"
    if "a node" in what:
        return f"{value:,.0f} B"
    for unit, scale in (("MiB", 2**20), ("KiB", 2**10)):
        if value >= scale:
            return f"{value / scale:,.1f} {unit}"
    return f"{value:,.0f} B"
