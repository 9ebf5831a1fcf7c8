"""JAX's gradients: functions, ``custom_vjp``, ``custom_jvp``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from autodiff.core.errors import ArgumentError
from autodiff.extras import require
from autodiff.testing.arguments import Arguments, ascents, outputs_of
from autodiff.testing.problem import Problem, Stops, checked
from autodiff.testing.report import Report

__all__ = ["check_jax"]

Arrays = Sequence[Any]


def check_jax(
    f: Callable[..., object], *args: object, order: int = 2, seed: int = 0, raises: bool = True, **kwargs: object
) -> Report:
    """Check JAX's gradient of a function of JAX arrays, in first and second order. JAX must be set to 64 bits.

    Parameters
    ----------
    f : callable
        Returns arrays, alone or in tuples, lists and dicts. May be a ``jax.custom_vjp``.
    *args
        Floating and complex arrays, alone or in dicts and lists, are differentiated with respect to.
    order, seed, raises, **kwargs
        As in :func:`check_torch`, and so are the errors.

    Notes
    -----
    What passes through ``jax.lax.stop_gradient`` in ``f`` is held at its value at the base point.
    """
    jax = require("jax")
    if not jax.config.jax_enable_x64:
        raise ArgumentError("check_jax: JAX computes in 32 bits; call jax.config.update('jax_enable_x64', True) first")
    arguments = Arguments("check_jax", args, kwargs)
    problem = lambda rng: _Jax(jax, f, arguments, rng)
    return checked("check_jax", f, args, kwargs, problem, order=order, seed=seed, raises=raises)


class _Jax(Problem):
    """A function of JAX arrays."""

    widens = hides_draws = False

    def __init__(self, jax: Any, f: Callable[..., Any], arguments: Arguments, rng: np.random.Generator) -> None:
        super().__init__(arguments, rng)
        self.jax, self.f = jax, f
        self.stops = Stops()
        self.held = self._plain
        values = self._values(self.base)
        outs = self._plain(*values)
        jaxpr = jax.make_jaxpr(self._plain)(*values)
        if _stops(jaxpr.jaxpr):
            # The function is run operation by operation from here on, with the stopped values handed back.
            _evaluated(jax, jaxpr.jaxpr, jaxpr.consts, values, self.stops.record)
            self.held = lambda *given: _evaluated(jax, jaxpr.jaxpr, jaxpr.consts, given, self.stops.following())
        self.draw([np.asarray(o) for o in outs])

    def notes(self) -> list[str]:
        return self.arguments.notes + self.stops.notes()

    def _values(self, arrays: Arrays) -> list[Any]:
        return [self.jax.numpy.asarray(a) for a in self.arguments.values(arrays)]

    def _plain(self, *values: Any) -> list[Any]:
        # ``call`` unpacks complex leaves itself; here they are complex already.
        args, kwargs = self.arguments.call(self.base, lambda array, number: values[number])
        outs = outputs_of(self.f(*args, **kwargs))
        return [o for o in map(self.jax.numpy.asarray, outs) if o.dtype.kind in "fc"]

    def outputs(self, arrays: Arrays) -> list[Any]:
        return [np.asarray(o) for o in self.held(*self._values(arrays))]

    def _pulled(self, function: Callable[..., Any], values: Sequence[Any]) -> Any:
        outs, pull = self.jax.vjp(function, *values)
        # JAX's gradient of a complex argument is the conjugate of the direction of ascent; so are its cotangents.
        return pull(
            [self.jax.numpy.asarray(np.asarray(u), o.dtype) for o, u in zip(outs, self.cotangents, strict=True)]
        )

    def gradient(self, arrays: Arrays) -> list[Any]:
        moved = any(a is not b for a, b in zip(arrays, self.base, strict=True))
        return ascents(self._pulled(self.held if moved else self._plain, self._values(arrays)))

    def second_gradient(self, arrays: Arrays, weights: Sequence[Any]) -> list[Any]:
        values = self._values(arrays)
        _, pull = self.jax.vjp(lambda *v: tuple(self._pulled(self._plain, v)), *values)
        return ascents(pull(tuple(self._values(weights))))

    def pushed(self, weights: Sequence[Any]) -> Sequence[Any] | None:
        outs, pull = self.jax.vjp(self._plain, *self._values(self.base))
        seeds = [self.jax.numpy.asarray(u, o.dtype) for o, u in zip(outs, self.cotangents, strict=True)]
        found, push = self.jax.vjp(pull, seeds)
        (pushed,) = push(tuple(self.jax.numpy.asarray(w, g.dtype) for g, w in zip(found, weights, strict=True)))
        return [np.asarray(j) for j in pushed]


def _stops(jaxpr: Any) -> bool:
    """Whether a stop_gradient stands in a jaxpr, or in one that it runs."""
    return any(eqn.primitive.name == "stop_gradient" or any(map(_stops, _within(eqn))) for eqn in jaxpr.eqns)


def _within(eqn: Any) -> list[Any]:
    """The jaxprs that an operation of :func:`_evaluated` runs: calls, branches, loops."""
    if eqn.primitive.name not in ("pjit", "jit", "closed_call", "checkpoint", "remat2", "cond", "scan", "while"):
        return []
    held = [eqn.params.get(key) for key in ("jaxpr", "cond_jaxpr", "body_jaxpr")] + [*eqn.params.get("branches", ())]
    return [getattr(inner, "jaxpr", inner) for inner in held if inner is not None]


def _evaluated(jax: Any, jaxpr: Any, consts: Sequence[Any], args: Sequence[Any], through: Callable[[Any], Any]) -> Any:
    """A jaxpr run operation by operation, with what is stopped passed through a function."""
    known: dict[Any, Any] = {
        **dict(zip(jaxpr.constvars, consts, strict=True)),
        **dict(zip(jaxpr.invars, args, strict=True)),
    }

    def read(v: Any) -> Any:
        return v.val if hasattr(v, "val") else known[v]

    def inner(closed: Any, values: Sequence[Any]) -> Any:
        return _evaluated(jax, getattr(closed, "jaxpr", closed), getattr(closed, "consts", ()), values, through)

    for eqn in jaxpr.eqns:
        values, own = [read(v) for v in eqn.invars], eqn.params
        if eqn.primitive.name == "stop_gradient":
            results = [jax.numpy.asarray(through(values[0]))]
        elif not any(map(_stops, _within(eqn))):
            # Older releases of JAX return the functions that a primitive takes apart from its parameters.
            bound = eqn.primitive.get_bind_params(own)
            functions, parameters = bound if isinstance(bound, tuple) else ((), bound)
            found = eqn.primitive.bind(*functions, *values, **parameters)
            results = found if eqn.primitive.multiple_results else [found]
        elif eqn.primitive.name == "cond":
            results = inner(own["branches"][int(values[0])], values[1:])
        elif eqn.primitive.name == "while":
            tests, fixed = own["cond_nconsts"], own["cond_nconsts"] + own["body_nconsts"]
            results = values[fixed:]
            while bool(inner(own["cond_jaxpr"], [*values[:tests], *results])[0]):
                results = inner(own["body_jaxpr"], [*values[tests:fixed], *results])
        elif eqn.primitive.name == "scan":
            # Since JAX 0.12 trees of the constants, the carry and the rows stand for their numbers.
            counts = (
                [len(tree) for tree in own["ft_in"].unpack()]
                if "ft_in" in own
                else [own["num_consts"], own["num_carry"]]
            )
            first, carried = counts[0], counts[0] + counts[1]
            carry, stacked = values[first:carried], []
            steps = range(own["length"])
            for i in reversed(steps) if own["reverse"] else steps:
                outs = inner(own["jaxpr"], [*values[:first], *carry, *(xs[i] for xs in values[carried:])])
                carry = outs[: carried - first]
                stacked.append(outs[carried - first :])
            rows = zip(*(stacked[::-1] if own["reverse"] else stacked), strict=True)
            results = [*carry, *map(jax.numpy.stack, rows)]
        else:
            results = inner(own["jaxpr"], values)
        known.update(zip(eqn.outvars, results, strict=True))
    return [read(v) for v in jaxpr.outvars]
