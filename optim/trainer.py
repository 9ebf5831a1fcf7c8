"""The training loop: minibatches from an explicit generator, a progress bar, history, the best parameters kept."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from autodiff import Tensor, detect_anomaly, no_grad
from autodiff.errors import AnomalyError, ArgumentError, DTypeError, ShapeError, require
from optim.clipping import clip_grad_norm_
from optim.history import History

__all__ = ["Trainer"]


class Trainer:
    """Fits a model to data.

    Parameters
    ----------
    model : object
        Called on a batch of inputs; has ``parameters``, ``train``, ``eval``, ``state_dict``, ``load_state_dict``: any ``nn.Module``.
    loss : callable
        ``loss(scores, targets) -> Tensor``, a scalar mean over the batch.
    optimizer : Optimizer
    schedule : object, optional
        A learning-rate schedule, stepped as ``schedule_per`` says; one that watches a metric gets the validation loss.
    schedule_per : {"epoch", "step"}
    generator : numpy.random.Generator or int, optional
        Shuffles the minibatches. Default: seed 0.
    clip_norm : float, optional
        Clip the joint norm of the gradients at every step.
    patience : int, optional
        Stop after so many epochs without a better validation accuracy.
    callbacks : sequence of callable
        Each called with the trainer after every epoch; a true result stops the run.
    progress : bool
        Show a tqdm bar (needs tqdm).

    Attributes
    ----------
    history : History
    best_state : dict or None
        The ``state_dict`` of the best epoch so far, by validation accuracy (or lowest validation loss, if targets are no classes).

    Examples
    --------
    >>> import numpy as np, nn, optim
    >>> x = np.array([[0.0], [1.0]], np.float32); y = np.array([0, 1])
    >>> net = nn.Linear(1, 2, generator=np.random.default_rng(0))
    >>> trainer = Trainer(net, nn.CrossEntropyLoss(), optim.SGD(net.parameters(), lr=1.0), progress=False)
    >>> trainer.fit((x, y), epochs=30, batch_size=2).train_accuracy[-1]
    1.0
    """

    def __init__(
        self,
        model: Any,
        loss: Callable[[Any, Any], Tensor],
        optimizer: Any,
        schedule: Any = None,
        *,
        schedule_per: str = "epoch",
        generator: np.random.Generator | int | None = None,
        clip_norm: float | None = None,
        patience: int | None = None,
        callbacks: Sequence[Callable[[Trainer], Any]] = (),
        progress: bool = True,
    ) -> None:
        if schedule_per not in ("epoch", "step"):
            raise ArgumentError(f"Trainer: schedule_per must be 'epoch' or 'step', got {schedule_per!r}")
        self.model = model
        self.loss = loss
        self.optimizer = optimizer
        self.schedule = schedule
        self.schedule_per = schedule_per
        self.generator = generator if isinstance(generator, np.random.Generator) else np.random.default_rng(generator or 0)
        self.clip_norm = clip_norm
        self.patience = patience
        self.callbacks = list(callbacks)
        self.progress = progress
        self.history = History()
        self.best_state: dict[str, Any] | None = None
        self._best: float = -math.inf
        self._since_best = 0

    # --- the loop ---------------------------------------------------------------------------------------------------

    def fit(
        self,
        train: tuple[Any, Any],
        validation: tuple[Any, Any] | None = None,
        epochs: int = 10,
        batch_size: int = 32,
        *,
        restore_best: bool = True,
    ) -> History:
        """Train for some epochs.

        Parameters
        ----------
        train, validation : (inputs, targets)
            Arrays of equal length; integer targets are classes.
        epochs, batch_size : int
            The last batch of an epoch is dropped if it is smaller than the others and a single example, on which batch normalisation has
            no variance.
        restore_best : bool
            At the end put the best epoch's parameters back, if there is validation data.

        Returns
        -------
        History

        Raises
        ------
        ArgumentError, ShapeError, DTypeError
            If the data are empty, of unequal length, hold NaN or infinity, or classes beyond the scores; before the first step.
        AnomalyError
            If the loss is not finite; it names the step, the examples and the first bad operation.
        """
        if epochs < 1 or batch_size < 1:
            raise ArgumentError(f"fit: epochs and batch_size must be at least 1, got {epochs} and {batch_size}")
        x, y = self._checked("train", train)
        held_out = None if validation is None else self._checked("validation", validation)
        bar = self._bar(epochs * self._batches(len(x), batch_size))
        try:
            for _ in range(epochs):
                started = time.perf_counter()
                self._epoch(x, y, batch_size, bar)
                stop = self._after_epoch(held_out, started, bar)
                if stop:
                    break
        finally:
            bar.close()
        if restore_best and self.best_state is not None:
            self.model.load_state_dict(self.best_state)
        self.model.eval()
        return self.history

    @staticmethod
    def _batches(n: int, batch_size: int) -> int:
        whole, rest = divmod(n, batch_size)
        return whole + (rest > 1 or (rest == 1 and whole == 0))

    def _epoch(self, x: Any, y: Any, batch_size: int, bar: Any) -> None:
        self.model.train()
        order = self.generator.permutation(len(x))
        correct = seen = 0
        for k in range(self._batches(len(x), batch_size)):
            chosen = order[k * batch_size : (k + 1) * batch_size]
            scores, value = self._step(x[chosen], y[chosen], chosen)
            self.history.loss.append(value)
            if _are_classes(y):
                correct += int((scores.argmax(axis=1) == y[chosen]).sum())
            seen += len(chosen)
            bar.update(1)
            bar.set_postfix(loss=f"{value:.4f}", accuracy=f"{correct / seen:.3f}", refresh=False)
            if self.schedule is not None and self.schedule_per == "step":
                self.schedule.step()
        self.history.train_accuracy.append(correct / seen if _are_classes(y) else math.nan)

    def _step(self, x: Any, y: Any, chosen: Any) -> tuple[Any, float]:
        self.optimizer.zero_grad()
        scores = self.model(x)
        loss = self.loss(scores, y)
        value = float(loss.item())
        if not math.isfinite(value):
            self._explain(x, y, chosen, value)
        loss.backward()
        if self.clip_norm is not None:
            clip_grad_norm_(self.model.parameters(), self.clip_norm)
        self.optimizer.step()
        return scores.data, value

    def _explain(self, x: Any, y: Any, chosen: Any, value: float) -> None:
        """Run the batch again, watching every operation, and say where the NaN came from."""
        where = f"the loss became {value} at step {len(self.history.loss) + 1}, on examples {chosen[:8].tolist()}{'...' if len(chosen) > 8 else ''}"
        try:
            with detect_anomaly(), np.errstate(all="ignore"):
                self.loss(self.model(x), y)
        except AnomalyError as error:
            raise AnomalyError(f"{where}: {error}") from error
        bad = [getattr(p, "name", None) or f"parameter {i}" for i, p in enumerate(self.model.parameters()) if not np.isfinite(p.data).all()]
        raise AnomalyError(f"{where}: {'not finite already: ' + ', '.join(bad) if bad else 'no single operation made it'}; lower the learning rate")

    def _after_epoch(self, held_out: tuple[Any, Any] | None, started: float, bar: Any) -> bool:
        history = self.history
        history.learning_rate.append(float(self.optimizer.param_groups[0]["lr"]))
        if held_out is not None:
            loss, accuracy = self.evaluate(held_out)
            history.validation_loss.append(loss)
            history.validation_accuracy.append(accuracy)
            score = -loss if math.isnan(accuracy) else accuracy
            if score > self._best:
                self._best, self._since_best = score, 0
                self.best_state = self.model.state_dict()
            else:
                self._since_best += 1
            bar.set_postfix(loss=f"{history.loss[-1]:.4f}", validation=f"{accuracy:.3f}")
        history.seconds.append(time.perf_counter() - started)
        if self.schedule is not None and self.schedule_per == "epoch":
            if type(self.schedule).__name__ == "ReduceLROnPlateau":
                self.schedule.step(history.validation_loss[-1] if history.validation_loss else history.loss[-1])
            else:
                self.schedule.step()
        asked = [callback(self) for callback in self.callbacks]
        return any(asked) or (self.patience is not None and held_out is not None and self._since_best >= self.patience)

    def evaluate(self, data: tuple[Any, Any], batch_size: int = 1024) -> tuple[float, float]:
        """Mean loss and accuracy (NaN if the targets are no classes), in evaluation mode.

        Parameters
        ----------
        data : (inputs, targets)
        batch_size : int
        """
        x, y = data
        was_training = getattr(self.model, "training", False)
        self.model.eval()
        total = correct = 0.0
        with no_grad():
            for start in range(0, len(x), batch_size):
                part, target = x[start : start + batch_size], y[start : start + batch_size]
                scores = self.model(part)
                total += float(self.loss(scores, target).item()) * len(part)
                if _are_classes(y):
                    correct += int((scores.data.argmax(axis=1) == target).sum())
        self.model.train(was_training)
        return total / len(x), correct / len(x) if _are_classes(y) else math.nan

    # --- around it --------------------------------------------------------------------------------------------------

    def _checked(self, name: str, data: tuple[Any, Any]) -> tuple[Any, Any]:
        try:
            x, y = data
        except (TypeError, ValueError) as error:
            raise ArgumentError(f"fit: {name} must be a pair (inputs, targets)") from error
        x = x.data if isinstance(x, Tensor) else np.asarray(x)
        y = y.data if isinstance(y, Tensor) else np.asarray(y)
        if x.ndim < 1 or y.ndim < 1 or len(x) != len(y):
            raise ShapeError(f"fit: {name} inputs of shape {x.shape} and targets of shape {y.shape}; they need one length")
        if not len(x):
            raise ArgumentError(f"fit: {name} is empty")
        for what, array in (("inputs", x), ("targets", y)):
            if array.dtype.kind not in "biuf":
                raise DTypeError(f"fit: {name} {what} have dtype {array.dtype}; pass numbers")
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                bad = np.argwhere(~np.isfinite(array))[0]
                raise ArgumentError(f"fit: {name} {what} hold NaN or infinity, first at index {bad.tolist()}")
        if _are_classes(y):
            classes = self._classes(x)
            if classes and (y.min() < 0 or y.max() >= classes):
                bad_at = int(np.argmax((y < 0) | (y >= classes)))
                raise ArgumentError(f"fit: {name} target {int(y[bad_at])} at index {bad_at} is no class; the model gives {classes} scores")
        return x, y

    def _classes(self, x: Any) -> int:
        was_training = getattr(self.model, "training", False)
        self.model.eval()
        with no_grad():
            scores = self.model(x[:1])
        self.model.train(was_training)
        return int(scores.shape[1]) if scores.ndim == 2 else 0

    def _bar(self, total: int) -> Any:
        return require("tqdm").tqdm(total=total, unit="step", dynamic_ncols=True) if self.progress else _NoBar()


def _are_classes(y: Any) -> bool:
    return bool(y.dtype.kind in "iu" and y.ndim == 1)


class _NoBar:
    """Stands in for the progress bar where none is wanted."""

    def update(self, n: int) -> None:
        pass

    def set_postfix(self, **values: Any) -> None:
        pass

    def close(self) -> None:
        pass


