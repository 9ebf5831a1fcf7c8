"""A statevector quantum circuit that finds the ground state of a chain of spins, by the natural gradient.

Four spins in a transverse field, ``H = -sum Z Z - g sum X``. The circuit turns every spin (RY, RZ) and entangles
neighbours (CZ); it is plain NumPy on a complex vector of 16 amplitudes. The natural gradient divides by the metric
tensor of Fubini and Study, ``Re(<d_i psi|d_j psi> - <d_i psi|psi><psi|d_j psi>)``, from the forward derivative of the
state (Stokes, Izaac, Killoran and Carleo, Quantum 2020). Two truths are known: the gradient by the parameter-shift
rule, ``(E(t + pi/2) - E(t - pi/2)) / 2``, and the smallest eigenvalue of H.

    python examples/science/quantum.py [--out quantum.png]
"""

from __future__ import annotations

import argparse
import time
from functools import reduce

import numpy as np

import autodiff as ad

SPINS, LAYERS, FIELD = 4, 4, 0.8
X, Z = np.array([[0.0, 1.0], [1.0, 0.0]]), np.diag([1.0, -1.0])


def on(spins: dict[int, np.ndarray]) -> np.ndarray:
    """The operator that acts on the named spins."""
    return reduce(np.kron, [spins.get(k, np.eye(2)) for k in range(SPINS)])


HAMILTONIAN = -reduce(np.add, [on({k: Z, k + 1: Z}) for k in range(SPINS - 1)]) - FIELD * reduce(
    np.add, [on({k: X}) for k in range(SPINS)]
)
#: Both signs of every pair of neighbours: a CZ between each two.
ENTANGLE = reduce(
    np.multiply, [1 - 2.0 * np.diag((np.eye(len(HAMILTONIAN)) - on({k: Z})) / 2 @ (np.eye(16) - on({k + 1: Z})) / 2)
                  for k in range(SPINS - 1)]
)  # fmt: skip


def state(angles):
    """The amplitudes after the circuit, of angles (layers, spins, 2)."""
    psi = np.zeros((2,) * SPINS, complex)
    psi[(0,) * SPINS] = 1.0
    for layer in range(LAYERS):
        for k in range(SPINS):
            half, phase = angles[layer, k, 0] / 2, angles[layer, k, 1] / 2
            turn = np.stack([np.stack([np.cos(half), -np.sin(half)]), np.stack([np.sin(half), np.cos(half)])])
            gate = np.exp(1j * phase * np.array([[-1.0], [1.0]])) * turn
            psi = np.moveaxis(np.tensordot(gate, psi, axes=(1, k)), 0, k)
        psi = (psi.reshape(-1) * ENTANGLE).reshape(psi.shape)
    return psi.reshape(-1)


def energy(angles):
    psi = state(angles)
    return np.real(np.sum(np.conj(psi) * (HAMILTONIAN @ psi)))


def metric(angles: np.ndarray) -> np.ndarray:
    """The metric tensor, from the derivative of the amplitudes in all angles."""
    psi = np.asarray(state(angles))
    slopes = ad.jacfwd(state)(angles).reshape(psi.size, -1)
    overlap = psi.conj() @ slopes
    return np.real(slopes.conj().T @ slopes - np.outer(overlap.conj(), overlap))


def rivals(angles: np.ndarray) -> list[tuple[str, float]]:
    """Seconds a gradient where another library is there."""
    found = [("autodiff", clock(lambda: ad.grad(energy)(angles)))]
    try:
        import torch
    except ImportError:
        return found

    def torchs() -> object:
        t = torch.tensor(angles, requires_grad=True)
        psi = torch.zeros((2,) * SPINS, dtype=torch.complex128)
        psi[(0,) * SPINS] = 1.0
        for layer in range(LAYERS):
            for k in range(SPINS):
                half, phase = t[layer, k, 0] / 2, t[layer, k, 1] / 2
                turn = torch.stack([half.cos(), -half.sin(), half.sin(), half.cos()]).reshape(2, 2)
                gate = torch.exp(1j * phase * torch.tensor([[-1.0], [1.0]], dtype=torch.float64)) * turn
                psi = torch.movedim(torch.tensordot(gate, psi, dims=([1], [k])), 0, k)  # pyright: ignore[reportArgumentType]
            psi = (psi.reshape(-1) * torch.tensor(ENTANGLE)).reshape(psi.shape)
        flat = psi.reshape(-1)
        loss = (flat.conj() * (torch.tensor(HAMILTONIAN + 0j) @ flat)).sum().real
        return torch.autograd.grad(loss, t)

    return [*found, ("PyTorch", clock(torchs))]


def clock(f) -> float:
    f()
    begin = time.perf_counter()
    for _ in range(5):
        f()
    return (time.perf_counter() - begin) / 5


def main(argv: list[str] | None = None) -> float:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--out", help="write a picture here (needs matplotlib)")
    options = parser.parse_args(argv)
    start = np.random.default_rng(3).normal(0, 0.4, (LAYERS, SPINS, 2))
    for name, seconds in rivals(start):
        print(f"{name:9} {seconds:.4f} s a gradient")

    gradient = ad.grad(energy)(start)
    for place in ((0, 0, 0), (1, 2, 1), (3, 3, 0)):
        shift = np.zeros_like(start)
        shift[place] = np.pi / 2
        assert np.isclose(gradient[place], (energy(start + shift) - energy(start - shift)) / 2, atol=1e-12)

    least = np.linalg.eigvalsh(HAMILTONIAN)[0]
    courses = {"gradient": [float(energy(start))], "natural gradient": [float(energy(start))]}
    for name, course in courses.items():
        angles = start
        for _ in range(60):
            step = ad.grad(energy)(angles).reshape(-1)
            if name == "natural gradient":
                step = np.linalg.solve(metric(angles) + 1e-3 * np.eye(step.size), step)
            angles = angles - 0.1 * step.reshape(angles.shape)
            course.append(float(energy(angles)))
    for name, course in courses.items():
        print(f"{name:17} {course[-1] - least:.2e} above the ground state of {least:.6f}")
    if options.out:
        from matplotlib.figure import Figure

        figure = Figure(figsize=(7, 4), layout="constrained")
        axes = figure.subplots()
        for name, course in courses.items():
            axes.semilogy(np.maximum(np.array(course) - least, 1e-12), label=name)
        axes.set(xlabel="step", ylabel="energy above the ground state")
        axes.legend()
        figure.savefig(options.out, dpi=100)
    reached = courses["natural gradient"][-1]
    assert least - 1e-12 <= reached <= least + 2e-2, "not the ground state"
    assert reached < courses["gradient"][-1], "the metric should help"
    return reached


if __name__ == "__main__":
    main()
