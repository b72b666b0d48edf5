"""What a brain's segmentation starts from, its voxels as vectors, and what it comes to."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from dataclasses import field as made
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from deepgmm.brain.registering import box_of, shifted
from deepgmm.brain.tissues import BrainTissue
from deepgmm.brain.volumes import BrainVolume
from deepgmm.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

    from deepgmm.model.tissue_mixture import TissueMixture

Array = npt.NDArray[np.float32]
Matrix = npt.NDArray[np.float64]
Labels = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]

#: Shares of a brain inside a close mask, of an adult: what holds tissues in place without an atlas.
SHARES = (0.08, 0.54, 0.38)

#: Of the brightest 2 % of the mask, at which intensities count as 1.
_BRIGHT = 98

#: Percentiles that all tissues lie between, and by how many of their distances a voxel may lie
#: beyond: one hot voxel would take a mixture's class, or all of a field, for itself.
_USUAL, _REACH = (0.5, 99.5), 1.0

#: Fewer measured voxels than this are not fitted.
_FEWEST = 1000


@dataclass(frozen=True)
class BrainSettings:
    """How a brain is segmented.

    Attributes
    ----------
    deform : deform the atlas; else it is laid on by the affine map alone.
    smoothness : lambda of the deformation, `deepgmm.model.deformable`; by default the atlas's.
    voxel : mm, of the grid on which it is found.
    degree : of the field's polynomials; 0 for no field.
    ridge : how stiff the field is under an atlas, and `ridge_alone` without one, where little else
        tells the field from tissue.
    shares : of CSF, grey and white matter, expected without an atlas; `hold` times the voxels were
        seen so beforehand.
    dark_first : of no atlas: CSF is dark, white matter bright, as in T1; else the reverse.
    strength : of the conjugate priors on means and variances, fractions of the voxels.
    sample : voxels that means, variances and field are fitted to.
    seed : kept with the settings; the result is the same for every one.
    """

    deform: bool = True
    smoothness: float | None = None
    voxel: float = 4.0
    degree: int = 3
    ridge: float = 3.0
    ridge_alone: float = 4.0
    shares: tuple[float, float, float] = SHARES
    hold: float = 1.0
    dark_first: bool = True
    strength: float = 0.02
    sample: int = 40_000
    seed: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self) | {"shares": list(self.shares)}


@dataclass
class BrainSegmentation:
    """The tissues of one brain.

    Attributes
    ----------
    labels : (D, H, W) uint8 of `BrainTissue`; CSF is CSF wherever it lies (*physical*).
    as_labelled : likewise; CSF of the sulci is grey matter, as IBSR's graders have it.
    ventricles : bool, where CSF is the ventricles'.
    posteriors : (3, D, H, W) float32 of CSF, grey and white matter; 0 outside the mask.
    field : (D, H, W) float32, what multiplied the image; mean 1 over the mask, 1 outside.
    components : of the mixture: tissue, mean and standard deviation in the image's units, without
        the field, and share of its tissue.
    method : in words; `supervised` : what labels entered.
    to_image : 4 x 4, mm of the atlas to mm of the image, or None.
    displacement : (3, ...) voxels of a grid with `displacement_affine`, or None.
    least_jacobian, folded : least determinant in the brain, share of voxels at 0 or below.
    objective : at each step of the deformation.
    warnings : what a user must know.
    seconds : of the stages.
    """

    labels: Labels
    as_labelled: Labels
    ventricles: Mask
    posteriors: Array
    field: Array
    components: list[dict[str, Any]]
    method: str
    supervised: str
    to_image: Matrix | None = None
    displacement: Array | None = None
    displacement_affine: Matrix | None = None
    least_jacobian: float | None = None
    folded: float | None = None
    objective: list[float] = made(default_factory=list)
    warnings: list[str] = made(default_factory=list)
    seconds: dict[str, float] = made(default_factory=dict)


@dataclass
class Scene:
    """The brain's box, its voxels as vectors and the sample of them that is fitted.

    values : (N,) float32, 1 is bright; index : (N, 3) in the box; part : indices of the sample.
    """

    volume: BrainVolume
    box: tuple[slice, slice, slice]
    affine: Matrix
    image: Array
    mask: Mask
    index: npt.NDArray[np.int64]
    scale: float
    values: Tensor
    part: Tensor
    seconds: dict[str, float]
    warnings: list[str]

    @classmethod
    def of(cls, volume: BrainVolume, settings: BrainSettings) -> Scene:
        import torch

        box = box_of(volume)
        image, mask = volume.image[box], volume.mask[box]
        index = np.argwhere(mask)
        inside = image[mask]
        measured = np.flatnonzero(inside != 0)
        if len(measured) < _FEWEST or np.ptp(inside[measured]) == 0:
            raise InputError("hardly any voxel inside the brain mask was measured: nearly all are "
                             "zero or of one value; see whether the mask is of this image")
        zeros = 1 - len(measured) / len(inside)
        warnings = []
        low, high = np.percentile(inside[measured], _USUAL).astype(np.float64)
        reach = _REACH * max(high - low, 1e-3 * abs(high))
        wild = (inside < low - reach) | (inside > high + reach)
        wild &= inside != 0
        if wild.any():
            image = image.copy()
            inside[wild] = np.clip(inside[wild], low - reach, high + reach)
            image[mask] = inside
            measured = np.flatnonzero((inside != 0) & ~wild)  # the fit does not see them
            warnings.append(f"{int(wild.sum())} voxels of the brain mask lie far beyond all others "
                            "in intensity and did not enter the fit: look at the image there")
        scale = float(np.percentile(np.abs(inside[measured]), _BRIGHT))
        few = min(settings.sample, len(measured))
        # one draw for all, so that the result is the same for every seed
        chosen = np.random.default_rng(0).choice(measured, few, replace=False)
        if zeros > 0.001:
            warnings.append(f"{100 * zeros:.1f} % of the brain mask are exactly zero and were "
                            "taken as not measured")
        return cls(volume, box, shifted(volume.affine, box), image, mask, index, scale,
                   torch.from_numpy(inside / np.float32(scale)), torch.from_numpy(np.sort(chosen)),
                   {}, warnings)

    def basis(self, degree: int) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        """G at the sample, and omega to b (N,) float32 at all voxels."""
        import torch

        from deepgmm.model.bias_volume import legendre

        low = torch.from_numpy(self.index.min(0)).double()
        high = torch.from_numpy(self.index.max(0)).double()
        places = torch.from_numpy(self.index)
        basis, centre = legendre(places[self.part].double(), low, high, degree)

        def everywhere(omega: Tensor) -> Tensor:
            chunks = [1 + legendre(c.float(), low.float(), high.float(), degree,
                                   centre.float())[0] @ omega.float()
                      for c in places.split(200_000)]
            return torch.cat(chunks).clamp_min(0.3)

        return basis, everywhere

    @property
    def ones(self) -> Tensor:
        """(N,) a field that is none."""
        import torch

        return torch.ones_like(self.values)

    def volume_of(self, values: npt.NDArray[Any], outside: float = 0.0) -> npt.NDArray[Any]:
        """Values (..., N) of the mask's voxels on the image's grid."""
        shape = (*values.shape[:-1], *self.volume.image.shape)
        # zeros cost nothing before they are written to, and most of a volume never is
        result = (np.full(shape, outside, values.dtype) if outside
                  else np.zeros(shape, values.dtype))
        for own, told in zip(result.reshape(-1, self.volume.image.size),
                             values.reshape(-1, values.shape[-1])):
            own[self._flat] = told
        return result

    @cached_property
    def _flat(self) -> npt.NDArray[np.int64]:
        """(N,) of each voxel in the image taken as one row."""
        there = self.index + np.array([side.start for side in self.box])
        return np.ravel_multi_index(tuple(there.T), self.volume.image.shape)

    def components(self, mixture: TissueMixture, kinds: Sequence[BrainTissue]
                   ) -> list[dict[str, Any]]:
        """Of a mixture, each of its kind, in the image's units."""
        return [{"tissue": kind.name, "mean": float(mean) * self.scale,
                 "sd": float(variance) ** 0.5 * self.scale, "share": float(share)}
                for kind, mean, variance, share in zip(kinds, mixture.means, mixture.variances,
                                                       mixture.shares)]

    def timed(self, stage: str, since: float) -> float:
        now = time.perf_counter()
        self.seconds[stage] = round(now - since, 2)
        return now
