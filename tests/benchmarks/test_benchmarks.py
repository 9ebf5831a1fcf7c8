"""Every benchmark runs and its candidates agree with the reference; nothing is timed. What is written about figures
says what they are.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from benchmarks import graphs, harness, interpreter, report, sides, targets
from benchmarks.allocations import counted
from benchmarks.compiled import put
from benchmarks.harness import Candidate, Contest
from benchmarks.parts import PARTS

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def benchmarks(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments], capture_output=True, text=True, cwd=ROOT, env=ENVIRONMENT
    )


@pytest.mark.parametrize("name", PARTS)
def test_quick_mode(name: str) -> None:
    result = benchmarks("--quick", name)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "FAILED" not in result.stdout
    of_tables_alone = {
        "solo": "CS231n, plain",
        "memory": "100 nodes",
        "interpreter": "batch 6",
        "growth": "parts joined",
        "costs": "small net",
    }
    assert of_tables_alone.get(name, "candidates agree") in result.stdout


# --- the harness -----------------------------------------------------------------------------------------------------


def contest(**changes: object) -> Contest:
    right = lambda: [np.ones(3)]
    made = Contest(
        "b", "c", [Candidate("by hand", right, right), Candidate("autodiff", right, right)], reference="by hand"
    )
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def wrong() -> list[object]:
    return [np.array([1.0, np.nan, 1.0])]


def test_a_rival_that_is_wrong_or_fails_takes_no_part_and_the_others_go_on() -> None:
    def fails() -> list[object]:
        raise RuntimeError("no compiler\nmore")

    made = contest()
    made.candidates += [Candidate("wrong", wrong, wrong), Candidate("fails", fails, fails)]
    result = harness.measure(made, seconds=0.0)
    assert set(result.timings) == {"by hand", "autodiff"}
    assert result.skipped["fails"] == "no compiler"
    assert "wrong: array 0 differs" in result.skipped["wrong"]


def test_the_library_being_wrong_is_an_error() -> None:
    made = contest()
    made.candidates[1] = Candidate("autodiff", wrong, wrong)
    for run in (lambda: harness.measure(made, seconds=0.0), lambda: harness.quick_check(made)):
        with pytest.raises(harness.Disagreement, match="autodiff: array 0 differs"):
            run()


def test_what_is_timed_once_counts_against_the_others_medians() -> None:
    def slow() -> float:
        return 5.0

    def too_slow() -> float:
        raise RuntimeError("over 100 s")

    result = harness.measure(contest(once={"slow": slow, "slower": too_slow}, per=10), seconds=0.0)
    assert (result.timings["slow"].median, result.timings["slow"].rounds) == (0.5, 1)
    assert result.ratios["autodiff"]["slow"] == result.timings["autodiff"].median / 0.5
    text = harness.table([result.as_json()])
    assert "500 ms once" in text
    assert "over 100 s" in text


def test_a_short_call_is_made_once_untimed_at_the_start_of_a_turn_and_a_long_one_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls = {0.0: 0, 1.0: 0}

    def count(cold: float) -> None:
        calls[cold] += 1

    for cold in calls:
        monkeypatch.setattr(harness, "COLD", cold)
        made = contest(candidates=[Candidate("by hand", lambda cold=cold: count(cold), lambda: [np.ones(1)])])  # type: ignore[misc]
        harness.measure(made, seconds=0.0, turn=0.0)
    assert calls[1.0] == calls[0.0] + made.rounds


def test_after_a_rest_a_turn_wakes_the_cores_untimed(monkeypatch: pytest.MonkeyPatch) -> None:
    def calls(waking: float) -> int:
        made = contest(candidates=[Candidate("by hand", lambda: stamps.append(1), lambda: [np.ones(1)])])
        stamps: list[int] = []
        monkeypatch.setattr(harness, "WAKING", waking)
        harness.measure(made, seconds=0.0, turn=0.0, rest=1e-4)
        return len(stamps)

    assert calls(5e-3) > 10 * calls(0.0)


def test_a_pass_made_once_is_compared() -> None:
    pytest.importorskip("autograd", reason="a rival to be timed")
    assert graphs._once("autograd", 100) > 0


def test_array_data_is_counted_to_the_byte_and_outlives_the_count() -> None:
    bits = np.random.SFC64(1)
    with counted() as blocks:
        a = np.zeros(1000)
        b = np.concatenate([a, a])
        assert (blocks.live, blocks.peak, blocks.largest) == (24_000, 24_000, 16_000)
        del a
        blocks.restart()
        c = bits.random_raw(100)
        assert (blocks.live, blocks.peak, blocks.largest) == (16_800, 16_800, 800)
    kept = b.copy()
    b.resize(10, refcheck=False)
    np.testing.assert_array_equal(b, kept[:10])
    del b, c


def test_the_interpreters_instructions_are_counted_by_function_and_the_same_every_time() -> None:
    def inner() -> int:
        return 1

    def outer() -> int:
        return inner() + inner()

    before = sys.gettrace()
    instructions, entries = interpreter.counted(outer)
    assert (entries[outer.__code__], entries[inner.__code__]) == (1, 2)
    assert instructions[outer.__code__] > instructions[inner.__code__] > 1
    assert instructions[inner.__code__] == 2 * interpreter.counted(inner)[0][inner.__code__]
    assert interpreter.counted(outer) == (instructions, entries)
    assert sys.gettrace() is before


# --- what is promised, and what is said about it ---------------------------------------------------------------------


def row(case: str, ours: float, series: str = "", size: float = 0.0) -> dict[str, object]:
    def timing(seconds: float, ratio: float) -> dict[str, float]:
        return {"median": seconds, "low": seconds * 0.9, "high": seconds * 1.1, "rounds": 15, "ratio": ratio}

    return {
        "benchmark": "overhead",
        "case": case,
        "baseline": "NumPy by hand",
        "per": 1,
        "series": series,
        "size": size,
        "seconds": {"NumPy by hand": timing(1e-3, 1.0), "autodiff": timing(ours, ours / 1e-3)},
        "ratios": {"autodiff": {"NumPy by hand": ours / 1e-3}},
        "targets": [
            {
                "candidate": "autodiff",
                "against": "NumPy by hand",
                "at_most": 3.0,
                "ratio": ours / 1e-3,
                "reached": ours < 3e-3,
            }
        ],
        "skipped": {"JAX jit": "jax is not installed on this machine"},
    }


def amount(what: str, case: str, size: float, **values: float) -> dict[str, object]:
    return {
        "what": what,
        "case": case,
        "series": "depth",
        "size": size,
        "values": values,
        "skipped": {"micrograd": "RecursionError"},
    }


def section(name: str, rows: list[object], amounts: list[object] | None = None, threads: int = 1) -> dict[str, object]:
    settings = {"clock": "cpu", "malloc": "default", "seconds": 3.0}
    return {
        "name": name,
        "threads": threads,
        "rows": rows,
        "amounts": amounts or [],
        "failures": [],
        "settings": settings,
        "machine": report.machine(),
        "took": 12.0,
    }


def test_a_promise_whose_figure_is_missing_is_not_kept() -> None:
    promise = targets.Promise("overhead", ("1 element", "2 elements"), 2.2, "NumPy by hand", threads=(1, 2))
    verdicts = targets.judge(promise, {"overhead, 1": section("overhead", [row("1 element", 2e-3)])})
    assert [(v.threads, v.case, v.measured, v.reached) for v in verdicts] == [
        (1, "1 element", 2.0, True),
        (1, "2 elements", None, False),
        (2, "1 element", None, False),
        (2, "2 elements", None, False),
    ]


def test_a_promise_about_everybody_counts_the_cases_in_which_both_took_part() -> None:
    promise = targets.Promise("overhead", (), 1.0, "PyTorch")
    assert targets.judge(promise, {"overhead, 1": section("overhead", [row("1 element", 2e-3)])}) == []


def test_promises_name_parts_and_cases_that_exist() -> None:
    found = [promise for topics in targets.PROMISES.values() for promises in topics.values() for promise in promises]
    assert {promise.part for promise in found} <= set(PARTS)
    for promise in found:
        assert set(promise.threads) <= set(PARTS[promise.part].threads)
    kernels = (ROOT / "benchmarks" / "kernels.py").read_text()
    for case in targets.KERNELS:  # each is made of a word and numbers there
        assert case.split()[0].rstrip(",") in kernels


def test_the_page_says_what_was_measured_and_keeps_what_is_written_by_hand(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="the page's plots need matplotlib")
    results, docs = tmp_path / "results" / "r.json", tmp_path / "docs"
    docs.mkdir()
    page = docs / "performance-details.md"
    limit = "\n### Limit: elementwise arrays\n\nWritten by hand.\n"
    page.write_text(f"# Speed\n\nAdvice.\n\n{report.BEGIN}\nold\n{report.END}\n{limit}")
    rows = [row("4,096 elements", 1e-3, "depth", 1_000), row("65,536 elements", 4e-3, "depth", 10_000)]
    amounts = [
        amount(targets.HELD, "1,000 nodes", 1_000, autodiff=160.4),
        amount(targets.HELD, "10,000 nodes", 10_000, autodiff=160.4),
    ]
    report.store([section("overhead", rows), section("memory", [], amounts)], results)
    lines = report.render(results, docs)
    text = page.read_text()
    assert text.startswith("# Speed\n\nAdvice.\n")
    assert text.endswith(limit)
    assert "old" not in text
    assert "| [elementwise arrays](#limit-elementwise-arrays) |" in text
    assert "| 1.00 to 4.00 | 1 of 2 | 65,536 elements **4.00** |" in text
    assert "not yet explained" not in "".join(lines)
    assert "| 65,536 elements: autodiff / NumPy by hand | 3 | 4.00 | **missed** |" in text
    assert "| time by depth | 0.00 | 0.60 |" in text
    assert f"| {targets.HELD} by depth | 1.00 |" in text
    assert "| 1,000 nodes | **160 B** | RecursionError |" in text
    assert "JAX jit (jax is not installed on this machine)" in text
    assert "numpy" in text
    for name in re.findall(r"\]\((performance.*?\.svg)\)", text):
        ElementTree.parse(docs / name)
    assert "autodiff" in (docs / "performance-ratios.svg").read_text()
    short = (docs / "performance.md").read_text()
    assert "| One elementwise operation | 2 | **2.50** (1.00 to 4.00) |" in short
    assert "65,536 elements: 4.0 of NumPy by hand" in short
    ElementTree.parse(docs / "performance.svg")

    # One case measured again, another part, and a part that failed: the rest stays.
    report.store([section("overhead", [row("65,536 elements", 2e-3, "depth", 10_000)])], results, whole=False)
    report.store([section("kernels", [row("a", 1e-3)], threads=2)], results)
    report.store([section("memory", []) | {"failures": ["stopped after 1 s"]}], results)
    kept = json.loads(results.read_text())
    assert list(kept) == ["overhead, 1", "kernels, 2", "memory, 1"]
    assert [r["seconds"]["autodiff"]["median"] for r in kept["overhead, 1"]["rows"]] == [1e-3, 2e-3]
    page.write_text(page.read_text().replace("### Limit", "### Remark"))
    lines = report.render(results, docs)
    assert "elementwise arrays" in lines[-1]
    text = page.read_text()
    assert "Kernels: 2 threads" in text
    assert "- memory, 1: a later run: stopped after 1 s" in text


def test_a_page_without_marks_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "performance.md").write_text("all by hand")
    with pytest.raises(ValueError, match="lacks the marks"):
        report.render(tmp_path / "none.json", tmp_path)
    assert (tmp_path / "performance.md").read_text() == "all by hand"


def test_a_run_writes_figures_and_page_and_the_page_can_be_written_anew(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="the page's plots need matplotlib")
    places = ["--results", str(tmp_path / "r.json"), "--out", str(tmp_path)]
    result = benchmarks(
        "overhead", "--only", "1 element", "--seconds", "0.01", "--clock", "cpu", "--threads", "1", "--crowded", *places
    )
    assert result.returncode == 0, result.stdout + result.stderr
    page = (tmp_path / "performance-details.md").read_text()
    assert "## One elementwise operation\n" in page
    assert "| one element | autodiff / NumPy by hand (one elementwise operation) | 2.20 |" in page
    assert len(json.loads((tmp_path / "r.json").read_text())["overhead, 1"]["rows"]) == 1
    short = (tmp_path / "performance.md").read_text()
    assert "| One elementwise operation | 1 |" in short
    for name in ("performance.md", "performance-details.md"):
        (tmp_path / name).unlink()
    assert benchmarks("--render", *places).returncode == 0
    assert (tmp_path / "performance-details.md").read_text() == page
    assert (tmp_path / "performance.md").read_text() == short


def test_a_part_that_fails_or_takes_too_long_is_told_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import dataclasses

    from benchmarks import __main__ as command

    names = ["overhead", "graphs"]
    for name in names:
        monkeypatch.setitem(PARTS, name, dataclasses.replace(PARTS[name], limit=0.1))
    assert command.main([*names, "--threads", "1", "--results", str(tmp_path / "r.json"), "--out", str(tmp_path)]) == 2
    stored = json.loads((tmp_path / "r.json").read_text())
    for name in names:
        assert stored[f"{name}, 1"]["failures"] == ["stopped after 0.1 s; what is missing was not measured"]


def test_the_page_in_the_repository_has_room_for_figures() -> None:
    for name in ("performance.md", "performance-details.md"):
        text = (ROOT / "docs" / name).read_text()
        assert text.index(report.BEGIN) < text.index(report.END)


def test_pictures_of_both_libraries_are_drawn() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "benchmarks.pictures", "--quick"], capture_output=True, text=True, cwd=ROOT
    )
    assert result.returncode == 0, result.stdout + result.stderr
    rows = [line.split() for line in result.stdout.splitlines() if "autodiff" in line]
    assert [row[2] for row in rows] == ["DOT", "SVG", "page"]
    assert all(float(row[3]) < 5 for row in rows)


def test_what_a_module_measured_stands_between_its_marks_on_a_page(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- measured: python -m some.module -->\nold\n<!-- end of what is measured -->\nafter\n")
    put(page, "some.module", "| new |")
    text = page.read_text()
    assert text.startswith("before\n<!-- measured: python -m some.module -->\n\n| new |\n")
    assert text.endswith("<!-- end of what is measured -->\nafter\n")
    assert "old" not in text
    with pytest.raises(ValueError, match=r"page\.md has no marks of another"):
        put(page, "another", "| new |")
    assert page.read_text() == text


def test_both_sides_of_a_jacobian_are_measured_by_shape():
    lines = sides.measured(((2, 3), (4, 1)), 0.01).splitlines()
    assert lines[0] == "| outputs x inputs | the function | `jacfwd` | `jacrev` |"
    assert [line.split("|")[1].strip() for line in lines[2:4]] == ["2 x 3", "4 x 1"]
