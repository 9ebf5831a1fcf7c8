"""What a gradient check found: entries, verdicts, what may be wrong, and Python that runs the check again by itself."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from autodiff.tables import html_table

__all__ = ["Entry", "Leaf", "Report"]


@dataclass(frozen=True)
class Leaf:
    """One array that is differentiated with respect to."""

    #: The position of the argument that it stands in; parameters of a module follow the arguments.
    place: int
    #: In words, such as ``"argument 0"`` or ``"parameter fc.weight"``.
    label: str


#: A longer script, one with large arrays, is not printed.
_SHOWN = 8000


@dataclass(frozen=True)
class Entry:
    """One compared number.

    Attributes
    ----------
    order, argument : int
        The argument's position; -1 stands for the output's gradient, of which a gradient is a linear function.
    index : tuple of int or None
        Of the argument's entry; None for a derivative along a random direction.
    analytic, numeric, error : float
        The gradient, the reference, and the reference's error estimate.
    tolerance : float
        How far the two may be apart.
    verdict : {"pass", "fail", "inconclusive"}
    kink : bool
        The one-sided derivatives differ, and any value between them passes.
    method : str
        How the reference was taken.
    together : tuple of (int, tuple of int, int)
        For a derivative along several entries moved together: each one's argument, index, and sign.
    label : str
        The argument in words, where a number does not say enough: ``"argument 1['w']"``, ``"parameter fc.weight"``.
    """

    order: int
    argument: int
    index: tuple[int, ...] | None
    analytic: float
    numeric: float
    error: float
    tolerance: float
    verdict: str
    kink: bool = False
    method: str = ""
    together: tuple[tuple[int, tuple[int, ...], int], ...] = ()
    label: str = ""

    @property
    def ulps(self) -> float:
        """The difference in units of the analytic value's last place."""
        return abs(self.analytic - self.numeric) / float(np.spacing(max(abs(self.analytic), 1e-300)))

    @property
    def relative(self) -> float:
        """The difference relative to the reference's size, or to a thousandth where that is smaller."""
        return abs(self.analytic - self.numeric) / max(abs(self.numeric), 1e-3)

    @property
    def what(self) -> str:
        """The argument in words."""
        return self.label or (f"argument {self.argument}" if self.argument >= 0 else "the output's gradient")

    @property
    def excess(self) -> float:
        """The difference in units of what is allowed; infinite where it is not known."""
        gap = abs(self.analytic - self.numeric)
        return math.inf if math.isnan(gap) or self.verdict == "inconclusive" else gap / max(self.tolerance, 1e-300)

    def over(self, step: float) -> Entry:
        """The entry of a direction that is ``step`` long, as a derivative per unit."""
        return replace(
            self,
            analytic=self.analytic / step,
            numeric=self.numeric / step,
            error=self.error / abs(step),
            tolerance=self.tolerance / abs(step),
        )

    def __str__(self) -> str:
        place = "along a random direction" if self.index is None else f"at index {self.index}"
        what = self.what
        if self.together:
            what = " and ".join(
                f"{'-' if sign < 0 else ''}argument {argument} at index {index}"
                for argument, index, sign in self.together[:4]
            )
            place = ("and more, " if len(self.together) > 4 else "") + "moved together"
        return (
            f"order {self.order}, {what} {place}: gradient {self.analytic:.17g}, numerical {self.numeric:.17g} ±"
            f" {self.error:.1e}, difference {abs(self.analytic - self.numeric):.1e} ({self.ulps:.3g} ulps), allowed"
            f" {self.tolerance:.1e}"
            + (" (at a kink)" if self.kink else "")
            + (f" [{self.method}]" if self.method else "")
        )


@dataclass
class Report:
    """What a check found.

    Attributes
    ----------
    name : str
    seed : int
        Of the cotangents and directions.
    entries : list of Entry
    notes : list of str
        What the check took into account, such as values held constant, and what it left out.
    doubts : list of str
        What makes the whole check inconclusive, such as a random function.
    script, diagnosis : callable
        Make the text of ``reproduce`` and the list of ``hints``, when first asked for: a failure that is shrunk asks
        for neither.
    """

    name: str
    seed: int
    entries: list[Entry] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)
    script: Callable[[], str] = field(default=str, repr=False, compare=False)
    diagnosis: Callable[[], list[str]] = field(default=list, repr=False, compare=False)

    @functools.cached_property
    def hints(self) -> list[str]:
        """For a failure: what kind of mistake makes such numbers."""
        return self.diagnosis()

    def __getstate__(self) -> dict[str, Any]:
        # The function under test may know no way to another process.
        script = functools.partial(str, self.reproduce)
        return {**vars(self), "hints": self.hints, "script": script, "diagnosis": list}

    @property
    def verdict(self) -> str:
        """The worst verdict of any entry; a check that compared nothing passes, unless something is in doubt."""
        verdicts = {entry.verdict for entry in self.entries} | ({"inconclusive"} if self.doubts else set())
        return next((v for v in ("fail", "inconclusive") if v in verdicts), "pass")

    @property
    def worst(self) -> Entry | None:
        """The entry furthest beyond its tolerance."""
        return max(self.entries, key=lambda e: e.excess, default=None)

    def note(self, words: str) -> None:
        """Add to ``notes``, once."""
        if words not in self.notes:
            self.notes.append(words)

    def doubt(self, words: str) -> None:
        """Add to ``doubts``, once."""
        if words not in self.doubts:
            self.doubts.append(words)

    def worst_of(self) -> dict[tuple[int, str], Entry]:
        """The worst entry of every argument in each order, by (order, label); of those that fail,
        one that names its place before a random direction.
        """
        found: dict[tuple[int, str], Entry] = {}

        def rank(entry: Entry) -> tuple[bool, bool, float]:
            return entry.verdict == "fail", entry.index is not None or bool(entry.together), entry.excess

        for entry in self.entries:
            key = (entry.order, entry.label or str(entry.argument))
            if key not in found or rank(entry) > rank(found[key]):
                found[key] = entry
        return found

    @property
    def largest_error(self) -> float:
        """The largest difference, relative to the gradient's size."""
        return max((e.relative for e in self.entries if not e.kink), default=0.0)

    @property
    def reproduce(self) -> str:
        """Python that runs the same check in a fresh process: imports, the arrays to the last bit, the seed.

        Examples
        --------
        >>> from autodiff.testing import check_gradients
        >>> print(check_gradients(np.tanh, np.array([0.5]), order=1).reproduce)
        import numpy as np; from autodiff.testing import check_gradients; check_gradients(np.tanh, np.array([0.5]),
        order=1, seed=0)
        """
        return self.script()

    def arrays(
        self, argument: int, order: int = 1, label: str = ""
    ) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]] | None:
        """The gradient and its reference of one argument as flat arrays in index order, if it was compared entry by
        entry.

        Returns
        -------
        (analytic, numeric) or None
        """
        rows = [e for e in self.entries if e.order == order and e.argument == argument and not e.together]
        rows = [e for e in rows if not label or e.label == label]
        if not rows or any(e.index is None for e in rows):
            return None
        rows.sort(key=lambda e: e.index or ())
        return np.array([e.analytic for e in rows]), np.array([e.numeric for e in rows])

    def _repr_html_(self) -> str:
        """The worst entry of every argument in each order, hints and notes, for notebooks."""
        rows = [
            (
                e.verdict,
                e.order,
                e.what,
                "a direction" if e.index is None else e.index,
                e.analytic,
                e.numeric,
                abs(e.analytic - e.numeric),
                e.tolerance,
            )
            for e in self.worst_of().values()
        ]
        headings = ("verdict", "order", "argument", "index", "gradient", "numerical", "difference", "allowed")
        below = [f"{kind}: {line}" for kind in ("doubt", "hint", "note") for line in getattr(self, f"{kind}s")]
        return html_table(f"{self.name}: {self.verdict} ({len(self.entries)} comparisons)", headings, rows, below)

    def __str__(self) -> str:
        lines = [f"{self.name}: {self.verdict} ({len(self.entries)} comparisons, seed {self.seed})"]
        lines += [f"  {entry.verdict}: {entry}" for entry in self.worst_of().values()]
        lines += [f"  inconclusive: {doubt}" for doubt in self.doubts]
        lines += [f"  note: {note}" for note in self.notes]
        lines += [f"  hint: {hint}" for hint in self.hints]
        script = self.reproduce
        if len(script) > _SHOWN:
            lines.append(f"  reproduce: report.reproduce holds {len(script):,} characters of Python")
        elif script:
            lines.append("  reproduce: " + script if "\n" not in script else "  reproduce:\n" + script)
        return "\n".join(lines)
