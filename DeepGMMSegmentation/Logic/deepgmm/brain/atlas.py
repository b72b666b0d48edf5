"""Probabilistic atlases of the brain: what each place may hold, and whose brains said so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import numpy.typing as npt

from deepgmm.brain.held_atlas import Atlas as Atlas
from deepgmm.brain.nuclei import settled
from deepgmm.brain.registering import affine_to, box_of, regrid, resampled, shifted
from deepgmm.brain.segmenting import intensities_of
from deepgmm.brain.tissues import TISSUES, UNLABELLED
from deepgmm.brain.volumes import BrainVolume
from deepgmm.errors import InputError
from deepgmm.progress import Progress, silent

Array = npt.NDArray[np.float32]
Matrix = npt.NDArray[np.float64]

MNI_TITLE = "ICBM 152 nonlinear symmetric 2009a (McConnell Brain Imaging Centre, MNI)"

#: Files of nilearn's wheel, under `datasets/data`.
_MNI_FILES = {part: f"mni_icbm152_{part}_tal_nlin_sym_09a_converted.nii.gz"
              for part in ("t1", "gm", "wm")}

#: Boxes that hold the ventricles of that atlas and no other CSF of note: |left-right|, posterior to
#: anterior and inferior to superior, MNI coordinates in mm. Which CSF is the ventricles' follows.
_VENTRICLES = (
    ((0, 38), (-14, 40), (-2, 32)),      # frontal horns and bodies
    ((0, 30), (-28, 0), (8, 32)),
    ((9, 38), (-60, -20), (-8, 30)),     # atria, occipital horns
    ((22, 38), (-32, -2), (-28, -6)),    # temporal horns
    ((0, 6), (-28, 6), (-13, 12)),       # third
    ((0, 5), (-38, -26), (-22, -6)),     # aqueduct
    ((0, 9), (-52, -34), (-46, -18)),    # fourth
)

#: Voxels of an atlas, mm; CSF as rare as this near the mask's border was not labelled in the sulci.
_VOXEL, _NO_SULCI = 2.0, 0.05


def mni_atlas() -> Atlas:
    """The MNI152 atlas from the files of nilearn's wheel; nilearn itself is not imported.

    Grey and white matter as they come; CSF is the brain of its T1 less these two. Deep nuclei and
    brain stem as `deepgmm.brain.nuclei` has them.

    Raises
    ------
    InputError : nilearn is not installed.
    """
    import SimpleITK as sitk

    found = find_spec("nilearn")
    folder = Path(found.origin).parent / "datasets" / "data" if found and found.origin else None
    if folder is None or not all((folder / f).is_file() for f in _MNI_FILES.values()):
        raise InputError("the MNI152 atlas comes with nilearn, which is not installed: "
                         "pip install 'deepgmm[brain]', or give an atlas with --atlas")
    maps = {}
    for part, file in _MNI_FILES.items():
        image = sitk.DICOMOrient(sitk.ReadImage(str(folder / file), sitk.sitkFloat32), "LPS")
        maps[part] = sitk.GetArrayFromImage(image)
    turn = np.array([2, 1, 0])
    direction = np.array(image.GetDirection()).reshape(3, 3) @ np.diag(image.GetSpacing())
    affine = np.eye(4)
    affine[:3, :3] = direction[np.ix_(turn, turn)]
    affine[:3, 3] = np.array(image.GetOrigin())[turn]
    brain = maps["t1"] > 0
    grey, white = maps["gm"] / 255 * brain, maps["wm"] / 255 * brain
    csf = np.clip(brain - grey - white, 0, 1)
    z, y, x = (moved_axis(brain.shape, affine, axis) for axis in range(3))
    deep = np.zeros(brain.shape, np.float32)
    for (left, right), (back, front), (low, high) in _VENTRICLES:
        deep[(abs(x) >= left) & (abs(x) <= right) & (-y >= back) & (-y <= front)
             & (z >= low) & (z <= high)] = 1
    shape, grid = _box(brain, affine)

    def coarse(values: npt.NDArray[np.floating]) -> Array:
        return resampled(values.astype(np.float32), affine, shape, grid, smoothing=0.4 * _VOXEL)

    in_ventricles = coarse(csf * deep)
    tissues = np.stack([coarse(csf), coarse(grey), coarse(white)])
    share = np.where(tissues[0] > 1e-4, in_ventricles / np.maximum(tissues[0], 1e-4), 0)
    known = np.stack([coarse(part) for part in settled(maps["t1"], x, -y, z)])
    return Atlas(tissues, np.clip(share, 0, 1).astype(np.float32), grid, MNI_TITLE, settled=known)


def make_atlas(volumes: Sequence[BrainVolume], *, rounds: int = 2, title: str = "",
               progress: Progress = silent) -> Atlas:
    """An atlas from labelled cases, brought into a common space by affine maps.

    The space starts as that of the case whose mask is of median size, and is then the mean of the
    cases as they lie in it: each is registered to the atlas of the last round. Then their
    intensities are counted, each case's as if it were segmented with an atlas of the others.

    Parameters
    ----------
    volumes : each with labels.
    rounds : how often they are averaged and registered to the average.

    Raises
    ------
    InputError
        Fewer than two cases, one without labels or without a tissue, two of one name or image.
    """
    if len(volumes) < 2:
        raise InputError("an atlas needs two labelled cases or more")
    names = [v.name for v in volumes]
    for volume in volumes:
        if volume.labels is None:
            raise InputError(f"case {volume.name} has no labels: an atlas is made of labelled "
                             "cases")
        missing = [t.title for t in TISSUES[1:] if not (volume.labels == t).any()]
        if missing:
            raise InputError(f"case {volume.name} has no {missing[0].lower()} in its labels: see "
                             "their values (1 CSF, 2 grey, 3 white)")
    if len(set(names)) < len(names):
        raise InputError("two cases have one name: give each case once")
    digests = [v.hashes["image"] for v in volumes if "image" in v.hashes]
    if len(set(digests)) < len(digests):
        raise InputError("two cases are one image under two names: give each case once")
    sizes = [v.mask.sum() * v.voxel_volume for v in volumes]
    first = volumes[int(np.argsort(sizes)[len(sizes) // 2])]
    shape, grid = _box(first.mask, first.affine)
    tissues = _tissues_on(first, shape, grid, None, smoothing=4.0)
    maps: list[Matrix] = []
    shares: list[Array] = []
    for number in range(rounds):
        maps = []
        for which, volume in enumerate(volumes):
            progress((number * len(volumes) + which) / (rounds * len(volumes)),
                     f"case {which + 1} of {len(volumes)}")
            box = box_of(volume)
            affine = shifted(volume.affine, box)
            maps.append(affine_to(tissues, grid, volume.image[box], volume.mask[box], affine))
        # the space in which the cases' maps are the identity on average
        mean = np.mean(maps, 0)
        maps = [m @ np.linalg.inv(mean) for m in maps]
        centre, extent = mean_box(volumes, maps)
        shape = tuple(int(np.ceil(e / _VOXEL)) + 8 for e in extent)
        grid = np.diag([_VOXEL, _VOXEL, _VOXEL, 1.0])
        grid[:3, 3] = centre - _VOXEL * (np.array(shape) - 1) / 2
        shares = [_tissues_on(v, shape, grid, m, smoothing=0.4 * _VOXEL)
                  for v, m in zip(volumes, maps)]
        tissues = np.mean(shares, 0)
    near = _near_border(tissues.sum(0) > 0.5)
    rim = tissues[:, near].mean(1)
    grey_sulci = bool(rim[0] < _NO_SULCI)
    ventricles = (np.ones(shape, np.float32) if grey_sulci
                  else (~_near_border(tissues.sum(0) > 0.5, 10)).astype(np.float32))
    atlas = Atlas(tissues.astype(np.float32), ventricles, grid,
                  title or f"atlas of {len(volumes)} labelled cases", tuple(names),
                  tuple(digests), grey_sulci)
    return replace(atlas, intensities=intensities_of(volumes, maps, shares, atlas))


def moved_axis(shape: tuple[int, ...], affine: Matrix, axis: int) -> npt.NDArray[np.float64]:
    """mm along one axis of a grid that lies straight, shaped to broadcast."""
    view = [-1 if a == axis else 1 for a in range(3)]
    return (affine[axis, axis] * np.arange(shape[axis]) + affine[axis, 3]).reshape(view)


def mean_box(volumes: Sequence[BrainVolume], maps: Sequence[Matrix]) -> tuple[Matrix, Matrix]:
    """Centre and size of the box around the cases' brains in the common space, mm."""
    corners = []
    for volume, to_case in zip(volumes, maps):
        places = np.argwhere(volume.mask)[::50]
        through = np.linalg.inv(to_case) @ volume.affine
        corners.append(places @ through[:3, :3].T + through[:3, 3])
    low = np.min([c.min(0) for c in corners], 0)
    high = np.max([c.max(0) for c in corners], 0)
    return (low + high) / 2, high - low


def _tissues_on(volume: BrainVolume, shape: tuple[int, ...], grid: Matrix, to_case: Matrix | None,
                *, smoothing: float) -> Array:
    """(3, ...) shares of a case's tissues on a grid."""
    assert volume.labels is not None
    box = box_of(volume)
    labels, affine = volume.labels[box], shifted(volume.affine, box)
    known = labels != UNLABELLED
    if known.all():
        known_share: Array | float = 1.0
    else:
        inside = volume.mask[box]
        share = resampled((known & inside).astype(np.float32), affine, shape, grid, to_case,
                          smoothing=smoothing)
        whole = resampled(inside.astype(np.float32), affine, shape, grid, to_case,
                          smoothing=smoothing)
        known_share = np.clip(share / np.maximum(whole, 1e-3), 0.05, 1)
    maps = [resampled((labels == t).astype(np.float32), affine, shape, grid, to_case,
                      smoothing=smoothing) for t in TISSUES]
    return np.asarray(np.stack(maps) / known_share, np.float32)


def _box(brain: npt.NDArray[np.bool_], affine: Matrix, margin: float = 8.0
         ) -> tuple[tuple[int, ...], Matrix]:
    """A grid of the atlas' voxels over a brain and a margin in mm."""
    found = np.argwhere(brain)
    edges = np.linalg.norm(affine[:3, :3], axis=0)
    low = found.min(0) - margin / edges
    start = affine.copy()
    start[:3, 3] = (affine @ [*low, 1])[:3]
    size = found.max(0) - found.min(0) + 1 + 2 * margin / edges
    return regrid(tuple(int(np.ceil(n)) for n in size), start, _VOXEL)


def _near_border(brain: npt.NDArray[np.bool_], depth: float = 4.0) -> npt.NDArray[np.bool_]:
    """The outermost mm of a brain."""
    from scipy.ndimage import distance_transform_edt

    below = distance_transform_edt(np.pad(brain, 1), sampling=_VOXEL)[1:-1, 1:-1, 1:-1]
    return np.asarray((below > 0) & (below <= depth))

