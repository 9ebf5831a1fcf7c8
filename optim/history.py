"""What a training run leaves behind: plain lists, a CSV file, a picture."""

from __future__ import annotations

import csv
import io
import itertools
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autodiff.core.errors import ArgumentError
from autodiff.files import replacing, save_figure
from autodiff.tables import figure, html_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["History"]


@dataclass
class History:
    """Losses per step and accuracies per epoch.

    Attributes
    ----------
    loss : list of float
        One per optimiser step, on its minibatch.
    train_accuracy, validation_accuracy, validation_loss, seconds : list of float
        One per epoch; the validation lists stay empty without validation data.
    learning_rate : list of float
        One per epoch.
    steps : list of int
        How many optimiser steps each epoch had.
    metrics : dict of str to list of float
        What a ``training_step`` gave by name, one number per step.

    Examples
    --------
    >>> history = History(loss=[2.0, 1.0], seconds=[0.1], steps=[2])
    >>> history.epochs, history.mean_losses()
    (1, [1.5])
    """

    loss: list[float] = field(default_factory=list)
    train_accuracy: list[float] = field(default_factory=list)
    validation_accuracy: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)
    learning_rate: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)
    metrics: dict[str, list[float]] = field(default_factory=dict)

    _PER_EPOCH = ("train_accuracy", "validation_accuracy", "validation_loss", "learning_rate", "steps", "seconds")

    @property
    def epochs(self) -> int:
        """How many epochs were run."""
        return len(self.seconds)

    def mean_losses(self) -> list[float]:
        """The mean minibatch loss of every epoch."""
        means, start = [], 0
        for steps in self.steps:
            losses = self.loss[start : start + steps]
            means.append(sum(losses) / len(losses) if losses else math.nan)
            start += steps
        return means

    def _rows(self) -> list[list[Any]]:
        """A row per epoch: its number, its mean loss, and what was recorded of it, None for what was not."""
        columns = [getattr(self, name) for name in self._PER_EPOCH]
        return [
            [epoch + 1, mean, *(column[epoch] if epoch < len(column) else None for column in columns)]
            for epoch, mean in enumerate(self.mean_losses())
        ]

    def _repr_html_(self) -> str:
        """A row per epoch, for notebooks."""
        headings = ["epoch", "mean loss", *(name.replace("_", " ") for name in self._PER_EPOCH)]
        return html_table(f"{self.epochs} epochs, {len(self.loss)} steps", headings, self._rows())

    def to_csv(self, path: str | Path) -> None:
        """Write one row per epoch, with the epoch's mean loss; what was not recorded stays empty.

        Parameters
        ----------
        path : str or Path
        """
        text = io.StringIO(newline="")
        writer = csv.writer(text)
        writer.writerow(["epoch", "mean_loss", *self._PER_EPOCH])
        writer.writerows(["" if cell is None else cell for cell in row] for row in self._rows())
        with replacing(path) as file:
            file.write(text.getvalue().encode())

    def plot(self, path: str | Path | None = None) -> Figure:
        """Loss per step and accuracy per epoch, side by side.

        Parameters
        ----------
        path : str or Path, optional
            Save the figure there; the suffix chooses the format.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        ArgumentError
            If nothing was recorded yet.
        MissingExtraError
            If matplotlib is not installed.
        """
        if not self.loss:
            raise ArgumentError("history.plot(): nothing was recorded yet; call fit() first")
        drawn = figure(figsize=(9, 3.5), layout="constrained")
        left, right = drawn.subplots(1, 2)
        left.plot(range(1, len(self.loss) + 1), self.loss, color="#0072b2", linewidth=0.8, label="minibatch loss")
        if self.validation_loss:
            ends = list(itertools.accumulate(self.steps))
            left.plot(
                ends[: len(self.validation_loss)],
                self.validation_loss,
                color="#d55e00",
                marker=".",
                label="validation loss",
            )
        left.set(xlabel="step", ylabel="loss", title="loss")
        left.legend()
        epochs = range(1, self.epochs + 1)
        right.plot(epochs, self.train_accuracy, color="#0072b2", marker=".", label="training")
        if self.validation_accuracy:
            right.plot(epochs, self.validation_accuracy, color="#d55e00", marker=".", label="validation")
        right.set(xlabel="epoch", ylabel="accuracy", title="accuracy")
        right.legend()
        if path is not None:
            save_figure(drawn, path)
        return drawn
