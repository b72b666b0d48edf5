"""One network that deforms an atlas to any brain in one pass (unsupervised-bayesian-atlas-slides).

The network reads an image and the atlas on one grid and gives the stationary velocity v. The
slides let it predict mu and sigma too; here they follow from v in closed form inside the pass,
because a network that has to guess them learns the population's. What is minimised over the
network's weights is `deformable.objective` summed over images, as in deepgmm-paper, Algorithm 4:
no label enters. At the closed forms the objective is stationary in mu and sigma, so that they may
be held while v is differentiated.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from monai.networks.nets import UNet
from torch import Tensor, nn

from deepgmm.model.deformable import DeformableOptions, floored, likelihood_image, objective
from deepgmm.model.tissue_mixture import TissueMixture, TissuePrior, e_step, m_step, started
from deepgmm.model.warp import displacement, warped
from deepgmm.progress import Progress, silent

#: Voxels that v may reach along an axis.
FARTHEST = 6.0


@dataclass(frozen=True)
class Scan:
    """One image on the atlas' grid.

    Attributes
    ----------
    image : (1, *shape) intensities from 0, about 1 at the brightest tissue; 0 outside the mask.
    mask : (1, *shape) bool, the brain.
    """

    image: Tensor
    mask: Tensor

    @property
    def used(self) -> Tensor:
        """(1, *shape) bool: exact zeros are no measurement."""
        return self.mask & (self.image > 0)


class AmortisedNet(nn.Module):
    """MONAI's residual U-Net from image, mask and atlas to a velocity.

    Parameters
    ----------
    tissues : K; the atlas has K + 1 classes, the background last.
    widths : channels of each level, the finest first; the grid is halved between two.
    """

    def __init__(self, tissues: int = 3, widths: Sequence[int] = (12, 24, 32, 32)) -> None:
        super().__init__()
        self.tissues, self.widths = tissues, tuple(widths)
        self.core = UNet(3, tissues + 3, widths[0], channels=self.widths,
                         strides=(2,) * (len(widths) - 1), num_res_units=1,
                         norm=("instance", {"affine": True}))
        self.head = nn.Conv3d(widths[0], 3, 3, padding=1)
        # it begins at the atlas as it is
        nn.init.normal_(self.head.weight, std=1e-3)
        nn.init.zeros_(self.head.bias)

    @property
    def multiple(self) -> int:
        """Every side of the grid must be a multiple of this."""
        return 1 << (len(self.widths) - 1)

    def forward(self, image: Tensor, mask: Tensor, atlas: Tensor) -> Tensor:
        """v (B, 3, *shape), voxels, of image and mask (B, *shape), atlas (1 or B, K + 1, *shape).

        Sides that are no multiple are padded at their ends.
        """
        shape = image.shape[1:]
        inside = mask.to(image)
        channels = torch.cat([((image - 0.7) * inside)[:, None], inside[:, None],
                              atlas.to(image).expand(image.shape[0], -1, -1, -1, -1)], 1)
        pads = [p for side in reversed(shape) for p in (0, -side % self.multiple)]
        v = self.head(self.core(nn.functional.pad(channels, pads)))
        v = v[..., :shape[0], :shape[1], :shape[2]]
        return FARTHEST * torch.tanh(v / FARTHEST)


@dataclass(frozen=True)
class AmortisedOptions:
    """How the network is trained and used.

    Attributes
    ----------
    deformable : smoothness, shell and squarings of the objective.
    steps, batch, learning_rate : of the training; images a step; of Adam at its peak.
    rounds : of EM inside a pass.
    jitter : standard deviation of random affine maps of the image in training, as shares of its
        size; 0 for none.
    turned : share of training images whose contrast is turned over.
    seed : of order and jitter.
    """

    deformable: DeformableOptions = DeformableOptions()
    steps: int = 300
    batch: int = 2
    learning_rate: float = 2e-3
    rounds: int = 3
    jitter: float = 0.03
    turned: float = 0.0
    seed: int = 0


@dataclass(frozen=True)
class Pass:
    """What one pass gives: velocity and displacement (1, 3, *shape) in voxels, and the Gaussians."""

    velocity: Tensor
    displacement: Tensor
    mixture: TissueMixture


def gaussians(scan: Scan, moved: Tensor, start: TissueMixture | None = None,
              rounds: int = 3, strength: float = 0.05) -> TissueMixture:
    """mu and sigma of an image under a warped atlas (1, K + 1, *shape), in closed form.

    Begins at the M-step with the atlas for responsibilities, whose means hold the order of the
    tissues as a conjugate prior; then so many rounds of EM.
    """
    index = scan.used.flatten().nonzero()[:, 0]
    values = scan.image.flatten()[index]
    prior_of = moved[0, :-1].flatten(1)[:, index].T
    prior_of = (prior_of / prior_of.sum(1, keepdim=True).clamp_min(1e-12)).clamp_min(1e-6)
    first = started(values, prior_of)
    prior = TissuePrior(first, strength, strength, strength)
    mixture = first if start is None else start
    for _ in range(rounds):
        _, r = e_step(prior_of.log(), mixture, values)
        mixture = m_step(values, r, prior)
    return mixture


def loss_of(scan: Scan, atlas: Tensor, velocity: Tensor, options: AmortisedOptions) -> Tensor:
    """The objective of one image at a velocity (1, 3, *shape), Gaussians in closed form."""
    u = displacement(velocity, options.deformable.squarings)
    with torch.no_grad():
        mixture = gaussians(scan, warped(atlas, u), rounds=options.rounds)
        likelihood = likelihood_image(scan.image, mixture)
        likelihood = torch.where((scan.used | ~scan.mask)[:, None], likelihood, 0.0)
    return objective(atlas, scan.image, scan.mask, mixture, u, options.deformable,
                     log_likelihood=likelihood).sum()


def learn(network: AmortisedNet, scans: Sequence[Scan], atlas: Tensor,
          options: AmortisedOptions | None = None, *, progress: Progress = silent) -> list[float]:
    """Train a network in place over many images, without labels; the loss of each step."""
    o = options or AmortisedOptions()
    atlas = floored(atlas)
    generator = torch.Generator().manual_seed(o.seed)
    optimiser = torch.optim.Adam(network.parameters(), lr=o.learning_rate)
    network.train()
    order: list[int] = []
    trace = []
    for step in range(o.steps):
        optimiser.zero_grad(set_to_none=True)
        total = 0.0
        for _ in range(o.batch):
            if not order:
                order = torch.randperm(len(scans), generator=generator).tolist()
            scan = varied(scans[order.pop()], o, generator)
            loss = loss_of(scan, atlas, network(scan.image, scan.mask, atlas), o) / o.batch
            loss.backward()
            total += float(loss.detach())
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        rising = min(1.0, (step + 1) / max(1, round(0.05 * o.steps)))
        for group in optimiser.param_groups:
            group["lr"] = o.learning_rate * rising * (1 + math.cos(math.pi * step / o.steps)) / 2
        optimiser.step()
        trace.append(total)
        progress((step + 1) / o.steps, f"step {step + 1} of {o.steps}, loss {total:.3f}")
    network.eval()
    return trace


def varied(scan: Scan, options: AmortisedOptions, generator: torch.Generator) -> Scan:
    """A scan moved by a random affine map, and now and then with its contrast turned over."""
    image, mask = scan.image, scan.mask
    if options.jitter > 0:
        matrix = torch.eye(3, 4)
        matrix[:, :3] += options.jitter * torch.randn((3, 3), generator=generator)
        matrix[:, 3] = options.jitter * torch.randn(3, generator=generator)
        grid = nn.functional.affine_grid(matrix[None].to(image), [1, 1, *image.shape[1:]],
                                         align_corners=False)
        both = nn.functional.grid_sample(torch.stack([image, mask.to(image)], 1), grid,
                                         align_corners=False)
        mask = both[:, 1] > 0.5
        image = both[:, 0] * mask
    if options.turned > 0 and float(torch.rand((), generator=generator)) < options.turned:
        image = torch.where(mask & (image > 0), (1.3 - image).clamp_min(1e-3), image)
    return Scan(image, mask)


def one_pass(network: AmortisedNet, scan: Scan, atlas: Tensor,
             options: AmortisedOptions | None = None, *, steps: int = 0) -> Pass:
    """Velocity, displacement and Gaussians of one image.

    Parameters
    ----------
    steps : of Adam on v itself afterwards, on this image; 0 for the pass alone.
    """
    o = options or AmortisedOptions()
    atlas = floored(atlas)
    with torch.no_grad():
        velocity = network(scan.image, scan.mask, atlas)
    if steps:
        # coarse enough that a voxel's noise does not bend the atlas
        coarse = [max(2, (n + 1) // 2) for n in velocity.shape[2:]]
        change = velocity.new_zeros(1, 3, *coarse).requires_grad_()
        adam = torch.optim.Adam([change], lr=0.1)
        for _ in range(steps):
            loss = loss_of(scan, atlas, velocity + _finer(change, velocity), o)
            adam.zero_grad()
            loss.backward()
            adam.step()
        velocity = velocity + _finer(change.detach(), velocity)
    with torch.no_grad():
        u = displacement(velocity, o.deformable.squarings)
        return Pass(velocity, u, gaussians(scan, warped(atlas, u), rounds=o.rounds))


def _finer(change: Tensor, like: Tensor) -> Tensor:
    return nn.functional.interpolate(change, like.shape[2:], mode="trilinear", align_corners=True)
