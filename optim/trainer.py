"""The training loop: minibatches from an explicit generator, a progress bar, history, the best parameters kept, exact
resume.

What a run is, at any moment, is in a few places: the model's state, the optimiser's, the schedule's, the random
generators, this epoch's order of examples and the position in it, the history, the best parameters. A checkpoint holds
all of them and nothing else does, so a run that is killed and resumed takes the same steps, bit for bit, as one that
was not.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import math
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, overload

import numpy as np

import autodiff
from autodiff import Tensor, detect_anomaly, no_grad
from autodiff.arguments import checked, refuse_negative
from autodiff.clipping import clip_grad_norm_, clip_grad_value_
from autodiff.core.errors import AnomalyError, ArgumentError, AutodiffError, GraphError, ShapeError
from autodiff.dispatch import bare
from autodiff.extras import require
from autodiff.files import save_figure
from autodiff.tables import figure, html_table
from optim.batches import Batches, arrays, call, leaves, parts_of, rows, size_of
from optim.checkpoint import generator_state, load_checkpoint, save_checkpoint, set_generator_state
from optim.history import History
from optim.lbfgs import LBFGS
from optim.optimizer import Network
from optim.schedules import ReduceLROnPlateau, Schedule
from optim.swa_utils import AveragedModel, Net, get_ema_multi_avg_fn

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from optim.flat import Array
    from optim.optimizer import Optimizer
    from optim.parallel import DataParallel

__all__ = ["RateSearch", "Trainer"]


Given = TypeVar("Given", covariant=True)
# How far a run has come; a checkpoint has them without the underscore.
_PROGRESS = ("epoch", "step", "_next", "_epoch_steps", "_seen", "_correct", "_best", "_since_best", "_stopped")


class _Layer(Protocol):
    """A module, to type checkers: its call has the signature of its ``forward``, which they do not take for a call."""

    def forward(self, *args: Any, **kwargs: Any) -> Any: ...


class _Gives(Network, Protocol[Given]):
    @property
    def forward(self) -> Callable[..., Given]: ...


class Trainer(Generic[Net]):
    """Fits a model to data.

    Parameters
    ----------
    model : object
        Called on a batch of inputs; has ``parameters``, ``train``, ``eval``, ``state_dict``, ``load_state_dict``: any
        ``nn.Module``.
    loss : callable, optional
        ``loss(scores, targets) -> Tensor``, a scalar mean over the batch. What a batch holds after the targets, such as
        a mask or weights, is given to it, too.
    optimizer : Optimizer or DataParallel
        An :class:`~optim.LBFGS` gets a closure of the batch; give it large ones.
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
    objective : callable, optional
        ``objective(model, batch) -> Tensor``, the whole loss of a batch, in place of ``loss``: for autoencoders,
        language models and whatever else has no targets.
    training_step : callable, optional
        ``training_step(trainer, batch)`` takes the whole step itself, its own ``zero_grad``, ``backward`` and ``step``
        included, and returns the loss or a dict of numbers by name: for several losses and optimisers (GANs). A
        checkpoint cannot hold the other optimisers, so there is none.
    ema : float, optional
        Keep exponential averages of the parameters with this decay (:class:`~optim.swa_utils.AveragedModel`).
        Validation, ``best_state`` and, after ``fit``, the model are those of the averages.

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

    @checked
    def __init__(
        self,
        model: Net,
        loss: Callable[..., Tensor] | _Layer | None,
        optimizer: Optimizer | DataParallel,
        schedule: Schedule | None = None,
        *,
        schedule_per: str = "epoch",
        generator: np.random.Generator | int | None = None,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        accumulate: int = 1,
        patience: int | None = None,
        callbacks: Sequence[Callable[[Trainer], object]] = (),
        progress: bool = True,
        checkpoint: str | Path | None = None,
        checkpoint_every: int | None = None,
        compile: bool = False,
        objective: Callable[..., Tensor] | None = None,
        training_step: Callable[..., object] | None = None,
        ema: float | None = None,
    ) -> None:
        if sum(given is not None for given in (loss, objective, training_step)) != 1:
            raise ArgumentError("Trainer: give one of loss, objective and training_step (None for the loss)")
        _check_parts(model, loss, optimizer, schedule, objective, training_step)
        if training_step is not None and (checkpoint is not None or accumulate != 1 or clip_norm or clip_value):
            raise ArgumentError("Trainer: a training_step clips and accumulates itself, and has no checkpoint")
        if schedule_per not in ("epoch", "step"):
            raise ArgumentError(f"Trainer: schedule_per must be 'epoch' or 'step', got {schedule_per!r}")
        if isinstance(schedule, ReduceLROnPlateau) and schedule_per == "step":
            raise ArgumentError(
                "Trainer: ReduceLROnPlateau watches what is known once per epoch; use schedule_per='epoch'"
            )
        for name, bound in (("clip_norm", clip_norm), ("clip_value", clip_value)):
            refuse_negative(f"Trainer: {name}", 0 if bound is None else bound)
        if not isinstance(callbacks, Sequence) or not all(callable(c) or hasattr(c, "on_step") for c in callbacks):
            raise ArgumentError(f"Trainer: callbacks are a list of functions of the trainer, got {callbacks!r:.80}")
        for name, value in (("accumulate", accumulate), ("patience", patience), ("checkpoint_every", checkpoint_every)):
            if value is not None and value < 1:
                raise ArgumentError(f"Trainer: {name} must be at least 1, got {value}")
        if checkpoint_every is not None and checkpoint is None:
            raise ArgumentError("Trainer: checkpoint_every needs a path: checkpoint='run.npz'")
        trained = {id(p) for group in getattr(optimizer, "optimizer", optimizer).param_groups for p in group["params"]}
        own = list(model.parameters()) if training_step is None else []
        if own and not any(id(p) in trained for p in own):
            raise ArgumentError(
                "Trainer: the optimizer holds none of the model's parameters; make it of model.parameters()"
            )
        self.model: Net = model
        self.loss: Any = loss
        self.optimizer: Any = optimizer
        self.schedule, self.schedule_per = schedule, schedule_per
        self.generator = np.random.default_rng(0 if generator is None else generator)
        self.clip_norm, self.clip_value, self.accumulate = clip_norm, clip_value, accumulate
        self.patience = patience
        self.callbacks: list[Any] = list(callbacks)
        self.objective, self.training_step = objective, training_step
        self.averaged = None if ema is None else AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(ema))
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
        self._loader: Any = None
        self._are_classes = False
        # optim.DataParallel shares every batch between processes; a plain optimiser is alone.
        self._team: Any = optimizer if hasattr(optimizer, "shard") else None

    # --- the loop ---------------------------------------------------------------------------------------------------

    @checked
    def fit(
        self,
        train: object,
        validation: object = None,
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
        train, validation : (inputs, targets), or iterable of batches
            Arrays of equal length; integer targets are classes: (N,) for scores (N, C), (N, T, ...) for (N, C, T, ...)
            or (N, T, ..., C). Accuracy is over all that the loss does not ignore. Several inputs are a tuple, or a dict
            by the names of the model's arguments; further entries go to the loss. A dict has the key ``"targets"``.
            For an ``objective`` or a ``training_step`` any tree of arrays will do.
            Or batches of that form, ready: an ``nn.DataLoader`` or PyTorch's, a list of batches, an iterator (for one
            epoch), or a function that returns one.
        epochs : int, optional
            Default 10, unless ``steps`` is given.
        batch_size : int
        steps : int, optional
            Stop after so many optimiser steps instead; the last epoch may then be cut short.
        restore_best : bool
            At the end put the best epoch's parameters back, where validation data are given to this call.
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
        if self.patience is not None and validation is None:
            raise ArgumentError("fit: patience waits for a better validation accuracy; give validation data")
        if resume and self.checkpoint is None:
            raise ArgumentError("fit: resume=True needs a path: Trainer(..., checkpoint='run.npz')")
        data = self._checked("train", train)
        held_out = None if validation is None else self._checked("validation", validation)
        if isinstance(data, Batches):
            if self.checkpoint_every is not None or self._team is not None:
                raise ArgumentError("fit: checkpoint_every and DataParallel need arrays; batches are not cut here")
            # Where it is unknown how many there are, an epoch ends where its batches do.
            n, crc, batches = -1, 0, data.count()
        else:
            n, crc = size_of(data), 0
            batches = self._batches(n, batch_size)
            for _, array in leaves(data):
                crc = zlib.crc32(_bytes(array), crc)
        per_epoch = math.inf if batches is None else -(-batches // self.accumulate)
        self._facts = {"examples": n, "data": crc, "batch_size": batch_size, "accumulate": self.accumulate}
        self._facts["optimizer"] = type(getattr(self.optimizer, "optimizer", self.optimizer)).__name__
        self._loader = train if isinstance(getattr(train, "generator", None), np.random.Generator) else None
        self._own_generators()
        self.epoch = self.step = self._since_best = 0
        self._order, self._stopped = None, False
        if resume and self.checkpoint is not None and self.checkpoint.exists():
            self._restore(self.checkpoint)
        last_step: float = steps if steps is not None else (epochs or 0) * per_epoch
        bar = self._bar(None if math.isinf(last_step) else int(last_step))
        try:
            while not self._stopped and self.step < last_step and (epochs is None or self.epoch < epochs):
                started = time.perf_counter()
                asked = (
                    self._run_batches(data, last_step, bar)
                    if isinstance(data, Batches)
                    else self._run_epoch(data, n, batch_size, batches or 0, last_step, bar)
                )
                self._after_epoch(held_out, started, asked, bar)
                self._save()
        finally:
            bar.close()
        if restore_best and held_out is not None and self.best_state is not None:
            self.model.load_state_dict(self.best_state)
        elif self.averaged is not None and self.averaged.n_averaged:
            self.model.load_state_dict(self.averaged.module.state_dict())
        self.model.eval()
        return self.history

    def _batches(self, n: int, batch_size: int) -> int:
        whole, rest = divmod(n, batch_size)
        least = 2 * (self._team.size if self._team is not None else 1)
        return whole + (rest >= least or whole == 0)

    def _run_batches(self, data: Batches, last_step: float, bar: Any) -> bool:
        """Go through one epoch of ready batches; says whether a callback asked to stop."""
        self.model.train()
        self._epoch_steps = self._seen = self._correct = 0
        iterator, number = iter(data), 0
        while self.step < last_step:
            group = list(itertools.islice(iterator, self.accumulate))
            if not group:
                break
            parts = [(batch, size_of(batch), f"in batch {number + i} of the epoch") for i, batch in enumerate(group)]
            number += len(group)
            if self._after_step(self._take_step(parts), bar):
                return True
        if not number and self.step < last_step:
            raise ArgumentError("fit: an epoch without a batch; is the loader empty, or longer batches than data?")
        return False

    def _run_epoch(self, data: Any, n: int, batch_size: int, batches: int, last_step: float, bar: Any) -> bool:
        """Go through the rest of the epoch; says whether a callback asked to stop."""
        self.model.train()
        if self._order is None:
            self._order = self.generator.permutation(n)
            self._next = self._epoch_steps = self._seen = self._correct = 0
        order = self._order
        while self._next < batches and self.step < last_step:
            end = min(self._next + self.accumulate, batches)
            chosen = [order[k * batch_size : (k + 1) * batch_size] for k in range(self._next, end)]
            parts = []
            for part in chosen:
                mine = part if self._team is None else self._team.shard(part)
                parts.append((rows(data, mine), len(part), mine))
            value = self._take_step(parts)
            self._next = end
            if self._after_step(value, bar):
                return True
            if self.checkpoint_every is not None and self.step % self.checkpoint_every == 0 and self._next < batches:
                self._save()
        return False

    def _after_step(self, value: float, bar: Any) -> bool:
        """Count a step and tell of it; says whether a callback asked to stop."""
        self.step += 1
        self._epoch_steps += 1
        self.history.loss.append(value)
        if self.averaged is not None:
            self.averaged.update_parameters(self.model)
        if self.schedule is not None and self.schedule_per == "step":
            self.schedule.step()
        bar.update(1)
        told = {"accuracy": f"{self._accuracy():.3f}"} if self._are_classes else {}
        rate = self.optimizer.param_groups[0]["lr"]
        bar.set_postfix(loss=f"{value:.4f}", **told, lr=f"{rate:.2g}", refresh=False)
        return any([callback.on_step(self) for callback in self.callbacks if hasattr(callback, "on_step")])

    def _accuracy(self) -> float:
        return self._correct / self._seen if self._are_classes and self._seen else math.nan

    def _loss_of(self, batch: Any) -> tuple[Tensor, Any, Any]:
        """The loss of a batch, the model's scores and the targets; None where there are none."""
        scores: Any = None
        rest: tuple[Any, ...] = (None,)
        if self.objective is not None:
            loss = self.objective(self.model, batch)
        else:
            assert self.loss is not None
            inputs, rest = parts_of(batch)
            scores = call(self.model, inputs)
            loss = self.loss(scores, *rest)
        if not isinstance(loss, Tensor) or loss.size != 1:
            given = f"a Tensor of shape {loss.shape}" if isinstance(loss, Tensor) else f"a {type(loss).__name__}"
            raise ArgumentError(
                f"Trainer: the {'loss' if self.objective is None else 'objective'} gave {given}; it needs a Tensor of"
                " one number, such as the mean over the batch"
            )
        return loss, scores, rest[0]

    def _step(self, parts: list[Any]) -> float:
        """One optimiser step on the batches of ``parts``, each with its size and where it is from; their mean loss."""
        if self.training_step is not None:
            return self._noted(self.training_step(self, parts[0][0]))
        total = sum(size for _, size, _ in parts)
        if isinstance(self.optimizer, LBFGS):
            met: list[tuple[float, int, int]] = []

            def closure() -> float:
                met.append(self._gradients(parts, total))
                return met[-1][0]

            self.optimizer.step(closure)
            mean, correct, judged = met[0]
        else:
            mean, correct, judged = self._gradients(parts, total)
            (self.optimizer if self._team is None else self._team.optimizer).step()
        self._seen += judged
        self._correct += correct
        return mean

    def _gradients(self, parts: list[Any], total: int) -> tuple[float, int, int]:
        """Compute the gradients of the mean loss of ``parts``; this loss, how many targets are hit, of how many."""
        self.optimizer.zero_grad()
        mean = 0.0
        correct = judged = 0
        for batch, size, mine in parts:
            loss, scores, targets = self._loss_of(batch)
            value = float(loss.item())
            if not loss.requires_grad:
                raise GraphError(
                    "Trainer: the loss depends on no parameter that requires a gradient; .data, .detach(), .item() or"
                    " np.array in the model or the loss cut the graph, or all parameters are frozen"
                )
            if not math.isfinite(value):
                self._explain(batch, mine, f"the loss became {value}")
            # What this part is of the whole, so that the sum is the mean over all examples, whatever the sizes.
            weight = (size if self._team is None else len(mine)) / total
            mean += weight * value
            hits = _hits(scores, targets, self.loss)
            self._are_classes = self._are_classes or hits is not None
            hit, of = hits or (0, 0)
            correct, judged = correct + hit, judged + of
            if self._team is not None:
                weight *= self._team.size
            (loss if weight == 1 else loss * weight).backward()
            self._check_gradients(batch, mine)
        if self._team is not None:
            mean = self._team.total(mean)
            correct, judged = int(self._team.total(correct)), int(self._team.total(judged))
            self._team.average_gradients()
        if self.clip_value is not None:
            clip_grad_value_(self.model.parameters(), self.clip_value)
        if self.clip_norm is not None:
            clip_grad_norm_(self.model.parameters(), self.clip_norm)
        return mean, correct, judged

    def _noted(self, given: Any) -> float:
        """What a training_step returned, as a loss; numbers by name are kept, and their sum is the loss."""
        named = given if isinstance(given, Mapping) else {}
        values = {name: float(v.item() if hasattr(v, "item") else v) for name, v in named.items()}
        for name, value in values.items():
            self.history.metrics.setdefault(name, []).append(value)
        if given is None:
            raise ArgumentError("training_step returned None; return the loss, or a dict of numbers by name")
        loss = sum(values.values()) if named else float(given.item() if hasattr(given, "item") else given)
        if not math.isfinite(loss):
            raise AnomalyError(f"training_step gave {given!r} at step {self.step + 1}")
        return loss

    def _check_gradients(self, batch: Any, chosen: Any) -> None:
        with np.errstate(all="ignore"):
            for p in self.model.parameters():
                g = p.grad
                # A sum is quick to take, and not finite if any element is not; it may also overflow, so look again.
                if g is not None and not math.isfinite(abs(g.sum())) and not np.isfinite(g).all():
                    self._explain(batch, chosen, f"the gradient of {self._name_of(p)} is not finite")

    def _name_of(self, parameter: Any) -> str:
        named = getattr(self.model, "named_parameters", None)
        pairs = named() if named is not None else ((f"parameter {i}", p) for i, p in enumerate(self.model.parameters()))
        return next((str(name) for name, p in pairs if p is parameter), "a parameter")

    def _explain(self, batch: Any, chosen: Any, what: str) -> None:
        """Run the batch again, watching every operation, and say where the NaN came from."""
        if not isinstance(chosen, str):
            dots = ", ..." if len(chosen) > 8 else ""
            chosen = f"on examples [{', '.join(map(str, chosen[:8]))}{dots}]"
        where = f"{what} at step {self.step + 1}, {chosen}"
        bad = [self._name_of(p) for p in self.model.parameters() if not np.isfinite(p._array).all()]
        if bad:
            raise AnomalyError(
                f"{where}: these parameters were not finite before it: {', '.join(bad)}; lower the learning rate"
            )
        try:
            with detect_anomaly(), np.errstate(all="ignore"):
                self._loss_of(batch)[0].backward()
        except AnomalyError as error:
            raise AnomalyError(f"{where}: {error}") from error
        raise AnomalyError(
            f"{where}: run again, no single operation made it; lower the learning rate or clip the gradients"
        )

    def _after_epoch(self, held_out: Any, started: float, asked: bool, bar: Any) -> None:
        history = self.history
        self.epoch += 1
        self._order = None
        if self._team is not None:
            self._team.average_buffers()
        history.steps.append(self._epoch_steps)
        history.learning_rate.append(float(self.optimizer.param_groups[0]["lr"]))
        history.train_accuracy.append(self._accuracy())
        if held_out is not None:
            loss, accuracy = self.evaluate(held_out)
            history.validation_loss.append(loss)
            history.validation_accuracy.append(accuracy)
            score = -loss if math.isnan(accuracy) else accuracy
            if score > self._best:
                self._best, self._since_best = score, 0
                self.best_state = self._judged().state_dict()
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

    def _judged(self) -> Any:
        """The model that validation is about: the averages, where there are some."""
        return self.model if self.averaged is None or not self.averaged.n_averaged else self.averaged.module

    def _pieces(self, data: Any, batch_size: int) -> Iterator[Any]:
        """Data as batches, in order."""
        if isinstance(data, Batches) or Batches.fits(data):
            yield from data if isinstance(data, Batches) else Batches(data)
            return
        held = arrays("Trainer: data", data, False)
        for start in range(0, size_of(held), batch_size):
            yield rows(held, slice(start, start + batch_size))

    @checked
    def evaluate(self, data: object, batch_size: int = 1024) -> tuple[float, float]:
        """Mean loss and accuracy (NaN if the targets are no classes), in evaluation mode.

        Parameters
        ----------
        data : (inputs, targets), or iterable of batches
            As for :meth:`fit`.
        batch_size : int

        Returns
        -------
        (loss, accuracy)
        """
        if self.training_step is not None:
            raise ArgumentError("evaluate: a training_step tells no loss of data that are held out; use callbacks")
        held, self.model = self.model, self._judged()
        total, count, correct, judged = 0.0, 0, 0, 0
        classes = True
        try:
            with _evaluating(self.model):
                for batch in self._pieces(data, batch_size):
                    n = size_of(batch)
                    loss, scores, targets = self._loss_of(batch)
                    total += float(loss.item()) * n
                    count += n
                    hits = _hits(scores, targets, self.loss)
                    classes = hits is not None
                    hit, of = hits or (0, 0)
                    correct, judged = correct + hit, judged + of
        finally:
            self.model = held
        if not count:
            raise ArgumentError("evaluate: the data are empty")
        return total / count, correct / judged if classes and judged else math.nan

    @overload
    def predict(  # type: ignore[overload-overlap]
        self: Trainer[_Gives[tuple[Tensor, ...]]], inputs: object, batch_size: int = 1024
    ) -> tuple[Array, ...]: ...
    @overload
    def predict(  # type: ignore[overload-overlap]
        self: Trainer[_Gives[tuple[object, ...]]], inputs: object, batch_size: int = 1024
    ) -> tuple[object, ...]: ...
    @overload
    def predict(  # type: ignore[overload-overlap]
        self: Trainer[_Gives[Mapping[str, Tensor]]], inputs: object, batch_size: int = 1024
    ) -> dict[str, Array]: ...
    @overload
    def predict(self, inputs: object, batch_size: int = 1024) -> Array: ...
    @checked
    def predict(self, inputs: object, batch_size: int = 1024) -> object:
        """What the model gives for inputs, in evaluation mode, as arrays.

        Parameters
        ----------
        inputs : array, tuple or dict of arrays, or iterable of batches
            Without targets; of an iterable's batches that are tuples or lists, the first entry.
        batch_size : int

        Returns
        -------
        ndarray, or tuple or dict of ndarray
            As the model gives one or several.

        Examples
        --------
        >>> import numpy as np, nn, optim
        >>> net = nn.Linear(2, 3)
        >>> trainer = Trainer(net, nn.CrossEntropyLoss(), optim.SGD(net.parameters()))
        >>> trainer.predict(np.ones((5, 2), np.float32)).shape
        (5, 3)
        """
        model, found = self._judged(), []
        ready = Batches.fits(inputs)
        with _evaluating(model):
            for batch in self._pieces(inputs, batch_size):
                found.append(call(model, batch[0] if ready and isinstance(batch, tuple | list) else batch))
        if not found:
            raise ArgumentError("predict: the inputs are empty")
        return _joined(found)

    def find_lr(
        self, train: object, batch_size: int = 32, *, start: float = 1e-7, end: float = 10.0, steps: int = 100
    ) -> RateSearch:
        """Steps with a learning rate that grows from ``start`` to ``end``; model and optimiser are put back after.

        Parameters
        ----------
        train : as for :meth:`fit`
        batch_size : int
        start, end : float
        steps : int
            At most; it ends where the loss is four times its least.

        Returns
        -------
        RateSearch
            Rates and losses, and a suggestion.

        References
        ----------
        Smith, "Cyclical learning rates for training neural networks", arXiv 1506.01186, section 3.3.

        Examples
        --------
        >>> import numpy as np, nn, optim
        >>> rng = np.random.default_rng(0)
        >>> x = rng.normal(size=(64, 3)).astype(np.float32)
        >>> net = nn.Linear(3, 1, generator=rng)
        >>> trainer = Trainer(net, nn.MSELoss(), optim.SGD(net.parameters()), progress=False)
        >>> search = trainer.find_lr((x, x.sum(1, keepdims=True)))
        >>> 1e-3 < search.suggestion < 1.0
        True
        """
        if not 0 < start < end or steps < 2:
            raise ArgumentError(f"find_lr: rates grow in two steps at least, got {start} to {end} in {steps}")
        if self.training_step is not None or self._team is not None or isinstance(self.optimizer, LBFGS):
            raise ArgumentError(
                "find_lr: needs a loss or an objective, an optimiser of single gradients, and one process"
            )
        data = self._checked("train", train)
        self._own_generators()
        put_back = self._kept()
        rng = np.random.default_rng(0)
        growth = (end / start) ** (1 / (steps - 1))
        rates: list[float] = []
        losses: list[float] = []

        def batches() -> Iterator[Any]:
            while True:
                if isinstance(data, Batches):
                    yield from data
                else:
                    order = rng.permutation(size_of(data))
                    for first in range(0, len(order), batch_size):
                        yield rows(data, order[first : first + batch_size])

        self.model.train()
        try:
            with np.errstate(all="ignore"):
                for number, batch in zip(range(steps), batches(), strict=False):
                    for group in self.optimizer.param_groups:
                        group["lr"] = start * growth**number
                    self.optimizer.zero_grad()
                    loss = self._loss_of(batch)[0]
                    value = float(loss.item())
                    if not math.isfinite(value) or (losses and value > 4 * min(losses)):
                        break
                    rates.append(start * growth**number)
                    losses.append(value)
                    loss.backward()
                    self.optimizer.step()
        finally:
            put_back()
            self.optimizer.zero_grad()
        return RateSearch(rates, losses)

    def _kept(self) -> Callable[[], None]:
        """A function that puts model, optimiser, schedule and generators back as they are now."""
        training = getattr(self.model, "training", True)
        parts: list[Any] = [part for part in (self.model, self.optimizer, self.schedule) if hasattr(part, "state_dict")]
        states = [part.state_dict() for part in parts]
        buffers = [(b, b._array.copy()) for b in getattr(self.model, "buffers", tuple)()]
        held = [self.generator, *(module.generator for _, module in self._generators())]
        drawn = [generator_state(generator) for generator in held]

        def put_back() -> None:
            for part, state in zip(parts, states, strict=True):
                part.load_state_dict(state)
            for buffer, array in buffers:
                buffer.data = array
            for generator, state in zip(held, drawn, strict=True):
                set_generator_state(generator, state)
            self.model.train(training)

        return put_back

    # --- killed and resumed -------------------------------------------------------------------------------------------

    def _generators(self) -> Iterator[tuple[str, Any]]:
        """Submodules with a random generator, or room for one."""
        if hasattr(self.model, "modules"):
            for i, module in enumerate(self.model.modules()):
                if hasattr(module, "generator"):
                    yield str(i), module
        if self._loader is not None:
            yield "loader", self._loader

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
        arrays: dict[str, Any] = {f"model/{name}": array for name, array in self.model.state_dict().items()}
        if self.best_state is not None:
            arrays.update({f"best/{name}": array for name, array in self.best_state.items()})
        if self.averaged is not None:
            arrays.update({f"ema/{name}": array for name, array in self.averaged.state_dict().items()})
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
            **{name.lstrip("_"): getattr(self, name) for name in _PROGRESS},
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
        put_back = self._kept()
        try:
            facts = self._facts | meta["facts"]
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
            averages = _below("ema/", arrays)
            if bool(averages) != (self.averaged is not None):
                raise ArgumentError(f"{path} is of another run: with{'' if averages else 'out'} ema")
            self.model.load_state_dict(_below("model/", arrays))
            self.optimizer.load_state_dict({"state": state, "param_groups": meta["optimizer"]["param_groups"]})
            if self.schedule is not None:
                self.schedule.load_state_dict(meta["schedule"])
            set_generator_state(self.generator, meta["generator"])
            for key, saved in masks.items():
                set_generator_state(modules[key].generator, saved)
            if self.averaged is not None:
                self.averaged.load_state_dict(averages)
            vars(self).update({name: meta[name.lstrip("_")] for name in _PROGRESS})
        except Exception as error:
            put_back()
            if isinstance(error, AutodiffError):
                raise
            raise ArgumentError(f"{path} is no checkpoint of a Trainer: {type(error).__name__} {error}") from error
        self.history = history
        self._order = arrays.get("order")
        self.best_state = _below("best/", arrays) or None

    # --- around it --------------------------------------------------------------------------------------------------

    def _checked(self, name: str, data: Any) -> Any:
        """The data, as arrays or as :class:`~optim.batches.Batches`, looked at before the first step."""
        self._are_classes = False
        if Batches.fits(data):
            return Batches(data)
        held = arrays(f"fit: {name}", data, self.loss is not None)
        if self.loss is None:
            return held
        inputs, (targets, *_) = parts_of(held)
        # If the data do not fit the model, it says so of one example, before training.
        with _evaluating(self.model):
            scores = call(self.model, rows(inputs, slice(0, 1)))
        if not isinstance(targets, np.ndarray):
            return held
        axis = _class_axis(scores, targets[:1], self.loss)
        self._are_classes = axis is not None
        if axis is not None:
            classes = scores.shape[axis]
            wrong = ((targets < 0) | (targets >= classes)) & (targets != _ignored(self.loss))
            if wrong.any():
                at = tuple(int(i) for i in np.argwhere(wrong)[0])
                raise ArgumentError(
                    f"fit: {name} target {int(targets[at])} at index {', '.join(map(str, at))} is no class; the model"
                    f" gives {classes} scores"
                )
        return held

    def _bar(self, total: int | None) -> Any:
        if not self.progress or (self._team is not None and self._team.rank):
            ignored = lambda *args, **told: None
            return SimpleNamespace(update=ignored, set_postfix=ignored, close=ignored)
        return require("tqdm.auto").tqdm(total=total, initial=self.step, unit="step", dynamic_ncols=True)


@contextlib.contextmanager
def _evaluating(model: Any) -> Iterator[None]:
    """Evaluation behaviour without recording; the model is then in the mode that it was in."""
    was_training = getattr(model, "training", False)
    model.eval()
    try:
        with no_grad():
            yield
    finally:
        model.train(was_training)


def _below(prefix: str, arrays: dict[str, Any]) -> dict[str, Any]:
    return {name[len(prefix) :]: array for name, array in arrays.items() if name.startswith(prefix)}


def _joined(given: list[Any]) -> Any:
    """What the model gave for each batch, as one: arrays end to end, in the tuples and dicts that it gave."""
    first = given[0]
    if isinstance(first, Mapping):
        return {key: _joined([one[key] for one in given]) for key in first}
    if isinstance(first, tuple | list):
        columns = [_joined(list(column)) for column in zip(*given, strict=True)]
        return type(first)(*columns) if hasattr(first, "_fields") else tuple(columns)
    if first is None:
        return None
    found = [np.asarray(bare(one)) for one in given]
    if not found[0].ndim:
        raise ShapeError("predict: the model gave a single number for a batch; it needs an axis of examples")
    return np.concatenate(found)


def _bytes(array: Any) -> memoryview:
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


def _check_parts(model: Any, loss: Any, optimizer: Any, schedule: Any, objective: Any, training_step: Any) -> None:
    """Refuse what is no model, loss, optimiser or schedule, by the mistakes that are made."""
    if isinstance(model, type) or (training_step is None and not hasattr(model, "parameters")):
        raise ArgumentError(
            f"Trainer: the model is an nn.Module such as nn.Linear(3, 2), got {_told(model)}; the order is (model,"
            " loss, optimizer)"
        )
    for name, function in (("loss", loss), ("objective", objective), ("training_step", training_step)):
        if function is not None and not callable(function):
            raise ArgumentError(f"Trainer: {name} is a function such as nn.functional.mse_loss, got {_told(function)}")
    if isinstance(optimizer, type) or not hasattr(getattr(optimizer, "optimizer", optimizer), "param_groups"):
        raise ArgumentError(
            "Trainer: the optimizer is made of the model's parameters, optim.SGD(model.parameters(), lr=0.1) say, got"
            f" {_told(optimizer)}"
        )
    if schedule is None:
        return
    if isinstance(schedule, type) or not callable(getattr(schedule, "step", None)):
        raise ArgumentError(
            f"Trainer: the schedule is made of the optimizer, optim.StepLR(optimizer, 10) say, got {_told(schedule)}"
        )
    steered = getattr(schedule, "optimizer", None)
    if steered is not None and steered not in (optimizer, getattr(optimizer, "optimizer", None)):
        raise ArgumentError("Trainer: the schedule was made of another optimizer than the Trainer's")


def _told(value: Any) -> str:
    """What was given, in a message."""
    return f"the class {value.__name__}" if isinstance(value, type) else f"a {type(value).__name__}"


def _ignored(loss: Any) -> int:
    """The target that the loss leaves out; -100 unless it says otherwise, as for a cross entropy."""
    given = getattr(loss, "keywords", {}).get("ignore_index", -100)  # of a functools.partial
    return int(getattr(loss, "ignore_index", given))


def _class_axis(scores: Any, y: Any, loss: Any) -> int | None:
    """The axis of the classes: of scores (N, C) 1; for targets (N, T, ...) PyTorch's 1, or the last one. None if these
    are no scores of classes, or a loss that is no cross entropy was given as many classes as places, which tells not.
    """
    if not isinstance(scores, Tensor) or not isinstance(y, np.ndarray | Tensor):
        return None
    if y.dtype.kind not in "iu" or y.ndim < 1 or scores.ndim != y.ndim + 1:
        return None
    second, last = scores.shape[:1] + scores.shape[2:] == y.shape, scores.shape[:-1] == y.shape
    known = hasattr(loss, "ignore_index") or getattr(loss, "__name__", "") in ("cross_entropy", "nll_loss")
    if second and last and y.ndim > 1 and not known:
        return None
    axis = 1 if second else scores.ndim - 1
    return axis if (second or last) and scores.shape[axis] > 1 else None


def _hits(scores: Any, y: Any, loss: Any) -> tuple[int, int] | None:
    """How many targets are the class of the largest score, and of how many, without those that the loss ignores; None
    if these are no scores of classes.
    """
    axis = _class_axis(scores, y, loss)
    if axis is None:
        return None
    targets = bare(y)
    judged = targets != _ignored(loss)
    return int(((scores._array.argmax(axis=axis) == targets) & judged).sum()), int(judged.sum())


@dataclasses.dataclass
class RateSearch:
    """Learning rates and the losses met with them: what :meth:`Trainer.find_lr` gives.

    Attributes
    ----------
    rates, losses : list of float
        One per step.

    Examples
    --------
    >>> search = RateSearch([0.001, 0.01, 0.1, 1.0], [2.0, 1.9, 0.5, 3.0])
    >>> search.suggestion
    0.01
    """

    rates: list[float]
    losses: list[float]

    @property
    def suggestion(self) -> float:
        """A tenth of the rate at which the smoothed loss is least."""
        if not self.rates:
            raise ArgumentError("find_lr: not one finite loss; begin with a smaller rate")
        smooth, mean = [], 0.0
        for i, loss in enumerate(self.losses):
            mean = 0.8 * mean + 0.2 * loss if len(self.losses) > 20 else loss
            smooth.append(mean / (1 - 0.8 ** (i + 1)) if len(self.losses) > 20 else mean)
        return self.rates[int(np.argmin(smooth))] / 10

    def _repr_html_(self) -> str:
        pairs = list(zip(self.rates, self.losses, strict=True))
        return html_table(f"suggested rate {self.suggestion:.2g}", ["rate", "loss"], pairs[:: max(1, len(pairs) // 20)])

    def plot(self, path: str | Path | None = None) -> Figure:
        """Loss against rate, on a logarithmic axis.

        Parameters
        ----------
        path : str or Path, optional
            Save the figure there; the suffix chooses the format.

        Returns
        -------
        matplotlib.figure.Figure
        """
        drawn = figure(figsize=(5, 3.5), layout="constrained")
        axes = drawn.subplots()
        axes.semilogx(self.rates, self.losses, color="#0072b2", linewidth=0.8)
        axes.axvline(self.suggestion, color="#d55e00", linewidth=0.8, label=f"suggested: {self.suggestion:.2g}")
        axes.set(xlabel="learning rate", ylabel="loss")
        axes.legend()
        if path is not None:
            save_figure(drawn, path)
        return drawn
