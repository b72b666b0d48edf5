"""What a worker can be asked for, by name; both sides of the asking in one place."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from deepgmm.given import Corrections
from deepgmm.jobs import kept
from deepgmm.jobs.codec import (
    decode_corrections,
    decode_result,
    decode_study,
    encode_corrections,
    encode_result,
    encode_study,
)
from deepgmm.jobs.measuring import measure_task
from deepgmm.jobs.protocol import Arrays, Header
from deepgmm.progress import Progress
from deepgmm.result import Result
from deepgmm.settings import Settings
from deepgmm.study.study import Geometry, Study
from deepgmm.study.words import Align, Role

if TYPE_CHECKING:
    from deepgmm.propose.correcting import BorderPoint
    from deepgmm.propose.proposed import MaskProposal

Task = Callable[[Header, Arrays, Progress], tuple[Header, Arrays]]

_LOCKED, _FIXED = "locked_labels", "fixed_masks"
#: Before the names of the arrays of new corrections, where the result travels with them.
_NEW = "new."
#: The arrays of a `MaskProposal`, and of its borders, in the order of `Ring`.
_OF_PROPOSALS = ("mask", "wall", "pool", "inside", "confidence")
_OVERLAP, _OF_RINGS = "overlap", ("ring_centres", "ring_outer", "ring_inner")
_OF_LOOKS = {"looks_images": "images", "looks_inside": "inside", "looks_first": "first"}


@dataclass
class Segmented:
    """The answer to "segment".

    Attributes
    ----------
    report : of `deepgmm.review.report.report`.
    slices : of `deepgmm.review.slices.slice_rows`.
    kept : by which the worker finds the result again, for "refine".
    next : of `deepgmm.review.where_next.review_next`; none but of "refine".
    """

    result: Result
    report: dict[str, Any]
    slices: list[dict[str, Any]]
    kept: str = ""
    next: list[dict[str, Any]] = field(default_factory=list)


def segment_request(study: Study, settings: Settings | None = None, *, guess: Iterable[Role] = (),
                    locked: Iterable[int] = (), locked_labels: npt.NDArray[Any] | None = None,
                    align: Align | str = Align.CHECK) -> tuple[Header, Arrays]:
    """Header and arrays that ask for "segment".

    Parameters
    ----------
    study : as `study_from_nodes(check=False)` gives it; the worker checks it. Its arrays must
        stay as they are until they have been sent.
    guess : sequences whose kind is to be guessed from their looks.
    locked : slices that keep their labels.
    locked_labels : (slices, rows, columns), values of `Tissue`; wanted where slices are locked.
    align : what is done about sequences that do not lie on each other, as
        `deepgmm.study.alignment.with_alignment` takes it.
    """
    described, arrays = encode_study(study)
    header = {"study": described, "settings": (settings or Settings()).as_dict(),
              "guess": [role.value for role in guess], "locked": [int(i) for i in locked],
              "align": Align(align).value}
    if locked_labels is not None:
        arrays[_LOCKED] = np.asarray(locked_labels)
    return header, arrays


def segmented(header: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]],
              study: Study) -> Segmented:
    """What came back.

    Parameters
    ----------
    study : the study that was sent; its arrays are the result's where nothing was repaired.
    """
    return Segmented(decode_result(header["result"], arrays, study), header["report"],
                     header["slices"], header.get("kept", ""), header.get("next", []))


def segment_task(header: Header, arrays: Arrays, progress: Progress) -> tuple[Header, Arrays]:
    """Check a study, guess its kinds, see how it is aligned, segment it; in the worker."""
    from deepgmm.review.locked import keep_locked
    from deepgmm.review.report import report
    from deepgmm.review.slices import slice_rows
    from deepgmm.segment import segment
    from deepgmm.study.alignment import with_alignment
    from deepgmm.study.checks import check_study

    settings = Settings(**header["settings"])
    study = decode_study(header["study"], arrays)
    sent = decode_study(header["study"], arrays)
    progress(0.0, "checking")
    check_study(study, guess=[Role(role) for role in header.get("guess", ())],
                tissues=len(settings.tissues) or None)
    progress(0.0, "checking alignment")
    study = with_alignment(study, header.get("align", Align.CHECK))
    progress(0.0, "preparing")  # which the first time loads PyTorch
    result = segment(study, settings, progress=progress)
    if header.get("locked"):
        result = keep_locked(result, arrays[_LOCKED], header["locked"])
    described, answer = encode_result(result, sent)
    return ({"result": described, "report": report(result), "slices": slice_rows(result),
             "kept": kept.keep(result)}, answer)


def refine_request(corrections: Corrections, key: str = "", result: Result | None = None, *,
                   reopened: Iterable[int] = (),
                   unbordered: Iterable[int] = ()) -> tuple[Header, Arrays]:
    """Header and arrays that ask for "refine".

    Parameters
    ----------
    corrections : the new ones, as `deepgmm.review.corrections.corrections_of` finds them; of them
        only the voxels travel that they speak of.
    key : `Segmented.kept` of the result that was corrected.
    result : that result, for a worker that does not have it: a new one, or one that has been given
        others since. Then everything travels.
    reopened, unbordered : slices that are no longer done, and whose border is no longer right.
    """
    described, arrays = encode_corrections(corrections)
    header: Header = {"corrections": described, "kept": key,
                      "reopened": [int(index) for index in reopened],
                      "unbordered": [int(index) for index in unbordered]}
    if result is not None:
        header["result"], more = encode_result(result)
        # it may have corrections itself, by the same names
        arrays = {_NEW + name: values for name, values in arrays.items()} | more
    return header, arrays


def refined(header: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]],
            study: Study) -> Segmented | None:
    """What came back; None where the worker no longer has the result, and must be sent it.

    Parameters
    ----------
    study : of the result that was corrected; its arrays are the new result's.
    """
    return segmented(header, arrays, study) if header["kept"] else None


def refine_task(header: Header, arrays: Arrays, progress: Progress) -> tuple[Header, Arrays]:
    """Have a result follow corrections; in the worker."""
    from deepgmm.refine import case_of, refine
    from deepgmm.review.report import report
    from deepgmm.review.slices import slice_rows
    from deepgmm.review.where_next import review_next

    known = kept.find(header["kept"])
    if known is None and "result" in header:
        known = kept.Kept(decode_result(header["result"], arrays))
    if known is None:
        return {"kept": ""}, {}
    given = {name.removeprefix(_NEW): values for name, values in arrays.items()
             if name.startswith(_NEW)}
    corrections = decode_corrections(header["corrections"], given or arrays)
    progress(0.0, "preparing")
    known.case = known.case or case_of(known.result)
    result = refine(known.result, corrections, reopened=header.get("reopened", ()),
                    unbordered=header.get("unbordered", ()), progress=progress, case=known.case)
    described, answer = encode_result(result, result.study)
    return ({"result": described, "report": report(result), "slices": slice_rows(result),
             "next": review_next(result), "kept": kept.keep(result, known.case)}, answer)


def propose_request(study: Study, fixed: Mapping[int, npt.NDArray[np.bool_]] | None = None,
                    points: Iterable[BorderPoint] = (), align: Align | str = Align.CHECK
                    ) -> tuple[Header, Arrays]:
    """Header and arrays that ask for "propose".

    Parameters
    ----------
    study : its mask may be empty.
    fixed, points : what a person corrected, as `deepgmm.propose_mask` takes it.
    align : as that takes it; only off looks at sequences where they lie.
    """
    described, arrays = encode_study(study)
    asked = {"study": described, "align": Align(align).value}
    return asked | _corrections(fixed, points, arrays), arrays


def correct_request(found: MaskProposal, geometry: Geometry,
                    fixed: Mapping[int, npt.NDArray[np.bool_]] | None = None,
                    points: Iterable[BorderPoint] = ()) -> tuple[Header, Arrays]:
    """Header and arrays that ask for "correct": a proposal with all its corrections, at once.

    Parameters
    ----------
    found : as `proposed` gave it, without any correction.
    """
    header, arrays = _encoded(found)
    return (header | {"geometry": asdict(geometry)} | _corrections(fixed, points, arrays), arrays)


def proposed(header: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]) -> MaskProposal:
    """What came back from "propose" and "correct"; of an answer without borders none can be
    corrected."""
    from deepgmm.propose.beside import Looks
    from deepgmm.propose.proposed import MaskProposal
    from deepgmm.propose.rings import Ring

    looks = {field: arrays[name] for name, field in _OF_LOOKS.items() if name in arrays}
    rings = {int(i): Ring(*(arrays[name][k] for name in _OF_RINGS))
             for k, i in enumerate(header.get("rings", ()))}
    return MaskProposal(
        **{name: arrays[name] for name in _OF_PROPOSALS}, rings=rings,
        overlap=arrays.get(_OVERLAP, np.zeros(len(arrays["mask"]))),
        looks=Looks(**looks) if looks else None,
        left_out={int(i): why for i, why in header["left_out"]},
        warnings=list(header["warnings"]), provenance=dict(header["provenance"]))


def propose_task(header: Header, arrays: Arrays, progress: Progress) -> tuple[Header, Arrays]:
    """Propose the LV mask of a study; in the worker."""
    from deepgmm.propose.proposal import propose_mask

    fixed, points = _corrections_in(header, arrays)
    return _encoded(propose_mask(
        decode_study(header["study"], arrays), fixed=fixed, points=points,
        align=header.get("align", Align.CHECK.value), progress=progress))


def correct_task(header: Header, arrays: Arrays, progress: Progress) -> tuple[Header, Arrays]:
    """Correct a proposal; in the worker."""
    from deepgmm.propose.correcting import corrected

    fixed, points = _corrections_in(header, arrays)
    place = {name: tuple(values) for name, values in header["geometry"].items()}
    return _encoded(corrected(proposed(header, arrays), Geometry(**place), fixed=fixed,
                              points=points))


def _encoded(found: MaskProposal) -> tuple[Header, Arrays]:
    rings = [(r.centre, r.outer, r.inner) for r in found.rings.values()]
    return ({"left_out": list(found.left_out.items()), "warnings": found.warnings,
             "provenance": found.provenance, "rings": list(found.rings)},
            {name: getattr(found, name) for name in (*_OF_PROPOSALS, _OVERLAP)}
            | {name: np.array([ring[k] for ring in rings]) for k, name in enumerate(_OF_RINGS)}
            | {name: getattr(found.looks, field) for name, field in _OF_LOOKS.items()
               if found.looks is not None})


def _corrections(fixed: Mapping[int, npt.NDArray[np.bool_]] | None,
                 points: Iterable[BorderPoint], arrays: Arrays) -> Header:
    """The header's part of what a person corrected; masks are put into `arrays`."""
    masks = dict(fixed or {})
    if masks:
        arrays[_FIXED] = np.stack([np.asarray(masks[i], bool) for i in masks])
    return {"fixed": [int(i) for i in masks],
            "points": [[p.slice, *map(float, p.place), p.border] for p in points]}


def _corrections_in(header: Header, arrays: Arrays
                    ) -> tuple[dict[int, npt.NDArray[np.bool_]], list[BorderPoint]]:
    from deepgmm.propose.correcting import BorderPoint

    return (dict(zip(header.get("fixed", []), arrays.get(_FIXED, ()))),
            [BorderPoint(i, (row, column), border)
             for i, row, column, border in header.get("points", [])])


TASKS: dict[str, Task] = {"segment": segment_task, "refine": refine_task,
                          "propose": propose_task, "correct": correct_task,
                          "measure": measure_task}
