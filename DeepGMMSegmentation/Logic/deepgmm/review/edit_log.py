"""What a reader study needs of a correction: automatic against corrected, voxels, time."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import numpy.typing as npt

from deepgmm.given import Corrections
from deepgmm.review.metrics import dice
from deepgmm.review.report import NOTICE, plain
from deepgmm.review.versions import Versions
from deepgmm.study.levels import levels, numbering_of
from deepgmm.study.words import Tissue

Labels = npt.NDArray[np.uint8]


def edit_log(versions: Versions, given: Corrections, base: int, refined: int, *,
             seconds: float | None = None, refit_seconds: float | None = None) -> dict[str, Any]:
    """The log of one correction, as JSON values.

    Parameters
    ----------
    given : what was corrected now; `base`, `refined` : versions before and after.
    seconds : of the person; `refit_seconds` : of the computer.

    Returns
    -------
    dict
        `automatic_against_corrected` (version 1 against the base with the corrections),
        `base_against_corrected`, `corrected_against_refined`: Dice per tissue, of the volume and
        of every slice. `voxels_touched`: per tissue and slice, those that a person changed.
        `edits` with their times.
    """
    before = versions.numbered(base).labels()
    corrected, after = given.painted(before), versions.numbered(refined).labels()
    automatic = versions.line[0].labels()
    numbering = numbering_of(levels(versions.study), len(before))
    tissues = [t for t in Tissue if t and (t in versions.tissues or (corrected == t).any())]

    def overlap(one: Labels, other: Labels) -> dict[str, Any]:
        rows = [{"index": int(i), "number": numbering.of(int(i)),
                 **{t.title: dice(one[i] == t, other[i] == t) for t in tissues}}
                for i in np.flatnonzero(((one > 0) | (other > 0)).any((1, 2)))]
        return {"volume": {t.title: dice(one == t, other == t) for t in tissues}, "slices": rows}

    touched = given.fixed & (corrected != before)
    found = plain({
        "notice": NOTICE, "version": refined, "edited_version": base,
        "automatic_against_corrected": overlap(automatic, corrected),
        "base_against_corrected": overlap(before, corrected),
        "corrected_against_refined": overlap(corrected, after),
        "voxels_touched": {
            "all": int(touched.sum()),
            "to": {t.title: int((touched & (corrected == t)).sum()) for t in tissues},
            "from": {t.title: int((touched & (before == t)).sum()) for t in tissues},
            "slices": [{"index": int(i), "number": numbering.of(int(i)),
                        "voxels": int(touched[i].sum())}
                       for i in np.flatnonzero(touched.any((1, 2)))]},
        "voxels_that_followed": int(((after != corrected) & ~given.fixed).sum()),
        "done_slices": [{"index": i, "number": numbering.of(i)} for i in given.done],
        "edits": [{"strength": e.strength.title, "when": e.when, "version": e.run,
                   "seconds": e.seconds} for e in given.edits],
        "seconds_of_person": seconds, "seconds_of_refit": refit_seconds})
    assert isinstance(found, dict)
    return found


def log_text(said: dict[str, Any]) -> str:
    """The log as strict JSON."""
    return json.dumps(said, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
