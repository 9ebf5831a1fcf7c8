"""Other libraries, where they are installed; each one missing is skipped with the reason.

Every function here gives a :class:`~benchmarks.harness.Candidate` or raises :class:`Missing`.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np

from benchmarks.harness import Candidate, Contest
from benchmarks.reference import ADAM_EPS, BETA1, BETA2, EPS, RATE, Problem

__all__ = ["TRAINERS", "Missing", "autograd", "join", "jax", "load", "micrograd", "mygrad", "torch", "torch_compile"]


class Missing(Exception):
    """A rival cannot take part; the message says why."""


def load(name: str) -> Any:
    """Import a rival or raise :class:`Missing`."""
    if importlib.util.find_spec(name) is None:
        raise Missing(f"{name} is not installed")
    try:
        return importlib.import_module(name)
    except Exception as error:  # a rival that does not load must not stop the others
        raise Missing(f"{name} does not load: {error}") from error


@cache
def torch() -> Any:
    """PyTorch, on as many threads as ``OMP_NUM_THREADS`` says."""
    module = load("torch")
    module.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    return module


@cache
def _inductor() -> tempfile.TemporaryDirectory[str]:
    """A folder of this process's own for what torch.compile makes: in the shared one a run killed while it compiled
    leaves broken files behind.
    """
    folder = tempfile.TemporaryDirectory(prefix="inductor-", ignore_cleanup_errors=True)
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = folder.name
    return folder


def torch_compile(function: Any) -> Any:
    """``torch.compile(function)``, compiled anew in every process.

    Raises
    ------
    Missing
        If there is no PyTorch, or no C++ compiler, which it calls.
    """
    module = torch()
    if not any(shutil.which(name) for name in ("g++", "clang++", "c++")):
        raise Missing("torch.compile needs a C++ compiler")
    _inductor()
    return module.compile(function)


@cache
def jax() -> Any:
    """JAX on the processor."""
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    return load("jax")


@cache
def autograd() -> Any:
    """HIPS autograd."""
    return load("autograd")


@cache
def mygrad() -> Any:
    """MyGrad, with its memory guard off, which its documentation advises for speed."""
    module = load("mygrad")
    module.turn_memory_guarding_off()
    return module


@cache
def micrograd() -> Any:
    """micrograd's engine."""
    load("micrograd")
    return load("micrograd.engine")


def join(contest: Contest, *makers: tuple[str, Callable[[], Candidate]]) -> Contest:
    """Add every rival that can be made; note the others under ``skipped``."""
    for name, make in makers:
        try:
            contest.candidates.append(make())
        except Missing as why:
            contest.skipped[name] = str(why)
    return contest


# --- PyTorch ---------------------------------------------------------------------------------------------------------


def _torch_net(problem: Problem, masks: Sequence[Any] | None = None) -> Any:
    t = torch()
    net = problem.net

    class Fixed(t.nn.Module):  # type: ignore[name-defined, misc]
        def __init__(self, mask: Any) -> None:
            super().__init__()
            self.mask = t.from_numpy(mask.astype(np.float32) / np.float32(net.keep))

        def forward(self, x: Any) -> Any:
            return x * self.mask

    layers: list[Any] = []
    for i, layer in enumerate(problem.layers):
        linear = t.nn.Linear(*layer["W"].shape)
        with t.no_grad():
            linear.weight.copy_(t.from_numpy(layer["W"].T.copy()))
            linear.bias.copy_(t.from_numpy(layer["b"]))
        layers.append(linear)
        if i == len(net.hidden):
            break
        width = net.hidden[i]
        if net.normalization:
            norm = t.nn.BatchNorm1d(width) if net.normalization == "batchnorm" else t.nn.LayerNorm(width)
            with t.no_grad():
                norm.weight.copy_(t.from_numpy(layer["gamma"]))
                norm.bias.copy_(t.from_numpy(layer["beta"]))
            layers.append(norm)
        layers.append(t.nn.ReLU())
        if net.keep < 1:
            layers.append(t.nn.Dropout(1 - net.keep) if masks is None else Fixed(masks[i]))
    return t.nn.Sequential(*layers)


def _torch_result(problem: Problem, compiled: bool = False) -> list[Any]:
    t = torch()
    model = _torch_net(problem, problem.masks)
    run = torch_compile(model) if compiled else model
    loss = t.nn.functional.cross_entropy(run(t.from_numpy(problem.x)), t.from_numpy(problem.y))
    loss.backward()
    linears = [m for m in model if isinstance(m, t.nn.Linear)]
    norms = [m for m in model if isinstance(m, t.nn.BatchNorm1d | t.nn.LayerNorm)]
    found = {
        "W": lambda i: linears[i].weight.grad.numpy().T,
        "b": lambda i: linears[i].bias.grad.numpy(),
        "gamma": lambda i: norms[i].weight.grad.numpy(),
        "beta": lambda i: norms[i].bias.grad.numpy(),
    }
    return [loss.item(), *(found[name](i) for i, name in problem.entries())]


def torch_training(problem: Problem, *, fused: bool = False, compiled: bool = False) -> Candidate:
    """PyTorch's eager training step; with its fused Adam; or with the model and loss compiled."""
    t = torch()
    model = _torch_net(problem)
    x, y = t.from_numpy(problem.x), t.from_numpy(problem.y)
    optimizer = t.optim.Adam(model.parameters(), lr=RATE, betas=(BETA1, BETA2), eps=ADAM_EPS, fused=fused)

    def loss_of(x: Any, y: Any) -> Any:
        return t.nn.functional.cross_entropy(model(x), y)

    loss_function = torch_compile(loss_of) if compiled else loss_of

    def step() -> None:
        optimizer.zero_grad()
        loss_function(x, y).backward()
        optimizer.step()

    name = "torch.compile" if compiled else "PyTorch, fused Adam" if fused else "PyTorch"
    return Candidate(name, step, lambda: _torch_result(problem, compiled))


# --- JAX -------------------------------------------------------------------------------------------------------------


def _functional_loss(np_: Any, problem: Problem) -> Callable[..., Any]:
    """The network written for a NumPy look-alike: ``loss(layers, x, masks)``."""
    net = problem.net
    rows, labels = np.arange(net.batch), problem.y
    scale = np.float32(1 / net.keep)

    def loss(layers: Any, x: Any, masks: Any) -> Any:
        for i, layer in enumerate(layers[:-1]):
            x = np_.dot(x, layer["W"]) + layer["b"]
            if net.normalization:
                axis = 0 if net.normalization == "batchnorm" else 1
                centred = x - np_.mean(x, axis=axis, keepdims=True)
                var = np_.mean(centred * centred, axis=axis, keepdims=True)
                x = layer["gamma"] * (centred / np_.sqrt(var + np.float32(EPS))) + layer["beta"]
            x = np_.maximum(x, 0)
            if net.keep < 1:
                x = x * (masks[i] * scale)
        scores = np_.dot(x, layers[-1]["W"]) + layers[-1]["b"]
        shifted = scores - np_.max(scores, axis=1, keepdims=True)
        return np_.mean(np_.log(np_.sum(np_.exp(shifted), axis=1)) - shifted[rows, labels])

    return loss


def jax_training(problem: Problem) -> Candidate:
    """The whole step (forward, backward, Adam) under one ``jit``."""
    j = jax()
    jnp = j.numpy
    loss = _functional_loss(jnp, problem)
    net = problem.net

    def adam(p: Any, g: Any, m: Any, v: Any, t: Any) -> Any:
        m = BETA1 * m + (1 - BETA1) * g
        v = BETA2 * v + (1 - BETA2) * g * g
        rate = RATE * jnp.sqrt(1 - BETA2**t) / (1 - BETA1**t)
        return p - rate * m / (jnp.sqrt(v) + ADAM_EPS * jnp.sqrt(1 - BETA2**t)), m, v

    def step(layers: Any, m: Any, v: Any, t: Any, key: Any, x: Any) -> Any:
        masks: list[Any] = []
        if net.keep < 1:
            key, *keys = j.random.split(key, len(net.hidden) + 1)
            masks = [j.random.bernoulli(k, net.keep, (net.batch, w)) for k, w in zip(keys, net.hidden, strict=True)]
        gradients = j.grad(loss)(layers, x, masks)
        leaves, tree = j.tree.flatten(layers)
        others = [j.tree.leaves(part) for part in (gradients, m, v)]
        new = [adam(*four, t) for four in zip(leaves, *others, strict=True)]
        return *(j.tree.unflatten(tree, [one[i] for one in new]) for i in range(3)), t + 1, key

    run = j.jit(step, donate_argnums=(0, 1, 2))
    layers = j.tree.map(jnp.array, problem.layers)
    zeros = j.tree.map(jnp.zeros_like, layers)
    state = [layers, zeros, j.tree.map(jnp.copy, zeros), jnp.float32(1), j.random.key(0)]
    x = jnp.asarray(problem.x)

    def timed() -> None:
        state[:] = run(*state, x)
        j.block_until_ready(state[0])

    def result() -> list[Any]:
        value, gradients = j.jit(j.value_and_grad(loss))(problem.layers, x, problem.masks)
        return [value, *(gradients[i][name] for i, name in problem.entries())]

    return Candidate("JAX jit", timed, result)


# --- autograd, MyGrad ------------------------------------------------------------------------------------------------


def autograd_training(problem: Problem) -> Candidate:
    """autograd's gradients with the textbook Adam."""
    from benchmarks.reference import TextbookAdam

    ag = autograd()
    anp = load("autograd.numpy")
    loss = _functional_loss(anp, problem)
    both = ag.value_and_grad(loss)
    net = problem.net
    keys = [(i, name) for i, layer in enumerate(problem.layers) for name in layer]
    layers = [dict(layer) for layer in problem.layers]
    adam = TextbookAdam([layers[i][name] for i, name in keys])
    rng = np.random.default_rng(1)

    def step() -> None:
        masks = [rng.random((net.batch, w), dtype=np.float32) < net.keep for w in net.hidden] if net.keep < 1 else []
        _, gradients = both(layers, problem.x, masks)
        adam.step([gradients[i][name] for i, name in keys])
        for (i, name), p in zip(keys, adam.parameters, strict=True):
            layers[i][name] = p

    def result() -> list[Any]:
        value, gradients = both(problem.layers, problem.x, problem.masks)
        return [value, *(gradients[i][name] for i, name in problem.entries())]

    return Candidate("autograd", step, result)


def mygrad_training(problem: Problem) -> Candidate:
    """MyGrad's gradients, its own fused batch norm and loss, with the textbook Adam."""
    from benchmarks.reference import TextbookAdam

    mg = mygrad()
    layers_module = load("mygrad.nnet.layers")
    losses = load("mygrad.nnet.losses")
    activations = load("mygrad.nnet.activations")
    net = problem.net
    scale = np.float32(1 / net.keep)

    def loss_of(layers: Any, masks: Sequence[Any]) -> Any:
        x: Any = problem.x
        for i, layer in enumerate(layers[:-1]):
            x = mg.matmul(x, layer["W"]) + layer["b"]
            if net.normalization == "batchnorm":
                x = layers_module.batchnorm(x, gamma=layer["gamma"], beta=layer["beta"], eps=EPS)
            elif net.normalization:
                centred = x - mg.mean(x, axis=1, keepdims=True)
                var = mg.mean(centred * centred, axis=1, keepdims=True)
                x = layer["gamma"] * (centred / mg.sqrt(var + np.float32(EPS))) + layer["beta"]
            x = activations.relu(x)
            if net.keep < 1:
                x = x * (masks[i] * scale)
        return losses.softmax_crossentropy(mg.matmul(x, layers[-1]["W"]) + layers[-1]["b"], problem.y)

    def tensors(layers: Any) -> Any:
        return [{name: mg.tensor(p) for name, p in layer.items()} for layer in layers]

    keys = [(i, name) for i, layer in enumerate(problem.layers) for name in layer]
    state = tensors(problem.layers)
    adam = TextbookAdam([state[i][name].data for i, name in keys])
    rng = np.random.default_rng(1)

    def step() -> None:
        masks = [rng.random((net.batch, w), dtype=np.float32) < net.keep for w in net.hidden] if net.keep < 1 else []
        loss_of(state, masks).backward()
        adam.step([state[i][name].grad for i, name in keys])
        for (i, name), p in zip(keys, adam.parameters, strict=True):
            state[i][name] = mg.tensor(p, copy=False)

    def result() -> list[Any]:
        fresh = tensors(problem.layers)
        loss = loss_of(fresh, problem.masks)
        loss.backward()
        return [loss.data, *(fresh[i][name].grad for i, name in problem.entries())]

    return Candidate("MyGrad", step, result)


#: What takes part in the training benchmark: name and maker. torch.compile comes apart, since it takes a minute.
TRAINERS: tuple[tuple[str, Callable[[Problem], Candidate]], ...] = (
    ("PyTorch", torch_training),
    ("PyTorch, fused Adam", lambda problem: torch_training(problem, fused=True)),
    ("JAX jit", jax_training),
    ("autograd", autograd_training),
    ("MyGrad", mygrad_training),
)
