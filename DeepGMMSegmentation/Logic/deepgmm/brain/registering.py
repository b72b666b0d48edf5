"""An affine map from an atlas to a brain: the one under which the atlas explains the image best.

It is fitted by the objective by which the atlas is deformed (`deepgmm.model.deformable`), so the
contrast of the image does not matter. Matrices are 4 x 4 and take (z, y, x, 1) in mm to the same:
up, back, left, as `BrainVolume.affine` has it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from torch import Tensor

    from deepgmm.brain.volumes import BrainVolume

Array = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
Matrix = npt.NDArray[np.float64]

#: Sizes of the voxels that are compared, mm, from first to last, and steps with each.
_VOXELS, _STEPS = (8.0, 5.0), (60, 30)

#: Of Adam: entries of the matrix, and translations in units of 100 mm.
_RATE = 0.02

#: Voxels that are taken together, so that what is made of them on the way stays near the processor.
_TOGETHER = 50_000

#: The least that the atlas says of anything while it is still out of place.
_FLOOR = 1e-4


def affine_to(tissues: Array, atlas_affine: Matrix, image: Array, mask: Mask,
              image_affine: Matrix) -> Matrix:
    """Where each place of an atlas lies in a brain; the same for the same input.

    From matched centres and extents of the atlas' brain and the mask, minimises

        - sum over the mask of log sum_l A(l, T x) N(I(x); mu_l, sigma_l^2)
        - sum outside of log A(background, T x)

    over the affine T, with mu and sigma in closed form.

    Parameters
    ----------
    tissues : (K, D, H, W) probabilities, without the background.
    image, mask : of one shape.
    atlas_affine, image_affine : index to mm.

    Returns
    -------
    4 x 4, from mm of the atlas to mm of the image.
    """
    import torch

    from deepgmm.model.tissue_mixture import TissuePrior, e_step, m_step, started

    there, extent = _moments(tissues.sum(0) > 0.5, atlas_affine)
    here, own_extent = _moments(mask, image_affine)
    scale = torch.from_numpy(extent / own_extent).float()
    centre, shift = torch.from_numpy(here).float(), torch.from_numpy(there).float()
    theta = torch.zeros(12)
    for voxel, steps in zip(_VOXELS, _STEPS, strict=True):
        atlas, grid = _coarse_atlas(tissues, atlas_affine, voxel)
        values, inside, places = _coarse_image(image, mask, image_affine, voxel)
        to_index = torch.from_numpy(np.linalg.inv(grid)).float()
        told = values[inside]
        theta = theta.detach().requires_grad_()
        adam = torch.optim.Adam([theta], lr=_RATE)
        mixture = None
        for step in range(steps):
            for group in adam.param_groups:
                group["lr"] = _RATE * (1 - step / steps) + 1e-4
            matrix = scale[:, None] * (torch.eye(3) + theta[:9].view(3, 3))
            moved = (places - centre) @ matrix.T + shift + 100 * theta[9:]
            log_atlas = sampled(atlas, moved @ to_index[:3, :3].T + to_index[:3, 3]).log()
            if step % 3 == 0:
                with torch.no_grad():
                    prior = log_atlas[inside][:, :-1]
                    if mixture is None:
                        mixture = started(told, prior.exp())
                    for _ in range(2):
                        _, r = e_step(prior, mixture, told)
                        mixture = m_step(told, r, TissuePrior(mixture, 0.05, 0.05, 0.0))
                    likelihood = mixture.log_likelihood(told)
            explained = torch.logsumexp(log_atlas[inside][:, :-1] + likelihood, 1).sum()
            loss = -(explained + log_atlas[~inside][:, -1].sum()) / len(told)
            adam.zero_grad()
            loss.backward()
            adam.step()
    found = theta.detach().double().numpy()
    linear = (extent / own_extent)[:, None] * (np.eye(3) + found[:9].reshape(3, 3))
    result = np.eye(4)
    result[:3, :3] = linear
    result[:3, 3] = there + 100 * found[9:] - linear @ here
    return np.asarray(np.linalg.inv(result))


def resampled(image: Array, image_affine: Matrix, shape: tuple[int, ...], affine: Matrix,
              to_image: Matrix | None = None, *, smoothing: float = 0.0,
              nearest: bool = False) -> Array:
    """An image on another grid, 0 where it has nothing.

    Parameters
    ----------
    shape, affine : of the grid wanted.
    to_image : from mm of that grid to mm of the image; by default they are the same.
    smoothing : standard deviation in mm of a Gaussian before sampling.
    """
    from scipy.ndimage import affine_transform, gaussian_filter

    if smoothing > 0:
        edges = np.linalg.norm(image_affine[:3, :3], axis=0)
        image = gaussian_filter(image, smoothing / edges)
    through = np.eye(4) if to_image is None else to_image
    index = np.linalg.inv(image_affine) @ through @ affine
    return np.asarray(affine_transform(image, index[:3, :3], index[:3, 3], tuple(shape),
                                       order=0 if nearest else 1, output=np.float32))


def thinned(image: npt.NDArray[np.generic], affine: Matrix, voxel: float) -> tuple[Array, Matrix]:
    """Means of blocks of as many voxels as stay within so many mm, and their affine.

    Beyond the image counts as 0.
    """
    edges = np.linalg.norm(affine[:3, :3], axis=0)
    a, b, c = (max(1, int(voxel / edge + 1e-6)) for edge in edges)
    whole = np.pad(image, [(0, -n % f) for n, f in zip(image.shape, (a, b, c))])
    total = sum(whole[i::a, j::b, k::c].astype(np.float32)
                for i in range(a) for j in range(b) for k in range(c))
    grid = affine.copy()
    grid[:3, :3] = affine[:3, :3] * (a, b, c)
    grid[:3, 3] += affine[:3, :3] @ ((np.array([a, b, c]) - 1) / 2)
    return np.asarray(total / (a * b * c), np.float32), grid


def box_of(volume: BrainVolume, margin: int = 3) -> tuple[slice, slice, slice]:
    """The mask's box and a margin."""
    mask = volume.mask
    # axis by axis, which is quicker than the places of all voxels
    first = mask.any((1, 2))
    rest = mask[first]
    ends = [np.flatnonzero(held)[[0, -1]]
            for held in (first, rest.any((0, 2)), rest.any((0, 1)))]
    low, high = (np.array(at) for at in zip(*ends))
    low, high = np.maximum(low - margin, 0), high + margin + 1
    return slice(low[0], high[0]), slice(low[1], high[1]), slice(low[2], high[2])


def shifted(affine: Matrix, box: tuple[slice, ...]) -> Matrix:
    """The affine of a box cut out of a grid."""
    result = affine.copy()
    result[:3, 3] = (affine @ [*(s.start for s in box), 1])[:3]
    return result


def regrid(shape: tuple[int, ...], affine: Matrix, voxel: float, margin: int = 0
           ) -> tuple[tuple[int, ...], Matrix]:
    """A grid over the same box of isotropic voxels of so many mm, and so many more around it."""
    edges = np.linalg.norm(affine[:3, :3], axis=0)
    count = tuple(int(np.ceil(n * e / voxel)) + 2 * margin for n, e in zip(shape, edges))
    grid = affine.copy()
    grid[:3, :3] = affine[:3, :3] / edges * voxel
    grid[:3, 3] -= grid[:3, :3] @ np.full(3, float(margin))
    return count, grid


def sampled(values: Tensor, index: Tensor) -> Tensor:
    """(N, C) of values (C, D, H, W) at indices (N, 3), linear, the border's beyond the border."""
    import torch

    sides = torch.tensor(values.shape[1:], dtype=values.dtype)
    grid = (index.to(values) * 2 / (sides - 1) - 1).flip(1)
    # torch shares out a batch among its threads, but not the places of one image
    shares = torch.get_num_threads()
    grid = torch.nn.functional.pad(grid, (0, 0, 0, -len(index) % shares))
    found = torch.nn.functional.grid_sample(
        values.expand(shares, *values.shape), grid.view(shares, 1, 1, -1, 3),
        padding_mode="border", align_corners=True)
    return found.movedim(1, -1).reshape(-1, len(values))[:len(index)]


def parts_of(count: int) -> list[slice]:
    """Slices that together take so many voxels."""
    return [slice(first, first + _TOGETHER) for first in range(0, count, _TOGETHER)]


def moved(index: npt.NDArray[np.int64], matrix: Matrix) -> Tensor:
    """(N, 3) float32 places of another grid or in mm, from indices (N, 3) and a 4 x 4 matrix."""
    import torch

    return torch.from_numpy(index @ matrix[:3, :3].T + matrix[:3, 3]).float()


def _moments(mask: Mask, affine: Matrix) -> tuple[Matrix, Matrix]:
    """Centre and standard deviation along each axis, mm."""
    places = np.argwhere(mask) @ affine[:3, :3].T + affine[:3, 3]
    return places.mean(0), places.std(0)


def _coarse_atlas(tissues: Array, affine: Matrix, voxel: float) -> tuple[Tensor, Matrix]:
    """(K + 1, ...) with the background, floored."""
    import torch

    from deepgmm.model.deformable import floored

    shape, grid = regrid(tissues.shape[1:], affine, voxel)
    values = np.stack([resampled(p, affine, shape, grid, smoothing=0.6 * voxel) for p in tissues])
    whole = np.concatenate([values, np.clip(1 - values.sum(0, keepdims=True), 0, 1)])
    return floored(torch.from_numpy(whole)[None], _FLOOR)[0], grid


def _coarse_image(image: Array, mask: Mask, affine: Matrix, voxel: float
                  ) -> tuple[Tensor, Tensor, Tensor]:
    """Values (N,) of all voxels of a coarse grid, which are in the mask, and their places, mm."""
    import torch

    shape, grid = regrid(mask.shape, affine, voxel, margin=2)
    share = resampled(mask.astype(np.float32), affine, shape, grid, smoothing=0.4 * voxel)
    masked = np.where(mask, image, 0).astype(np.float32)
    values = resampled(masked, affine, shape, grid, smoothing=0.4 * voxel)
    values /= np.maximum(share, 1e-3)
    index = np.indices(shape).reshape(3, -1).T
    return (torch.from_numpy(values.ravel()), torch.from_numpy(share.ravel() > 0.5),
            moved(index, grid))
