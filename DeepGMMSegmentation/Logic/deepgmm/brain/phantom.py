"""Synthetic brains whose tissues and bias field are known, to test with and to try things on.

The geometry is `deepgmm.brain.anatomy`'s. Contrast, noise, field and the width of the sulci were
chosen so that scikit-learn's mixture finds it as hard as the T1 volumes of IBSR18, scored as their
graders label CSF (`Benchmarks/calibrate_brain_phantom.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np
import numpy.typing as npt

from deepgmm.brain.anatomy import Brain, compose
from deepgmm.brain.scores import sulci_as_grey
from deepgmm.brain.tissues import BrainTissue
from deepgmm.brain.volumes import BrainVolume, Turn
from deepgmm.errors import InputError
from deepgmm.study.study import Geometry


class Contrast(str, Enum):
    """What the tissues' brightness is."""

    T1 = "T1"
    T2 = "T2"
    INVERTED = "inverted"


#: Signals of CSF, grey and white matter.
SIGNALS: dict[Contrast, tuple[float, float, float]] = {
    Contrast.T1: (0.25, 0.75, 1.0),
    Contrast.T2: (1.0, 0.6, 0.35),
    Contrast.INVERTED: (1.0, 0.5, 0.25),
}

#: Of a volume's intensities: white matter's in T1.
BRIGHT = 100.0

#: Where the brain's box ends, mm from the middle: right and left, front and back, down and up.
_BOX = ((-72.0, 72.0), (-90.0, 90.0), (-70.0, 66.0))


@dataclass
class BrainPhantom:
    """A brain whose tissues are known.

    Attributes
    ----------
    volume : what a user would have; its labels are what most of each voxel is.
    shares : (3, slices, rows, columns) CSF, grey and white in every voxel.
    field : (slices, rows, columns) the bias field, 1 on the average over the mask (of logs).
    ventricles : (slices, rows, columns) bool, where CSF is the ventricles'.
    contrast, seed : as asked for.
    signals : of CSF, grey and white matter, before field and noise.
    """

    volume: BrainVolume
    shares: npt.NDArray[np.float32]
    field: npt.NDArray[np.float32]
    ventricles: npt.NDArray[np.bool_]
    contrast: Contrast = Contrast.T1
    seed: int = 0
    signals: tuple[float, float, float] = SIGNALS[Contrast.T1]

    @property
    def labels(self) -> npt.NDArray[np.uint8]:
        """Physical truth: CSF in the sulci is CSF."""
        assert self.volume.labels is not None
        return self.volume.labels

    @property
    def as_labelled(self) -> npt.NDArray[np.uint8]:
        """The same as IBSR's graders drew: CSF outside the ventricles is grey matter."""
        return sulci_as_grey(self.labels, self.ventricles)


def make_brain(seed: int, *, contrast: Contrast | str = Contrast.T1, spacing: float |
               tuple[float, float, float] = 1.5, bias: float = 0.1, noise: float = 0.07,
               variety: float = 1.0, zeros: float = 0.0) -> BrainPhantom:
    """Draw one brain; the same arguments give the same bytes.

    The brain itself depends on the seed and `variety` alone: another contrast, field or noise
    gives another image of it.

    Parameters
    ----------
    contrast : T1, T2 or inverted (T1's brightness the other way round).
    spacing : voxel edge in mm; one, or those of slices, rows, columns.
    bias : half the range of the log of the field, about; 0 is none.
    noise : standard deviation as a share of white matter's T1 signal; 0 is none.
    variety : how far from the usual brain, 0 is the usual one (with folds of its own).
    zeros : share of the mask's voxels that are exactly zero, as skull stripping leaves them.

    Raises
    ------
    InputError : an unknown contrast, or a spacing at which nothing of a brain is left.

    Examples
    --------
    >>> make_brain(1, spacing=4.0).labels.max()
    3
    """
    try:
        kind = Contrast(contrast)
    except ValueError:
        raise InputError(f"no contrast is called {contrast!r}: choose from "
                         + ", ".join(c.value for c in Contrast)) from None
    edges = np.broadcast_to(np.asarray(spacing, float), 3)
    if not (np.isfinite(edges).all() and (edges >= 0.3).all() and (edges <= 8).all()):
        raise InputError("the phantom's voxels must have edges of 0.3 to 8 mm")
    person = Brain.draw(np.random.default_rng([seed, 0]), variety)
    axes = [_axis(low, high, edge) for (low, high), edge in zip(_BOX[::-1], edges)]
    up, back, left = np.meshgrid(*axes, indexing="ij", sparse=True)
    made = compose(person, (left, back, up), float(np.prod(edges)) ** (1 / 3))
    signals = np.array(SIGNALS[kind], np.float32)
    clean = np.tensordot(signals, made.shares, 1)
    clean += made.nuclei * (signals[2] - signals[1]) * made.shares[1]
    rng = np.random.default_rng([seed, 1])
    shading = _field(rng, [a / h for a, (_, h) in zip(axes, _BOX[::-1])], bias, made.mask)
    image = _magnitude(np.random.default_rng([seed, 2]), clean * shading, noise) * made.mask
    if zeros:
        image[made.mask & (np.random.default_rng([seed, 3]).random(image.shape) < zeros)] = 0
    corner = [float(a[0]) for a in axes]
    place = Geometry((float(edges[2]), float(edges[1]), float(edges[0])),
                     (corner[2], corner[1], corner[0]))
    volume = BrainVolume((BRIGHT * image).astype(np.float32), made.mask, made.labels, place,
                         f"phantom-{seed}", Turn(geometry=place))
    return BrainPhantom(volume, made.shares, shading, made.ventricles & (
        made.labels == BrainTissue.CSF), kind, seed, SIGNALS[kind])


def _axis(low: float, high: float, edge: float) -> npt.NDArray[np.float32]:
    count = int(np.ceil((high - low) / edge))
    return ((low + high) / 2 + (np.arange(count) - (count - 1) / 2) * edge).astype(np.float32)


def _magnitude(rng: np.random.Generator, signal: npt.NDArray[np.float32], noise: float
               ) -> npt.NDArray[np.float32]:
    """Rician noise: the length of a complex signal with Gaussian noise in both parts."""
    if noise == 0:
        return signal.astype(np.float32)
    real, other = rng.standard_normal((2, *signal.shape), dtype=np.float32) * np.float32(noise)
    return np.asarray(np.hypot(signal + real, other), np.float32)


def _field(rng: np.random.Generator, axes: list[npt.NDArray[np.float32]], size: float,
           mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
    """A coil's shading: its log is a random cubic of the place, `size` at its middling extremes."""
    if size == 0:
        return np.ones(mask.shape, np.float32)
    up, back, left = np.meshgrid(*axes, indexing="ij", sparse=True)
    log = np.zeros(mask.shape, np.float32)
    for i in range(4):
        for j in range(4 - i):
            for k in range(4 - i - j):
                if i + j + k:
                    log += np.float32(rng.normal() / (i + j + k)) * up ** i * back ** j * left ** k
    inside = log[mask]
    low, high = np.quantile(inside, (0.02, 0.98))
    return np.asarray(np.exp((log - inside.mean()) * (2 * size / (high - low))), np.float32)
