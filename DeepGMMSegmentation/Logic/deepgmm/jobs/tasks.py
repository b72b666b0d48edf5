"""What a worker can be asked for, by name; both sides of the asking in one place."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from deepgmm.jobs.codec import decode_result, decode_study, encode_result, encode_study
from deepgmm.jobs.protocol import Arrays, Header
from deepgmm.progress import Progress
from deepgmm.result import Result
from deepgmm.settings import Settings
from deepgmm.study.study import Study
from deepgmm.study.words import Align, Role

Task = Callable[[Header, Arrays, Progress], tuple[Header, Arrays]]

_LOCKED = "locked_labels"


@dataclass
class Segmented:
    """The answer to "segment".

    Attributes
    ----------
    report : of `deepgmm.review.report.report`.
    slices : of `deepgmm.review.slices.slice_rows`.
    """

    result: Result
    report: dict[str, Any]
    slices: list[dict[str, Any]]


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
                     header["slices"])


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
    return ({"result": described, "report": report(result), "slices": slice_rows(result)}, answer)


TASKS: dict[str, Task] = {"segment": segment_task}
