"""One network, many images: Algorithm 4 by mini-batches, on one process or several."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from deepgmm.errors import Cancelled, ComputationError, InputError
from deepgmm.model.architectures import build
from deepgmm.model.learning import Examples, losses
from deepgmm.progress import Progress, silent
from deepgmm.training import checkpoints
from deepgmm.training.checkpoints import Checkpoint
from deepgmm.training.curves import write_curves
from deepgmm.training.diary import Diary, Row, read_rows
from deepgmm.training.machines import started, summed
from deepgmm.training.order import Order, seed_of
from deepgmm.training.scores import scored
from deepgmm.training.settings import Precision, TrainingSettings
from deepgmm.training.standing import fingerprint, put_back, tensors_of
from deepgmm.training.stopping import asked_to_stop

if TYPE_CHECKING:
    from lightning_fabric import Fabric

#: Examples and a seed for each of their slices to the same slices varied.
Augment = Callable[[Examples, Sequence[int]], Examples]

#: Steps between two looks at a GPU, where looking means waiting for it.
LOOKS = 10

#: Seconds after which a checkpoint draws the curves anew.
REDRAWN = 60.0


@dataclass
class Trained:
    """What a training came to.

    Attributes
    ----------
    network : the best by the validation's loss, else the last; on the CPU, in eval mode.
    step : at which it was so good.
    scores : what its validation gave, see `scored`; empty without validation.
    rows : of the trace: {"step", "training": {...}} and {"step", "validation": {...}}.
    seconds : of the loop, those before it was resumed included.
    """

    network: nn.Module
    step: int
    scores: dict[str, Any]
    rows: list[Row]
    seconds: float


def train_network(
    examples: Examples,
    validation: Examples | None,
    settings: TrainingSettings,
    folder: Path,
    *,
    progress: Progress = silent,
    augment: Augment | None = None,
    start: nn.Module | None = None,
    resume: Checkpoint | None = None,
) -> Trained:
    """Minimise the mean over images of the objective (deepgmm-paper, Algorithm 4).

    Where torchrun started several processes, all of them call this with the same arguments: they
    share every batch, and loss and gradients are those of one process. The first of them writes
    trace, curves and checkpoints.

    Parameters
    ----------
    examples, validation : slices to learn from, and to choose the best network by.
    folder : of the model; must exist.
    augment : varies slices, each by its seed; none for slices as they are.
    start : a network of the settings' architecture whose weights the training begins with; none
        for weights drawn from the seed. It is validated as step 0, and kept where no step is
        better.
    resume : where the training stood; it goes on as if it had never been interrupted, on one
        CPU thread bit for bit.

    Raises
    ------
    InputError
        A folder with another training in it, other slices or settings than the checkpoint's,
        a start of another architecture, files that cannot be written, and what `machines.started`
        raises.
    ComputationError
        A loss that is no longer a number.
    Cancelled
        The user stopped the training, by Ctrl-C or from `progress`; a checkpoint was saved.
    """
    if resume is None and checkpoints.exist(folder):
        raise InputError("the model folder holds a training that has not ended: go on with "
                         "--resume, begin anew with --force, or choose another folder")
    run = _Run(started(settings), settings, folder, examples, validation, augment, start)
    run.take_up(resume)
    run.descend(progress)
    return run.ended()


def learning_rate(step: int, settings: TrainingSettings) -> float:
    """Of a step counted from 0: up along a line, then down along half a cosine."""
    rising = max(1, round(settings.warm_up * settings.steps))
    if step < rising:
        return settings.learning_rate * (step + 1) / rising
    fallen = (step - rising) / (settings.steps - rising)
    return settings.learning_rate * (1 + math.cos(math.pi * fallen)) / 2


class _Run:
    """A training between two steps."""

    def __init__(self, fabric: Fabric, settings: TrainingSettings, folder: Path,
                 examples: Examples, validation: Examples | None,
                 augment: Augment | None, start: nn.Module | None) -> None:
        self.fabric, self.settings, self.folder, self.augment = fabric, settings, folder, augment
        network = build(settings.architecture, seed=settings.seed)
        self.begun = start is not None
        if start is not None:
            _begin_with(network, start)
        self.network = network.to(memory_format=torch.channels_last)
        self.optimiser = torch.optim.AdamW(
            network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
        self.shared, self.stepper = fabric.setup(self.network, self.optimiser)
        self.data = fingerprint(examples, validation)
        self.examples = self._laid(examples)
        self.validation = None if validation is None else self._laid(validation)
        self.objective = settings.objective
        self.order = Order(settings.seed, len(examples))
        self.step = self.saved = self.waited = 0
        self.seconds = self.drawn = 0.0
        self.rows: list[Row] = []
        self.unseen: list[Tensor] = []
        self.best: dict[str, Tensor] | None = None
        self.best_row: Row = {}
        self.diary: Diary | None = None

    def _laid(self, examples: Examples) -> Examples:
        multiple = self.network.multiple
        assert isinstance(multiple, int)
        kind = torch.float64 if self.settings.precision is Precision.FLOAT64 else torch.float32
        return examples.enlarged(multiple).to(kind).to(self.fabric.device)

    # Where it stands

    def take_up(self, checkpoint: Checkpoint | None) -> None:
        """Go on from a checkpoint, or begin; open the diary."""
        if checkpoint is not None:
            self._check(checkpoint)
            self.best = put_back(checkpoint.tensors, self.network, self.optimiser)
            self.step = self.saved = checkpoint.step
            self.rows = read_rows(self.folder, checkpoint.step)
            words = checkpoint.words
            self.waited, self.seconds, self.best_row = (
                words[name] for name in ("waited", "seconds", "best"))
            self.drawn = self.seconds
        if self._leading:
            self.diary = Diary(self.folder, self.rows)

    def _check(self, checkpoint: Checkpoint) -> None:
        """See that the checkpoint is of this training, and the same in all processes."""
        self.settings.go_on_from(TrainingSettings.from_dict(checkpoint.words["settings"]))
        if checkpoint.words["data"] != self.data:
            raise InputError("the training to be resumed had other slices: give the folder of "
                             "cases as it was, or begin anew with --force")
        steps = summed(self.fabric, torch.tensor([checkpoint.step, checkpoint.step**2]))
        if steps[0] ** 2 != steps[1] * self.fabric.world_size:
            raise InputError("the processes found different checkpoints: let all of them have "
                             "the same model folder")

    def _save(self) -> None:
        """Write a checkpoint, and now and then the curves."""
        tensors = tensors_of(self.network, self.optimiser, self.best)
        if not all(value.isfinite().all() for value in tensors.values()):
            raise self._diverged(self.step)
        if self._leading:
            try:
                checkpoints.save(self.folder, Checkpoint(self.step, tensors, {
                    "settings": self.settings.as_dict(), "data": self.data,
                    "waited": self.waited, "seconds": self.seconds, "best": self.best_row}))
                if self.seconds - self.drawn > REDRAWN:
                    write_curves(self.rows, self.folder)
                    self.drawn = self.seconds
            except InputError as error:
                raise self._stuck(error) from error
        self.saved = self.step

    # What it does

    def descend(self, progress: Progress) -> None:
        """All steps that are left."""
        s, before, came_at, began = self.settings, self.seconds, self.step, time.perf_counter()
        every = 1 if self.fabric.device.type == "cpu" else LOOKS
        if self.begun and self.step == 0 and self.validation is not None:
            # what it began with may be better than all that follows
            self._validate(self.validation)
        with asked_to_stop(once=self.fabric.world_size == 1) as asked:
            while self.step < s.steps and not (0 < s.patience <= self.waited):
                self._descend_once()
                self.seconds = before + time.perf_counter() - began
                ends = self.step == s.steps
                keep = s.checkpoint_every > 0 and (ends or self.step % s.checkpoint_every == 0)
                validate = ends or self.step % s.validate_every == 0
                if not (keep or validate or self.step % every == 0):
                    continue
                loss = self._look()
                if validate and self.validation is not None:
                    self._validate(self.validation)
                pace = (self.seconds - before) / (self.step - came_at)
                told = self._tell(progress, loss, pace) or asked()
                stop = summed(self.fabric, torch.tensor([float(told)])).item() > 0
                if keep or stop:
                    self._save()
                if stop:
                    raise Cancelled(f"training was interrupted {self._how_to_go_on()}")

    def _descend_once(self) -> None:
        s, world = self.settings, self.fabric.world_size
        mine = self.order.batch(self.step, s.batch)[self.fabric.global_rank::world]
        device = self.fabric.device
        part = self.examples.select(torch.tensor([index for _, index in mine], device=device))
        if self.augment is not None:
            part = self.augment(part, [seed_of(s.seed, *place) for place in mine])
        self.network.train()
        logits = self.shared(part.channels().contiguous(memory_format=torch.channels_last),
                             part.field)
        loss, reading = losses(part, logits.to(part.values.dtype), self.objective)
        self.stepper.zero_grad(set_to_none=True)
        # processes average their gradients, whose sum is wanted
        self.fabric.backward(loss.sum() * (world / s.batch))
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), s.clip)
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(self.step, s)
        self.stepper.step()
        self.step += 1
        self.unseen.append(torch.stack([loss.detach().sum(), reading.nll.detach().sum(),
                                        norm.detach() * (s.batch / world)]))

    def _look(self) -> float:
        """Write down the steps since the last look; the loss of the last of them."""
        numbers = summed(self.fabric, torch.stack(self.unseen)) / self.settings.batch
        first = self.step - len(self.unseen)
        self.unseen.clear()
        rows: list[Row] = [{"step": first + 1 + i, "training": {
            "loss": loss, "nll": nll, "gradient": norm,
            "learning_rate": learning_rate(first + i, self.settings)}}
            for i, (loss, nll, norm) in enumerate(numbers.tolist())]
        broken = next((r["step"] for r in rows
                       if not all(map(math.isfinite, r["training"].values()))), None)
        if broken is not None:
            raise self._diverged(broken)
        self._write(rows)
        return float(rows[-1]["training"]["loss"])

    def _validate(self, validation: Examples) -> None:
        row: Row = {"step": self.step, "validation": scored(
            self.network, validation, self.objective, self.fabric, batch=self.settings.batch)}
        loss = row["validation"]["loss"]
        if not math.isfinite(loss):
            raise self._diverged(self.step)
        self.waited += 1
        if not self.best_row or loss < self.best_row["validation"]["loss"]:
            self.best = {name: value.detach().clone()
                         for name, value in self.network.state_dict().items()}
            self.best_row, self.waited = row, 0
        self._write([row])

    def _write(self, rows: list[Row]) -> None:
        self.rows += rows
        if self.diary is not None:
            try:
                self.diary.write(rows)
            except InputError as error:
                raise self._stuck(error) from error

    def ended(self) -> Trained:
        """The best network; the curves to the end."""
        if self.best is not None:
            self.network.load_state_dict(self.best)
        if self.diary is not None:
            try:
                self.diary.close()
                write_curves(self.rows, self.folder)
            except InputError as error:
                raise self._stuck(error) from error
        return Trained(self.network.cpu().eval(), self.best_row.get("step", self.step),
                       self.best_row.get("validation", {}), self.rows, self.seconds)

    # What it says

    @property
    def _leading(self) -> bool:
        return bool(self.fabric.global_rank == 0)

    def _tell(self, progress: Progress, loss: float, pace: float) -> bool:
        """Say how far it is, at so many seconds a step; whether the listener wants it to stop."""
        steps = self.settings.steps
        left = in_words(pace * (steps - self.step))
        words = f"step {self.step} of {steps}, loss {loss:.3f}, {left} left"
        try:
            progress(self.step / steps, words)
        except Cancelled:
            return True
        return False

    def _how_to_go_on(self) -> str:
        if self.saved == 0:
            return f"at step {self.step}, and no checkpoint was saved"
        return (f"at step {self.step} of {self.settings.steps}; the same command with --resume "
                f"goes on from step {self.saved}")

    def _stuck(self, error: InputError) -> InputError:
        return InputError(f"{error}; training ended {self._how_to_go_on()}")

    def _diverged(self, step: int) -> ComputationError:
        return ComputationError(f"the loss is not a number from step {step} on: train with a "
                                "lower --learning-rate")


def _begin_with(network: nn.Module, start: nn.Module) -> None:
    """Take over the weights of a network, which must be of the same architecture."""
    try:
        network.load_state_dict(start.state_dict())
    except RuntimeError:
        raise InputError("the network to begin with is of another architecture: give its network, "
                         "filters, levels and convolutions as its card has them") from None


def in_words(seconds: float) -> str:
    """A time to wait: "40 s", "12 min", "1 h 20 min"."""
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
