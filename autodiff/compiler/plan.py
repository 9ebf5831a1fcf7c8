"""What is prepared for one way through a step, to be read: ``print(step.plan)``, its bytes, its picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from autodiff.compiler.trace import Entry

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
    def graph(self) -> Any:
        """A picture (:class:`autodiff.viz.Graph`): operations, the engine's own marked, and backward passes."""
        from autodiff.viz.picture import Graph
        from autodiff.viz.view import EdgeView, GraphView, NodeView

        nodes, arrows = [], []
        for entry in self.entries:
            shape, dtype = next(((out[0], str(out[1])) for out in entry.outs if out.__class__ is tuple), (None, None))
            rows = ("as it is",) if entry.code is None else (f"{entry.code.code.calls} calls",)
            nodes.append(NodeView(f"n{entry.index}", entry.op.label, shape=shape, dtype=dtype, rows=rows))
            facts = [fact for fact in entry.key[1] if fact.__class__ is tuple and fact[-1].__class__ is bool]
            arrows += [(fact[0][0], nodes[-1].id) for fact in facts if fact[0].__class__ is tuple]
        for number, known in enumerate(self.passes):
            nodes.append(NodeView(f"b{number}", "backward", "gradient", rows=(f"{known.code.calls} calls",)))
            arrows.append((known.root, nodes[-1].id))
        edges = [EdgeView(f"e{i}", f"n{source}", target) for i, (source, target) in enumerate(arrows)]
        return Graph(GraphView(tuple(nodes), tuple(edges), title=self.name))

    @property
    def dot(self) -> str:
        """The picture in DOT."""
        return str(self.graph.dot)

    def save(self, path: str | Path) -> Path:
        """Write the picture into a file, as :meth:`autodiff.viz.Graph.save` does."""
        return Path(self.graph.save(path))
