"""The kernels that networks spend their time in: forward and backward at the sizes that users meet."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from benchmarks import reference, rivals
from benchmarks.harness import Candidate, Contest, Target
from benchmarks.reference import ADAM_EPS, BETA1, BETA2, CS231N, EPS, RATE, CarefulAdam, Problem, TextbookAdam

__all__ = ["contests"]

KEEP = 0.75
TARGETS = (Target("careful NumPy", 1.2), Target("PyTorch", 0.9))
Maker = tuple[str, Callable[[], Candidate]]


def _contest(
    case: str,
    textbook: Callable[[], Sequence[Any]],
    careful: Callable[[], Sequence[Any]],
    library: Callable[[], Candidate],
    rivals_: Sequence[Maker],
    check: Callable[[Sequence[Any]], Sequence[Any]] | None = None,
    tolerance: float = 1e-4,
) -> Contest:
    """``check`` turns what a candidate returns into what is compared; it is the identity unless given."""

    def plain(name: str, run: Callable[[], Sequence[Any]]) -> Candidate:
        return Candidate(name, run, run if check is None else lambda: check(run()))

    candidates = [plain("textbook NumPy", textbook), plain("careful NumPy", careful), library()]
    made = Contest(
        "kernels",
        case,
        candidates,
        reference="textbook NumPy",
        baseline="careful NumPy",
        tolerance=tolerance,
        targets=list(TARGETS),
    )
    return rivals.join(made, *rivals_)


def _library(
    function: Callable[..., Any],
    arrays: Sequence[Any],
    seed: Any,
    check: Callable[[Sequence[Any]], Sequence[Any]] | None = None,
) -> Candidate:
    """A differentiable function of Tensors, all of which ask for gradients."""
    import autodiff as ad

    leaves = [ad.Tensor(array, requires_grad=True) for array in arrays]

    def run() -> Any:
        for leaf in leaves:
            leaf.grad = None
        out = function(*leaves)
        out.backward(seed)
        return out

    def result() -> Sequence[Any]:
        out = run()
        found = [out.data, *(leaf.grad for leaf in leaves)]
        return found if check is None else check(found)

    return Candidate("autodiff", run, result)


def _torch(function: Callable[[Any], Callable[..., Any]], arrays: Sequence[Any], seed: Any, check: Any = None) -> Maker:
    def make() -> Candidate:
        t = rivals.torch()
        call = function(t)
        leaves = [t.from_numpy(array.copy()).requires_grad_() for array in arrays]
        g = None if seed is None else t.from_numpy(seed)

        def run() -> Any:
            for leaf in leaves:
                leaf.grad = None
            out = call(*leaves)
            out.backward(g)
            return out

        def result() -> Sequence[Any]:
            out = run()
            found = [out.detach().numpy(), *(leaf.grad.numpy() for leaf in leaves)]
            return found if check is None else check(found)

        return Candidate("PyTorch", run, result)

    return "PyTorch", make


def _jax(function: Callable[[Any], Callable[..., Any]], arrays: Sequence[Any], seed: Any) -> Maker:
    def make() -> Candidate:
        j = rivals.jax()
        call = function(j)

        @j.jit  # type: ignore[untyped-decorator]
        def both(inputs: Any, g: Any) -> Any:
            out, pull = j.vjp(call, *inputs)
            return (out, *pull(g))

        inputs = [j.numpy.asarray(array) for array in arrays]
        g = j.numpy.asarray(np.float32(1) if seed is None else seed)

        def run() -> Any:
            return j.block_until_ready(both(inputs, g))

        return Candidate("JAX jit", run, run)

    return "JAX jit", make


# --- the cases -------------------------------------------------------------------------------------------------------


def _normal(rng: np.random.Generator, *shape: int) -> Any:
    return rng.standard_normal(shape, dtype=np.float32)


def batch_norm(shape: tuple[int, ...]) -> Contest:
    """Training-mode batch normalisation over (N, C) or (N, C, H, W)."""
    from nn import functional as F

    rng = np.random.default_rng(0)
    x, g, gamma, beta = _normal(rng, *shape), _normal(rng, *shape), _normal(rng, shape[1]), _normal(rng, shape[1])
    axes = (0,) if len(shape) == 2 else (0, 2, 3)
    column = (1, -1) + (1,) * (len(shape) - 2)

    def in_jax(j: Any) -> Callable[..., Any]:
        def call(x: Any, gamma: Any, beta: Any) -> Any:
            centred = x - x.mean(axes, keepdims=True)
            scale = j.lax.rsqrt((centred * centred).mean(axes, keepdims=True) + EPS)
            return centred * scale * gamma.reshape(column) + beta.reshape(column)

        return call

    def in_torch(t: Any) -> Callable[..., Any]:
        return lambda x, gamma, beta: t.nn.functional.batch_norm(x, None, None, gamma, beta, True, 0.1, EPS)

    arrays = (x, gamma, beta)
    return _contest(
        f"batchnorm {'x'.join(map(str, shape))}",
        lambda: reference.textbook_batch_norm(x, gamma, beta, g),
        lambda: reference.careful_batch_norm(x, gamma, beta, g),
        lambda: _library(lambda x, w, b: F.batch_norm(x, None, None, w, b, True, 0.1, EPS), arrays, g),
        (_torch(in_torch, arrays, g), _jax(in_jax, arrays, g)),
    )


def layer_norm(shape: tuple[int, ...]) -> Contest:
    """Layer normalisation over the last axis."""
    from nn import functional as F

    rng = np.random.default_rng(0)
    width = shape[-1]
    x, g, gamma, beta = _normal(rng, *shape), _normal(rng, *shape), _normal(rng, width), _normal(rng, width)

    def in_jax(j: Any) -> Callable[..., Any]:
        def call(x: Any, gamma: Any, beta: Any) -> Any:
            centred = x - x.mean(-1, keepdims=True)
            return centred * j.lax.rsqrt((centred * centred).mean(-1, keepdims=True) + EPS) * gamma + beta

        return call

    arrays = (x, gamma, beta)
    return _contest(
        f"layernorm {'x'.join(map(str, shape))}",
        lambda: reference.textbook_layer_norm(x, gamma, beta, g),
        lambda: reference.careful_layer_norm(x, gamma, beta, g),
        lambda: _library(lambda x, w, b: F.layer_norm(x, (width,), w, b, EPS), arrays, g),
        (
            _torch(lambda t: lambda x, w, b: t.nn.functional.layer_norm(x, (width,), w, b, EPS), arrays, g),
            _jax(in_jax, arrays, g),
        ),
    )


def cross_entropy(shape: tuple[int, int]) -> Contest:
    """Mean softmax cross-entropy from class indices."""
    from nn import functional as F

    rng = np.random.default_rng(0)
    x, y = _normal(rng, *shape), rng.integers(0, shape[1], shape[0])
    rows = np.arange(shape[0])

    def in_jax(j: Any) -> Callable[..., Any]:
        return lambda x: -j.nn.log_softmax(x)[rows, y].mean()

    def in_torch(t: Any) -> Callable[..., Any]:
        labels = t.from_numpy(y)
        return lambda x: t.nn.functional.cross_entropy(x, labels)

    return _contest(
        f"softmax cross-entropy {shape[0]}x{shape[1]}",
        lambda: reference.textbook_cross_entropy(x, y),
        lambda: reference.careful_cross_entropy(x, y),
        lambda: _library(lambda x: F.cross_entropy(x, y), (x,), None),
        (_torch(in_torch, (x,), None), _jax(in_jax, (x,), None)),
    )


def dropout(shape: tuple[int, int], relu: bool = False) -> Contest:
    """Inverted dropout with a fresh mask each time, after ReLU or alone; results are compared by what holds for every
    mask.
    """
    from nn import functional as F

    rng = np.random.default_rng(0)
    x, g = _normal(rng, *shape), _normal(rng, *shape)
    x = x if relu else 1 + np.abs(x)
    source = np.random.default_rng(1)
    fast = np.random.Generator(np.random.SFC64(1))

    def check(found: Sequence[Any]) -> Sequence[Any]:
        out, gx = found
        kept = out != 0
        wrong_out = np.max(np.abs(out - kept * x / np.float32(KEEP)))
        wrong_gradient = np.max(np.abs(gx - kept * g / np.float32(KEEP)))
        return [np.array([kept.mean(), wrong_out, wrong_gradient])]

    def in_torch(t: Any) -> Callable[..., Any]:
        return lambda x: t.nn.functional.dropout(t.relu(x) if relu else x, 1 - KEEP)

    def jax_maker() -> Candidate:
        j = rivals.jax()

        @j.jit  # type: ignore[untyped-decorator]
        def both(x: Any, g: Any, key: Any) -> Any:
            key, sub = j.random.split(key)
            kept = j.random.bernoulli(sub, KEEP, x.shape)
            factor = (kept & (x > 0) if relu else kept) * np.float32(1 / KEEP)
            return x * factor, g * factor, key

        state = [j.random.key(0)]
        jx, jg = j.numpy.asarray(x), j.numpy.asarray(g)

        def run() -> Any:
            out, gx, state[0] = j.block_until_ready(both(jx, jg, state[0]))
            return out, gx

        return Candidate("JAX jit", run, lambda: check([np.asarray(part) for part in run()]))

    return _contest(
        f"{'ReLU + ' * relu}dropout {shape[0]}x{shape[1]}",
        lambda: (reference.textbook_relu_dropout if relu else reference.textbook_dropout)(x, KEEP, source, g),
        lambda: (reference.careful_relu_dropout if relu else reference.careful_dropout)(x, KEEP, fast, g),
        lambda: _library(lambda x: F.dropout(F.relu(x) if relu else x, 1 - KEEP), (x,), g, check),
        (_torch(in_torch, (x,), g, check), ("JAX jit", jax_maker)),
        check=check,
        tolerance=0.02,
    )


def gelu_tanh(shape: tuple[int, int]) -> Contest:
    """GELU by its hyperbolic tangent."""
    from nn import functional as F

    rng = np.random.default_rng(0)
    x, g = _normal(rng, *shape), _normal(rng, *shape)
    return _contest(
        f"GELU (tanh) {shape[0]}x{shape[1]}",
        lambda: reference.textbook_gelu_tanh(x, g),
        lambda: reference.careful_gelu_tanh(x, g),
        lambda: _library(lambda x: F.gelu(x, approximate="tanh"), (x,), g),
        (
            _torch(lambda t: lambda x: t.nn.functional.gelu(x, approximate="tanh"), (x,), g),
            _jax(lambda j: lambda x: j.nn.gelu(x, approximate=True), (x,), g),
        ),
    )


def adam(name: str, shapes: Sequence[tuple[int, ...]]) -> Contest:
    """One step of Adam over parameters of these shapes."""
    rng = np.random.default_rng(0)
    start = [_normal(rng, *shape) * np.float32(0.01) for shape in shapes]
    gradients = [_normal(rng, *shape) for shape in shapes]
    flat_start = np.concatenate([p.reshape(-1) for p in start])
    flat_gradient = np.concatenate([g.reshape(-1) for g in gradients])

    def moved(parameters: Sequence[Any]) -> Sequence[Any]:
        return [np.concatenate([np.asarray(p).reshape(-1) for p in parameters]) - flat_start]

    textbook, careful = TextbookAdam(start), CarefulAdam(flat_start.copy())

    def textbook_result() -> Sequence[Any]:
        fresh = TextbookAdam(start)
        for _ in range(3):
            fresh.step(gradients)
        return moved(fresh.parameters)

    def careful_result() -> Sequence[Any]:
        fresh = CarefulAdam(flat_start.copy())
        for _ in range(3):
            fresh.step(flat_gradient)
        return moved([fresh.flat])

    def library() -> Candidate:
        import nn
        import optim

        def fresh() -> tuple[Any, list[Any]]:
            parameters = [nn.Parameter(p.copy()) for p in start]
            for p, g in zip(parameters, gradients, strict=True):
                p.grad = g
            return optim.Adam(parameters, lr=RATE, betas=(BETA1, BETA2), eps=ADAM_EPS), parameters

        optimizer, _ = fresh()

        def result() -> Sequence[Any]:
            optimizer, parameters = fresh()
            for _ in range(3):
                optimizer.step()
            return moved([p.data for p in parameters])

        return Candidate("autodiff", optimizer.step, result)

    def torch_maker(fused: bool) -> Maker:
        label = "PyTorch, fused" if fused else "PyTorch"

        def make() -> Candidate:
            t = rivals.torch()

            def fresh() -> tuple[Any, list[Any]]:
                parameters = [t.nn.Parameter(t.from_numpy(p.copy())) for p in start]
                for p, g in zip(parameters, gradients, strict=True):
                    p.grad = t.from_numpy(g)
                made = t.optim.Adam(parameters, lr=RATE, betas=(BETA1, BETA2), eps=ADAM_EPS, fused=fused)
                return made, parameters

            optimizer, _ = fresh()

            def result() -> Sequence[Any]:
                optimizer, parameters = fresh()
                for _ in range(3):
                    optimizer.step()
                return moved([p.detach().numpy() for p in parameters])

            return Candidate(label, optimizer.step, result)

        return label, make

    def jax_maker() -> Candidate:
        j = rivals.jax()
        jnp = j.numpy

        def one(p: Any, g: Any, m: Any, v: Any, t: Any) -> Any:
            m = BETA1 * m + (1 - BETA1) * g
            v = BETA2 * v + (1 - BETA2) * g * g
            return p - RATE * (m / (1 - BETA1**t)) / (jnp.sqrt(v / (1 - BETA2**t)) + ADAM_EPS), m, v

        def step(p: Any, m: Any, v: Any, t: Any, g: Any) -> Any:
            new = [one(*parts, t) for parts in zip(p, g, m, v, strict=True)]
            return [n[0] for n in new], [n[1] for n in new], [n[2] for n in new], t + 1

        run = j.jit(step, donate_argnums=(0, 1, 2))
        g = [jnp.asarray(part) for part in gradients]

        def fresh() -> list[Any]:
            return [
                [jnp.array(p) for p in start],
                [jnp.zeros_like(part) for part in g],
                [jnp.zeros_like(part) for part in g],
                jnp.float32(1),
            ]

        state = fresh()

        def timed() -> None:
            state[:] = run(*state, g)
            j.block_until_ready(state[0])

        def result() -> Sequence[Any]:
            state = fresh()
            for _ in range(3):
                state = run(*state, g)
            return moved(state[0])

        return Candidate("JAX jit", timed, result)

    made = Contest(
        "kernels",
        f"Adam, {name}",
        [
            Candidate("textbook NumPy", lambda: textbook.step(gradients), textbook_result),
            Candidate("careful NumPy", lambda: careful.step(flat_gradient), careful_result),
            library(),
        ],
        reference="textbook NumPy",
        baseline="careful NumPy",
        tolerance=2e-3,
        targets=list(TARGETS),
    )
    return rivals.join(made, torch_maker(False), torch_maker(True), ("JAX jit", jax_maker))


def convolution(shape: tuple[int, int, int, int], out_channels: int) -> Contest:
    """3x3 convolution with padding 1 of (N, C, H, W)."""
    from nn import functional as F

    rng = np.random.default_rng(0)
    x, w, b = _normal(rng, *shape), _normal(rng, out_channels, shape[1], 3, 3), _normal(rng, out_channels)
    g = _normal(rng, shape[0], out_channels, *shape[2:])

    def in_jax(j: Any) -> Callable[..., Any]:
        def call(x: Any, w: Any, b: Any) -> Any:
            y = j.lax.conv_general_dilated(x, w, (1, 1), ((1, 1), (1, 1)))
            return y + b[:, None, None]

        return call

    arrays = (x, w, b)
    made = _contest(
        f"conv 3x3 {'x'.join(map(str, shape))} -> {out_channels}",
        lambda: reference.textbook_conv(x, w, b, g),
        lambda: reference.careful_conv(x, w, b, g),
        lambda: _library(lambda x, w, b: F.conv2d(x, w, b, padding=1), arrays, g),
        (
            _torch(lambda t: lambda x, w, b: t.nn.functional.conv2d(x, w, b, padding=1), arrays, g),
            _jax(in_jax, arrays, g),
        ),
    )
    made.targets = [TARGETS[0], Target("PyTorch", 1.5)]
    return made


def max_pool(shape: tuple[int, int, int, int]) -> Contest:
    """2x2 max pooling of (N, C, H, W)."""
    from nn import functional as F

    rng = np.random.default_rng(0)
    x, g = _normal(rng, *shape), _normal(rng, *shape[:2], shape[2] // 2, shape[3] // 2)

    def in_jax(j: Any) -> Callable[..., Any]:
        window = (1, 1, 2, 2)
        return lambda x: j.lax.reduce_window(x, -np.inf, j.lax.max, window, window, "VALID")

    return _contest(
        f"max pool 2x2 {'x'.join(map(str, shape))}",
        lambda: reference.textbook_max_pool(x, g),
        lambda: reference.careful_max_pool(x, g),
        lambda: _library(lambda x: F.max_pool2d(x, 2), (x,), g),
        (_torch(lambda t: lambda x: t.nn.functional.max_pool2d(x, 2), (x,), g), _jax(in_jax, (x,), g)),
    )


def contests(quick: bool = False) -> Iterator[Contest]:
    """The sizes of the table in the performance notes; quick: the same kernels on a few numbers."""
    if quick:
        yield batch_norm((8, 6))
        yield batch_norm((4, 3, 5, 5))
        yield layer_norm((8, 6))
        yield layer_norm((3, 4, 6))
        yield cross_entropy((8, 5))
        yield dropout((256, 256))
        yield dropout((256, 256), relu=True)
        yield gelu_tanh((8, 6))
        yield convolution((2, 3, 6, 5), 4)
        yield max_pool((2, 3, 6, 4))
        yield adam("11 parameters", [(2, 3), (5,)])
        return
    yield batch_norm((256, 1024))
    yield batch_norm((64, 64, 16, 16))
    yield layer_norm((256, 1024))
    yield layer_norm((32, 128, 512))
    yield cross_entropy((256, 10))
    yield cross_entropy((256, 1000))
    yield cross_entropy((64, 32000))
    yield dropout((256, 1024))
    yield dropout((256, 1024), relu=True)
    yield gelu_tanh((256, 1024))
    yield convolution((32, 16, 32, 32), 32)
    yield max_pool((32, 32, 32, 32))
    yield adam("349k parameters", [p.shape for layer in Problem(CS231N[0]).layers for p in layer.values()])
    yield adam("4.2M parameters", [(2048, 2048)])
