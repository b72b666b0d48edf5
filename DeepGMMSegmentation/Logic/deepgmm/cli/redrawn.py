"""What a person drew in a file that may be a whole proposal: which of its slices count as drawn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepgmm.errors import InputError

if TYPE_CHECKING:
    from deepgmm.progress import Progress
    from deepgmm.propose.correcting import BorderPoint
    from deepgmm.propose.proposed import MaskProposal
    from deepgmm.study.study import BoolArray, Study
    from deepgmm.study.words import Align


@dataclass
class GivenSlices:
    """The slices of a file in which something is drawn.

    Attributes
    ----------
    masks : slice to its mask.
    pools : slice to its blood pool, where the file tells that apart.
    same : those that are as the proposal was that the file says it holds.
    before : of that proposal, slices to what was drawn, or said to be empty, earlier.
    points : and places that its borders were led through.
    noted : whether the file says of what proposal it is.
    """

    masks: dict[int, BoolArray]
    pools: dict[int, BoolArray] = field(default_factory=dict)
    same: set[int] = field(default_factory=set)
    before: dict[int, BoolArray] = field(default_factory=dict)
    points: list[BorderPoint] = field(default_factory=list)
    noted: bool = False


def slices_drawn(path: Path, study: Study, labels: str | None) -> GivenSlices:
    """Read the file of `--fixed` on a study's grid.

    Raises
    ------
    InputError : it cannot be used, or nothing is drawn in it.
    """
    from deepgmm.reading.images.grids import image_of
    from deepgmm.reading.masks.lv_mask import read_mask

    grid = image_of(study.mask.astype("uint8"), study.geometry)
    read = read_mask(path, grid, convention=labels, name="fixed mask")
    study.warnings += [w for w in read.warnings if not read.note or "was proposed" not in w]
    masks = {i: one for i, one in enumerate(read.mask) if one.any()}
    if not masks:
        raise InputError("nothing is drawn in the file of --fixed: leave it out, or give the mask "
                         "of the slices that you drew")
    nobody_drew = not read.note.get("provenance", {}).get("fixed")
    if read.own is not None and nobody_drew and _as_noted(read.own, read.note):
        raise InputError("the file of --fixed is a proposal for other images, on another grid, and "
                         "nobody drew in it: see whether the right file was given")
    given = _with_note(masks, read.note, read.mask)
    if read.wall is not None:
        given.pools = {i: one & ~read.wall[i] for i, one in masks.items() if read.wall[i].any()}
    return given


def changed_since(path: Path) -> bool:
    """Whether a file holds a proposal that was changed since it was written."""
    import SimpleITK as sitk

    from deepgmm.files import suffix_of
    from deepgmm.reading.masks.lv_mask import read_mask

    if suffix_of(path) != ".seg.nrrd" or not path.is_file():
        return False
    try:
        read = read_mask(path, sitk.ReadImage(str(path)))
    except (InputError, RuntimeError):
        return False
    return "slices" in read.note and not _as_noted(read.mask, read.note)


def _as_noted(mask: BoolArray, note: Mapping[str, Any]) -> bool:
    """Whether each slice of a file, on its own grid, holds what its note says that it held."""
    from deepgmm.reading.masks.seg_nrrd import digest_of

    return note.get("slices") == {str(i): digest_of(one) for i, one in enumerate(mask) if one.any()}


def _with_note(masks: dict[int, BoolArray], note: Mapping[str, Any], whole: BoolArray
               ) -> GivenSlices:
    """What a proposal's note says of slices that were not touched since."""
    from deepgmm.propose.correcting import ENDO, EPI, BorderPoint
    from deepgmm.reading.masks.seg_nrrd import digest_of

    was = note.get("slices", {})
    if not was:
        return GivenSlices(masks)
    same = {i for i, one in masks.items() if was.get(str(i)) == digest_of(one)}
    said = note.get("provenance", {})
    empty = {i for i in range(len(whole)) if i not in masks and str(i) not in was}
    before = {i: whole[i] for i in said.get("fixed", ())
              if type(i) is int and (i in same or i in empty)}
    # emptied since: a person says that there is no ventricle
    before |= {i: one for i, one in enumerate(whole) if i not in masks and str(i) in was}
    points = [BorderPoint(int(p[0]), (float(p[1]), float(p[2])), p[3])
              for p in said.get("places", ()) if isinstance(p, list) and len(p) == 4
              and all(type(n) in (int, float) for n in p[:3]) and p[3] in (EPI, ENDO)
              and (p[0] in same or p[0] not in masks)]
    return GivenSlices(masks, same=same, before=before, points=points, noted=True)


def redrawn(study: Study, given: GivenSlices, points: list[BorderPoint], align: Align,
            progress: Progress) -> MaskProposal:
    """A proposal corrected by the slices that a person drew.

    A file may be the whole proposal with one slice redrawn: what was left as proposed was drawn by
    nobody. Of a proposal that was corrected already its note says what had been drawn then, and
    which slices had followed.
    """
    import numpy as np

    from deepgmm.propose.correcting import ANOTHERS, corrected
    from deepgmm.propose.proposal import propose_mask
    from deepgmm.study.levels import counted
    from deepgmm.study.words import named_slices

    masks, points = given.masks, [*given.points, *points]
    try:
        first = propose_mask(study, align=align, progress=progress)
    except InputError as error:  # refused as no heart: a slice drawn may say where it is
        return _by_hand_alone(study, given, points, align, progress, error)
    same = [i for i, one in masks.items() if i not in given.before
            and (i in given.same or np.array_equal(one, first.mask[i]))]
    fixed = given.before | {i: one for i, one in masks.items() if i not in same}
    proposed = {i for i, one in enumerate(first.mask) if one.any()}
    if not given.noted and 2 * len(same) >= len(proposed):  # a whole proposal, gone over
        fixed |= {i: np.zeros_like(first.mask[i]) for i in proposed - set(masks)}
    emptied = sorted(i for i, one in fixed.items() if not one.any() and i in proposed)
    with counted(first.mask):
        found = corrected(first, study.geometry, points=points, fixed=fixed, pools=given.pools)
    noted = [i for i in sorted(given.same) if i not in given.before]
    anew = [i for i in noted if not np.array_equal(given.masks[i], found.mask[i])]
    if anew and max(_alike(given.masks, one.mask, noted) for one in (first, found)) < ANOTHERS:
        if not any(one.any() for one in fixed.values()):
            raise InputError("the file of --fixed is a proposal for other images, perhaps another "
                             "patient's, and nobody drew in it: see whether the right file was "
                             "given")
        found.warnings.insert(0, "the file of --fixed is a proposal for other images, perhaps "
                              "another patient's: what was drawn in it stays, the other slices "
                              "are as proposed for these; see whether the right file was given")
        same = []
    elif anew and fixed.keys() == given.before.keys() and points == given.points:
        found.warnings.append(f"{named_slices(anew)} of --fixed were proposed otherwise, for other "
                              "images, with other options or by another version: here they are as "
                              "proposed now")
        same = []
    elif not fixed:
        found.warnings.append("what --fixed holds is what is proposed, to the pixel: by it nothing "
                              "was corrected")
    if fixed and same:
        found.warnings.append(f"what --fixed holds on {named_slices(same)} is what is proposed: it "
                              "counts as not drawn, and follows the slices that differ")
    if emptied:
        found.warnings.append(f"--fixed holds nothing on {named_slices(emptied)}, where a "
                              "ventricle is proposed: taken as word that there is none")
    if len(fixed) > 1 and not given.noted:
        found.warnings.append(
            f"{named_slices(sorted(fixed))} of --fixed differ from what is proposed and were all "
            "taken as drawn: of a proposal that was corrected already give the .seg.nrrd, which "
            "notes the slices that only followed")
    return found


def _by_hand_alone(study: Study, given: GivenSlices, points: list[BorderPoint], align: Align,
                   progress: Progress, refused: InputError) -> MaskProposal:
    """A proposal for images in which none is found, by what a person drew: not by what the file
    says was proposed, which may be for another patient's."""
    from deepgmm.propose.proposal import propose_mask
    from deepgmm.study.words import named_slices

    left = sorted(given.same - set(given.before))
    fixed = given.before | {i: one for i, one in given.masks.items() if i not in left}
    if not any(one.any() for one in fixed.values()):
        raise InputError(f"{refused} (what --fixed holds is a proposal in which nobody drew)"
                         ) from refused
    found = propose_mask(study, fixed=fixed, points=points, pools=given.pools, align=align,
                         progress=progress)
    if left:
        found.warnings.insert(0, f"what --fixed holds on {named_slices(left)} was proposed, for "
                              "other images or with other options, and counts as not drawn: see "
                              "whether the right file was given")
    return found


def _alike(masks: Mapping[int, BoolArray], found: BoolArray, slices: list[int]) -> float:
    """Dice of both on these slices together."""
    held = [(masks[i], found[i]) for i in slices]
    both = sum(int((one & other).sum()) for one, other in held)
    return 2 * both / max(sum(int(one.sum() + other.sum()) for one, other in held), 1)
