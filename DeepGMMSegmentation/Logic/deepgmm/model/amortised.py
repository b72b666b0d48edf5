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

#: Voxels of its own grid that v may reach along an axis.
FARTHEST = 4.0
#: Voxels between the knots of the random displacements that images are bent by.
BEND = 6


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
    """MONAI's residual U-Net from image, mask and atlas to a velocity on a grid half as fine.

    Half as fine, a deformation is smooth by itself and its exponential costs an eighth, as in
    VoxelMorph (Dalca et al., 2018).

    Parameters
    ----------
    tissues : K; the atlas has K + 1 classes, the background last.
    widths : channels of each level, the finest first; the grid is halved before each of them.
    """

    def __init__(self, tissues: int = 3, widths: Sequence[int] = (16, 32, 32)) -> None:
        super().__init__()
        self.tissues, self.widths = tissues, tuple(widths)
        first = widths[0]
        self.stem = nn.Sequential(nn.Conv3d(tissues + 3, first, 3, stride=2, padding=1),
                                  nn.LeakyReLU(0.1))
        self.core = UNet(3, first, first, channels=self.widths,
                         strides=(2,) * (len(widths) - 1), num_res_units=1,
                         norm=("instance", {"affine": True}))
        self.head = nn.Conv3d(2 * first, 3, 3, padding=1)
        # it begins at the atlas as it is
        nn.init.normal_(self.head.weight, std=1e-3)
        nn.init.zeros_(self.head.bias)

    @property
    def multiple(self) -> int:
        """Sides of the grid are padded to multiples of this."""
        return 1 << len(self.widths)

    def forward(self, image: Tensor, mask: Tensor, atlas: Tensor) -> Tensor:
        """v (B, 3, *half the padded shape), in voxels of that grid.

        Parameters
        ----------
        image, mask : (B, *shape); atlas : (1 or B, K + 1, *shape).
        """
        inside = mask.to(image)
        channels = torch.cat([((image - 0.7) * inside)[:, None], inside[:, None],
                              atlas.to(image).expand(image.shape[0], -1, -1, -1, -1)], 1)
        pads = [p for side in reversed(image.shape[1:]) for p in (0, -side % self.multiple)]
        features = self.stem(nn.functional.pad(channels, pads))
        v = self.head(torch.cat([features, self.core(features)], 1))
        return FARTHEST * torch.tanh(v / FARTHEST)


def moved_by(velocity: Tensor, shape: Sequence[int], squarings: int) -> Tensor:
    """u (B, 3, *shape) on the full grid, in its voxels, of a velocity of the network's."""
    u = 2 * nn.functional.interpolate(displacement(velocity, squarings), scale_factor=2,
                                      mode="trilinear", align_corners=False)
    return u[..., :shape[0], :shape[1], :shape[2]]


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
    bent : standard deviation, in voxels, of random smooth displacements of the image in training,
        so that a few brains stand for many shapes; 0 for none.
    turned : share of training images whose contrast is turned over.
    seed : of order and jitter.
    """

    deformable: DeformableOptions = DeformableOptions()
    steps: int = 300
    batch: int = 2
    learning_rate: float = 2e-3
    rounds: int = 3
    jitter: float = 0.01
    bent: float = 0.0
    turned: float = 0.0
    seed: int = 0


@dataclass(frozen=True)
class Pass:
    """What one pass gives: the velocity on the half grid, u (1, 3, *shape), and the Gaussians."""

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
    """The objective of one image at a velocity of the network's, Gaussians in closed form."""
    u = moved_by(velocity, scan.image.shape[1:], options.deformable.squarings)
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
    """A scan moved by random maps, affine and smooth, and now and then with its contrast turned."""
    image, mask = scan.image, scan.mask
    shape = image.shape[1:]
    if options.jitter > 0 or options.bent > 0:
        matrix = torch.eye(3, 4)
        matrix[:, :3] += options.jitter * torch.randn((3, 3), generator=generator)
        matrix[:, 3] = options.jitter * torch.randn(3, generator=generator)
        grid = nn.functional.affine_grid(matrix[None].to(image), [1, 1, *shape],
                                         align_corners=False)
        if options.bent > 0:
            knots = [max(2, math.ceil(side / BEND)) for side in shape]
            voxels = options.bent * torch.randn((1, 3, *knots), generator=generator)
            smooth = nn.functional.interpolate(voxels.to(image), shape, mode="trilinear",
                                               align_corners=True)
            # a voxel is 2 / side of the grid, whose last axis comes first
            sides = torch.tensor(shape, dtype=image.dtype).flip(0)
            grid = grid + smooth.movedim(1, -1) * 2 / sides
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
        change = torch.zeros_like(velocity).requires_grad_()
        adam = torch.optim.Adam([change], lr=0.02)
        for _ in range(steps):
            loss = loss_of(scan, atlas, velocity + change, o)
            adam.zero_grad()
            loss.backward()
            adam.step()
        velocity = velocity + change.detach()
    with torch.no_grad():
        u = moved_by(velocity, scan.image.shape[1:], o.deformable.squarings)
        return Pass(velocity, u, gaussians(scan, warped(atlas, u), rounds=o.rounds))
