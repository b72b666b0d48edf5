"""The LV mask proposed from a study's images: found in the chest, outlined, with a confidence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from deepgmm.errors import InputError
from deepgmm.progress import Progress, silent
from deepgmm.propose.canonical import PIXEL, Frame, channels, normalised
from deepgmm.propose.rings import Ring, between, moved, ring_of, ring_of_mask
from deepgmm.study.study import BoolArray, FloatArray, Study
from deepgmm.study.words import Role, named_slices

#: Found first on the sequence that shows the pool best.
FIRST = (Role.BSSFP, Role.LGE, Role.T2)
#: mm2 of likely ventricle that a slice must have; ml that all together must.
LEAST_AREA, LEAST_VOLUME = 120.0, 8.0
#: Of what a person moved on one slice, the slices beside follow by this share, and so on.
FOLLOW = 0.6
#: A slice is said to be sure above this.
SURE = 0.9
NOTHING = ("no left ventricle was found in the images: see whether they are short-axis slices, or "
           "draw the mask")


@dataclass
class MaskProposal:
    """An LV mask for a person to look at; never to be used unseen.

    Attributes
    ----------
    mask, wall, pool : (slices, rows, columns) bool; mask is wall and pool together.
    inside : (slices, rows, columns) float32, the probability of being inside.
    confidence : (slices,) 0 to 1; 0 where nothing is proposed, 1 where a person fixed it.
    left_out : slice to the reason why nothing is proposed there.
    rings : slice to its borders, in mm.
    warnings : what a user must see.
    provenance : JSON values, for a report.
    """

    mask: BoolArray
    wall: BoolArray
    pool: BoolArray
    inside: npt.NDArray[np.float32]
    confidence: npt.NDArray[np.float64]
    left_out: dict[int, str] = field(default_factory=dict)
    rings: dict[int, Ring] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    provenance: dict[str, Any] = field(default_factory=dict)


def propose_mask(study: Study, *, fixed: Mapping[int, BoolArray] | None = None,
                 progress: Progress = silent) -> MaskProposal:
    """Propose the LV mask of a study from its images alone; its own mask is not looked at.

    Parameters
    ----------
    study : sequences on one grid; the mask may be empty.
    fixed : slice to (rows, columns) masks that a person drew: they stay as they are, and
        neighbouring slices follow them.

    Raises
    ------
    InputError : no ventricle is found, a fixed slice that is not there or of another shape.
    """
    shape = study.mask.shape
    fixed = {int(i): np.asarray(m, bool) for i, m in (fixed or {}).items()}
    for i, drawn in fixed.items():
        if not 0 <= i < shape[0] or drawn.shape != shape[1:]:
            raise InputError(f"the fixed slice {i} is not on the images' grid: give a mask of "
                             f"{shape[1]} x {shape[2]} for one of slices 0 to {shape[0] - 1}")
    spacing = (float(study.geometry.spacing[1]), float(study.geometry.spacing[0]))
    progress(0.05, "finding the ventricle")
    middle = _found(study, spacing)
    frame = Frame.around(middle, spacing)
    progress(0.5, "outlining")
    parts = _probabilities(study, frame)
    rings, left_out = _rings(parts, frame, spacing)
    own = set(rings)
    rings = _filled(rings, left_out)
    rings = _followed(rings, fixed, spacing)
    found = _drawn(rings, fixed, parts, frame, spacing, shape, own)
    found.left_out = {i: why for i, why in left_out.items() if i not in rings and i not in fixed}
    _say(found, study)
    progress(1.0, "done")
    return found


def _ask(images: npt.NDArray[np.float32], seen: BoolArray, turns: bool) -> FloatArray:
    """(slices, 3, rows, columns) probabilities; with `turns`, the mean of four views."""
    import torch

    from deepgmm.propose.network import load

    network, _ = load()
    given = torch.from_numpy(channels(normalised(images, seen), seen))
    views: list[tuple[int, ...]] = [(), (2,), (3,), (2, 3)] if turns else [()]
    with torch.inference_mode():
        total = sum(network(given.flip(v) if v else given).log_softmax(1).flip(v or ())
                    if v else network(given).log_softmax(1) for v in views)
        return np.asarray((total / len(views)).softmax(1).numpy())


def _found(study: Study, spacing: tuple[float, float]) -> tuple[float, float]:
    """(row, column) of the ventricle in the whole images."""
    from scipy.ndimage import label

    role = next(r for r in FIRST if r in study.sequences)
    frame = Frame.whole(study.mask.shape[1:], spacing, 16)
    images, seen = frame.sampled(study.sequences[role].values)
    inside = _ask(images, seen, turns=False)[:, 1:].sum(1) * seen
    parts, count = label(inside > 0.5)
    if not count:
        raise InputError(NOTHING)
    sizes = np.bincount(parts.ravel(), (inside * (parts > 0)).ravel())
    best = int(sizes[1:].argmax()) + 1
    depth = float(study.geometry.spacing[2])
    if sizes[best] * PIXEL ** 2 * max(depth, 5.0) / 1000 < LEAST_VOLUME:
        raise InputError(NOTHING)
    at = np.argwhere(parts == best)[:, 1:].mean(0)
    row, column = frame.to_image(at)
    return float(row), float(column)


def _probabilities(study: Study, frame: Frame) -> FloatArray:
    """(slices, 3, rows, columns) on the frame, of all sequences together."""
    logs = []
    for role in study.sequences:
        images, seen = frame.sampled(study.sequences[role].values)
        logs.append(np.log(_ask(images, seen, turns=True) + 1e-4))
    mean = np.exp(np.mean(logs, axis=0))
    return np.asarray(mean / mean.sum(1, keepdims=True))


def _rings(parts: FloatArray, frame: Frame, spacing: tuple[float, float]
           ) -> tuple[dict[int, Ring], dict[int, str]]:
    """Borders by slice, in mm of the image, and why others have none."""
    from scipy.ndimage import label

    inside, pool = parts[:, 1:].sum(1), parts[:, 2]
    labels, count = label(inside > 0.5)
    rings: dict[int, Ring] = {}
    left_out = {}
    if not count:
        raise InputError(NOTHING)
    sizes = np.bincount(labels.ravel())
    best = int(sizes[1:].argmax()) + 1
    for i in range(len(parts)):
        held = labels[i] == best
        if held.sum() * PIXEL ** 2 < LEAST_AREA:
            left_out[i] = "no closed wall was found: beyond the apex or the base"
            continue
        own, several = label(held)
        if several > 1:
            held = own == int(np.bincount(own.ravel())[1:].argmax()) + 1
        ring = ring_of(inside[i], pool[i], np.argwhere(held).mean(0), PIXEL)
        rings[i] = replace(ring, centre=frame.to_image(ring.centre) * np.array(spacing))
    if not rings:
        raise InputError(NOTHING)
    return rings, left_out


def _filled(rings: dict[int, Ring], left_out: dict[int, str]) -> dict[int, Ring]:
    """Slices between others have a ventricle too."""
    filled = dict(rings)
    for i in range(min(rings), max(rings)):
        if i not in rings:
            low = max(j for j in rings if j < i)
            high = min(j for j in rings if j > i)
            filled[i] = between(rings[low], rings[high], (i - low) / (high - low))
            left_out.pop(i, None)
    return filled


def _followed(rings: dict[int, Ring], fixed: Mapping[int, BoolArray],
              spacing: tuple[float, float]) -> dict[int, Ring]:
    """What a person fixed, and neighbours moved by a share of what that changed."""
    drawn = {i: ring_of_mask(m, spacing) for i, m in fixed.items()}
    followed = dict(rings)
    for i, ring in rings.items():
        if i in fixed or not drawn:
            continue
        nearest = min(drawn, key=lambda j: abs(j - i))
        by = drawn[nearest]
        if by is not None and nearest in rings:
            was = rings[nearest]
            by = replace(by, inner=np.minimum(was.inner * (by.outer / was.outer), by.outer - 1.0))
            followed[i] = moved(ring, by, was, FOLLOW ** abs(nearest - i))
    return followed


def _drawn(rings: dict[int, Ring], fixed: Mapping[int, BoolArray], parts: FloatArray,
           frame: Frame, spacing: tuple[float, float], shape: tuple[int, ...],
           own: set[int]) -> MaskProposal:
    mask, pool = np.zeros(shape, bool), np.zeros(shape, bool)
    inside = frame.back(parts[:, 1:].sum(1), (shape[1], shape[2]))
    confidence = np.zeros(shape[0])
    for i, ring in rings.items():
        mask[i] = ring.filled((shape[1], shape[2]), spacing)
        pool[i] = ring.filled((shape[1], shape[2]), spacing, inner=True) & mask[i]
        confidence[i] = _confidence(inside[i], mask[i]) if i in own else 0.2
    for i, drawn in fixed.items():
        mask[i], pool[i] = drawn, pool[i] & drawn
        confidence[i] = 1.0 if drawn.any() else 0.0
    return MaskProposal(mask, mask & ~pool, pool, inside, confidence, rings=rings)


def _confidence(inside: FloatArray, mask: BoolArray) -> float:
    """How likely the slice is right, from the overlap that its probabilities let expect."""
    expected = 2 * float((inside * mask).sum()) / max(float(mask.sum() + inside.sum()), 1e-6)
    return float(1 / (1 + np.exp(-(expected - MIDDLE) / WIDTH)))


#: Expected overlap at which a slice is as likely good as not, and how fast that changes.
MIDDLE, WIDTH = 0.86, 0.02


def _say(found: MaskProposal, study: Study) -> None:
    found.warnings.append("the LV mask was proposed from the images and not drawn: look at its "
                          "outline on every slice")
    unsure = [i for i in found.rings if found.confidence[i] <= SURE]
    if unsure:
        found.warnings.append(f"the proposed LV mask is unsure on {named_slices(unsure)}")
    if found.left_out:
        found.warnings.append("no LV mask is proposed on "
                              f"{named_slices(sorted(found.left_out))}: no closed wall was found")
    from deepgmm.propose.network import load

    found.provenance = {
        "proposed": True, "network_sha256": load()[1]["sha256"],
        "sequences": [role.value for role in study.sequences],
        "confidence": [round(float(c), 3) for c in found.confidence],
        "left_out": {str(i): why for i, why in found.left_out.items()}}
