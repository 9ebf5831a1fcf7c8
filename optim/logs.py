"""What a run has to say, written down while it goes on: JSON lines, or TensorBoard's files."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autodiff.arguments import refuse_unless_positive
from autodiff.extras import require

if TYPE_CHECKING:
    from optim.trainer import Trainer

__all__ = ["JSONLog", "TensorBoardLog"]


def _of_step(trainer: Trainer) -> dict[str, float]:
    history = trainer.history
    values = {"loss": history.loss[-1], "lr": float(trainer.optimizer.param_groups[0]["lr"])}
    values |= {name: held[-1] for name, held in history.metrics.items() if held}
    return values


def _of_epoch(trainer: Trainer) -> dict[str, float]:
    history = trainer.history
    values = {"mean_loss": history.mean_losses()[-1], "seconds": history.seconds[-1]}
    for name in ("train_accuracy", "validation_loss", "validation_accuracy"):
        held = getattr(history, name)
        if held and not math.isnan(held[-1]):
            values[name] = held[-1]
    return values


class JSONLog:
    """A callback of :class:`~optim.Trainer` that writes a line of JSON for every step and every epoch.

    Parameters
    ----------
    path : str or Path
        Appended to, so that a resumed run goes on in the same file.
    every : int
        Write every so many steps.

    Examples
    --------
    >>> import json, tempfile, nn, optim
    >>> x, y = np.ones((4, 1), np.float32), np.array([0, 1, 0, 1])
    >>> net = nn.Linear(1, 2)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     log = JSONLog(f"{folder}/run.jsonl")
    ...     options = {"callbacks": [log], "progress": False}
    ...     trainer = optim.Trainer(net, nn.CrossEntropyLoss(), optim.SGD(net.parameters()), **options)
    ...     history = trainer.fit((x, y), epochs=1, batch_size=2)
    ...     lines = [json.loads(line) for line in log.path.read_text().splitlines()]
    >>> [line["kind"] for line in lines], lines[0]["step"]
    (['step', 'step', 'epoch'], 1)
    """

    def __init__(self, path: str | Path, every: int = 1) -> None:
        self.path = Path(path)
        refuse_unless_positive("a log: every", every)
        self.every = every

    def _write(self, values: dict[str, Any]) -> None:
        with self.path.open("a") as file:
            file.write(json.dumps(values) + "\n")

    def on_step(self, trainer: Trainer) -> None:
        """A line of the step."""
        if trainer.step % self.every == 0:
            self._write({"kind": "step", "step": trainer.step, "epoch": trainer.epoch + 1, **_of_step(trainer)})

    def __call__(self, trainer: Trainer) -> None:
        self._write({"kind": "epoch", "step": trainer.step, "epoch": trainer.epoch, **_of_epoch(trainer)})


class TensorBoardLog:
    """A callback of :class:`~optim.Trainer` that writes what TensorBoard shows (needs tensorboardX).

    Parameters
    ----------
    folder : str or Path, optional
        Where TensorBoard looks: ``tensorboard --logdir folder``.
    every : int
        Write every so many steps.
    writer : object, optional
        A ``SummaryWriter`` of your own, such as PyTorch's: anything with ``add_scalar(name, value, step)``.

    Raises
    ------
    MissingExtraError
        If there is no writer, and tensorboardX is not installed.

    Examples
    --------
    >>> class Printed:
    ...     def add_scalar(self, name, value, step):
    ...         print(name, step)
    ...     def flush(self):
    ...         pass
    >>> import nn, optim
    >>> net = nn.Linear(1, 1)
    >>> log = TensorBoardLog(writer=Printed(), every=2)
    >>> trainer = optim.Trainer(net, nn.MSELoss(), optim.SGD(net.parameters(), lr=0.0), callbacks=[log], progress=False)
    >>> history = trainer.fit((net.bias.data[:, None] * 0, net(np.zeros((1, 1), np.float32)).data), steps=1)
    epoch/mean_loss 1
    epoch/seconds 1
    """

    def __init__(self, folder: str | Path | None = None, every: int = 1, writer: object = None) -> None:
        self.writer = require("tensorboardX").SummaryWriter(str(folder or "runs")) if writer is None else writer
        refuse_unless_positive("a log: every", every)
        self.every = every

    def on_step(self, trainer: Trainer) -> None:
        """The numbers of the step."""
        if trainer.step % self.every == 0:
            for name, value in _of_step(trainer).items():
                self.writer.add_scalar(f"step/{name}", value, trainer.step)  # type: ignore[union-attr]

    def __call__(self, trainer: Trainer) -> None:
        for name, value in _of_epoch(trainer).items():
            self.writer.add_scalar(f"epoch/{name}", value, trainer.epoch)  # type: ignore[union-attr]
        self.writer.flush()  # type: ignore[union-attr]
