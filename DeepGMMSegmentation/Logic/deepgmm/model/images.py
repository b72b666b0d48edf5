"""Slices on a common canvas, for one network that all of them share, and the mixture of each.

Shapes: S slices, M = 3 sequences in the order bSSFP, LGE, T2 whether present or not, K = 4
tissues in the order blood, myocardium, edema, scar whether sought or not, H rows, W columns.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TypeVar

import torch
from torch import Tensor
from torch.nn.functional import log_softmax, max_pool2d, pad

from deepgmm.model.batch import PixelBatch
from deepgmm.model.mixture import Mixture, Moments, log_density
from deepgmm.model.priors import ConjugatePrior

#: Depths are given to networks in these units, mm.
DEPTH_UNIT = 10.0

#: So many pixels beyond the mask a network sees that is shown what lies around.
REACH = 5

Laid = TypeVar("Laid", bound="Images")


@dataclass
class Images:
    """What a shared network and its objective see of some slices.

    Attributes
    ----------
    values : (S, M, H, W) normalised intensities; 0 outside the mask and where a sequence is
        absent.
    present : (S, M) 1 where a sequence is there, else 0.
    inside : (S, 1, H, W) 1 inside the LV mask.
    depth : (S, 1, H, W) distance to the epicardium in mm, 0 outside the mask.
    sought : (S, K) 1 where a tissue is sought.
    means, variances, trust : (S, K, M) contrast prior of each slice's study, normalised units:
        means, variances inside a tissue, and kappa of `ConjugatePrior`.
    around : (S, 3 M, H, W) normalised intensities whatever the mask, of the slice, of the slice
        after it and of the one before it, 0 where there is none; or none, for networks that see
        the mask alone. The mask then lies `REACH` pixels and more from the canvas's border.
    """

    values: Tensor
    present: Tensor
    inside: Tensor
    depth: Tensor
    sought: Tensor
    means: Tensor
    variances: Tensor
    trust: Tensor
    around: Tensor | None = None

    def __len__(self) -> int:
        return self.values.shape[0]

    @property
    def canvas(self) -> tuple[int, int]:
        return self.values.shape[2], self.values.shape[3]

    def channels(self) -> Tensor:
        """(S, 8, H, W): the three sequences, which of them are there, the mask and the depth.

        (S, 17, H, W) with `around`: the three sequences of the slice, of the slices beside it, and
        of the slice in units of its own mean and deviation in the mask, all within `field`; which
        are there, the mask and the depth.
        """
        there, depth = self.present[:, :, None, None], self.depth / DEPTH_UNIT
        if self.around is None:
            return torch.cat([self.values, there * self.inside, self.inside, depth], dim=1)
        field = self.field
        count = self.inside.sum((2, 3), keepdim=True).clamp_min(1.0)
        mean = self.values.sum((2, 3), keepdim=True) / count
        spread = ((self.values - mean) * self.inside).square().sum((2, 3), keepdim=True) / count
        own = self.around[:, : self.values.shape[1]]
        alone = ((own - mean) / (spread + 1e-3).sqrt()).clamp(-4.0, 4.0) * there
        return torch.cat([self.around * field, alone * field, there * field, self.inside, depth],
                         dim=1)

    @property
    def field(self) -> Tensor:
        """(S, 1, H, W) 1 where a network looks: in the mask, and `REACH` pixels around it where
        that is to be seen."""
        if self.around is None:
            return self.inside
        wide = max_pool2d(self.inside, (2 * REACH + 1, 1), 1, (REACH, 0))
        return max_pool2d(wide, (1, 2 * REACH + 1), 1, (0, REACH))

    def select(self: Laid, index: Tensor | slice) -> Laid:
        return replace(self, **{name: value[index] for name, value in self._tensors().items()})

    def to(self: Laid, target: torch.device | torch.dtype) -> Laid:
        """On another device, or in another floating type."""
        return replace(self, **{
            name: value if isinstance(target, torch.dtype) and not value.is_floating_point()
            else value.to(target) for name, value in self._tensors().items()})

    def enlarged(self: Laid, multiple: int) -> Laid:
        """On a canvas whose sides are multiples of a number; slices stay at the top left."""
        height, width = (-(-side // multiple) * multiple - side for side in self.canvas)
        if height == width == 0:
            return self
        return replace(self, **{
            name: pad(value, (0, width, 0, height), value=self._padding(name))
            for name, value in self._tensors().items() if value.shape[-2:] == self.canvas})

    @classmethod
    def joined(cls: type[Laid], parts: list[Laid]) -> Laid:
        """Several as one, on the largest canvas of all; what not all have is left out."""
        height, width = (max(p.canvas[axis] for p in parts) for axis in (0, 1))
        names = set.intersection(*(set(p._tensors()) for p in parts))
        together = {}
        for name in names:
            values = [p._tensors()[name] for p in parts]
            if values[0].shape[-2:] == parts[0].canvas:
                values = [pad(v, (0, width - v.shape[-1], 0, height - v.shape[-2]),
                              value=cls._padding(name)) for v in values]
            together[name] = torch.cat(values)
        return cls(**together)

    def _tensors(self) -> dict[str, Tensor]:
        return {f.name: value for f in fields(self)
                if (value := getattr(self, f.name)) is not None}

    @staticmethod
    def _padding(name: str) -> float:
        """What lies outside the mask."""
        return 0.0

    def prior(self) -> ConjugatePrior:
        """The contrast prior as the M-step's penalty, one a slice."""
        even = self.sought / self.sought.sum(1, keepdim=True)
        return ConjugatePrior(self.means, self.variances, even, self.trust)

    def pixels(self) -> PixelBatch:
        """Every pixel of the canvas as a pixel of a batch, those outside the mask as padding."""
        height, width = self.canvas
        count = len(self)
        place = torch.arange(height * width, device=self.values.device).expand(count, -1)
        return PixelBatch(
            self.values.flatten(2).transpose(1, 2), self.inside.flatten(1), place // width,
            place % width, torch.zeros((count, 2), dtype=torch.long, device=self.values.device),
            self.canvas)


@dataclass
class Reading:
    """What a network says of some slices, and the mixtures fitted to it.

    Attributes
    ----------
    log_weights : (S, P, K) log Pi(x), the network's softmax with tissues that are not sought
        merged into those they would be taken for; -inf where not sought.
    mixture : means and variances of the M-step from Pi, the prior's mode included; its weights
        are `log_weights`.
    log_posterior : (S, P, K) log of the probabilities that label the pixels.
    nll : (S,) NLL_V per mask pixel (deepgmm-paper section 2.1), absent sequences left out.
    """

    log_weights: Tensor
    mixture: Mixture
    log_posterior: Tensor
    nll: Tensor


def read(images: Images, logits: Tensor, *, temperature: float) -> Reading:
    """Algorithm 2's M-step from a network's responsibilities, and the posterior.

    Differentiable in the logits, through the M-step too.

    Parameters
    ----------
    logits : (S, K, H, W) of the network.
    temperature : of the densities in the posterior, log g / temperature. Neighbouring pixels
        share noise and partial volume, so that each weighs less than a sample of its own.
    """
    batch = images.pixels()
    log_w = merged(log_softmax(logits.flatten(2).transpose(1, 2).to(images.values.dtype), dim=2),
                   images.sought)
    mixture = fitted(images, batch, log_w.exp() * batch.valid[:, :, None])
    mixture.log_weights = log_w
    density = log_density(batch, mixture.means, mixture.covariances)
    # an absent sequence has mean 0 and variance 1 for every tissue: take its constant out
    gone = (1 - images.present).sum(1) * 0.5 * torch.log(torch.tensor(2 * torch.pi))
    density = density + gone[:, None, None]
    nll = -batch.mean(torch.logsumexp(log_w + density, dim=2))
    return Reading(log_w, mixture, log_softmax(log_w + density / temperature, dim=2), nll)


def fitted(images: Images, batch: PixelBatch, w: Tensor) -> Mixture:
    """The M-step with the contrast prior from responsibilities (S, P, K), 0 in the padding."""
    mixture = images.prior().mode(Moments.of(batch, w), batch.counts, images.sought)
    there = images.present[:, None, :] > 0
    mixture.means = torch.where(there, mixture.means, 0.0)
    mixture.covariances = torch.where(there, mixture.covariances, 1.0)
    return mixture


def merged(log_w: Tensor, sought: Tensor) -> Tensor:
    """(S, P, K) log probabilities in which tissues that are not sought have gone.

    Scar goes to edema where that is sought, else to myocardium; edema to myocardium; myocardium
    and blood stay.
    """
    blood, muscle, edema, scar = log_w.unbind(2)
    has_edema, has_scar = (sought[:, None, k] > 0 for k in (2, 3))
    gone = torch.full_like(scar, -torch.inf)
    edema = torch.where(~has_scar & has_edema, torch.logaddexp(edema, scar), edema)
    muscle = torch.where(has_edema, muscle, torch.logaddexp(muscle, edema))
    muscle = torch.where(~has_scar & ~has_edema, torch.logaddexp(muscle, scar), muscle)
    return torch.stack([blood, muscle, torch.where(has_edema, edema, gone),
                        torch.where(has_scar, scar, gone)], dim=2)
