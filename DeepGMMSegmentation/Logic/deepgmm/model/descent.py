"""AdamW on a batch of networks, each stopped by its own patience; stopped slices leave the batch.

Nothing in the loop asks a number of the device, except every `looks` steps whether any slice
still runs: a GPU is never waited for.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim.adamw import adamw

from deepgmm.model.batch import PixelBatch
from deepgmm.model.em import LEAVING
from deepgmm.model.place import Place
from deepgmm.model.unet import SliceUNet
from deepgmm.progress import Progress, silent

#: Steps between two looks at who still runs, where looking means waiting for the device.
LOOKS = 10


class Descent:
    """torch's AdamW with its usual betas and decay, on weights with a slice axis first.

    Its function, not its class: with the first optimiser of a process torch loads a compiler,
    which takes longer than a fit.
    """

    def __init__(self, network: nn.Module, learning_rate: float) -> None:
        self._network, self._rate = network, learning_rate
        weights = list(network.parameters())
        self._steps = [torch.zeros(()) for _ in weights]
        self._means = [torch.zeros_like(weight) for weight in weights]
        self._squares = [torch.zeros_like(weight) for weight in weights]

    @torch.no_grad()
    def step(self) -> None:
        """One step along the gradients, which are cleared."""
        weights = list(self._network.parameters())
        adamw(weights, [weight.grad for weight in weights], self._means, self._squares, [],
              self._steps, lr=self._rate, beta1=0.9, beta2=0.999, weight_decay=1e-2, eps=1e-8,
              amsgrad=False, maximize=False)
        self._network.zero_grad(set_to_none=True)

    def keep(self, index: Tensor) -> None:
        """Go on with some of the slices."""
        for module in self._network.modules():
            for name, weight in list(module.named_parameters(recurse=False)):
                setattr(module, name, nn.Parameter(weight.detach()[index]))
        self._means = [value[index] for value in self._means]
        self._squares = [value[index] for value in self._squares]


@dataclass
class Networks:
    """The networks of some slices and what they see.

    Attributes
    ----------
    network, batch : of the same slices.
    images : (S, M, H, W) and inside : (S, 1, H, W), the batch laid out for the network.
    start : (S, P, K) logits that the network corrects, or none.
    mixed : the network in bfloat16; its logits and all that follows in the batch's own dtype.
    place : where tissues are to be expected, if anything says so.
    """

    network: SliceUNet
    batch: PixelBatch
    images: Tensor
    inside: Tensor
    start: Tensor | None = None
    mixed: bool = False
    place: Place | None = None

    def responsibilities(self) -> Tensor:
        """w, (S, P, K)."""
        values = self.batch.values
        half = torch.autocast(values.device.type, torch.bfloat16) if self.mixed else nullcontext()
        with half:
            grid = self.network(self.images, self.inside)
        logits = self.batch.pack(grid.to(values.dtype))
        if self.start is not None:
            logits = logits + self.start
        return torch.softmax(logits, dim=2) * self.batch.valid[:, :, None]

    def keep(self, index: Tensor) -> None:
        """Go on with some of the slices; their weights are `Descent`'s."""
        self.batch = self.batch.select(index)
        self.images, self.inside = self.images[index], self.inside[index]
        self.start = None if self.start is None else self.start[index]
        self.place = None if self.place is None else self.place.select(index)


@dataclass
class Patience:
    """Where each slice stands: rows of tensors, compared and replaced without looking at them.

    Attributes
    ----------
    slices : (S,) which slices of the whole these rows are.
    best : (S,) least loss so far and w : (S, P, K) the responsibilities there.
    reference : (S,) loss at the last gain that counted and waited : (S,) steps since then.
    iterations : (S,) steps taken.
    running : (S,) whether the slice still descends.
    trace : (S, steps + 1) loss at every step.
    """

    slices: Tensor
    best: Tensor
    w: Tensor
    reference: Tensor
    waited: Tensor
    iterations: Tensor
    running: Tensor
    trace: Tensor

    @classmethod
    def of(cls, batch: PixelBatch, tissues: int, steps: int) -> Patience:
        like = batch.values
        slices, pixels = like.shape[:2]
        endless = like.new_full((slices,), torch.inf)
        counts = torch.zeros(slices, dtype=torch.long, device=like.device)
        return cls(torch.arange(slices, device=like.device), endless,
                   like.new_zeros((slices, pixels, tissues)), endless, counts, counts,
                   torch.ones_like(counts, dtype=torch.bool), like.new_zeros((slices, steps + 1)))

    def see(self, step: int, loss: Tensor, w: Tensor, *, tolerance: float, patience: int,
            minimum_steps: int) -> None:
        """Take in the loss (S,) and responsibilities (S, P, K) of a step."""
        self.trace[:, step] = loss
        better = (loss < self.best) & self.running
        self.best = torch.where(better, loss, self.best)
        # the first is taken whatever its loss, so that a fit without a finite one shows
        self.w = torch.where(better[:, None, None], w, self.w) if step else w
        gained = loss < self.reference - tolerance
        self.reference = torch.where(gained, loss, self.reference)
        self.waited = torch.where(gained, 0, self.waited + 1)
        self.iterations = torch.where(self.running, step, self.iterations)
        if step >= minimum_steps:
            self.running = self.running & (self.waited <= patience)

    def select(self, index: Tensor) -> Patience:
        return Patience(**{name: value[index] for name, value in vars(self).items()})

    def write(self, whole: Patience) -> None:
        """Put these rows back where they stand among all slices."""
        for name, value in vars(self).items():
            setattr(whole, name, getattr(whole, name).index_copy(0, self.slices, value))


def descend(
    networks: Networks,
    tissues: int,
    loss_of: Callable[[PixelBatch, Tensor], Tensor],
    *,
    learning_rate: float,
    steps: int,
    minimum_steps: int,
    tolerance: float,
    patience: int,
    progress: Progress = silent,
) -> Patience:
    """Minimise the sum of the slices' losses; each slice keeps its own best iterate.

    A slice's path does not depend on the others: neither on their number nor on when they leave.

    Parameters
    ----------
    networks : is changed in place; in the end it holds the slices that left last.
    loss_of : (S,) losses of a batch at responsibilities (S, P, K).
    learning_rate, steps, minimum_steps, tolerance, patience : see `DeepOptions`.
    """
    descent = Descent(networks.network, learning_rate)
    whole = Patience.of(networks.batch, tissues, steps)
    at = whole.select(whole.slices)
    every = 1 if networks.batch.values.device.type == "cpu" else LOOKS
    for step in range(steps + 1):
        w = networks.responsibilities()
        loss = loss_of(networks.batch, w)
        at.see(step, loss.detach(), w.detach(), tolerance=tolerance, patience=patience,
               minimum_steps=minimum_steps)
        progress(step / max(steps, 1), "network")
        if step == steps:
            break
        looking = step >= minimum_steps and step % every == 0
        share = float(at.running.float().mean()) if looking else 1.0
        if share == 0:
            break
        torch.where(at.running, loss, 0.0).sum().backward()
        descent.step()
        if share < LEAVING:
            at.write(whole)
            left = at.running.nonzero()[:, 0]
            descent.keep(left)
            networks.keep(left)
            at = at.select(left)
    at.write(whole)
    return whole
