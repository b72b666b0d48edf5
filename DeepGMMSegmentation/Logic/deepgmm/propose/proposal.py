"""The LV mask proposed from a study's images: found in the chest, outlined, with a confidence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from deepgmm.errors import InputError
from deepgmm.progress import Progress, silent
from deepgmm.propose.asking import answered, finer, once
from deepgmm.propose.beside import looks_of
from deepgmm.propose.canonical import PIXEL, Frame, without_air
from deepgmm.propose.correcting import BorderPoint, check_corrections, corrected
from deepgmm.propose.ends import capped, lengthened, opened
from deepgmm.propose.network import load
from deepgmm.propose.placing import placed
from deepgmm.propose.proposed import (
    FILLED,
    FRAME,
    MOVES,
    SET_ASIDE,
    MaskProposal,
    confidence_of,
    doubts,
    drawn,
    laid_back,
    overlap_of,
    say,
)
from deepgmm.propose.rings import Ring, along, between, rings_of
from deepgmm.study.levels import counted
from deepgmm.study.study import BoolArray, FloatArray, Study
from deepgmm.study.words import Align, Role, align_named, grid_role

#: Found first on the sequence that shows the pool best.
FIRST = (Role.BSSFP, Role.LGE, Role.T2)
#: mm2 of likely ventricle that a slice must have; ml that all together must.
LEAST_AREA, LEAST_VOLUME = 120.0, 8.0
#: mm that a ventricle is long which begins and ends within the stack: of synthetic chests' and
#: phantoms' that go on none is shorter than 50; what is taken for one in a brain is 30 at most.
LEAST_LONG = 35.0
#: A ventricle of which not one slice is so sure is none.
LEAST_SURE = 0.05
#: mm: a ventricle has few pixels that are larger.
COARSEST = 8.0
#: The most that a base is sure of whose wall may be open.
HALF_OPEN = 0.5
#: The most that the outermost slice at the base is sure of where the images go on beyond it: of
#: 100 such slices of phantoms that were sure ten were wrong, of others one in a hundred.
GOES_ON = 0.85
#: An expected overlap under which an end slice is none. By the network that it was chosen with no
#: slice of real hearts had less than .49, and a quarter of phantoms' slices beyond an apex had.
FAINT = 0.45
EMPTY = "the images are blank there"
OPEN_WALL = "the wall is open or thin there, beyond the base"
NO_POOL = "no pool is seen there, beyond the apex"
TOO_UNSURE = "a wall may be there, at an end of the stack, but too unsure to be proposed"
NOTHING = ("no left ventricle was found in the images: see whether they are short-axis slices, or "
           "draw the mask")


def propose_mask(study: Study, *, fixed: Mapping[int, BoolArray] | None = None,
                 points: Sequence[BorderPoint] = (),
                 pools: Mapping[int, BoolArray] | None = None, align: Align | str = Align.SHIFT,
                 progress: Progress = silent) -> MaskProposal:
    """Propose the LV mask of a study from its images alone; its own mask is not looked at.

    Parameters
    ----------
    study : sequences on one grid; the mask may be empty.
    fixed, points, pools : what a person corrected, as `corrected` takes it. To correct a proposal
        that is there already, `corrected` is thirty times quicker.
    align : of several sequences, which are looked at moved onto the one on whose grid they lie
        (LGE, else bSSFP), as `deepgmm.study.alignment` finds it: shift (check is the same here) or
        rigid; off: where they lie. The study itself is never moved.

    Raises
    ------
    InputError
        A sequence without contrast, no ventricle is found, a correction that is not on the images.
    """
    if not isinstance(study, Study):
        raise InputError("this is no study: deepgmm.read_images(lge=FILE) makes one of images")
    how = align_named(align)
    _check_contrast(study)
    shape = study.mask.shape
    masks = {int(i): np.asarray(m, bool) for i, m in (fixed or {}).items()}
    check_corrections(masks, points, shape)
    _check_pixel((float(study.geometry.spacing[1]), float(study.geometry.spacing[0])))
    seen = _as_seen(study)
    held = sorted(set(range(shape[0])) - _blank(seen))
    if not held:
        raise InputError(NOTHING)
    found = laid_back(_with_all(_cut(seen, slice(held[0], held[-1] + 1)), how, bool(masks),
                                progress), held[0], shape[0], EMPTY)
    progress(1.0, "done")
    with counted(found.mask):
        return corrected(found, study.geometry, fixed=masks, points=points, pools=pools)


def _with_all(study: Study, how: Align, drawn_on: bool, progress: Progress) -> MaskProposal:
    """A proposal from all sequences; from the one on whose grid they lie alone, where that is sure
    of a ventricle and all together are not, as where another shows some other place."""
    try:
        found, why = _proposed(study, how, drawn_on, progress), None
    except InputError as error:
        found, why = None, error
    reference = grid_role(study.sequences)
    if len(study.sequences) > 1 and (found is None or doubts(found)):
        try:
            alone = _proposed(replace(study, sequences={reference: study.sequences[reference]}),
                              how, drawn_on, progress)
        except InputError:
            alone = None
        if alone is not None and not doubts(alone):
            say(alone, alone.provenance | {SET_ASIDE: [
                r.value for r in study.sequences if r is not reference]})
            return alone
    if found is None:
        raise why or InputError(NOTHING)
    return found


def _proposed(study: Study, how: Align, drawn_on: bool, progress: Progress) -> MaskProposal:
    """What the sequences show together, before anything is corrected.

    Parameters
    ----------
    drawn_on : whether a person drew on slices, so that a ventricle is there.
    """
    shape = study.mask.shape
    spacing = (float(study.geometry.spacing[1]), float(study.geometry.spacing[0]))
    progress(0.05, "finding the ventricle")
    middle = _found(study, spacing)
    frame = Frame.around(middle, spacing)
    if len(study.sequences) > 1:
        progress(0.2, "checking alignment")
    study, moves = placed(study, frame, how)
    progress(0.5, "outlining")
    answer = answered(study, frame)
    parts = finer(study, frame, answer, _pieces(answer.parts), spacing)
    parts = lengthened(study, frame, answer, parts, _pieces(parts), spacing)
    blank = _blank(study)  # what the network says there it has from the slices beside
    rings = {i: ring for i, ring in _rings(study, parts, frame, spacing).items() if i not in blank}
    if not rings:
        raise InputError(NOTHING)
    inside = frame.back(parts[:, 1:].sum(1), (shape[1], shape[2]))
    # where a finer look says otherwise than the first one, less is sure
    before = frame.back(answer.parts[:, 1:].sum(1), (shape[1], shape[2]))
    mask, _ = drawn(rings, shape, spacing)
    likely = {i: (overlap_of(inside[i], mask[i]) + overlap_of(before[i], mask[i])) / 2
              for i in rings}
    open_, doubted = opened(study, rings, likely, spacing)
    gone = dict.fromkeys(open_, OPEN_WALL) | dict.fromkeys(
        capped(study, rings, likely, spacing) - open_, NO_POOL)
    overlap = np.array([0.0 if i in gone else likely.get(i, 0.0) for i in range(shape[0])])
    faint = _faint(overlap)
    gone |= dict.fromkeys(faint, TOO_UNSURE)
    overlap[[*faint, *_astray(overlap)]] = 0.0
    own = set(np.flatnonzero(overlap).tolist())
    if not own:
        raise InputError(NOTHING)
    rings = _filled({i: ring for i, ring in rings.items() if i in own})
    mask, pool = drawn(rings, shape, spacing)
    _check_volume(float(mask.sum()) * spacing[0] * spacing[1], study)
    confidence = np.where(overlap > 0, confidence_of(overlap), 0.0)
    if not drawn_on:
        if confidence.max() < LEAST_SURE:
            raise InputError(NOTHING)
        _check_length(rings, blank, study)
    for i in doubted & own:
        confidence[i] = min(confidence[i], HALF_OPEN)
    for i in _bases_within(rings, blank, shape[0]):
        confidence[i] = min(confidence[i], GOES_ON)
    confidence[[i for i in rings if i not in own]] = FILLED
    found = MaskProposal(mask, mask & ~pool, pool, inside, confidence, overlap,
                         {i: EMPTY if i in blank else gone.get(i) or _beyond(i, rings)
                          for i in range(shape[0]) if i not in rings}, rings,
                         looks=looks_of(study, inside, rings))
    say(found, {"network_sha256": load()[1]["sha256"],
                "sequences": [role.value for role in study.sequences],
                **({MOVES: moves} if moves else {}),
                **{key: study.provenance[key] for key in (FRAME,) if key in study.provenance}})
    found.warnings += doubts(found)
    return found


def _check_pixel(spacing: tuple[float, float]) -> None:
    """Refuse pixels in which no ventricle can be seen."""
    if max(spacing) > COARSEST:
        raise InputError(f"pixels of {max(spacing):g} mm are too large to see a left ventricle in: "
                         "see whether the image's spacing is in mm")


def _as_seen(study: Study) -> Study:
    """Slices of one value hold no number, so that those beside them are not judged by them, and
    images that are mostly air have none around what they show."""
    def shown(values: FloatArray) -> FloatArray:
        flat = np.array([np.ptp(v) == 0 for v in np.nan_to_num(values.astype(float))])
        values = without_air(values)
        return np.where(flat[:, None, None], np.nan, values).astype(values.dtype)
    return replace(study, sequences={
        role: replace(s, values=shown(s.values)) for role, s in study.sequences.items()})


def _cut(study: Study, held: slice) -> Study:
    """Some slices of what is to be looked at, so that blank ones that a stack begins or ends with
    change nothing."""
    return replace(study, mask=study.mask[held], wall=None, insertion_points=None, excluded={},
                   sequences={role: replace(s, values=s.values[held])
                              for role, s in study.sequences.items()})


def _check_contrast(study: Study) -> None:
    """Refuse a sequence on which nothing can be found."""
    for role, sequence in study.sequences.items():
        known = sequence.values[np.isfinite(sequence.values)]
        if not known.size:
            raise InputError(f"{role.title} holds no number that can be used (all NaN, infinite "
                             "or over 3e38): export it again")
        if not np.ptp(known.astype(float)):
            raise InputError(f"{role.title} is constant ({known[0]:g} everywhere): give an image "
                             "with contrast")


def _blank(study: Study) -> set[int]:
    """The slices on which no sequence shows anything."""
    def shows(values: FloatArray) -> bool:
        known = values[np.isfinite(values)]
        return bool(known.size and known.min() < known.max())
    return {i for i in range(len(study.mask))
            if not any(shows(s.values[i]) for s in study.sequences.values())}


def _check_volume(area: float, study: Study) -> None:
    """Refuse a ventricle of so many mm2 on all slices together that can be none."""
    if area * max(float(study.geometry.spacing[2]), 5.0) / 1000 < LEAST_VOLUME:
        raise InputError(NOTHING)


def _check_length(rings: Mapping[int, Ring], blank: set[int], study: Study) -> None:
    """Refuse a ventricle that ends on both sides before the images do and is too short for one, in
    a stack that would hold a whole one."""
    first, last = min(rings), max(rings)
    gap = float(study.geometry.spacing[2])
    # the stack may begin and end with blank slices
    ends = [i for i in range(len(study.mask)) if i not in blank]
    whole = (ends[-1] - ends[0] + 1) * gap >= 2 * LEAST_LONG
    if whole and ends[0] < first and last < ends[-1] and (last - first + 1) * gap < LEAST_LONG:
        raise InputError("no left ventricle was found in the images: what looks like one is "
                         f"{(last - first + 1) * gap:.0f} mm long and ends on both sides within "
                         "them; see whether they are short-axis slices, or draw the mask")


def _found(study: Study, spacing: tuple[float, float]) -> tuple[float, float]:
    """(row, column) of the ventricle in the whole images."""
    from scipy.ndimage import label

    role = next(r for r in FIRST if r in study.sequences)
    frame = Frame.whole(study.mask.shape[1:], spacing, 16)
    images, seen = frame.sampled(study.sequences[role].values)
    inside = once(images, seen)[:, 1:].sum(1) * seen
    parts, count = label(inside > 0.5)
    if not count:
        raise InputError(NOTHING)
    sizes = np.bincount(parts.ravel(), (inside * (parts > 0)).ravel())
    best = int(sizes[1:].argmax()) + 1
    _check_volume(float(sizes[best]) * PIXEL ** 2, study)
    at = np.argwhere(parts == best)[:, 1:].mean(0)
    row, column = frame.to_image(at)
    return float(row), float(column)


def _pieces(parts: FloatArray) -> dict[int, BoolArray]:
    """Slice to the (rows, columns) of the frame that are likely inside, where there is a wall."""
    from scipy.ndimage import label

    labels, count = label(parts[:, 1:].sum(1) > 0.5)
    pieces: dict[int, BoolArray] = {}
    if not count:
        raise InputError(NOTHING)
    sizes = np.bincount(labels.ravel())
    best = int(sizes[1:].argmax()) + 1
    for i in range(len(parts)):
        held = labels[i] == best
        if held.sum() * PIXEL ** 2 < LEAST_AREA:
            continue
        own, several = label(held)
        if several > 1:
            held = own == int(np.bincount(own.ravel())[1:].argmax()) + 1
        pieces[i] = held
    if not pieces:
        raise InputError(NOTHING)
    return pieces


def _rings(study: Study, parts: FloatArray, frame: Frame, spacing: tuple[float, float]
           ) -> dict[int, Ring]:
    """Borders by slice, in mm of the image, where there is a wall."""
    pieces = _pieces(parts)
    chosen = list(pieces)
    middles = np.stack([np.argwhere(held).mean(0) for held in pieces.values()])
    shown = [along(s.values[chosen], frame.to_image(middles), spacing)
             for s in study.sequences.values()]
    found = rings_of(parts[chosen, 1:].sum(1), parts[chosen, 2], middles, PIXEL, shown)
    return {i: replace(ring, centre=frame.to_image(ring.centre) * np.array(spacing))
            for i, ring in zip(chosen, found)}


def _faint(overlap: FloatArray) -> list[int]:
    """The first and the last slices with so little that it is none."""
    found = np.flatnonzero(overlap)
    strong = np.flatnonzero(overlap >= FAINT)
    if not len(strong):
        return []
    return [int(i) for i in found if not strong[0] <= i <= strong[-1]]


def _bases_within(rings: Mapping[int, Ring], blank: set[int], slices: int) -> list[int]:
    """The end of a ventricle that is its base, where there are images beyond; none where not."""
    first, last = min(rings), max(rings)
    base = max((first, last), key=lambda i: float(rings[i].outer.mean()))
    beyond = base + 1 if base == last else base - 1
    return [base] if first < last and 0 <= beyond < slices and beyond not in blank else []


def _astray(overlap: FloatArray) -> list[int]:
    """The slices that lie between two which are likely right, and are less sure than what would be
    filled in there."""
    confidence = confidence_of(overlap.astype(np.float64))
    return [i for i in range(1, len(overlap) - 1)
            if overlap[i] and confidence[i] < FILLED
            and min(confidence[i - 1], confidence[i + 1]) > HALF_OPEN]


def _filled(rings: dict[int, Ring]) -> dict[int, Ring]:
    """Slices between others have a ventricle too."""
    filled = dict(rings)
    for i in range(min(rings), max(rings)):
        if i not in rings:
            low = max(j for j in rings if j < i)
            high = min(j for j in rings if j > i)
            filled[i] = between(rings[low], rings[high], (i - low) / (high - low))
    return filled


def _beyond(index: int, rings: Mapping[int, Ring]) -> str:
    """Why a slice before or after all others has no border."""
    ends = min(rings), max(rings)
    own, other = ends if index < ends[0] else ends[::-1]
    sizes = [float(rings[i].outer.mean()) for i in (own, other)]
    end = ("the apex" if sizes[0] < 0.9 * sizes[1] else
           "the base" if sizes[1] < 0.9 * sizes[0] else "the apex or the base")
    return f"no closed wall was found, beyond {end}"
