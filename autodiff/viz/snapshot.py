"""From the engine's graph to a picture's data: what was computed from what, under stable ids.

Reads a graph through a few facts only (operation, parents, shape, dtype, name) and keeps nothing of it. Ids are positions in topological order, so
the same program gives the same ids. Takes time linear in the graph's size and does not recurse.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from autodiff.engine import ALIAS, PICK
from autodiff.graph import Constant, Node, Variable, topological_order
from autodiff.modes import enable_grad
from autodiff.tensor import Tensor
from autodiff.viz.view import ClusterView, EdgeView, GraphView, NodeView

__all__ = ["family_of", "snapshot"]

_BY_NAME = {
    "sum": "reduction", "mean": "reduction", "prod": "reduction", "max": "reduction", "min": "reduction", "var": "reduction", "std": "reduction",
    "cumsum": "reduction", "reshape": "shape", "transpose": "shape", "broadcast_to": "shape", "flip": "shape", "roll": "shape",
    "concatenate": "shape", "getitem": "shape", "scatter": "shape", "set_at": "shape", "pad": "shape", "identity": "shape", "output": "shape",
    "matmul": "linear", "einsum": "linear", "linear": "linear", "tanh": "activation", "maximum": "elementwise",
}  # fmt: skip
_BY_ROOM = {
    "activations": "activation", "linear": "linear", "normalization": "normalization", "losses": "loss", "dropout": "random",
    "linalg": "linear", "convolution": "linear", "attention": "linear", "pooling": "reduction", "embedding": "shape",
}  # fmt: skip


def family_of(op: Any) -> str:
    """The colour family of an operation, a key of :data:`autodiff.viz.style.FAMILIES`.

    Examples
    --------
    >>> from autodiff.primitive import registry
    >>> family_of(registry["batch_norm"]), family_of(registry["exp"])
    ('normalization', 'elementwise')
    """
    if op.name in _BY_NAME:
        return _BY_NAME[op.name]
    room = getattr(getattr(op, "forward", None), "__module__", "") or ""
    return _BY_ROOM.get(room.rpartition(".")[2], "elementwise")


@dataclass
class _Builder:
    """Collects boxes and arrows."""

    expand: bool
    names: dict[int, str]
    nodes: list[NodeView] = field(default_factory=list)
    edges: list[EdgeView] = field(default_factory=list)
    clusters: list[ClusterView] = field(default_factory=list)

    def box(self, **facts: Any) -> str:
        identifier = f"n{len(self.nodes)}"
        self.nodes.append(NodeView(id=identifier, **facts))
        return identifier

    def arrow(self, source: str, target: str, slot: int) -> None:
        self.edges.append(EdgeView(f"e{len(self.edges)}", source, target, slot))

    def graph(self, roots: Sequence[Any], given: dict[Any, str], cluster: str | None) -> dict[Any, str]:
        """Draw everything that the roots depend on; ``given`` holds entries that are drawn already."""
        places = dict(given)
        for entry in topological_order(roots):
            if entry in places:
                continue
            if isinstance(entry, Variable):
                name = self.names.get(id(entry)) or entry.name or "leaf"
                places[entry] = self.box(
                    label=name, kind="parameter", family="leaf", shape=entry.shape, dtype=str(entry.dtype), cluster=cluster,
                    details=(("kind", "leaf that requires a gradient"),),
                )  # fmt: skip
            elif self.expand and entry.op.fused:
                places[entry] = self.expanded(entry, places, cluster)
            else:
                places[entry] = self.operation(entry, places, cluster)
        return places

    def operation(self, node: Node, places: dict[Any, str], cluster: str | None) -> str:
        op = node.op
        several = isinstance(node.dtype, tuple)
        attrs = {k: v for k, v in (node.attrs or {}).items() if v is not None}
        details = [("operation", op.name), *((k, _brief(v)) for k, v in attrs.items())]
        if op.fused:
            details.append(("gradient", op.formula or "hand-derived"))
        sources = [(places[parent], slot) for slot, parent in enumerate(node.parents) if parent is not None]
        sources += [(self.constant(value, cluster), slot) for slot, value in node.constant_inputs]
        here = self.box(
            label=f"{op.label} {node.attrs['index']}" if op is PICK and node.attrs else op.label,
            kind="fused" if op.fused else "op", family=family_of(op), cluster=cluster,
            shape=None if several else node.shape, dtype=None if several else str(node.dtype),
            name=self.names.get(id(node)) or node.name or "", details=tuple(details),
        )  # fmt: skip
        for source, slot in sources:
            self.arrow(source, here, slot)
        return here

    def constant(self, value: Any, cluster: str | None) -> str:
        if isinstance(value, Constant):
            return self.box(
                label=value.name or "constant", kind="constant", family="constant", shape=value.shape, dtype=str(value.dtype), cluster=cluster
            )
        return self.box(label=repr(value), kind="constant", family="constant", cluster=cluster)

    def expanded(self, node: Node, places: dict[Any, str], cluster: str | None) -> str:
        """A fused node as a frame around its composed definition; the id of the box that gives the output."""
        inside = _composed_graph(node)
        if inside is None:
            return self.operation(node, places, cluster)
        out, stand_ins = inside
        op = node.op
        frame = f"c{len(self.clusters)}"
        self.clusters.append(
            ClusterView(
                frame, op.label, kind="fused", parent=cluster, caption=op.formula,
                family=family_of(op), shape=node.shape, dtype=str(node.dtype), name=node.name or "",
            )
        )  # fmt: skip
        ports: dict[Any, str] = {}
        constants = dict(node.constant_inputs)
        for slot, (name, stand_in) in enumerate(zip(op.inputs, stand_ins, strict=True)):
            parent = node.parents[slot]
            if parent is None and slot not in constants:
                continue
            port = self.box(label=name, kind="port", family="leaf", cluster=frame)
            source = places[parent] if parent is not None else self.constant(constants[slot], cluster)
            self.arrow(source, port, slot)
            if stand_in is not None and isinstance(stand_in, Tensor) and stand_in._node is not None:
                ports[stand_in._node] = port
        self.expand = False
        inner = self.graph([out._node], ports, frame)
        self.expand = True
        last = inner[out._node]
        if node.name or id(node) in self.names:
            index = int(last[1:])
            self.nodes[index] = replace(self.nodes[index], name=self.names.get(id(node)) or node.name or "")
        return last


def _brief(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _composed_graph(node: Node) -> tuple[Tensor, list[Any]] | None:
    """The composed definition of a fused node, recorded on stand-ins of its inputs' shapes; None where it has one box only."""
    constants = dict(node.constant_inputs)
    stand_ins: list[Any] = []
    for slot, parent in enumerate(node.parents):
        if parent is not None:
            stand_ins.append(Tensor(np.ones(parent.shape, parent.dtype), requires_grad=True))
        elif slot not in constants:
            stand_ins.append(None)
        elif isinstance(constants[slot], Constant):
            constant = constants[slot]
            # Zeros are valid as labels and indices, ones as positive statistics.
            fill = np.ones if constant.dtype.kind == "f" else np.zeros
            stand_ins.append(Tensor(fill(constant.shape, constant.dtype), name=node.op.inputs[slot]))
        else:
            stand_ins.append(constants[slot])
    with enable_grad(), np.errstate(all="ignore"):
        out = node.op.composed(*stand_ins, **(node.attrs or {}))
    if isinstance(out, tuple) or not isinstance(out, Tensor) or not isinstance(out._node, Node) or out._node.op is ALIAS:
        return None
    return out, stand_ins


def snapshot(outputs: Sequence[Tensor], *, expand: bool = False, names: dict[int, str] | None = None, title: str = "") -> GraphView:
    """The graph that ended in some tensors, as data.

    Parameters
    ----------
    outputs : sequence of Tensor
        Constants are drawn as such.
    expand : bool
        Draw every fused operation as a frame around its composed definition.
    names : dict of int to str, optional
        Names by ``id`` of a tensor's graph entry.
    title : str

    Returns
    -------
    GraphView
    """
    builder = _Builder(expand, names or {})
    roots = [t._node for t in outputs if t._node is not None]
    builder.graph(roots, {}, None)
    for t in outputs:
        if t._node is None:
            builder.constant(Constant(t.shape, t.dtype, t.name), None)
    return GraphView(tuple(builder.nodes), tuple(builder.edges), tuple(builder.clusters), title)
