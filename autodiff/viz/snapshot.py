"""From the engine's graph to a picture's data: what was computed from what, under stable ids.

Reads a graph through a few facts only (operation, parents, shape, dtype, name, module path) and keeps nothing of it.
Ids are positions in topological order, so the same program gives the same ids. Takes time linear in the graph's size
and does not recurse.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import PurePath
from textwrap import wrap
from time import perf_counter
from typing import Any

import numpy as np

from autodiff.core.backward import walk
from autodiff.core.errors import GraphError
from autodiff.core.graph import Node, Variable, topological_order
from autodiff.core.modes import enable_grad
from autodiff.core.op import ALIAS, PICK
from autodiff.reads import ShapeOnly
from autodiff.tensor import Tensor
from autodiff.viz.heat import heat_map
from autodiff.viz.recording import Failure, Part
from autodiff.viz.rules import number_text, rule_text, substituted
from autodiff.viz.style import WIDEST, shape_text
from autodiff.viz.view import ClusterView, EdgeView, GraphView, NodeView, shared
from autodiff.watch import Constant, constant_inputs, tracing

__all__ = ["Shown", "family_of", "norm", "snapshot", "time_text"]

# The rooms of operations whose forward is NumPy's own say nothing of the kind; these few are told apart by name.
_BY_NAME = {"tanh": "activation", "sigmoid": "activation", "cumprod": "reduction", "where": "elementwise"}
_ROOMS = {
    "activation": ("activation",),
    "normalization": ("normalization",),
    "loss": ("losses", "ctc"),
    "random": ("dropout",),
    "linear": (
        "products",
        "linear",
        "linalg",
        "spectral",
        "scipy_functions",
        "fft",
        "convolution",
        "attention",
        "recurrent",
    ),
    "reduction": ("pooling", "reductions"),
    "shape": ("shaping", "indexing", "embedding"),
}


@lru_cache(maxsize=4096)
def family_of(op: Any) -> str:
    """The colour family of an operation, a key of :data:`autodiff.viz.style.FAMILIES`.

    Examples
    --------
    >>> from autodiff.core.op import registry
    >>> family_of(registry["batch_norm"]), family_of(registry["exp"])
    ('normalization', 'elementwise')
    """
    if op.name in _BY_NAME:
        return _BY_NAME[op.name]
    if op is ALIAS or op is PICK:
        return "shape"
    room = (getattr(getattr(op, "forward", None), "__module__", "") or "").rpartition(".")[2]
    return next((family for family, words in _ROOMS.items() if any(w in room for w in words)), "elementwise")


#: The most elements of an array with which a page computes.
_COMPUTED = 8


@dataclass(frozen=True)
class Shown:
    """What a picture shows beyond the graph itself; see :func:`autodiff.viz.draw`."""

    expand: bool = False
    compare: bool = False
    values: bool = False
    statistics: bool = False
    gradients: bool = False
    profile: bool = False

    @property
    def backward(self) -> bool:
        """Whether a backward pass has to be watched."""
        return self.gradients or self.compare

    @property
    def arrays(self) -> bool:
        """Whether arrays are looked at."""
        return self.values or self.statistics or self.backward or self.profile


@dataclass(frozen=True)
class _Pass:
    """What one node did in a backward pass."""

    g: Any
    sent: Sequence[Any]
    seconds: float


@dataclass
class _Builder:
    """Collects boxes and arrows."""

    shown: Shown
    names: Mapping[int, str]
    kinds: Mapping[str, Part]
    values: dict[Any, Any] = field(default_factory=dict)
    passes: dict[Any, _Pass] = field(default_factory=dict)
    nodes: list[NodeView] = field(default_factory=list)
    edges: list[EdgeView] = field(default_factory=list)
    clusters: list[ClusterView] = field(default_factory=list)
    scopes: dict[tuple[str | None, str], str] = field(default_factory=dict)
    unknown: int = 0
    inner: bool = False
    inputs: frozenset[str] = frozenset()
    arguments: Mapping[int, str] = field(default_factory=dict)
    given: dict[Any, str] = field(default_factory=dict)
    port_names: dict[str, str] = field(default_factory=dict)

    def box(self, **facts: Any) -> str:
        identifier = f"n{len(self.nodes)}"
        self.nodes.append(NodeView(id=identifier, **facts))
        return identifier

    def frame(self, label: str, kind: Any, parent: str | None, **facts: Any) -> str:
        identifier = f"c{len(self.clusters)}"
        self.clusters.append(ClusterView(identifier, label, kind, parent, **facts))
        return identifier

    def arrow(self, source: str, target: str, slot: int, **facts: Any) -> None:
        self.edges.append(EdgeView(f"e{len(self.edges)}", source, target, slot, **facts))

    # --- what is known of the arrays --------------------------------------------------------------------------------

    def learn(self, order: Sequence[Any]) -> None:
        """Note every array that the nodes still hold."""
        if not self.shown.arrays:
            return
        for entry in order:
            if not isinstance(entry, Node):
                continue
            out, inputs = known_arrays(entry)
            if entry.op is ALIAS:
                out = self.values.get(entry.parents[0])
            elif entry.op is PICK and entry.attrs is not None:
                whole = self.values.get(entry.parents[0])
                out = None if whole is None else whole[entry.attrs["index"]]
            if out is not None:
                self.values[entry] = out
            if len(inputs) == len(entry.parents):
                for parent, array in zip(entry.parents, inputs, strict=True):
                    if parent is not None and array is not None:
                        self.values.setdefault(parent, array)

    def watch(self, roots: Sequence[Any], seeds: Sequence[Any]) -> None:
        """Walk backward and note what each node did."""
        before = perf_counter()

        def note(entry: Any, g: Any, sent: Sequence[Any]) -> None:
            nonlocal before
            self.passes[entry] = _Pass(g, sent, perf_counter() - before)
            before = perf_counter()

        with np.errstate(all="ignore"):
            walk(roots, seeds, seen=note)

    def facts(self, entry: Any) -> dict[str, Any]:
        """Rows, details, alert, time and memory of one entry, from its arrays."""
        shown = self.shown
        if not shown.arrays:
            return {}
        rows: list[str] = []
        details: list[tuple[str, str]] = []
        alert = ""
        value = self.values.get(entry)
        if value is not None and not isinstance(value, tuple):
            value = np.asarray(value)
            small = number_text(value)
            brief = number_text(value, 6, 3)
            if shown.values and brief and len(brief) <= WIDEST:
                rows.append(f"= {small if value.size == 1 else brief}")
            if small:
                details.append(("value", small))
            statistics = _statistics(value)
            if statistics:
                details.append(("statistics", statistics))
                if shown.statistics or (shown.values and (not brief or len(brief) > WIDEST)):
                    rows.append(statistics)
            alert = _alert(value)
            if (
                alert
                and isinstance(entry, Node)
                and all(p is None or not _alert(self.values.get(p)) for p in entry.parents)
            ):
                details.append(("born here", f"its inputs are finite, its output holds {_count_bad(value)}"))
                rows.append("born here")
            dead = _dead_units(entry, value)
            if dead:
                details.append(("dead units", dead))
                if shown.values or shown.statistics:
                    rows.append(f"{dead} dead")
        elif value is None:
            self.unknown += 1
        done = self.passes.get(entry)
        if done is not None and not isinstance(done.g, list):
            small = number_text(done.g)
            size = norm(done.g)
            if small:
                details.append(("gradient", small))
            details.append(("gradient norm", f"{size:.5g}"))
            if shown.gradients:
                brief = small if np.size(done.g) == 1 else number_text(done.g, 6, 3)
                rows.append(f"∂ {brief}" if brief and len(brief) <= WIDEST else f"‖∂‖ {size:.4g}")
            if not alert and _alert(done.g):
                alert = f"{_alert(done.g)} in gradient"
        gradients = () if done is None else _numbers(done.g)
        result: dict[str, Any] = {
            "rows": tuple(rows),
            "alert": alert,
            "numbers": _numbers(value),
            "gradients": gradients,
        }
        if shown.values:
            seen_arrays = (("value", value), ("gradient", None if done is None else done.g))
            found = (heat_map(a, kind) for kind, a in seen_arrays if a is not None and not isinstance(a, list | tuple))
            result["maps"] = tuple(heat for heat in found if heat is not None)
        if shown.profile and isinstance(entry, Node):
            seen = entry.extra("seen")
            if seen is not None:
                forward = seen[2]
                backward = done.seconds if done is not None else 0.0
                outs = seen[0] if isinstance(seen[0], tuple) else (seen[0],)
                result["seconds"] = forward + backward
                result["nbytes"] = sum(np.asarray(o).nbytes for o in outs)
                details.append(("forward", time_text(forward)))
                if done is not None:
                    details.append(("backward", time_text(backward)))
        return {**result, "details": tuple(details)}

    # --- boxes --------------------------------------------------------------------------------------------------------

    def graph(self, roots: Sequence[Any], given: dict[Any, str], cluster: str | None) -> dict[Any, str]:
        """Draw everything that the roots depend on; ``given`` holds entries that are drawn already."""
        places = dict(given)
        order = topological_order(roots)
        self.learn(order)
        for entry in order:
            if isinstance(entry, Variable) or entry in places:
                continue
            # A leaf is drawn just before its first use, so that what belongs together stands together, and before it
            # what comes from outside.
            for slot, value in constant_inputs(entry):
                if self.argument(entry, slot, value):
                    self.constant_of(entry, slot, value, cluster)
            for parent in entry.parents:
                if isinstance(parent, Variable) and parent not in places:
                    places[parent] = self.leaf(parent, cluster)
            if entry.op is ALIAS:
                # The same value under another identity, which transforms need and readers do not.
                places[entry] = places[entry.parents[0]]
                continue
            if (self.shown.expand or self.shown.compare) and entry.op.fused and not self.inner:
                places[entry] = self.expanded(entry, places, self.home(entry, cluster))
            else:
                places[entry] = self.operation(entry, places, self.home(entry, cluster))
        for root in roots:
            if isinstance(root, Variable) and root not in places:
                places[root] = self.leaf(root, cluster)
        return places

    def home(self, node: Node, cluster: str | None) -> str | None:
        """The frame of the module under which a node was recorded; made when first needed."""
        while node.op is PICK:
            # A result of several belongs where the operation that made it stands.
            node = node.parents[0]
        path = node.extra("scope") if cluster is None else None
        if not path:
            return cluster
        known = self.scopes.get((None, path))
        if known is not None:
            return known
        inner: str | None = None
        so_far = ""
        for part in path.split("/"):
            so_far = f"{so_far}/{part}" if so_far else part
            found = self.scopes.get((None, so_far))
            if found is None:
                name, _, call = part.partition("#")
                function = name.endswith("()")
                kind = self.kinds.get(re.sub(r"#\d+", "", so_far), Part())
                options = (("options", kind.options),) if kind.options else ()
                count = (("parameters", f"{kind.parameters:,}"),) if kind.parameters else ()
                found = self.scopes[(None, so_far)] = self.frame(
                    name.removesuffix("()"),
                    "span" if function else "module",
                    inner,
                    caption=f"call {call}" if call else "",
                    name=kind.kind,
                    details=(("function" if function else "module", so_far.replace("/", ".")), *options, *count),
                )
            inner = found
        return inner

    def called(self, thing: Any, own: str | None, otherwise: str = "") -> str:
        """The name that a user gave, if it can be seen."""
        return next((name for name in (self.names.get(id(thing)), own) if name and name.strip()), otherwise)

    def leaf(self, entry: Variable, cluster: str | None) -> str:
        name = self.called(entry, entry.name, "leaf")
        facts = self.facts(entry)
        details = (("kind", "leaf that requires a gradient"), *facts.pop("details", ()))
        return self.box(
            label=name,
            kind="parameter",
            family="leaf",
            shape=entry.shape,
            dtype=_dtype_name(entry.dtype),
            cluster=cluster,
            details=details,
            **facts,
        )

    def operation(self, node: Node, places: dict[Any, str], cluster: str | None) -> str:
        op = node.op
        several = isinstance(node.dtype, tuple)
        attrs = {k: v for k, v in (node.attrs or {}).items() if v is not None}
        details = [("operation", op.name), *((k, _brief(v)) for k, v in attrs.items())]
        if op.fused:
            details.append(("formula", op.formula or "hand-derived"))
        # Inside the frame of a fused operation every line is one of the library's own.
        trace = None if self.inner else node.extra("trace")
        if trace:
            details.append(("line", _short(trace)))
        sources = [(places[parent], slot) for slot, parent in enumerate(node.parents) if parent is not None]
        for slot, value in constant_inputs(node):
            port = self.port_names.get(value.name or "") if self.inner and isinstance(value, Constant) else None
            sources.append((port or self.constant_of(node, slot, value, cluster), slot))
        if self.shown.arrays and node.saved is not None and op.pull is None:
            details.append(("kept for the backward pass", _memory(_kept(node))))
        facts = self.facts(node)
        details.extend(facts.pop("details", ()))
        here = self.box(
            label=f"{op.label} {node.attrs['index']}" if op is PICK and node.attrs else op.label,
            kind="fused" if op.fused else "op",
            family=family_of(op),
            cluster=cluster,
            shape=None if several else node.shape,
            dtype=None if several else _dtype_name(node.dtype),
            name=self.called(node, node.name),
            details=tuple(details),
            **facts,
        )
        for source, slot in sources:
            self.arrow(source, here, slot, **self.message(node, slot))
        return here

    def failed(self, failure: Failure, places: dict[Any, str]) -> None:
        """A red box for what did not come to be, with arrows from what it was given."""
        op, error = failure.op, failure.error
        sources = []
        for value in failure.inputs:
            entry = value._node if isinstance(value, Tensor) else None
            if entry is not None:
                sources.append(places[entry])
            elif hasattr(value, "shape") and hasattr(value, "dtype"):
                array = getattr(value, "_data", value)
                name = getattr(value, "name", None) or self.arguments.get(id(array), "")
                named = Constant(value.shape, value.dtype, name)
                argument = name if name.partition(".")[0] in self.inputs else ""
                sources.append(self.constant(named, None, array, argument=argument))
            elif value is not None:
                sources.append(self.constant(value, None))
        shapes = [shape_text(v.shape, str(v.dtype)) for v in failure.inputs if hasattr(v, "shape")]
        try:
            message = " ".join(str(error).split())
        except Exception:  # a class of the user's that cannot say its message
            message = "its message cannot be read"
        details = [("error", type(error).__name__), ("message", message), ("given", ", ".join(shapes))]
        if failure.line:
            details.append(("line", failure.line))
        here = self.box(
            label=failure.line.partition(": ")[2] if op is None else op.label,
            kind="fused" if op is not None and op.fused else "op",
            family="elementwise" if op is None else family_of(op),
            rows=(*([f"given {', '.join(shapes)}"] if shapes else ()), *wrap(message, 42)[:5]),
            alert=type(error).__name__,
            details=tuple(details),
        )
        for slot, source in enumerate(sources):
            self.arrow(source, here, slot, alert=type(error).__name__)

    def message(self, node: Node, slot: int) -> dict[str, Any]:
        """What runs back along one arrow: the rule in words, its numbers, the gradient."""
        if slot >= len(node.parents) or node.parents[slot] is None:
            return {}
        details: list[tuple[str, str]] = []
        if slot < len(node.op.inputs):
            details.append(("input", node.op.inputs[slot]))
        rule = rule_text(node.op, slot)
        if rule:
            details.append(("rule", rule))
        done = self.passes.get(node)
        part = done.sent[slot] if done is not None and slot < len(done.sent) else None
        if done is None or part is None or isinstance(part, list):
            return {"details": tuple(details)}
        numbers = substituted(node.op, slot, done.g, *known_arrays(node))
        small = number_text(part)
        size = norm(part)
        if numbers:
            details.append(("numbers", numbers))
        if small:
            details.append(("gradient", small))
        details.append(("gradient norm", f"{size:.5g}"))
        label = (number_text(part, 2) or f"‖∂‖ {size:.3g}") if self.shown.compare else ""
        return {"details": tuple(details), "label": label, "alert": _alert(part)}

    def argument(self, node: Node, slot: int, value: Any) -> str:
        """The name of the program's argument that stands in a place of a node; none for any other constant."""
        if not isinstance(value, Constant) or self.inner:
            return ""
        own = value.name or self.arguments.get((node.extra("given") or {}).get(slot, 0), "")
        return own if own.partition(".")[0] in self.inputs else ""

    def constant_of(self, node: Node, slot: int, value: Any, cluster: str | None) -> str:
        """The box of a constant input."""
        inputs = known_arrays(node)[1] if self.shown.arrays or self.names else ()
        array = inputs[slot] if slot < len(inputs) else None
        name = node.op.inputs[slot] if node.op.fused else "constant"
        return self.constant(value, cluster, array, name, self.argument(node, slot, value))

    def constant(
        self, value: Any, cluster: str | None, array: Any = None, name: str = "constant", argument: str = ""
    ) -> str:
        if not isinstance(value, Constant):
            return self.box(
                label=repr(value), kind="constant", family="constant", cluster=cluster, numbers=_numbers(value)
            )
        known = None
        label = argument or value.name or self.names.get(id(array)) or name
        if argument:
            # An argument of the program is one box, however often it is read.
            known = (label, value.shape, value.dtype)
            if known in self.given:
                return self.given[known]
        rows: tuple[str, ...] = ()
        alert = ""
        if array is not None and self.shown.arrays:
            small = number_text(array, 6, 3) if self.shown.values else ""
            rows, alert = ((f"= {small}",) if small and len(small) <= WIDEST else ()), _alert(array)
        here = self.box(
            label=label,
            kind="constant" if known is None else "input",
            family="constant",
            shape=value.shape,
            dtype=_dtype_name(value.dtype),
            cluster=cluster if known is None else None,
            rows=rows,
            alert=alert,
            numbers=_numbers(array) if self.shown.arrays else (),
        )
        if known is not None:
            self.given[known] = here
        return here

    def expanded(self, node: Node, places: dict[Any, str], cluster: str | None) -> str:
        """A fused node as a frame around its composed definition; the id of the box that gives the output."""
        inside = _composed_graph(node, known_arrays(node)[1] if self.shown.arrays else ())
        if inside is None:
            return self.operation(node, places, cluster)
        out, stand_ins = inside
        op = node.op
        compare = self.shown.compare
        name = self.called(node, node.name)
        facts = {key: value for key, value in self.facts(node).items() if key in ("rows", "alert", "details")}
        frame = self.frame(
            op.label,
            "fused",
            cluster,
            caption=op.formula,
            family=family_of(op),
            shape=node.shape,
            dtype=str(node.dtype),
            name=name,
            **facts,
        )
        done = self.passes.get(node)
        if done is not None:
            self.watch([out._node], [done.g])
        ports: dict[Any, str] = {}
        self.port_names = {}
        by_slot: dict[int, str] = {}
        constants = dict(constant_inputs(node))
        for slot, (input_name, stand_in) in enumerate(zip(op.inputs, stand_ins, strict=True)):
            parent = node.parents[slot]
            if parent is None and slot not in constants:
                continue
            entry = stand_in._node if isinstance(stand_in, Tensor) else None
            rows, details = self.agreement(done, slot, entry) if compare and parent is not None else ((), ())
            source = places[parent] if parent is not None else self.constant_of(node, slot, constants[slot], cluster)
            port = by_slot[slot] = self.box(
                label=input_name, kind="port", family="leaf", cluster=frame, rows=rows, details=details
            )
            self.arrow(source, port, slot, **self.message(node, slot))
            if entry is not None:
                ports[entry] = port
            elif parent is None:
                self.port_names[input_name] = port
        side = self.frame("composed of elementary operations", "side", frame) if compare else frame
        self.inner = True
        inner = self.graph([out._node], ports, side)
        self.inner = False
        last = inner[out._node]
        if not compare:
            if name:
                index = int(last[1:])
                self.nodes[index] = replace(self.nodes[index], name=name)
            return last
        hand = self.frame("hand-derived, in one step", "side", frame)
        details = (("operation", op.name), ("formula", op.formula or "hand-derived"), *facts.get("details", ()))
        here = self.box(
            label=op.label,
            kind="fused",
            family=family_of(op),
            cluster=hand,
            shape=node.shape,
            dtype=str(node.dtype),
            name=name,
            rows=facts.get("rows", ()),
            details=details,
            alert=facts.get("alert", ""),
        )
        for slot, port in by_slot.items():
            self.arrow(port, here, slot, **self.message(node, slot))
        mine, theirs = self.values.get(node), self.values.get(out._node)
        label = "" if mine is None or theirs is None else f"|Δ| ≤ {_difference(mine, theirs):.1e}"
        self.arrow(last, here, -1, kind="link", label=label)
        return here

    def agreement(
        self, done: _Pass | None, slot: int, entry: Any
    ) -> tuple[tuple[str, ...], tuple[tuple[str, str], ...]]:
        """The hand-derived and the composed gradient of one input, and how far they are apart."""
        other = self.passes.get(entry)
        if done is None or other is None or done.sent[slot] is None:
            return (), ()
        hand, composed = done.sent[slot], other.g
        details = (
            ("hand-derived", number_text(hand) or f"norm {norm(hand):.6g}"),
            ("composed", number_text(composed) or f"norm {norm(composed):.6g}"),
            ("largest difference", f"{_difference(hand, composed):.2e}"),
        )
        rows = (
            f"‖∂‖ by hand {norm(hand):.4g}",
            f"‖∂‖ composed {norm(composed):.4g}",
            f"|Δ| ≤ {_difference(hand, composed):.1e}",
        )
        return rows, details


# NumPy spells a dtype out anew each time it is asked.
_dtype_name = lru_cache(maxsize=64)(str)


def norm(array: Any) -> float:
    """The Euclidean norm of all elements, in float64.

    Examples
    --------
    >>> norm(np.array([[3.0], [4.0]]))
    5.0
    """
    with np.errstate(all="ignore"):
        return float(
            np.sqrt(
                np.sum(np.abs(np.asarray(array).astype(np.complex128 if np.iscomplexobj(array) else np.float64)) ** 2)
            )
        )


def time_text(seconds: float) -> str:
    """A time in the unit that suits it.

    Examples
    --------
    >>> time_text(0.0123), time_text(2e-6)
    ('12.3 ms', '2 µs')
    """
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"


def _difference(a: Any, b: Any) -> float:
    a, b = np.asarray(a), np.asarray(b)
    return float(np.max(np.abs(a - b))) if a.size else 0.0


def _alert(array: Any) -> str:
    if array is None or isinstance(array, tuple | list):
        return ""
    array = np.asarray(array)
    if array.dtype.kind not in "fc" or np.isfinite(array).all():
        return ""
    return "NaN" if np.isnan(array).any() else "inf"


def _count_bad(array: Any) -> str:
    counts = (int(np.isnan(array).sum()), "NaN"), (int(np.isinf(array).sum()), "inf")
    return " and ".join(f"{count} {word}" for count, word in counts if count) + f" of {np.size(array)}"


def _statistics(array: Any) -> str:
    """Extremes, mean and standard deviation of the finite elements."""
    if array.size >= 2 and array.dtype.kind == "c":
        # Complex numbers have no order; their absolute values have.
        absolute = _statistics(np.abs(array))
        return absolute if absolute.startswith("no ") else f"absolute {absolute}"
    if array.size < 2 or array.dtype.kind not in "biuf":
        return ""
    with np.errstate(all="ignore"):
        good = array[np.isfinite(array)].astype(np.float64)
        if not good.size:
            return "no finite element"
        return f"{good.min():.3g} … {good.max():.3g}, mean {good.mean():.3g}, std {good.std():.3g}"


def _dead_units(entry: Any, value: Any) -> str:
    """How many units of an activation are 0 for every example; empty where none is. Examples run along the first axis,
    units along the second.
    """
    if not isinstance(entry, Node) or family_of(entry.op) != "activation" or value.ndim < 2 or not value.size:
        return ""
    dead = (value == 0).all(axis=(0, *range(2, value.ndim)))
    return f"{int(dead.sum())} of {dead.size} units" if dead.any() else ""


def _numbers(array: Any) -> tuple[float, ...]:
    """The elements of a small array of finite real numbers, in order; else none."""
    if array is None or isinstance(array, tuple | list):
        return ()
    array = np.asarray(array)
    if array.size > _COMPUTED or array.dtype.kind not in "biuf" or not np.isfinite(array).all():
        return ()
    return tuple(float(number) for number in array.ravel())


def _brief(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _short(trace: str) -> str:
    """Where a line stands, without the folders, so that a picture does not depend on the machine, and without remarks
    to a type checker.
    """
    match = re.match(r"(.*?):(\d+): (.*?)(?:\s*# type: ignore.*)?$", trace)
    return trace if match is None else f"{PurePath(match[1]).name}:{match[2]}: {match[3]}"


def _composed_graph(node: Node, arrays: Sequence[Any]) -> tuple[Tensor, list[Any]] | None:
    """The composed definition of a fused node, recorded on its inputs or on stand-ins; None where it has one box
    only.
    """
    constants = dict(constant_inputs(node))
    known = dict(enumerate(arrays))
    stand_ins: list[Any] = []
    for slot, parent in enumerate(node.parents):
        array = known.get(slot)
        if parent is not None:
            stand_ins.append(
                Tensor(np.ones(parent.shape, parent.dtype) if array is None else np.asarray(array), requires_grad=True)
            )
        elif slot not in constants:
            stand_ins.append(None)
        elif isinstance(constants[slot], Constant):
            constant = constants[slot]
            # Zeros are valid as labels and indices, ones as positive statistics.
            fill = np.ones if constant.dtype.kind == "f" else np.zeros
            stand_ins.append(
                Tensor(fill(constant.shape, constant.dtype) if array is None else array, name=node.op.inputs[slot])
            )
        else:
            stand_ins.append(constants[slot])
    with enable_grad(), tracing(keep=bool(arrays)), np.errstate(all="ignore"):
        out = node.op.composed(*stand_ins, **(node.attrs or {}))
    if (
        isinstance(out, tuple)
        or not isinstance(out, Tensor)
        or not isinstance(out._node, Node)
        or out._node.op is ALIAS
    ):
        return None
    return out, stand_ins


def _leaves_inside(view: GraphView, outside: frozenset[str]) -> GraphView:
    """Move every leaf and constant into the innermost frame that holds all its uses, except those of ids
    ``outside``: what is given to a program stands outside of the modules that read it.
    """
    if not view.clusters:
        return view
    around = view.around()
    homes = {node.id: node.cluster for node in view.nodes}
    movable = {
        node.id
        for node in view.nodes
        if node.kind in ("parameter", "constant") and node.cluster is None and node.id not in outside
    }
    found: dict[str, tuple[str, ...]] = {}
    for edge in view.edges:
        if edge.source in movable:
            path = around[homes[edge.target]]
            found[edge.source] = path[: shared(path, found.get(edge.source, path))]
    modules = {cluster.id for cluster in view.clusters if cluster.kind == "module"}
    nodes = tuple(
        replace(node, cluster=next((c for c in reversed(found[node.id]) if c in modules), None))
        if found.get(node.id)
        else node
        for node in view.nodes
    )
    return replace(view, nodes=nodes)


def _without_outermost(view: GraphView) -> GraphView:
    """Take away a frame that holds every operation: it says no more than the title."""
    tops = [cluster for cluster in view.clusters if cluster.parent is None]
    if (
        len(tops) != 1
        or tops[0].kind != "module"
        or any(n.cluster is None and n.kind in ("op", "fused") for n in view.nodes)
    ):
        return view
    top = tops[0]
    return replace(
        view,
        nodes=tuple(replace(node, cluster=None) if node.cluster == top.id else node for node in view.nodes),
        clusters=tuple(replace(c, parent=None) if c.parent == top.id else c for c in view.clusters if c is not top),
        title=view.title or (top.name or top.label),
    )


def snapshot(
    outputs: Sequence[Tensor],
    *,
    shown: Shown | None = None,
    names: Mapping[int, str] | None = None,
    kinds: Mapping[str, Part] | None = None,
    title: str = "",
    inputs: Sequence[str] = (),
    arguments: Mapping[int, str] | None = None,
    failure: Failure | None = None,
) -> GraphView:
    """The graph that ended in some tensors, as data.

    ``names`` are those of graph entries and arrays by ``id``, ``kinds`` says what module stands at each path,
    ``inputs`` are the names of the program's arguments, ``arguments`` those of its arrays by ``id``; where the program
    stopped, ``failure``, is drawn as a red box. A GraphError if gradients are to be compared and an earlier backward
    pass has freed the graph.
    """
    shown = shown or Shown()
    builder = _Builder(shown, names or {}, kinds or {}, inputs=frozenset(inputs), arguments=arguments or {})
    if failure is not None:
        shown = builder.shown = replace(shown, gradients=False, compare=False)
        outputs = [*outputs, *(t for t in failure.inputs if isinstance(t, Tensor) and t._node is not None)]
    tracked = [t for t in outputs if t._node is not None]
    roots = [t._node for t in tracked if t._node is not None]
    notes: list[str] = []
    for t in tracked:
        builder.values[t._node] = t._data
    if shown.backward:
        try:
            builder.watch(roots, [np.ones(t.shape, t.dtype) for t in tracked])
        except GraphError:
            if shown.compare:
                raise
            builder.passes.clear()
            for entry in topological_order(roots):
                held = entry.grad if isinstance(entry, Variable) else entry.extra("grad")
                if held is not None:
                    builder.passes[entry] = _Pass(held._data if isinstance(held, Tensor) else held, [], 0.0)
            notes.append(
                "backward() has freed this graph, so only gradients that were kept are shown: draw before it, or pass"
                " retain_graph=True."
            )
    places = builder.graph(roots, {}, None)
    # A module's parameters have no name of their own; a leaf that has one was made and named by the user.
    outside = frozenset(here for entry, here in places.items() if isinstance(entry, Variable) and entry.name)
    if failure is not None:
        builder.failed(failure, places)
        where = f" in {failure.line}" if failure.line else ""
        notes.append(f"The program stopped at the red box: {type(failure.error).__name__}{where}")
    for t in outputs:
        if t._node is None:
            builder.constant(Constant(t.shape, t.dtype, t.name), None, t._data if shown.arrays else None)
    if builder.unknown and (shown.values or shown.statistics):
        notes.append(
            f"{builder.unknown} arrays were no longer held: draw(f, *args), or record inside viz.recording(), to see"
            " them all."
        )
    view = GraphView(tuple(builder.nodes), tuple(builder.edges), tuple(builder.clusters), title, " ".join(notes))
    return _measured(_without_outermost(_leaves_inside(view, outside)), shown.profile)


def _measured(view: GraphView, profile: bool) -> GraphView:
    """Count what each frame holds, and add up its time and memory."""
    total = sum(node.seconds or 0.0 for node in view.nodes)

    def row(seconds: float | None, nbytes: int | None) -> tuple[str, ...]:
        if seconds is None:
            return ()
        return (
            f"{time_text(seconds)} ({seconds / total:.0%}), {_memory(nbytes or 0)}" if total else time_text(seconds),
        )

    inside: dict[str, list[NodeView]] = {cluster.id: [] for cluster in view.clusters}
    around = view.around()
    for node in view.nodes:
        for cluster_id in around[node.cluster]:
            inside[cluster_id].append(node)
    said = _architecture(view)
    clusters = []
    for cluster in view.clusters:
        held = inside[cluster.id]
        rows = row(sum(n.seconds or 0.0 for n in held), sum(n.nbytes or 0 for n in held)) if profile else ()
        count = sum(n.kind in ("op", "fused") for n in held)
        alert = cluster.alert or next((n.alert for n in held if n.alert), "")
        if cluster.kind == "module" and not profile:
            rows = (*said.get(cluster.id, ()), f"{count} operation{'s' if count != 1 else ''}")
        clusters.append(replace(cluster, count=count, rows=(*cluster.rows, *rows), alert=alert))
    nodes = view.nodes
    if profile:
        nodes = tuple(
            replace(n, rows=(*n.rows, *row(n.seconds, n.nbytes))) if n.seconds is not None else n for n in nodes
        )
    return replace(view, nodes=nodes, clusters=tuple(clusters))


def _architecture(view: GraphView) -> dict[str, tuple[str, ...]]:
    """What the box of each closed module says: its options, the shapes that enter and leave it, its parameters."""
    modules = [cluster for cluster in view.clusters if cluster.kind == "module"]
    if not modules:
        return {}
    by_id = {node.id: node for node in view.nodes}
    around = view.around()
    entering: dict[str, dict[str, str]] = {}
    leaving: dict[str, dict[str, str]] = {}
    for edge in view.edges:
        source, target = by_id[edge.source], by_id[edge.target]
        # A parameter that several modules share is no input of theirs.
        if source.cluster == target.cluster or (source.kind == "parameter" and "." in source.label):
            continue
        here, there = around[source.cluster], around[target.cluster]
        for cluster_id in here:
            if cluster_id not in there:
                leaving.setdefault(cluster_id, {})[source.id] = shape_text(source.shape, None)
        for cluster_id in there:
            if cluster_id not in here:
                entering.setdefault(cluster_id, {})[source.id] = shape_text(source.shape, None)
    used = {edge.source for edge in view.edges}
    for node in view.nodes:
        # A result of the program leaves every module around it.
        if node.id not in used and node.kind in ("op", "fused"):
            for cluster_id in around[node.cluster]:
                leaving.setdefault(cluster_id, {})[node.id] = shape_text(node.shape, None)
    found = {}
    for cluster in modules:
        facts = dict(cluster.details)
        rows = [facts["options"]] if "options" in facts else []
        shapes = [", ".join(dict.fromkeys(side.get(cluster.id, {}).values())) for side in (entering, leaving)]
        if any(shapes):
            rows.append(f"{shapes[0] or '()'} → {shapes[1] or '()'}")
        if "parameters" in facts:
            rows.append(f"{facts['parameters']} parameter{'s' if facts['parameters'] != '1' else ''}")
        found[cluster.id] = tuple(rows)
    return found


def _kept(node: Node) -> int:
    """The bytes of the arrays that a node's rules will read, each array once."""
    found: dict[int, int] = {}
    stack: list[Any] = [node.saved]
    while stack:
        held = stack.pop()
        if isinstance(held, tuple | list):
            stack.extend(held)
        elif isinstance(held, np.ndarray):
            base = held if held.base is None else held.base
            found[id(base)] = getattr(base, "nbytes", held.nbytes)
    return sum(found.values())


def _memory(count: int) -> str:
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count} B"


def known_arrays(node: Node) -> tuple[Any, tuple[Any, ...]]:
    """The output and the inputs of a node as far as they are still held, None for those that are not."""
    seen = node.extra("seen")
    if seen is not None:
        return seen[0], seen[1]
    if node.saved is None or node.op.pull is not None:
        return None, (None,) * len(node.parents)
    if node.op.fused:
        return None, tuple(node.saved[0])
    out, *inputs = (None if isinstance(array, ShapeOnly) else array for array in node.saved)
    return out, tuple(inputs)
