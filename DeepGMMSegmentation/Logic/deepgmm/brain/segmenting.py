"""One brain from image to tissues: with an atlas, laid on it and deformed to it, or with none."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from deepgmm.brain.halfway import divided
from deepgmm.brain.held_atlas import Atlas
from deepgmm.brain.intensities import (
    POWER,
    Levelled,
    LocalIntensities,
    counted,
    levels_of,
    told_apart,
)
from deepgmm.brain.registering import affine_to, moved, parts_of, regrid, resampled, sampled
from deepgmm.brain.scene import Array, BrainSegmentation, BrainSettings, Matrix, Scene
from deepgmm.brain.tissues import TISSUES, BrainTissue
from deepgmm.brain.volumes import BrainVolume
from deepgmm.brain.without_atlas import alone
from deepgmm.progress import Progress, silent

if TYPE_CHECKING:
    from torch import Tensor

    from deepgmm.model.deformable import Deformed
    from deepgmm.model.tissue_mixture import TissueMixture

#: Power of a published atlas' odds of white against grey matter, beside levels.
_LEAN = 0.5


def segment_brain(volume: BrainVolume, atlas: Atlas | None = None,
                  settings: BrainSettings | None = None, *, progress: Progress = silent
                  ) -> BrainSegmentation:
    """Segment one brain.

    With an atlas: affine map, deformation, and on the image's own voxels EM over Gaussians and
    field under the deformed atlas. Without: EM over Gaussians, field and shares that are held near
    those of an adult. Exact zeros inside the mask were not measured: they are no part of any fit,
    and get what the atlas says, or what the nearest measured voxel has.

    Raises
    ------
    InputError : hardly any voxel of the mask was measured.
    """
    settings = settings or BrainSettings()
    scene = Scene.of(volume, settings)
    if atlas is None:
        return alone(scene, settings, progress)
    return _with_atlas(scene, atlas, settings, progress)


def _with_atlas(scene: Scene, atlas: Atlas, settings: BrainSettings, progress: Progress
                ) -> BrainSegmentation:
    import torch

    from deepgmm.model.warp import jacobian

    since = time.perf_counter()
    to_image = affine_to(atlas.probabilities, atlas.affine, scene.image, scene.mask, scene.affine)
    since = scene.timed("affine map", since)
    progress(0.2, "atlas laid on")
    index = moved(scene.index, np.linalg.inv(atlas.affine) @ np.linalg.inv(to_image)
                  @ scene.affine)
    maps = torch.from_numpy(np.ascontiguousarray(atlas.laid))
    grid = u = least = folds = None
    trace: list[float] = []
    fitted = _fitted(scene, _prior(maps, index), atlas, settings)
    since = scene.timed("mixture under the affine atlas", since)
    if settings.deform:
        deformed, grid, inside = _deformed(scene, atlas, to_image, fitted, settings)
        u, trace = deformed.displacement, deformed.trace
        determinant = jacobian(u)[inside]
        least, folds = float(determinant.min()), float((determinant <= 0).float().mean())
        if folds > 0:
            scene.warnings.append(f"the deformation of the atlas folds in {100 * folds:.2g} % of "
                                  "the brain: raise the smoothness, and look at the result there")
        since = scene.timed("deformation", since)
        progress(0.7, "atlas deformed")
        ratio = float(np.linalg.norm(grid[:3, 0]) / np.linalg.norm(atlas.affine[:3, 0]))
        index = index + sampled(u[0], index / ratio) * ratio
        fitted = _fitted(scene, _prior(maps, index), atlas, settings)
    result = _finished(scene, fitted, atlas, index, settings)
    scene.timed("mixture at full resolution", since)
    progress(1.0, "done")
    how = "deformed" if settings.deform else "affine"
    result.method = f"atlas, {how}: {atlas.title}"
    result.supervised = (f"no label in the fit; {atlas.labelled} labelled cases in the atlas"
                         if atlas.labelled else "no label in the fit; a published atlas")
    result.to_image, result.objective = to_image, trace
    if u is not None:
        result.displacement, result.displacement_affine = u[0].numpy(), grid
        result.least_jacobian, result.folded = least, folds
    return result


def segment_deformed(volume: BrainVolume, atlas: Atlas, to_image: Matrix, displacement: Tensor,
                     grid: Matrix, settings: BrainSettings | None = None) -> BrainSegmentation:
    """The tissues of a brain under an atlas whose deformation somebody else has found.

    Parameters
    ----------
    to_image : 4 x 4, mm of the atlas to mm of the image.
    displacement : (1, 3, *shape) in voxels of the `grid`, index to mm of the atlas.

    Raises
    ------
    InputError : as `segment_brain`.
    """
    import torch

    from deepgmm.model.warp import jacobian

    settings = settings or BrainSettings()
    since = time.perf_counter()
    scene = Scene.of(volume, settings)
    onto_grid = np.linalg.inv(grid) @ np.linalg.inv(to_image) @ scene.affine
    onto_atlas = torch.from_numpy(np.linalg.inv(atlas.affine) @ grid).float()
    index = torch.empty(scene.index.shape)
    for part in parts_of(len(index)):
        there = moved(scene.index[part], onto_grid)
        there += sampled(displacement[0], there)
        index[part] = there @ onto_atlas[:3, :3].T + onto_atlas[:3, 3]
    maps = torch.from_numpy(np.ascontiguousarray(atlas.laid))
    fitted = _fitted(scene, _prior(maps, index), atlas, settings)
    since = scene.timed("mixture and field", since)
    result = _finished(scene, fitted, atlas, index, settings)
    result.to_image = to_image
    result.displacement, result.displacement_affine = displacement[0].numpy(), grid
    determinant = jacobian(displacement)
    result.least_jacobian = float(determinant.min())
    result.folded = float((determinant <= 0).float().mean())
    scene.timed("tissues at full resolution", since)
    return result


@dataclass
class _Fitted:
    """The mixture under an atlas: prior (N, K) of tissues, b (N,); kinds of the components."""

    prior: Tensor
    mixture: TissueMixture
    b: Tensor


def _prior(maps: Tensor, index: Tensor) -> Tensor:
    """(N, K) of maps (K, ...) at places, floored; what is in the mask is no background."""
    from deepgmm.model.deformable import FLOOR

    result = index.new_empty(len(index), len(maps))
    for at in parts_of(len(index)):
        values = sampled(maps, index[at]).clamp_min(FLOOR)
        result[at] = values / values.sum(1, keepdim=True)
    return result


def _believed(prior: Tensor, atlas: Atlas) -> Tensor:
    """A prior (N, K) to the power in which its atlas is believed."""
    values = prior.pow(atlas.trust.power)
    return values / values.sum(1, keepdim=True)


def _fitted(scene: Scene, prior: Tensor, atlas: Atlas, settings: BrainSettings) -> _Fitted:

    from deepgmm.model.tissue_mixture import TissuePrior, VolumeField, fit

    x, p = scene.values[scene.part].double(), prior[scene.part].double()
    start = start_of(x, p, atlas.sulci_are_grey)
    believed = _believed(prior, atlas)
    p = believed[scene.part].double()
    held = TissuePrior(start, settings.strength, settings.strength, settings.strength)
    bent, everywhere = None, None
    if settings.degree:
        basis, everywhere = scene.basis(settings.degree)
        bent = VolumeField(basis, settings.ridge)
    found = fit(x, p.log(), start, held, field=bent, iterations=40)
    b = scene.ones if everywhere is None or found.omega is None else everywhere(found.omega)
    return _Fitted(believed, found.mixture, b)


def start_of(values: Tensor, prior: Tensor, grey_sulci: bool) -> TissueMixture:
    """The Gaussians that the atlas expects; grey matter gets one for the CSF of its sulci too."""
    import torch

    from deepgmm.model.tissue_mixture import TissueMixture, started

    plain = started(values, prior)
    if not grey_sulci:
        return plain
    take = torch.tensor([0, 1, 2, 0])
    shares = values.new_tensor([1.0, 0.9, 1.0, 0.1])
    return TissueMixture(plain.means[take], plain.variances[take], shares,
                         torch.tensor([0, 1, 2, 1]))


def _deformed(scene: Scene, atlas: Atlas, to_image: Matrix, fitted: _Fitted,
              settings: BrainSettings) -> tuple[Deformed, Matrix, Tensor]:
    """The deformation on a grid of the atlas' box, that grid, and the brain on it."""
    import torch

    from deepgmm.model.deformable import DeformableOptions, deform
    from deepgmm.model.tissue_mixture import TissuePrior

    classes = atlas.blurred(atlas.trust.sharp)
    shape, grid = regrid(classes.shape[1:], atlas.affine, settings.voxel)
    blur = 0.4 * settings.voxel

    def onto(values: Array) -> Array:
        return resampled(values, scene.affine, shape, grid, to_image, smoothing=blur)

    maps = np.stack([resampled(c, atlas.affine, shape, grid, smoothing=blur) for c in classes])
    whole = np.concatenate([maps, np.clip(1 - maps.sum(0, keepdims=True), 0, 1)])
    flat = np.zeros(scene.mask.shape, np.float32)
    flat[scene.mask] = (scene.values / fitted.b).numpy()
    measured = scene.mask & (scene.image != 0)
    share, seen = onto(scene.mask.astype(np.float32)), onto(measured.astype(np.float32))
    image = onto(np.where(measured, flat, 0)) / np.maximum(seen, 1e-3)
    mask = torch.from_numpy(share > 0.5)[None]
    held = TissuePrior(fitted.mixture.to(torch.zeros(1)), 0.05, 0.05, 0.05)
    options = DeformableOptions(
        atlas.trust.smoothness if settings.smoothness is None else settings.smoothness,
        levels=(2, 1), iterations=(40, 30), step=0.15)
    found = deform(torch.from_numpy(whole)[None], torch.from_numpy(image)[None], mask,
                   held.mixture, held, options, used=torch.from_numpy(seen > 0.5)[None])
    return found, grid, mask


def _finished(scene: Scene, fitted: _Fitted, atlas: Atlas, index: Tensor,
              settings: BrainSettings) -> BrainSegmentation:
    """The tissues; `index` (N, 3) of the atlas' voxels is where each voxel lies in it."""
    import torch

    mixture = fitted.mixture.to(scene.values)
    counts = _comparable(scene, fitted, atlas)
    joint = scene.values.new_empty(len(mixture.tissues), len(scene.values))
    for at in parts_of(len(scene.values)):
        values, b = scene.values[at], fitted.b[at]
        parts, place = mixture.log_components(values, b), fitted.prior[at].log()
        if counts is not None:
            # what the mixture says of a tissue is left out but for which of its components it is
            local = _local(values, b, mixture, counts, atlas, index[at])
            parts = parts - mixture.log_likelihood(values, b)[:, mixture.tissues] \
                + local[:, mixture.tissues]
            place = place * (POWER / atlas.trust.power)
        parts[values == 0] = mixture.shares.log()
        # a row for each component: over few columns a softmax is slow
        joint[:, at] = (parts + place[:, mixture.tissues]).T.contiguous().softmax(0)
    b = fitted.b
    if not atlas.labelled:
        joint, b = _halved(scene, fitted, atlas, index, joint, bool(settings.degree))
    csf, grey, white = BrainTissue.CSF, BrainTissue.GM, BrainTissue.WM
    kinds = [csf, grey, white, csf] if atlas.sulci_are_grey else [csf, csf, grey, white]
    of_sulci = 3 if atlas.sulci_are_grey else 1
    physical = np.empty((len(TISSUES), len(scene.values)), np.float32)
    labels, as_labelled = np.empty((2, len(scene.values)), np.uint8)
    for at in parts_of(len(scene.values)):
        own = joint[:, at]
        found = torch.stack([own[[k is t for k in kinds]].sum(0) for t in TISSUES]).numpy()
        physical[:, at], labels[at] = found, found.argmax(0) + 1
        found[0] -= own[of_sulci].numpy()
        found[1] += own[of_sulci].numpy()
        as_labelled[at] = found.argmax(0) + 1
    return BrainSegmentation(
        scene.volume_of(labels), scene.volume_of(as_labelled),
        scene.volume_of(as_labelled == csf, 0),
        scene.volume_of(physical), scene.volume_of(b.numpy(), 1.0),
        scene.components(mixture, kinds), "", "",
        warnings=scene.warnings, seconds=scene.seconds)


def _plain(atlas: Atlas) -> tuple[int, int, int]:
    """Which components are CSF of the ventricles, grey and white matter."""
    return (0, 1, 2) if atlas.sulci_are_grey else (0, 2, 3)


def _halved(scene: Scene, fitted: _Fitted, atlas: Atlas, index: Tensor, joint: Tensor,
            bent: bool) -> tuple[Tensor, Tensor]:
    """Under a published atlas: posteriors (C, N) of the components and the field, half way.

    Not `bent`, by no field at all, the border stays; what is settled by anatomy is so.
    """
    import torch

    csf, grey, white = _plain(atlas)
    lean = _LEAN * (fitted.prior[:, white] / fitted.prior[:, grey]).log()
    known = None
    if atlas.settled is not None:
        maps = torch.from_numpy(np.ascontiguousarray(atlas.settled))
        known = np.ascontiguousarray(sampled(maps, index).T.numpy())
    if not bent:
        if known is not None and told_apart(fitted.mixture, csf, grey, white):
            both, settled = joint[grey] + joint[white], torch.from_numpy(known)
            free = (1 - settled.sum(0)).clamp_min(0)
            joint[white] = free * joint[white] + settled[1] * both
            joint[grey] = both - joint[white]
        return joint, fitted.b
    other = 1 - joint[grey] - joint[white]
    three = torch.stack([other, joint[grey], joint[white]], 1)
    three, b = divided(scene, three, fitted.b, fitted.mixture, (csf, grey, white), lean, known)
    joint[grey], joint[white] = three[:, 1], three[:, 2]
    return joint, b


def _comparable(scene: Scene, fitted: _Fitted, atlas: Atlas) -> LocalIntensities | None:
    """What the atlas has counted, where it has and the image can be compared."""
    if atlas.intensities is not None and not told_apart(fitted.mixture, *_plain(atlas)):
        scene.warnings.append("grey and white matter and CSF do not lie on this image as on those "
                              "of the atlas, whose intensities were not used: see whether the "
                              "contrast is T1 or T2, and whether the mask fits")
        return None
    return atlas.intensities


def _local(values: Tensor, b: Tensor, mixture: TissueMixture, counts: LocalIntensities,
           atlas: Atlas, index: Tensor) -> Tensor:
    """(N, K) log p(J | l, x)."""
    import torch

    _, grey, white = _plain(atlas)
    levels = levels_of(values, b, mixture, grey, white)
    places = index.numpy() @ atlas.affine[:3, :3].T + atlas.affine[:3, 3]
    found = torch.from_numpy(counts.densities(levels, places.astype(np.float32))).log()
    return found if atlas.sulci_are_grey else found[:, [0, 0, 1, 2]]


def intensities_of(volumes: Sequence[BrainVolume], maps: Sequence[Matrix],
                   shares: Sequence[Array], atlas: Atlas) -> LocalIntensities:
    """The intensities of labelled cases, each under a field and mixture found without its labels.

    Parameters
    ----------
    maps : of each, 4 x 4, mm of the atlas to mm of the case.
    shares : of each, (3, D, H, W) its tissues on the grid of the `atlas`, which is their mean.
    """
    import torch

    settings, levelled = BrainSettings(), []
    for volume, to_case, own in zip(volumes, maps, shares, strict=True):
        others = (len(volumes) * atlas.probabilities - own) / (len(volumes) - 1)
        without = replace(atlas, probabilities=np.clip(others, 0, 1))
        scene = Scene.of(volume, settings)
        index = moved(scene.index, np.linalg.inv(atlas.affine) @ np.linalg.inv(to_case)
                      @ scene.affine)
        prior = _prior(torch.from_numpy(np.ascontiguousarray(without.laid)), index)
        fitted = _fitted(scene, prior, without, settings)
        _, grey, white = _plain(atlas)
        assert volume.labels is not None
        tissues = volume.labels[scene.box][scene.mask].astype(np.int64) - 1
        seen = (scene.values != 0).numpy()
        levels = levels_of(scene.values, fitted.b, fitted.mixture, grey, white)
        places = index.numpy() @ atlas.affine[:3, :3].T + atlas.affine[:3, 3]
        levelled.append(Levelled(levels[seen], places[seen].astype(np.float32), tissues[seen],
                                 1000 * volume.voxel_volume))
    return counted(levelled, atlas.probabilities.shape[1:], atlas.affine)
