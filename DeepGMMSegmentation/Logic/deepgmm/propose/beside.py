"""What the images show beside a slice that a person drew: a network is shown both, and asked.

How a person's border lies on the image of one slice says how it will lie on the next. So the slice
that was drawn is shown along the border drawn there, and the slice beside it along the border that
is expected there (`following`); the answer is by how much that has to move.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from deepgmm.propose.asking import _gamma
from deepgmm.propose.canonical import PIXEL, Frame, brightened, normalised
from deepgmm.propose.following import Seen, curve_of, followed, points_of, radii_about
from deepgmm.propose.network import BESIDE, load
from deepgmm.propose.rings import ANGLES, HARMONICS, THETA, Ring
from deepgmm.study.study import FloatArray, Study

#: mm from the border, along rays; a border is shown as so wide a line, mm.
OFFSETS, LINE = np.arange(-12.0, 13.0), 2.0
#: mm that centre and mean radius together move at most: of synthetic chests one slice in a hundred
#: is told more, and what is told then is no longer of the kind that was learned.
MOST = 3.0
_RAYS = np.stack([np.sin(THETA), np.cos(THETA)])[..., None]


@dataclass(frozen=True)
class Looks:
    """A stack as the network is shown it; kept with its proposal.

    Attributes
    ----------
    images : (sequences, slices, rows, columns) float16, -1 to 1, in pixels of `PIXEL` mm.
    inside : (slices, rows, columns) float16, the probability proposed.
    first : (2,) mm of the first (row, column) on the images' grid.
    """

    images: npt.NDArray[np.float16]
    inside: npt.NDArray[np.float16]
    first: npt.NDArray[np.float64]

    def rays(self, plane: FloatArray, centre: FloatArray, radii: FloatArray) -> FloatArray:
        """(ANGLES, offsets) of one slice's values across a border."""
        from scipy.ndimage import map_coordinates

        at = centre[:, None, None] + (radii[:, None] + OFFSETS) * _RAYS
        return np.asarray(map_coordinates(np.asarray(plane, np.float32),
                                          (at - self.first[:, None, None]) / PIXEL, order=1,
                                          mode="nearest"))


def looks_of(study: Study, inside: FloatArray, rings: Mapping[int, Ring]) -> Looks:
    """A study around what was proposed.

    Parameters
    ----------
    inside : (slices, rows, columns) the probability of being inside.
    """
    spacing = np.array([study.geometry.spacing[1], study.geometry.spacing[0]], float)
    middle = np.mean([ring.centre for ring in rings.values()], axis=0) / spacing
    frame = Frame.around((float(middle[0]), float(middle[1])), (spacing[0], spacing[1]))
    first = np.array(frame.first) * spacing
    wall, pool = np.zeros((2, len(inside), *frame.shape), bool)
    for i, ring in rings.items():
        own = Ring(ring.centre - first, ring.outer, ring.inner)
        pool[i] = own.filled(frame.shape, (PIXEL, PIXEL), inner=True)
        wall[i] = own.filled(frame.shape, (PIXEL, PIXEL)) & ~pool[i]
    images = []
    for sequence in study.sequences.values():
        values, seen = frame.sampled(sequence.values)
        values = normalised(values, seen)
        images.append(brightened(values, seen, _gamma(values[wall], values[pool])))
    return Looks(np.stack(images).astype(np.float16),
                 frame.sampled(inside)[0].astype(np.float16), first)


def shown(looks: Looks, curves: Mapping[int, FloatArray], overlap: FloatArray,
          drawn: tuple[int, FloatArray], beside: tuple[int, FloatArray]
          ) -> npt.NDArray[np.float32]:
    """(sequences, channels, ANGLES, offsets) what the network sees.

    Parameters
    ----------
    curves : slice to the numbers of the border proposed.
    drawn, beside : a slice and its border's numbers, as drawn and as expected.
    """
    (i, hand), (j, expected) = drawn, beside
    here, there = radii_about(points_of(hand), hand[:2]), radii_about(
        points_of(expected), expected[:2])
    proposed = radii_about(points_of(curves[j]), expected[:2]) - there
    moved = radii_about(points_of(curves[i]), hand[:2]) - here
    carried = radii_about(points_of(hand), expected[:2]) - there
    found = np.zeros((len(looks.images), 13, ANGLES, len(OFFSETS)), np.float32)
    beyond = 2 * j - i
    for of, images in zip(found, looks.images):
        of[0] = looks.rays(images[j], expected[:2], there)
        of[1] = looks.rays(images[i], hand[:2], here)
        if 0 <= beyond < len(images):
            of[2] = looks.rays(images[beyond], expected[:2], there)
    found[:, 3] = looks.rays(looks.inside[j], expected[:2], there)
    found[:, 4] = looks.rays(looks.inside[i], hand[:2], here)
    for channel, border in ((5, proposed), (6, carried), (7, moved)):
        found[:, channel] = np.exp(-(((OFFSETS - border[:, None]) / LINE) ** 2))
    found[:, 8], found[:, 9] = OFFSETS / 12, (there[:, None] + OFFSETS) / 30 - 1
    found[:, 10], found[:, 11] = proposed[:, None] / 4, moved[:, None] / 4
    found[:, 12] = 10 * overlap[j] - 9
    return found


def seen_outward(looks: Looks | None, curves: Mapping[int, FloatArray], overlap: FloatArray,
                 gap: float, fixed: Mapping[int, FloatArray], seen: Sequence[Seen] = ()
                 ) -> dict[int, FloatArray]:
    """As `followed`, the images looked at: first beside what was drawn, then from each of these
    slices to the one beyond it, as if that had been drawn where it came to lie.

    Parameters
    ----------
    looks : without them slices follow by the borders alone.
    """
    found, told = followed(curves, overlap, gap, fixed, seen), dict[int, FloatArray]()
    front: Mapping[int, FloatArray] = fixed
    while looks is not None and (new := shown_beside(looks, curves, overlap, front, found,
                                                     {*fixed, *told})):
        told |= new
        found = followed(curves, overlap, gap, fixed, seen, told)
        front = {j: found[j] for j in new}
    return found


def shown_beside(looks: Looks, curves: Mapping[int, FloatArray], overlap: FloatArray,
                 drawn: Mapping[int, FloatArray], expected: Mapping[int, FloatArray],
                 known: Container[int] = ()) -> dict[int, FloatArray]:
    """The borders of slices beside those drawn, as their images show them.

    Parameters
    ----------
    curves, drawn, expected : slice to a border's numbers: proposed, drawn, and expected on the
        others.
    known : slices that are not asked about.
    """
    pairs = [(i, j) for i in drawn for j in (i - 1, i + 1)
             if j in curves and j in expected and j not in drawn and i in curves and j not in known]
    if not pairs:
        return {}
    given = [shown(looks, curves, overlap, (i, drawn[i]), (j, expected[j])) for i, j in pairs]
    moves = _asked(np.concatenate(given)).reshape(len(pairs), -1, ANGLES).mean(1)
    found: dict[int, FloatArray] = {}
    for j in {j for _, j in pairs}:
        by = np.mean([move for (_, other), move in zip(pairs, moves) if other == j], axis=0)
        centre = expected[j][:2]
        radii = np.maximum(radii_about(points_of(expected[j]), centre) + by, 1.0)
        moved = curve_of(centre + (radii * _RAYS[..., 0]).T) - expected[j]
        found[j] = expected[j] + moved * MOST / max(float(np.linalg.norm(moved[:3])), MOST)
    return found


def _asked(given: npt.NDArray[np.float32]) -> FloatArray:
    """(N, ANGLES) mm outward, the mean of a look and its mirror image, in low harmonics."""
    import torch

    network, _ = load(BESIDE)
    whole = torch.from_numpy(given)
    with torch.inference_mode():
        moves = (network(whole) + network(whole.flip(2)).flip(1)).numpy() / 2
    waves = np.fft.rfft(moves)
    waves[:, HARMONICS + 1:] = 0
    return np.asarray(np.fft.irfft(waves, ANGLES))
