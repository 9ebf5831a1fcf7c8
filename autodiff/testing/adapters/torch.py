"""PyTorch's gradients: functions, modules with their parameters, ``torch.autograd.Function``."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from autodiff.core.errors import ArgumentError
from autodiff.extras import require
from autodiff.testing.arguments import Arguments, alike, outputs_of, packed
from autodiff.testing.problem import Problem, Stops, checked
from autodiff.testing.report import Report

__all__ = ["check_torch"]

Arrays = Sequence[Any]


def check_torch(
    f: Callable[..., object], *args: object, order: int = 2, seed: int = 0, raises: bool = True, **kwargs: object
) -> Report:
    """Check PyTorch's gradient of a function of torch tensors, in first and second order.

    Parameters
    ----------
    f : callable
        Takes torch tensors for the arrays among ``args``; returns tensors, alone or in tuples, lists and dicts. A
        ``torch.nn.Module`` is checked with its parameters, in float64; a ``torch.autograd.Function`` may be given
        itself or by its ``apply``.
    *args
        NumPy arrays or torch tensors; floating and complex ones are differentiated with respect to. Python numbers
        beside them are passed on as they are.
    order : {1, 2}
    seed : int
    raises : bool
    **kwargs
        Passed on to ``f``.

    Raises
    ------
    GradientMismatch
        If a gradient is wrong.
    ArgumentError
        If there is nothing to differentiate with respect to, or no output depends on it.
    MissingExtraError
        If PyTorch is not installed.

    Notes
    -----
    What passes through ``.detach()`` in ``f`` is held at its value at the base point (straight-through estimators).
    """
    torch = require("torch")
    # A number is an option to PyTorch, and a tensor is none.
    numbers = not isinstance(f, torch.nn.Module) and all(isinstance(a, float) for a in args)
    arguments = Arguments("check_torch", args, kwargs, floats=numbers)
    problem = lambda rng: _Torch(torch, f, arguments, rng)
    return checked("check_torch", f, args, kwargs, problem, order=order, seed=seed, raises=raises)


class _Torch(Problem):
    """A function of torch tensors."""

    widens = hides_draws = False

    def __init__(self, torch: Any, f: Callable[..., Any], arguments: Arguments, rng: np.random.Generator) -> None:
        self.torch, self.f, self.module = torch, f, None
        self.parameters: list[str] = []
        if isinstance(f, type) and issubclass(f, torch.autograd.Function):
            self.f = getattr(f, "apply")  # noqa: B009  # a class of PyTorch's, of which no type checker knows
        elif isinstance(f, torch.nn.Module):
            self.module = f
            for name, parameter in f.named_parameters():
                if parameter.requires_grad and (parameter.is_floating_point() or parameter.is_complex()):
                    self.parameters.append(name)
                    arguments.parameter(name, parameter)
            # What is not under test keeps its value: buffers, frozen parameters.
            kept = [(name, t) for name, t in (*f.named_buffers(), *f.named_parameters()) if name not in self.parameters]
            self.kept = {name: t.detach().double() if t.is_floating_point() else t.detach().clone() for name, t in kept}
        super().__init__(arguments, rng)
        self.stops = Stops()
        with _mode(torch)(self.stops.record):
            outs, leaves = self._first()
        self.outside = self._left_out(outs, leaves)
        if outs and not any(o.requires_grad for o in outs):
            raise ArgumentError(
                "check_torch: no output of f depends on an argument in PyTorch's graph: f takes numbers out of the"
                " tensors (.numpy(), .item(), torch.tensor(...)), or detaches all of them"
            )
        self.draw([o.detach().resolve_conj().numpy() for o in outs])

    def _first(self) -> tuple[list[Any], list[Any]]:
        """The first run: a function that insists on its own precision gets it."""
        try:
            return self._run(self.base, True)
        except RuntimeError as error:
            if "dtype" not in str(error) or self.module is not None:
                raise
            self.arguments.narrow = True
            return self._run(self.base, True)

    def notes(self) -> list[str]:
        return self.arguments.notes + self.stops.notes() + self.outside

    def _left_out(self, outs: Sequence[Any], leaves: Sequence[Any]) -> list[str]:
        """Leaves of the graph that are neither arguments nor parameters of ``f`` itself."""
        known = {id(leaf) for leaf in leaves}
        stack, seen, found = [o.grad_fn for o in outs], set(), []
        while stack:
            node = stack.pop()
            if node is None or node in seen:
                continue
            seen.add(node)
            stack += [parent for parent, _ in node.next_functions]
            variable = getattr(node, "variable", None)
            if variable is not None and id(variable) not in known:
                found.append(variable)
        if not found:
            return []
        words = ", ".join(str(tuple(v.shape)) for v in found[:6])
        return [
            f"not checked: {len(found)} tensors that f takes from outside and that ask for gradients (shapes {words});"
            " pass the module itself to check its parameters"
        ]

    def _moved(self) -> Any:
        return _mode(self.torch)(self.stops.following()) if self.stops.held else contextlib.nullcontext()

    def _run(self, arrays: Arrays, tracked: bool) -> tuple[list[Any], list[Any]]:
        torch, count = self.torch, len(arrays) - len(self.parameters)
        leaves: list[Any] = []

        def wrap(array: Any, number: int) -> Any:
            # A tensor has no negative strides.
            leaf = torch.from_numpy(array.copy() if min(array.strides, default=0) < 0 else alike(array, array.dtype))
            leaves.append(leaf.requires_grad_() if tracked else leaf)
            return leaf

        def tensor(value: Any) -> Any:
            return torch.from_numpy(value) if isinstance(value, np.ndarray) else value

        args, kwargs = self.arguments.call(arrays[:count], wrap)
        args, kwargs = [tensor(a) for a in args], {key: tensor(a) for key, a in kwargs.items()}
        if self.module is None:
            result = self.f(*args, **kwargs)
        else:
            values = [torch.tensor(a, requires_grad=tracked) for a in self.arguments.values(arrays)[count:]]
            leaves += values
            state = {**dict(zip(self.parameters, values, strict=True)), **{k: t.clone() for k, t in self.kept.items()}}
            result = torch.func.functional_call(self.module, state, tuple(args), kwargs)
        outs = [o for o in outputs_of(result) if isinstance(o, torch.Tensor)]
        return [o for o in outs if o.is_floating_point() or o.is_complex()], leaves

    def outputs(self, arrays: Arrays) -> list[Any]:
        with self._moved():
            outs = self._run(arrays, False)[0]
        return [
            o.numpy() if o.dtype is self.torch.float64 and not o.requires_grad else o.detach().resolve_conj().numpy()
            for o in outs
        ]

    def _first_order(self, arrays: Arrays, create_graph: bool) -> tuple[list[Any], Sequence[Any]]:
        moved = any(a is not b for a, b in zip(arrays, self.base, strict=True))
        with self._moved() if moved else contextlib.nullcontext():
            outs, leaves = self._run(arrays, True)
        # PyTorch pairs a complex output with the conjugate of its cotangent.
        return leaves, self._pulled(outs, list(map(np.conj, self.cotangents)), leaves, create_graph)

    def _pulled(
        self, outs: Sequence[Any], weights: Sequence[Any], leaves: Sequence[Any], create_graph: bool = False
    ) -> Sequence[Any]:
        """The gradient of ``sum(<w, out>)`` in some tensors; None for those that it does not depend on."""
        given = zip(outs, map(self.torch.as_tensor, weights), strict=True)
        pairs = [(o, w.to(o.dtype)) for o, w in given if o is not None and o.requires_grad]
        if not pairs:
            return [None] * len(leaves)
        tracked, seeds = zip(*pairs, strict=True)
        found: Sequence[Any] = self.torch.autograd.grad(
            tracked, leaves, seeds, allow_unused=True, create_graph=create_graph
        )
        return found

    def _numpy(self, found: Sequence[Any]) -> list[Any]:
        arrays = [None if g is None else g.detach().to_dense().resolve_conj().numpy() for g in found]
        return [
            None if a is None else packed(a.astype(np.complex128) if a.dtype.kind == "c" else a.astype(float))
            for a in arrays
        ]

    def gradient(self, arrays: Arrays) -> list[Any]:
        return self._numpy(self._first_order(arrays, False)[1])

    def second_gradient(self, arrays: Arrays, weights: Sequence[Any]) -> list[Any]:
        leaves, found = self._first_order(arrays, True)
        return self._numpy(self._pulled(found, self.arguments.values(weights), leaves))

    def pushed(self, weights: Sequence[Any]) -> Sequence[Any] | None:
        outs, leaves = self._run(self.base, True)
        given = zip(outs, map(self.torch.as_tensor, self.cotangents), strict=True)
        seeds = [u.to(o.dtype, copy=True).requires_grad_() for o, u in given]
        return self._numpy(self._pulled(self._pulled(outs, seeds, leaves, True), weights, seeds))


@functools.cache
def _mode(torch: Any) -> Any:
    switches = (torch._C._set_grad_enabled, torch.set_grad_enabled)

    class Mode(torch.overrides.TorchFunctionMode):  # type: ignore[misc,name-defined]
        """What ``detach`` gives passes through a function of arrays."""

        def __init__(self, through: Callable[[Any], Any]) -> None:
            super().__init__()
            # Within the forward of a torch.autograd.Function gradients are off, and nobody has said so: what is
            # detached there is saved for its backward, and no constant of f.
            self.through, self.off = through, False

        def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            result = function(*args, **(kwargs or {}))
            if function in switches:
                self.off = not torch.is_grad_enabled()
            said = torch.is_grad_enabled() or self.off
            if function is torch.Tensor.detach and result.is_floating_point() and said:
                with torch._C.DisableTorchFunction():
                    return torch.tensor(self.through(result.numpy().copy()), dtype=result.dtype)
            return result

    return Mode
