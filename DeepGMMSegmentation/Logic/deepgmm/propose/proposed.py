"""A proposed LV mask: what it holds, how it is drawn from borders, and what is said of it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from deepgmm.propose.beside import Looks
from deepgmm.propose.probability import probability_of
from deepgmm.propose.rings import Ring
from deepgmm.study.alignment.alignment import WARNS
from deepgmm.study.alignment.slice_moves import FAR, WITH_OTHERS
from deepgmm.study.checks import check_study
from deepgmm.study.levels import counted
from deepgmm.study.study import BoolArray, FloatArray, Geometry, Study
from deepgmm.study.words import Kind, Role, named_slices, to_be_looked_at

#: A slice is said to be sure above this.
SURE = 0.9
#: Expected overlap at which a slice is as likely good as not, and how fast that changes; and the
#: confidence of a slice that was filled in between others.
MIDDLE, WIDTH, FILLED = 0.86, 0.02, 0.2
#: A ventricle of which no slice is so sure is doubted: of real hearts the surest slice has .94 and
#: more, of what lies beside them .54 at most. The lowest slices of a brain may be as sure as a
#: heart.
DOUBTED = 0.75
#: How it is said of a mask that it was proposed.
NOT_DRAWN = "the LV mask was proposed from the images and not drawn"
#: And of which slices it is unsure.
UNSURE = "the proposed LV mask is unsure on"
#: Under which a study's provenance says the frame of a cine that was taken.
FRAME = "bssfp_phase"
#: Under which a proposal says how its sequences were moved to be looked at.
MOVES = "alignment"
#: Under which it names the sequences that were not looked at, since with them nothing was sure.
SET_ASIDE = "set_aside"


@dataclass
class MaskProposal:
    """An LV mask for a person to look at; never to be used unseen.

    Attributes
    ----------
    mask, wall, pool : (slices, rows, columns) bool; mask is wall and pool together.
    inside : (slices, rows, columns) float32, the probability of being inside by the network alone,
        before borders were drawn; `probability` goes with the mask.
    confidence : (slices,) 0 to 1; 0 where nothing is proposed, 1 where a person fixed it.
    overlap : (slices,) the Dice that the probabilities let expect of what was found in the slice
        itself; 0 where nothing was.
    left_out : slice to the reason why nothing is proposed there.
    rings : slice to its borders, in mm.
    warnings : what a user must see.
    provenance : JSON values, for a report.
    looks : what is looked at again when a slice is corrected; without it slices follow by the
        borders alone.
    """

    mask: BoolArray
    wall: BoolArray
    pool: BoolArray
    inside: npt.NDArray[np.float32]
    confidence: npt.NDArray[np.float64]
    overlap: npt.NDArray[np.float64]
    left_out: dict[int, str] = field(default_factory=dict)
    rings: dict[int, Ring] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    provenance: dict[str, Any] = field(default_factory=dict)
    looks: Looks | None = None

    def probability(self, geometry: Geometry) -> npt.NDArray[np.float32]:
        """(slices, rows, columns) each pixel's probability of being inside: over .5 within the mask
        and under .5 beyond it; 0 and 1 on slices that a person drew.

        Parameters
        ----------
        geometry : of the images.
        """
        return probability_of(self.inside, self.mask, self.rings, self.provenance.get("fixed", ()),
                              (float(geometry.spacing[1]), float(geometry.spacing[0])))

    @property
    def note(self) -> dict[str, Any]:
        """What is noted in a segment of a proposal: nobody looked at it yet, unless every slice was
        drawn; and what every slice held, so that those redrawn since are known."""
        return {"note": "LV mask proposed", "looked_at": all_drawn(self, self.provenance),
                "warnings": self.warnings, "provenance": self.provenance,
                "slices": {str(i): digest_of(one) for i, one in enumerate(self.mask) if one.any()}}


def digest_of(mask: BoolArray) -> str:
    """What tells the mask of one slice, (rows, columns), from another."""
    return hashlib.sha256(np.packbits(mask).tobytes()).hexdigest()[:16]


def drawn(rings: Mapping[int, Ring], shape: tuple[int, ...], spacing: tuple[float, float]
          ) -> tuple[BoolArray, BoolArray]:
    """(slices, rows, columns) of what lies inside the outer and the inner borders."""
    mask, pool = np.zeros(shape, bool), np.zeros(shape, bool)
    for i, ring in rings.items():
        mask[i] = ring.filled((shape[1], shape[2]), spacing)
        pool[i] = ring.filled((shape[1], shape[2]), spacing, inner=True) & mask[i]
    return mask, pool


def overlap_of(inside: FloatArray, mask: BoolArray) -> float:
    """The Dice that probabilities let expect of a mask."""
    return 2 * float((inside * mask).sum()) / max(float(mask.sum() + inside.sum()), 1e-6)


def confidence_of(overlap: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """How likely slices with such expected overlaps are right."""
    return np.asarray(1 / (1 + np.exp(-(overlap - MIDDLE) / WIDTH)))


def all_drawn(found: MaskProposal, known: Mapping[str, Any]) -> bool:
    """Whether a person drew, or said to be empty, every slice of what was proposed."""
    fixed = list(known.get("fixed", ()))
    return bool(fixed) and not np.delete(found.mask, fixed, axis=0).any()


def doubts(found: MaskProposal) -> list[str]:
    """What is said of a proposal, as it came first, of which no slice is as sure as a heart's."""
    return [] if found.confidence.max() >= DOUBTED else [
        "no slice looks surely like a left ventricle: see whether the images are short-axis ones "
        "of a heart, whole and in order"]


def say(found: MaskProposal, known: Mapping[str, Any]) -> None:
    """Put into a proposal what a user must see, and what a report says of it.

    Parameters
    ----------
    known : further values for its report.
    """
    found.warnings = [f"{NOT_DRAWN}: {to_be_looked_at(known.get('fixed', ()))}"]
    if all_drawn(found, known):
        found.warnings.clear()
    unsure = [i for i in found.rings if found.confidence[i] <= SURE]
    if unsure:
        found.warnings.append(f"{UNSURE} {named_slices(unsure)}")
    for why in dict.fromkeys(found.left_out.values()):
        out = [i for i, said in sorted(found.left_out.items()) if said == why]
        found.warnings.append(f"no LV mask is proposed on {named_slices(out)}: {why}")
    found.warnings += moves_said(known.get(MOVES, {}))
    if known.get(SET_ASIDE):
        aside = " and ".join(Role(name).title for name in known[SET_ASIDE])
        found.warnings.append(f"the LV mask was proposed without {aside}: together no slice looked "
                              "surely like a left ventricle; see whether they lie on the same "
                              "heart")
    found.provenance = {
        **known, "proposed": not all_drawn(found, known),
        "confidence": [round(float(c), 3) for c in found.confidence],
        "left_out": {str(i): why for i, why in found.left_out.items()}}


def moved_by(found: Mapping[str, Any]) -> dict[tuple[str, int], float]:
    """Sequence and slice to mm by which it was moved."""
    return {(one["sequence"], one["slice"]): float(np.hypot(one["dx"], one["dy"]))
            for one in found.get("moves", ()) if one["accepted"]}


def moves_said(found: Mapping[str, Any]) -> list[str]:
    """What a user must see of them."""
    moved = moved_by(found)
    texts = []
    for name in dict.fromkeys(sequence for sequence, _ in moved):
        own = {i: mm for (sequence, i), mm in moved.items() if sequence == name and mm > WARNS}
        if own:
            texts.append(
                f"the proposed LV mask lies on {Role(found['reference']).title}: {Role(name).title}"
                f" lies up to {max(own.values()):.1f} mm off it ({named_slices(own)}) and was moved"
                " to be looked at; --align shift does so for the fit")
    for name in dict.fromkeys(one["sequence"] for one in found.get("moves", ())):
        lost = [one["slice"] for one in found["moves"]
                if one["sequence"] == name and one["reason"] in (FAR, WITH_OTHERS)]
        if lost:
            texts.append(f"{Role(name).title} finds {FAR} of {Role(found['reference']).title} on "
                         f"{named_slices(lost)} and was looked at where it lies: see whether both "
                         "show the same heart, or propose without it")
    return texts


def mark(study: Study, found: MaskProposal) -> None:
    """Say of a study, in place, that its mask was proposed, and so what of it a user must see; how
    its sequences lie is said by whoever aligns it. What reading its file said of that gives way."""
    study.provenance["mask_proposal"] = found.provenance
    seen, fitted = (said.get(FRAME, {}).get("frame") for said in (found.provenance,
                                                                  study.provenance))
    differ = [] if None in (seen, fitted) or seen == fitted else [
        f"the LV mask was proposed on frame {seen} of the bSSFP cine and frame {fitted} is "
        "segmented (counted from 0): see whether it fits, or say the frame with --phase"]
    moves = moves_said(found.provenance.get(MOVES, {}))
    study.warnings[:] = [*(w for w in found.warnings if w not in moves), *differ,
                         *(w for w in study.warnings if not w.startswith(NOT_DRAWN))]


def with_proposal(study: Study, found: MaskProposal) -> Study:
    """A study with the LV mask proposed for it, ready to be segmented once somebody looked at it.

    Parameters
    ----------
    study : the images, as `read_images` gives them; left as it was. Kinds that are not said are
        guessed, as `read_study` does.

    Raises
    ------
    InputError : as `deepgmm.study.checks.check_study`, or a proposal for other images.
    """
    new = replace(study, mask=found.mask.copy(), warnings=[*found.warnings, *study.warnings],
                  excluded=dict(study.excluded),
                  sequences={role: replace(s) for role, s in study.sequences.items()},
                  provenance=study.provenance | {"mask_proposal": dict(found.provenance)})
    with counted(new.mask):
        check_study(new, guess=[role for role, s in new.sequences.items()
                                if s.kind is Kind.UNKNOWN])
    return new
