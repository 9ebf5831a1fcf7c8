"""Histories, reports and verifications as tables in notebooks."""

from __future__ import annotations

from xml.etree import ElementTree

import numpy as np

import optim
from autodiff.tables import html_table
from autodiff.testing import check_gradients, check_pair, verify


def rows(shown: object) -> list[list[str]]:
    """The cells of the one table of what a notebook shows; it must be well formed."""
    tree = ElementTree.fromstring(f"<div>{shown._repr_html_()}</div>")  # type: ignore[attr-defined]
    return [[cell.text or "" for cell in row] for row in tree.iter("tr")]


def test_a_history_has_a_row_for_each_epoch() -> None:
    history = optim.History(loss=[2.0, 1.0, 0.5], seconds=[0.1, 0.2], steps=[2, 1], train_accuracy=[0.25])
    head, first, second = rows(history)
    assert dict(zip(head, first, strict=True))["mean loss"] == "1.5"
    assert dict(zip(head, second, strict=True)) | {"train accuracy": ""} == dict(zip(head, second, strict=True))


def test_a_report_shows_the_wrong_argument_and_the_hint() -> None:
    wrong = lambda dout, cache: (dout @ cache[1].T, 2 * cache[0].T @ dout)
    x, w = np.arange(6.0).reshape(2, 3), np.linspace(1, 2, 6).reshape(3, 2)
    report = check_pair(lambda x, w: (x @ w, (x, w)), wrong, [x, w], raises=False)
    verdicts = {row[2]: row[0] for row in rows(report)[1:] if row[1] == "1"}
    assert verdicts["argument 0"] == "pass"
    assert verdicts["argument 1"] == "fail"
    assert "hint: argument 1" in report._repr_html_()
    assert "<lambda>" not in check_gradients(lambda x: x * x, x)._repr_html_()  # escaped


def test_a_verification_shows_what_was_measured() -> None:
    assert ["fused - composed, ulps"] in [row[:1] for row in rows(verify("softmax"))]
    assert not any("fused" in row[0] for row in rows(verify("exp")))


def test_cells_are_escaped() -> None:
    assert "<script>" not in html_table("<script>", ["<script>"], [["<script>"]], ["<script>"])
