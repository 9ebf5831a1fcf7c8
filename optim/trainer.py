"""The training loop: minibatches from an explicit generator, a progress bar, history, the best parameters kept, exact
resume.

What a run is, at any moment, is in a few places: the model's state, the optimiser's, the schedule's, the random
generators, this epoch's order of examples and the position in it, the history, the best parameters. A checkpoint holds
all of them and nothing else does, so a run that is killed and resumed takes the same steps, bit for bit, as one that
was not.
"""

from __future__ import annotations

import dataclasses
import math
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import autodiff
from autodiff import Tensor, detect_anomaly, no_grad
from autodiff.clipping import clip_grad_norm_, clip_grad_value_
from autodiff.core.errors import AnomalyError, ArgumentError, DTypeError, ShapeError
from autodiff.extras import require
from optim.checkpoint import generator_state, load_checkpoint, save_checkpoint, set_generator_state
from optim.history import History
from optim.schedules import ReduceLROnPlateau

__all__ = ["Trainer"]


class Trainer:
    """Fits a model to data.

    Parameters
    ----------
    model : object
        Called on a batch of inputs; has ``parameters``, ``train``, ``eval``, ``state_dict``, ``load_state_dict``: any
        ``nn.Module``.
    loss : callable
        ``loss(scores, targets) -> Tensor``, a scalar mean over the batch.
    optimizer : Optimizer or DataParallel
    schedule : Schedule, optional
        A :class:`~optim.ReduceLROnPlateau` gets the validation loss (the epoch's mean training loss without validation
        data).
    schedule_per : {"epoch", "step"}
        When the schedule is stepped.
    generator : numpy.random.Generator or int, optional
        Shuffles the minibatches. Default: seed 0.
    clip_norm, clip_value : float, optional
        Clip the joint norm of the gradients, or each of their elements, at every step.
    accumulate : int
        Minibatches per optimiser step; for a loss that is a mean, the gradient is that of one minibatch so many times
        larger.
    patience : int, optional
        Stop after so many epochs without a better validation accuracy (loss, if the targets are no classes).
    callbacks : sequence of callable
        Each called with the trainer after every epoch; a true result stops the run. One that has an attribute
        ``on_step`` has that called with the trainer after every optimiser step, with the same meaning.
    progress : bool
        Show a tqdm bar (needs tqdm).
    checkpoint : str or Path, optional
        Where to save the run, after every epoch. With :class:`~optim.DataParallel` rank 0 writes it and all ranks read
        it.
    checkpoint_every : int, optional
        Save it every so many optimiser steps, too.
    compile : bool
        Take the steps under :func:`autodiff.compile`: the same numbers, bit for bit, with NumPy's work prepared.

    Attributes
    ----------
    history : History
    best_state : dict or None
        The ``state_dict`` of the best epoch so far, by validation accuracy (or lowest validation loss, if targets are
        no classes).
    epoch, step : int
        How many epochs and optimiser steps of this run are done.

    Notes
    -----
    Randomness of the model: every submodule (``model.modules()``) with an attribute ``generator`` that is a
    ``numpy.random.Generator`` is saved and restored with the run. One whose ``generator`` is None, a dropout layer made
    without one, is given a generator seeded from the trainer's, so that a run depends on nothing outside it.

    A batch of a single example at the end of an epoch is left out: batch normalisation has no variance on it.

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
        clip_value: float | None = None,
        accumulate: int = 1,
        patience: int | None = None,
        callbacks: Sequence[Callable[[Trainer], Any]] = (),
        progress: bool = True,
        checkpoint: str | Path | None = None,
        checkpoint_every: int | None = None,
        compile: bool = False,
    ) -> None:
        if schedule_per not in ("epoch", "step"):
            raise ArgumentError(f"Trainer: schedule_per must be 'epoch' or 'step', got {schedule_per!r}")
        if isinstance(schedule, ReduceLROnPlateau) and schedule_per == "step":
            raise ArgumentError(
                "Trainer: ReduceLROnPlateau watches what is known once per epoch; use schedule_per='epoch'"
            )
        for name, value in (("accumulate", accumulate), ("patience", patience), ("checkpoint_every", checkpoint_every)):
            if value is not None and value < 1:
                raise ArgumentError(f"Trainer: {name} must be at least 1, got {value}")
        if checkpoint_every is not None and checkpoint is None:
            raise ArgumentError("Trainer: checkpoint_every needs a path: checkpoint='run.npz'")
        self.model = model
        self.loss = loss
        self.optimizer = optimizer
        self.schedule = schedule
        self.schedule_per = schedule_per
        self.generator = (
            generator if isinstance(generator, np.random.Generator) else np.random.default_rng(generator or 0)
        )
        self.clip_norm = clip_norm
        self.clip_value = clip_value
        self.accumulate = accumulate
        self.patience = patience
        self.callbacks = list(callbacks)
        self.progress = progress
        self.checkpoint = None if checkpoint is None else Path(checkpoint)
        self.checkpoint_every = checkpoint_every
        self._take_step = autodiff.compile(self._step) if compile else self._step
        self.history = History()
        self.best_state: dict[str, Any] | None = None
        self.epoch = 0
        self.step = 0
        self._best = -math.inf
        self._since_best = 0
        self._stopped = False
        # Of the epoch under way: the order of examples, the next batch, how many steps, examples and hits so far.
        self._order: np.ndarray[Any, Any] | None = None
        self._next = self._epoch_steps = self._seen = self._correct = 0
        self._facts: dict[str, Any] = {}
        self._are_classes = False
        # optim.DataParallel shares every batch between processes; a plain optimiser is alone.
        self._team = optimizer if hasattr(optimizer, "shard") else None

    # --- the loop ---------------------------------------------------------------------------------------------------

    def fit(
        self,
        train: tuple[Any, Any],
        validation: tuple[Any, Any] | None = None,
        epochs: int | None = None,
        batch_size: int = 32,
        *,
        steps: int | None = None,
        restore_best: bool = True,
        resume: bool = False,
    ) -> History:
        """Train for some epochs, or some optimiser steps.

        Parameters
        ----------
        train, validation : (inputs, targets)
            Arrays of equal length; integer targets are classes.
        epochs : int, optional
            Default 10, unless ``steps`` is given.
        batch_size : int
        steps : int, optional
            Stop after so many optimiser steps instead; the last epoch may then be cut short.
        restore_best : bool
            At the end put the best epoch's parameters back, if there is validation data.
        resume : bool
            Go on from ``checkpoint`` if it exists: the same steps follow, bit for bit, as if the run had never been
            interrupted.

        Returns
        -------
        History

        Raises
        ------
        ArgumentError, ShapeError, DTypeError
            If the data are empty, of unequal length, hold NaN or infinity, or classes beyond the scores, or the
            checkpoint is damaged or of another run; before the first step.
        AnomalyError
            If the loss or a gradient is not finite; it names the step, the examples and the first bad operation. The
            optimiser's step that would have spread it has not been taken.
        """
        if epochs is not None and steps is not None:
            raise ArgumentError("fit: give epochs or steps, not both")
        if epochs is None and steps is None:
            epochs = 10
        for name, value in (("epochs", epochs), ("steps", steps), ("batch_size", batch_size)):
            if value is not None and value < 1:
                raise ArgumentError(f"fit: {name} must be at least 1, got {value}")
        if resume and self.checkpoint is None:
            raise ArgumentError("fit: resume=True needs a path: Trainer(..., checkpoint='run.npz')")
        x, y = self._checked("train", train)
        held_out = None if validation is None else self._checked("validation", validation)
        batches = self._batches(len(x), batch_size)
        per_epoch = -(-batches // self.accumulate)
        self._facts = {
            "examples": len(x),
            "data": zlib.crc32(_bytes(y), zlib.crc32(_bytes(x))),
            "batch_size": batch_size,
            "accumulate": self.accumulate,
        }
        self._own_generators()
        self.epoch = self.step = 0
        self._order, self._stopped = None, False
        if resume and self.checkpoint is not None and self.checkpoint.exists():
            self._restore(self.checkpoint)
        last_step = steps if steps is not None else (epochs or 0) * per_epoch
        bar = self._bar(last_step)
        try:
            while not self._stopped and self.step < last_step and (epochs is None or self.epoch < epochs):
                started = time.perf_counter()
                asked = self._run_epoch(x, y, batch_size, batches, last_step, bar)
                self._after_epoch(held_out, started, asked, bar)
                self._save()
        finally:
            bar.close()
        if restore_best and self.best_state is not None:
            self.model.load_state_dict(self.best_state)
        self.model.eval()
        return self.history

    def _batches(self, n: int, batch_size: int) -> int:
        whole, rest = divmod(n, batch_size)
        least = 2 * (self._team.size if self._team is not None else 1)
        return whole + (rest >= least or whole == 0)

    def _run_epoch(self, x: Any, y: Any, batch_size: int, batches: int, last_step: int, bar: Any) -> bool:
        """Go through the rest of the epoch; says whether a callback asked to stop."""
        self.model.train()
        if self._order is None:
            self._order = self.generator.permutation(len(x))
            self._next = self._epoch_steps = self._seen = self._correct = 0
        order = self._order
        while self._next < batches and self.step < last_step:
            end = min(self._next + self.accumulate, batches)
            chosen = [order[k * batch_size : (k + 1) * batch_size] for k in range(self._next, end)]
            value = self._take_step(x, y, chosen)
            self._next = end
            self.step += 1
            self._epoch_steps += 1
            self.history.loss.append(value)
            if self.schedule is not None and self.schedule_per == "step":
                self.schedule.step()
            bar.update(1)
            rate = self.optimizer.param_groups[0]["lr"]
            bar.set_postfix(
                loss=f"{value:.4f}", accuracy=f"{self._correct / self._seen:.3f}", lr=f"{rate:.2g}", refresh=False
            )
            if any([callback.on_step(self) for callback in self.callbacks if hasattr(callback, "on_step")]):
                return True
            if self.checkpoint_every is not None and self.step % self.checkpoint_every == 0 and self._next < batches:
                self._save()
        return False

    def _step(self, x: Any, y: Any, parts: list[Any]) -> float:
        """One optimiser step on the examples in ``parts``; returns their mean loss."""
        self.optimizer.zero_grad()
        total = sum(map(len, parts))
        mean = 0.0
        correct = 0
        for part in parts:
            mine = part if self._team is None else self._team.shard(part)
            inputs, targets = x[mine], y[mine]
            scores = self.model(inputs)
            loss = self.loss(scores, targets)
            value = float(loss.item())
            if not math.isfinite(value):
                self._explain(inputs, targets, mine, f"the loss became {value}")
            # What this part is of the whole, so that the sum is the mean over all examples, whatever the sizes.
            weight = len(mine) / total
            mean += weight * value
            correct += _hits(scores, targets) or 0
            if self._team is not None:
                weight *= self._team.size
            (loss if weight == 1 else loss * weight).backward()
            self._check_gradients(inputs, targets, mine)
        if self._team is not None:
            mean, correct = self._team.total(mean), int(self._team.total(correct))
            self._team.average_gradients()
        self._seen += total
        self._correct += correct
        if self.clip_value is not None:
            clip_grad_value_(self.model.parameters(), self.clip_value)
        if self.clip_norm is not None:
            clip_grad_norm_(self.model.parameters(), self.clip_norm)
        if self._team is not None:
            self._team.optimizer.step()
        else:
            self.optimizer.step()
        return mean

    def _check_gradients(self, inputs: Any, targets: Any, chosen: Any) -> None:
        with np.errstate(all="ignore"):
            for p in self.model.parameters():
                g = p.grad
                # A sum is quick to take, and not finite if any element is not; it may also overflow, so look again.
                if g is not None and not math.isfinite(abs(g.sum())) and not np.isfinite(g).all():
                    self._explain(inputs, targets, chosen, f"the gradient of {self._name_of(p)} is not finite")

    def _name_of(self, parameter: Any) -> str:
        named = getattr(self.model, "named_parameters", None)
        pairs = named() if named is not None else ((f"parameter {i}", p) for i, p in enumerate(self.model.parameters()))
        return next((str(name) for name, p in pairs if p is parameter), "a parameter")

    def _explain(self, inputs: Any, targets: Any, chosen: Any, what: str) -> None:
        """Run the batch again, watching every operation, and say where the NaN came from."""
        dots = ", ..." if len(chosen) > 8 else ""
        where = f"{what} at step {self.step + 1}, on examples [{', '.join(map(str, chosen[:8]))}{dots}]"
        bad = [self._name_of(p) for p in self.model.parameters() if not np.isfinite(p._array).all()]
        if bad:
            raise AnomalyError(
                f"{where}: these parameters were not finite before it: {', '.join(bad)}; lower the learning rate"
            )
        try:
            with detect_anomaly(), np.errstate(all="ignore"):
                self.loss(self.model(inputs), targets).backward()
        except AnomalyError as error:
            raise AnomalyError(f"{where}: {error}") from error
        raise AnomalyError(
            f"{where}: run again, no single operation made it; lower the learning rate or clip the gradients"
        )

    def _after_epoch(self, held_out: tuple[Any, Any] | None, started: float, asked: bool, bar: Any) -> None:
        history = self.history
        self.epoch += 1
        self._order = None
        if self._team is not None:
            self._team.average_buffers()
        history.steps.append(self._epoch_steps)
        history.learning_rate.append(float(self.optimizer.param_groups[0]["lr"]))
        history.train_accuracy.append(self._correct / self._seen if self._are_classes else math.nan)
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
            bar.set_postfix(
                loss=f"{history.loss[-1]:.4f}", validation=f"{loss if math.isnan(accuracy) else accuracy:.3f}"
            )
        history.seconds.append(time.perf_counter() - started)
        if self.schedule is not None and self.schedule_per == "epoch":
            if isinstance(self.schedule, ReduceLROnPlateau):
                mean = sum(history.loss[-self._epoch_steps :]) / self._epoch_steps
                self.schedule.step(history.validation_loss[-1] if held_out is not None else mean)
            else:
                self.schedule.step()
        asked = any([callback(self) for callback in self.callbacks if callable(callback)]) or asked
        self._stopped = asked or (
            self.patience is not None and held_out is not None and self._since_best >= self.patience
        )

    def evaluate(self, data: tuple[Any, Any], batch_size: int = 1024) -> tuple[float, float]:
        """Mean loss and accuracy (NaN if the targets are no classes), in evaluation mode.

        Parameters
        ----------
        data : (inputs, targets)
        batch_size : int

        Returns
        -------
        (loss, accuracy)
        """
        x, y = (part._array if isinstance(part, Tensor) else np.asarray(part) for part in data)
        was_training = getattr(self.model, "training", False)
        self.model.eval()
        total, correct = 0.0, 0
        classes = True
        with no_grad():
            for start in range(0, len(x), batch_size):
                part, target = x[start : start + batch_size], y[start : start + batch_size]
                scores = self.model(part)
                total += float(self.loss(scores, target).item()) * len(part)
                hits = _hits(scores, target)
                classes = hits is not None
                correct += hits or 0
        self.model.train(was_training)
        return total / len(x), correct / len(x) if classes else math.nan

    # --- killed and resumed
    # -----------------------------------------------------------------------------------------------

    def _generators(self) -> Iterator[tuple[str, Any]]:
        """Submodules with a random generator, or room for one."""
        if hasattr(self.model, "modules"):
            for i, module in enumerate(self.model.modules()):
                if hasattr(module, "generator"):
                    yield str(i), module

    def _own_generators(self) -> None:
        for _, module in self._generators():
            if module.generator is None:
                seed = int(self.generator.integers(2**63))
                module.generator = np.random.default_rng(seed if self._team is None else [seed, self._team.rank])

    def _save(self) -> None:
        """Write the whole state of the run to ``checkpoint``, if there is one."""
        if self.checkpoint is None:
            return
        if self._team is not None:
            # One process writes for all, so what differs between them must not: running averages are linear, so that
            # averaging them now and again at the end of the epoch is averaging them at the end.
            self._team.average_buffers()
        arrays = {f"model/{name}": array for name, array in self.model.state_dict().items()}
        if self.best_state is not None:
            arrays.update({f"best/{name}": array for name, array in self.best_state.items()})
        if self._order is not None:
            arrays["order"] = self._order
        optimizer = self.optimizer.state_dict()
        counts: dict[str, dict[str, Any]] = {}
        for number, held in optimizer["state"].items():
            counts[str(number)] = {}
            for name, value in held.items():
                if isinstance(value, np.ndarray):
                    arrays[f"optimizer/{number}/{name}"] = value
                else:
                    counts[str(number)][name] = value
        masks = {key: generator_state(module.generator) for key, module in self._generators()}
        meta = {
            "facts": self._facts,
            "epoch": self.epoch,
            "step": self.step,
            "next": self._next,
            "epoch_steps": self._epoch_steps,
            "seen": self._seen,
            "correct": self._correct,
            "best": self._best,
            "since_best": self._since_best,
            "stopped": self._stopped,
            "history": dataclasses.asdict(self.history),
            "optimizer": {"state": counts, "param_groups": optimizer["param_groups"]},
            "schedule": None if self.schedule is None else self.schedule.state_dict(),
            "generator": generator_state(self.generator),
            # The processes of a team draw different masks; rank 0 writes for all.
            "masks": [masks] if self._team is None else self._team.gather(masks),
        }
        if self._team is None or self._team.rank == 0:
            save_checkpoint(self.checkpoint, arrays, meta)
        if self._team is not None:
            self._team.gather(None)  # nobody goes on, and perhaps reads it, before it is there

    def _restore(self, path: Path) -> None:
        arrays, meta = load_checkpoint(path)
        try:
            facts = meta["facts"]
            changed = [
                f"{key} {facts[key]} there, {value} here" for key, value in self._facts.items() if facts[key] != value
            ]
            if changed:
                raise ArgumentError(f"{path} is of another run: {'; '.join(changed)}")
            if (meta["schedule"] is None) != (self.schedule is None):
                raise ArgumentError(
                    f"{path} is of another run: with{'out' if meta['schedule'] is None else ''} a schedule"
                )
            rank = 0 if self._team is None else self._team.rank
            if len(meta["masks"]) != (1 if self._team is None else self._team.size):
                raise ArgumentError(f"{path} is of a run on {len(meta['masks'])} processes")
            masks, modules = meta["masks"][rank], dict(self._generators())
            if set(masks) != set(modules):
                raise ArgumentError(
                    f"{path} is of another model: it holds {len(masks)} random generators, the model {len(modules)}"
                )
            state: dict[int, dict[str, Any]] = {
                int(number): dict(held) for number, held in meta["optimizer"]["state"].items()
            }
            for name, array in arrays.items():
                if name.startswith("optimizer/"):
                    _, number, slot = name.split("/")
                    state[int(number)][slot] = array
            history = History(**meta["history"])
            self.model.load_state_dict(_below("model/", arrays))
            self.optimizer.load_state_dict({"state": state, "param_groups": meta["optimizer"]["param_groups"]})
            if self.schedule is not None:
                self.schedule.load_state_dict(meta["schedule"])
            set_generator_state(self.generator, meta["generator"])
            for key, saved in masks.items():
                set_generator_state(modules[key].generator, saved)
            self.epoch, self.step, self._next, self._epoch_steps = (
                meta["epoch"],
                meta["step"],
                meta["next"],
                meta["epoch_steps"],
            )
            self._seen, self._correct = meta["seen"], meta["correct"]
            self._best, self._since_best, self._stopped = meta["best"], meta["since_best"], meta["stopped"]
        except (KeyError, TypeError, IndexError) as error:
            raise ArgumentError(f"{path} is no checkpoint of a Trainer: {type(error).__name__} {error}") from error
        self.history = history
        self._order = arrays.get("order")
        self.best_state = _below("best/", arrays) or None

    # --- around it --------------------------------------------------------------------------------------------------

    def _checked(self, name: str, data: tuple[Any, Any]) -> tuple[Any, Any]:
        try:
            x, y = data
        except (TypeError, ValueError) as error:
            raise ArgumentError(f"fit: {name} must be a pair (inputs, targets)") from error
        x = x._array if isinstance(x, Tensor) else np.asarray(x)
        y = y._array if isinstance(y, Tensor) else np.asarray(y)
        if x.ndim < 1 or y.ndim < 1 or len(x) != len(y):
            raise ShapeError(
                f"fit: {name} inputs of shape {x.shape} and targets of shape {y.shape}; they need one length"
            )
        if not len(x):
            raise ArgumentError(f"fit: {name} is empty")
        for what, array in (("inputs", x), ("targets", y)):
            if array.dtype.kind not in "biuf":
                raise DTypeError(f"fit: {name} {what} have dtype {array.dtype}; pass numbers")
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                bad = np.argwhere(~np.isfinite(array))[0]
                raise ArgumentError(f"fit: {name} {what} hold NaN or infinity, first at index {bad.tolist()}")
        scores = self._scores(x)
        self._are_classes = _hits(scores, y[:1]) is not None
        if self._are_classes:
            classes = scores.shape[1]
            wrong = ((y < 0) | (y >= classes)) & (y != getattr(self.loss, "ignore_index", -1))
            if wrong.any():
                at = int(np.argmax(wrong))
                raise ArgumentError(
                    f"fit: {name} target {int(y[at])} at index {at} is no class; the model gives {classes} scores"
                )
        return x, y

    def _scores(self, x: Any) -> Any:
        """What the model says of one example, without training on it: if the data do not fit the model, it says so
        here.
        """
        was_training = getattr(self.model, "training", False)
        self.model.eval()
        with no_grad():
            scores = self.model(x[:1])
        self.model.train(was_training)
        return scores

    def _bar(self, total: int) -> Any:
        if not self.progress or (self._team is not None and self._team.rank):
            return _NoBar()
        return require("tqdm").tqdm(total=total, initial=self.step, unit="step", dynamic_ncols=True)


def _below(prefix: str, arrays: dict[str, Any]) -> dict[str, Any]:
    return {name[len(prefix) :]: array for name, array in arrays.items() if name.startswith(prefix)}


def _bytes(array: Any) -> memoryview:
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


def _hits(scores: Any, y: Any) -> int | None:
    """How many examples have their largest score at their class; None if these are no scores of classes."""
    if y.dtype.kind not in "iu" or y.ndim != 1 or scores.ndim != 2 or scores.shape[1] < 2:
        return None
    return int((scores._array.argmax(axis=1) == y).sum())


class _NoBar:
    """Stands in for the progress bar where none is wanted."""

    def update(self, n: int) -> None:
        pass

    def set_postfix(self, **values: Any) -> None:
        pass

    def close(self) -> None:
        pass
