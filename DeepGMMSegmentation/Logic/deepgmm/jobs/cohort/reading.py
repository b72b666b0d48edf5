"""A case's study, from whichever of the sorts of input it came."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from deepgmm.errors import InputError
from deepgmm.jobs.cohort.cases import EDITED, MASK, POINTS, WALL, Case, Plan, Sort
from deepgmm.study.words import Role

if TYPE_CHECKING:
    import numpy.typing as npt

    from deepgmm.result import Result
    from deepgmm.study.study import Study

#: Where an imported examination goes, and the mask that was proposed.
STUDY, PROPOSED = "study", "proposed-mask.seg.nrrd"


@dataclass
class Prepared:
    """A case whose study is read.

    Attributes
    ----------
    came : the study before its images were moved onto each other.
    stamp, inputs : of its files, before they were read.
    confidence : of a proposed mask, 0 to 1; None where the mask was given.
    staging : the folder in which its files are made.
    """

    case: Case
    study: Study
    came: Study
    stamp: str
    inputs: dict[str, str]
    staging: Path
    confidence: float | None = None
    notes: list[str] = field(default_factory=list)


def read_case(case: Case, plan: Plan, staging: Path
              ) -> tuple[Study, Study, float | None, list[str]]:
    """Read a case.

    Parameters
    ----------
    staging : where an imported study and a proposed mask are put.

    Returns
    -------
    study : aligned as the plan has it; and as it came.
    confidence : mean over the slices of a proposed mask, 0 to 1; None where one was given.
    notes : what was asked for and is not done.

    Raises
    ------
    InputError : it cannot be used.
    """
    from deepgmm.propose.proposed import mark
    from deepgmm.reading.studies.from_files import read_study
    from deepgmm.reading.studies.study_folder import read_study_folder
    from deepgmm.study.alignment import with_alignment

    folder, mask = case.folder, case.files.get(MASK)
    if case.sort is Sort.EXAMINATION:
        folder = _imported(case, plan, staging / STUDY)
    proposal = None
    if mask is None:
        if not plan.propose:
            raise InputError("no LV mask, a file called mask: put one there, or let one be "
                             "proposed")
        proposal = _proposed(case, plan, folder, staging / PROPOSED)
        mask = staging / PROPOSED
    given: dict[str, Any] = {
        "mask": mask, "wall": case.files.get(WALL), "mask_labels": None if proposal else
        plan.mask_labels, **_kinds(case, plan)}
    if folder is not None:
        study = read_study_folder(folder, phase=plan.phase, **given)
    else:
        study = read_study(**_images(case), **given, resample=True, phase=plan.phase
                           if Role.BSSFP.value in case.files else None)
    confidence = None
    if proposal is not None:
        mark(study, proposal)
        sure = proposal.confidence[proposal.mask.any(axis=(1, 2))]
        confidence = float(sure.mean()) if sure.size else 0.0
    if POINTS in case.files:
        _set_points(study, case.files[POINTS])
    return with_alignment(study, plan.align), study, confidence, _notes(case)


def _imported(case: Case, plan: Plan, place: Path) -> Path:
    from deepgmm.reading.dicom.examination import read_examination
    from deepgmm.reading.studies.imported import write_study_folder
    from deepgmm.study.kinds import parse_kind

    assert case.folder is not None
    kinds = {role: parse_kind(role, _kinds(case, plan)[f"{role.value}_kind"])
             for role in (Role.LGE, Role.T2)}
    found = read_examination(case.folder, kinds=kinds)
    place.mkdir()
    write_study_folder(found, place)
    return place


def _proposed(case: Case, plan: Plan, folder: Path | None, place: Path) -> Any:
    from deepgmm.propose.proposal import propose_mask
    from deepgmm.reading.masks.labelmap import write_image
    from deepgmm.reading.masks.seg_nrrd import mask_seg_nrrd_image
    from deepgmm.reading.studies.from_files import read_images
    from deepgmm.reading.studies.study_folder import read_description, read_folder_images

    cine = Role.BSSFP.value
    if folder is None:
        study = read_images(**_images(case), resample=True,
                            phase=plan.phase if cine in case.files else None)
    else:
        said = read_description(folder)["sequences"]
        study = read_folder_images(folder, phase=plan.phase if said.get(cine, {}).get("cine")
                                   else None)
    found = propose_mask(study, align=plan.align)
    write_image(mask_seg_nrrd_image(found.mask, study.geometry, found.note), place, "LV mask")
    return found


def _images(case: Case) -> dict[str, Any]:
    return {role.value: case.files[role.value] for role in Role if role.value in case.files}


def _kinds(case: Case, plan: Plan) -> dict[str, str]:
    return {f"{role}_kind": case.kinds.get(role) or getattr(plan, f"{role}_kind")
            for role in (Role.LGE.value, Role.T2.value)}


def _set_points(study: Study, path: Path) -> None:
    from deepgmm.reading.contours.markups import read_points
    from deepgmm.study.insertion_points import given_points

    points, said = given_points(read_points(path, "RV insertion points"), study.geometry,
                                study.mask)
    study.insertion_points = points
    study.warnings += said


def can_refine() -> bool:
    """Whether this version goes on from an edited segmentation."""
    from importlib.util import find_spec

    return find_spec("deepgmm.refine") is not None


def refined(result: Result, edited: Path) -> Result:
    """The result that follows an edited segmentation.

    Raises
    ------
    DeepGMMError : it is not of this case, or the fit came to nothing.
    """
    from importlib import import_module

    from deepgmm.reading.masks.labelmap import read_labels

    corrections = import_module("deepgmm.review.corrections")
    read = read_labels(edited, "edited segmentation")
    labels, kept = _inside(corrections.edited_labels(read, result), result.labels)
    found: Result = import_module("deepgmm.refine").refine(
        result, corrections.corrections_of(result, labels))
    if kept:
        found.warnings.append(f"the edited segmentation leaves {kept} voxels at the rim of the LV "
                              "mask blank, as one of another mask does: they were not taken for "
                              "erased")
    return found


def _inside(edited: npt.NDArray[np.uint8], labels: npt.NDArray[np.uint8]
            ) -> tuple[npt.NDArray[np.uint8], int]:
    """Edited labels without the blanks along their outline, and how many those were.

    Nothing says on which mask somebody edited: what is blank within the drawing was erased, what
    lies between the drawing's outline and this mask's may never have been there.
    """
    from scipy import ndimage

    rim = np.zeros(edited.shape, bool)
    for index in np.flatnonzero(edited.any((1, 2))):
        drawn = edited[index] > 0
        rim[index] = ~ndimage.binary_fill_holes(drawn) & (labels[index] > 0)
    return np.where(rim, labels, edited), int(rim.sum())


def _notes(case: Case) -> list[str]:
    if EDITED in case.files and not can_refine():
        return ["an edited segmentation was named, and this version does not go on from one: "
                "that part was skipped"]
    return []
