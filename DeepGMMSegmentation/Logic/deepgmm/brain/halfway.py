"""Where grey matter ends and white matter begins, where no labelled case tells: half way.

Two Gaussians of different widths and weights cross somewhere between their means, and a field of
low degree leaves shading behind, of a lobe or a gyrus, that moves this crossing. Here the border
lies where a voxel is half white,

    J = (I / (b b') - mu_grey) / (mu_white - mu_grey) = 1/2,

under a local field b' as W. M. Wells, W. E. L. Grimson, R. Kikinis and F. A. Jolesz have it
(Adaptive segmentation of MRI data, IEEE Trans. Med. Imaging 15, 1996): what a low-pass filter
leaves of the residuals, each weighted by how sure its tissue is,

    b' = (F w I/b mu + kappa m^2) / (F w mu^2 + kappa m^2),

F a Gaussian and kappa the voxels that were seen without a residual, which hold b' at 1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from deepgmm.brain.intensities import told_apart

if TYPE_CHECKING:
    from torch import Tensor

    from deepgmm.brain.scene import Scene
    from deepgmm.model.tissue_mixture import TissueMixture

Array = npt.NDArray[np.float32]
Values = npt.NDArray[np.floating]

#: Chosen on IBSR18's training cases: mm (standard deviations) of F and of the image's smoothing;
#: kappa, of a full neighbourhood; rounds of tissue and field; the level at which and the width
#: over which a voxel's tissue is unsure while the field is found.
_LOCAL, _SMOOTH, _KAPPA, _ROUNDS, _UNSURE, _WIDTH = 12.0, 0.6, 0.05, 3, 0.6, 0.12

#: Levels that are grey or white matter; what is darker than _MIXED tells nothing of grey matter's.
_USED, _MIXED = (-0.8, 2.0), -0.5

#: Levels beyond these count as these while they are smoothed.
_BOUND = (-0.3, 1.3)

#: mm, edge of the blocks in which F works; what b' may be.
_BLOCK, _LEAST, _MOST = 3.0, 0.5, 2.0


def divided(scene: Scene, posterior: Tensor, b: Tensor, mixture: TissueMixture,
            components: tuple[int, int, int], lean: Tensor | None = None,
            known: Array | None = None) -> tuple[Tensor, Tensor]:
    """What a mixture calls grey or white matter, divided half way, and the field b b'.

    Where the three tissues do not lie as on T1, T2 or inverted images both stay as they are.

    Parameters
    ----------
    posterior : (N, 3) of CSF, grey and white matter; b : (N,) the field under which it was found.
    components : of the mixture, which are those three.
    lean : (N,) log odds of white against grey matter by place.
    known : (2, N) of what is grey or white matter whatever its intensity.
    """
    import torch

    if not told_apart(mixture, *components):
        return posterior, b
    _, low, high = (float(mixture.means[c]) for c in components)
    free = None if known is None else 1 - known.sum(0)
    levels, found = local_levels(scene, b, low, high, free)
    spread = float(mixture.variances[list(components[1:])].mean()) / (high - low) ** 2
    whole = b * torch.from_numpy(found)
    return (split(posterior, levels, spread, scene.values != 0, lean, known),
            whole / whole.mean())


def local_levels(scene: Scene, b: Tensor, grey: float, white: float, free: Values | None = None
                 ) -> tuple[Array, Array]:
    """J of each voxel, smoothed, and the local field b'.

    Parameters
    ----------
    b : (N,) the field found before.
    grey, white : means of the two tissues.
    free : (N,) 0 to 1, where the two have their usual intensities; by default everywhere.

    Returns
    -------
    (N,) each.
    """
    image = (scene.values / b).numpy().astype(np.float64)
    measured = (scene.values != 0).numpy()
    low_pass, at_voxels = _filter(scene)
    level = (image - grey) / (white - grey)
    used = measured * ((level > _USED[0]) & (level < _USED[1]))
    if free is not None:
        used = used * free
    held = _KAPPA * low_pass(np.ones(len(image))).max() * ((grey + white) / 2) ** 2
    found = np.ones(len(image), np.float32)
    now = level
    for _ in range(_ROUNDS):
        sure = np.tanh((now - _UNSURE) / (2 * _WIDTH))
        weight = np.abs(sure) * used * (now > _MIXED)
        mean = np.where(sure > 0, white, grey)
        ratio = ((low_pass(weight * image * mean) + held)
                 / (low_pass(weight * mean**2) + held))
        found = at_voxels(ratio).clip(_LEAST, _MOST)
        now = (image / found - grey) / (white - grey)
    return _smoothed(scene, now.clip(*_BOUND), measured), found


def split(posterior: Tensor, levels: Array, spread: float, measured: Tensor,
          lean: Tensor | None = None, known: Array | None = None) -> Tensor:
    """What is grey or white matter, divided anew between the two; CSF stays.

    Parameters
    ----------
    posterior : (N, 3) of CSF, grey and white matter.
    levels : (N,) J.
    spread : of both tissues' levels about their means, as variance.
    measured : (N,) bool; voxels that were not keep what they have.
    lean : (N,) log odds of white against grey matter by place.
    known : (2, N) of what is grey or white matter whatever its intensity.
    """
    import torch

    odds = (torch.from_numpy(levels) - 0.5) / spread
    white = torch.sigmoid(odds if lean is None else odds + lean)
    if known is not None:
        settled = torch.from_numpy(known)
        white = white * (1 - settled.sum(0)).clamp_min(0) + settled[1]
    both = posterior[:, 1] + posterior[:, 2]
    divided = torch.stack([posterior[:, 0], both * (1 - white), both * white], 1)
    return torch.where(measured[:, None], divided, posterior)


def _filter(scene: Scene) -> tuple[Callable[[Values], Values], Callable[[Values], Array]]:
    """F of values at voxels onto blocks, and values of blocks at voxels."""
    from scipy.ndimage import gaussian_filter, map_coordinates

    edges = np.array(scene.volume.spacing)
    factor = np.maximum(1, np.rint(_BLOCK / edges)).astype(np.int64)
    shape = tuple(-(-np.array(scene.mask.shape) // factor))
    block = np.ravel_multi_index((scene.index // factor).T, shape)
    width = _LOCAL / (edges * factor)
    places = ((scene.index + 0.5) / factor - 0.5).T.astype(np.float32)

    def low_pass(values: Values) -> Values:
        sums = np.bincount(block, values, minlength=int(np.prod(shape))).reshape(shape)
        return np.asarray(gaussian_filter(sums, width, mode="constant"))

    def at_voxels(values: Values) -> Array:
        return np.asarray(map_coordinates(values, places, order=1, mode="nearest",
                                          output=np.float32))

    return low_pass, at_voxels


def _smoothed(scene: Scene, values: Values, measured: npt.NDArray[np.bool_]) -> Array:
    """Values (N,) smoothed within what was measured."""
    from scipy.ndimage import gaussian_filter

    width = _SMOOTH / np.array(scene.volume.spacing)
    box, share = np.zeros((2, *scene.mask.shape), np.float32)
    box[scene.mask], share[scene.mask] = values * measured, measured
    whole = gaussian_filter(share, width)[scene.mask]
    result = gaussian_filter(box, width)[scene.mask] / np.maximum(whole, 1e-3)
    return np.asarray(result, np.float32)
