"""What a reader study needs of a correction: automatic against corrected, voxels, time."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from deepgmm.given import Corrections
from deepgmm.review.metrics import dice
from deepgmm.review.report import NOTICE, plain
from deepgmm.review.versions import Versions
from deepgmm.study.levels import Numbering, levels, numbering_of
from deepgmm.study.words import Tissue

Labels = npt.NDArray[np.uint8]


@dataclass
class EffectTimes:
    """How long a person had each effect of an editor active.

    Attributes
    ----------
    seconds : (effect, slice counted from 0, or None where no slice was pointed at) to seconds.
    longest : a pause of more than so many seconds, without a sign of the person, is not counted.
    pauses, paused : how many there were, and their seconds.
    """

    longest: float
    seconds: dict[tuple[str, int | None], float] = field(default_factory=dict)
    pauses: int = 0
    paused: float = 0.0

    @property
    def all(self) -> float:
        """Seconds with any effect."""
        return sum(self.seconds.values())


def edit_log(versions: Versions, given: Corrections, base: int, refined: int | None, *,
             seconds: float | None = None, refit_seconds: float | None = None,
             effects: EffectTimes | None = None) -> dict[str, Any]:
    """The log of one correction, as JSON values.

    Parameters
    ----------
    given : what was corrected now; `base`, `refined` : versions before and after, None for the
        latter where nothing learned from it.
    seconds : of the person, as that person gives it, else those of `effects`; `refit_seconds` : of
        the computer.
    effects : time with an effect of an editor active, where that was measured.

    Returns
    -------
    dict
        `automatic_against_corrected` (version 1 against the base with the corrections),
        `base_against_corrected`, `corrected_against_refined`: Dice per tissue, of the volume and
        of every slice; the last None where nothing learned. `voxels_touched`: per tissue and
        slice, those that a person changed. `effects`: seconds per effect, overall and by slice,
        and what pauses were left out; None where no editor measured them. `edits` with their times.
    """
    before = versions.numbered(base).labels()
    corrected = given.painted(before)
    after = corrected if refined is None else versions.numbered(refined).labels()
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
        "corrected_against_refined": None if refined is None else overlap(corrected, after),
        "voxels_touched": {
            "all": int(touched.sum()),
            "to": {t.title: int((touched & (corrected == t)).sum()) for t in tissues},
            "from": {t.title: int((touched & (before == t)).sum()) for t in tissues},
            "slices": [{"index": int(i), "number": numbering.of(int(i)),
                        "voxels": int(touched[i].sum())}
                       for i in np.flatnonzero(touched.any((1, 2)))]},
        "voxels_that_followed": None if refined is None else int(
            ((after != corrected) & ~given.fixed).sum()),
        "done_slices": [{"index": i, "number": numbering.of(i)} for i in given.done],
        "border_slices": [{"index": i, "number": numbering.of(i)} for i in given.bordered],
        "edits": [{"strength": e.strength.title, "when": e.when, "version": e.run,
                   "seconds": e.seconds} for e in given.edits],
        "effects": None if effects is None else _said_of(effects, numbering),
        "seconds_of_person": effects.all if seconds is None and effects else seconds,
        "seconds_of_refit": refit_seconds})
    assert isinstance(found, dict)
    return found


def _said_of(times: EffectTimes, numbering: Numbering) -> dict[str, Any]:
    def by_effect(spent: Mapping[tuple[str, int | None], float]) -> dict[str, float]:
        names = sorted({effect for effect, _ in spent})
        return {name: round(sum(s for (effect, _), s in spent.items() if effect == name), 3)
                for name in names}

    def on(index: int | None) -> dict[str, float]:
        return by_effect({key: s for key, s in times.seconds.items() if key[1] == index})
    slices = sorted({index for _, index in times.seconds if index is not None})
    return {"seconds": by_effect(times.seconds),
            "slices": [{"index": i, "number": numbering.of(i), "seconds": on(i)} for i in slices],
            "on_no_slice": on(None),
            "pauses": {"longest_counted_seconds": times.longest, "not_counted": times.pauses,
                       "not_counted_seconds": round(times.paused, 3)}}


def log_text(said: dict[str, Any]) -> str:
    """The log as strict JSON."""
    return json.dumps(said, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
