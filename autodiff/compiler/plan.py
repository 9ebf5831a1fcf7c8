"""What is prepared for one way through a step, to be read: ``print(step.plan)``, its bytes, its picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from autodiff.compiler.trace import Entry
from autodiff.core.errors import ArgumentError

__all__ = ["Plan"]


class Plan:
    """The entries of one path, with the code that does their work.

    Attributes
    ----------
    entries : list of Entry
        In the order in which the step asks for them.
    passes : list of Pass
        The backward passes that begin after one of them.
    nbytes : int
        Bytes held for the step: scratch memory, and the pool that results take theirs from.
    """

    def __init__(self, name: str, entries: list[Entry], nbytes: int) -> None:
        self.name = name
        self.entries = entries
        self.passes = [known for entry in entries for known in entry.ready_passes]
        self.nbytes = nbytes

    @property
    def prepared(self) -> int:
        """How many entries have code of their own; the engine does the work of the others."""
        return sum(entry.code is not None for entry in self.entries)

    @property
    def calls(self) -> int:
        """How many calls of NumPy or of compiled loops the prepared code makes."""
        codes = [entry.code.code for entry in self.entries if entry.code is not None]
        return sum(code.calls for code in [*codes, *(known.code for known in self.passes)])

    def __str__(self) -> str:
        parts = [
            f"# plan of {self.name}: {self.prepared} of {len(self.entries)} operations and {len(self.passes)} backward"
            f" passes prepared, {self.calls} calls, {self.nbytes:,} bytes"
        ]
        for entry in self.entries:
            head = f"# {entry.index}: {entry.op.name}"
            if entry.code is None:
                parts.append(f"{head}: as it is{f' ({entry.why})' if entry.why else ''}")
            else:
                parts.append(f"{head}\n{entry.code.code}")
        parts += [f"# backward pass from {known.root}\n{known.code}" for known in self.passes]
        return "\n".join(parts)

    __repr__ = __str__

    @property
    def dot(self) -> str:
        """The operations as a picture in DOT: those with code of their own are filled."""
        lines = [f"digraph {{ label={_quoted(self.name)}; node [shape=box]; rankdir=TB"]
        for entry in self.entries:
            style = "filled" if entry.code is not None else "solid"
            facts = " ".join(f"{out[1]}{list(out[0])}" for out in entry.outs if out.__class__ is tuple)
            lines.append(f"  n{entry.index} [label={_quoted(f'{entry.op.label} {facts}')}, style={style}]")
            for origin in _origins(entry):
                if origin.__class__ is tuple:
                    lines.append(f"  n{origin[0]} -> n{entry.index}")
        for number, known in enumerate(self.passes):
            lines.append(f"  b{number} [label={_quoted(f'backward, {known.code.calls} calls')}, style=filled]")
            lines.append(f"  n{known.root} -> b{number}")
        return "\n".join([*lines, "}"])

    def save(self, path: str | Path) -> Path:
        """Draw the plan into a file; the suffix (.dot, .svg, .pdf or .png) chooses the format, and all but .dot need
        Graphviz.

        Raises
        ------
        ArgumentError
            For another suffix.
        MissingExtraError
            If there is no layout engine; the message names the remedies.
        """
        target = Path(path)
        if target.suffix not in (".dot", ".svg", ".pdf", ".png"):
            raise ArgumentError(f"save({str(path)!r}): the suffix must be one of .dot, .svg, .pdf, .png")
        if target.suffix == ".dot":
            target.write_text(self.dot)
            return target
        from autodiff.viz.svg import render

        target.write_bytes(render(self.dot, target.suffix[1:]))
        return target


def _origins(entry: Entry) -> list[Any]:
    return [fact[0] for fact in entry.key[1] if fact.__class__ is tuple and fact[-1].__class__ is bool]


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
