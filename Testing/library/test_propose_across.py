"""A mask proposed from sequences of different breath-holds, and what of it is said and shown."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from deepgmm import InputError, propose_mask, with_proposal
from deepgmm.phantom import make_patient
from deepgmm.propose.placing import looked_at
from deepgmm.propose.proposed import MOVES, mark, moves_said
from deepgmm.review.metrics import dice
from deepgmm.study.alignment import masks_in_place, with_alignment
from deepgmm.study.alignment.slice_moves import BETTER, FAR, WITH_OTHERS
from deepgmm.study.study import Geometry
from deepgmm.study.words import Role

#: Pixels by which each slice lies elsewhere, (rows, columns): 5 to 8 mm.
OFF = {Role.BSSFP: ((4, -3), (-4, 2), (0, 5)), Role.T2: ((-3, -3), (3, 4), (-4, 0))}


@pytest.fixture(scope="module")
def patient():
    return make_patient(101, slices=3)


@pytest.fixture(scope="module")
def study(patient):
    return replace(patient.study, warnings=[])


@pytest.fixture(scope="module")
def apart(study):
    """Whole pixels, so that no interpolation betrays the shift."""
    def values(role, images):
        return np.stack([np.roll(one, by, (0, 1)) for one, by in zip(
            images, OFF.get(role, ((0, 0),) * 3))])
    return replace(study, mask=np.zeros_like(study.mask), sequences={
        role: replace(s, values=values(role, s.values)) for role, s in study.sequences.items()})


@pytest.fixture(scope="module")
def found(apart):
    return propose_mask(apart)


def test_breath_holds_cost_a_proposal_little(study, apart, found):
    still = propose_mask(replace(study, mask=np.zeros_like(study.mask)))
    apart_by_a_breath = propose_mask(apart, align="off")
    at_rest, moved, blurred = (dice(one.mask, study.mask) for one in (
        still, found, apart_by_a_breath))
    assert moved > 0.96 and moved > at_rest - 0.01 and moved > blurred + 0.02
    assert MOVES not in apart_by_a_breath.provenance
    assert not any(m["accepted"] for m in still.provenance[MOVES]["moves"])


def test_it_lies_where_the_alignment_then_moves_the_others(patient, apart, found):
    pixel = apart.geometry.spacing[0]
    aligned = with_alignment(with_proposal(apart, found), "shift")
    for told in (found.provenance[MOVES], aligned.provenance["alignment"]):
        assert told["reference"] == "lge"
        assert len(told["moves"]) == 6 and all(m["accepted"] for m in told["moves"])
        for m in told["moves"]:
            role, i = Role(m["sequence"]), m["slice"]
            # the phantom's own motion is there too
            wanted = -pixel * (np.array(OFF[role][i]) + patient.shifts[role]
                               - np.array(patient.shifts[Role.LGE]))
            assert np.hypot(*(wanted - (m["dy"], m["dx"]))) < 1.0


def test_each_sequence_has_the_outline_where_it_lies(study, apart, found):
    own = masks_in_place(replace(apart, mask=found.mask), found.provenance[MOVES])
    assert set(own) == set(OFF)
    for role, by in OFF.items():
        truth = np.stack([np.roll(m, shift, (0, 1)) for m, shift in zip(study.mask, by)])
        assert dice(own[role], truth) > max(0.95, dice(found.mask, truth) + 0.05)


def test_what_was_moved_is_said_once_and_shown_so(study, apart, found):
    said = [w for w in found.warnings if "lies on LGE" in w]
    assert [w.split(": ")[1].split()[0] for w in said] == ["bSSFP", "T2"]
    assert all("slices 0-2" in w for w in said)
    took = replace(apart, warnings=[], provenance={})
    mark(took, found)  # whoever aligns the study says how its sequences lie
    assert took.warnings == [w for w in found.warnings if w not in said]
    shown = looked_at(apart, found.mask, found.provenance[MOVES])
    near = study.mask
    for role in OFF:
        there, before, after = (s.sequences[role].values[near] for s in (study, apart, shown))
        assert np.corrcoef(there, after)[0, 1] > np.corrcoef(there, before)[0, 1] + 0.2
    assert looked_at(apart, found.mask, {}) is apart
    assert (shown.sequences[Role.LGE].values == apart.sequences[Role.LGE].values).all()


def test_what_finds_no_place_is_said_and_little_is_not():
    def one(i, dx, accepted, reason):
        return {"sequence": "t2", "slice": i, "dx": dx, "dy": 0.0, "accepted": accepted,
                "reason": reason}
    told = {"reference": "lge", "moves": [
        one(0, 2.5, True, BETTER), one(1, 9.9, False, FAR), one(2, 5.0, False, WITH_OTHERS)]}
    said, = moves_said(told)
    assert "T2 finds no best place" in said and "slices 1-2" in said
    told["moves"] = [one(0, -6.1, True, BETTER), one(1, 9.0, False, "several places fit")]
    said, = moves_said(told)
    assert "T2 lies up to 6.1 mm off it (slice 0)" in said
    assert not moves_said({})


def test_nothing_is_moved_onto_a_blank_slice(apart):
    lge = apart.sequences[Role.LGE]
    values = lge.values.copy()
    values[1] = np.nan
    blank = replace(apart, sequences=apart.sequences | {Role.LGE: replace(lge, values=values)})
    moves = propose_mask(blank).provenance[MOVES]["moves"]
    assert {m["slice"] for m in moves} == {0, 2}


def test_one_sequence_and_none_to_align(apart):
    alone = replace(apart, sequences={Role.LGE: apart.sequences[Role.LGE]})
    assert MOVES not in propose_mask(alone).provenance
    with pytest.raises(InputError, match="--align: 'sideways' is unknown"):
        propose_mask(apart, align="sideways")


def test_a_sequence_of_another_place_is_set_aside(study):
    far = replace(study, sequences={
        role: replace(s, values=np.roll(s.values, (24, -24), (1, 2)) if role is Role.BSSFP
                      else s.values)
        for role, s in study.sequences.items() if role is not Role.T2})
    alone = propose_mask(replace(far, sequences={Role.LGE: far.sequences[Role.LGE]}))
    found = propose_mask(far, align="off")
    assert found.provenance["set_aside"] == ["bssfp"] and found.provenance["sequences"] == ["lge"]
    assert any("proposed without bSSFP" in said for said in found.warnings)
    assert (found.mask == alone.mask).all() and not alone.provenance.get("set_aside")


def test_a_blank_slice_does_not_spoil_those_beside_it():
    study = make_patient(101, slices=5).study
    lge = study.sequences[Role.LGE]
    values = lge.values.copy()
    values[2] = 0
    whole, blank = (propose_mask(replace(study, sequences={Role.LGE: replace(lge, values=v)}))
                    for v in (lge.values, values))
    assert blank.confidence[2] == 0.2 and blank.mask[2].any()  # between its neighbours, unsure
    for i in (0, 1, 3, 4):
        assert dice(blank.mask[i], whole.mask[i]) > 0.93
        assert blank.confidence[i] > whole.confidence[i] - 0.5


def test_pixels_in_another_unit_are_refused(study):
    apart = Geometry((140.0, 140.0, 1000.0))
    with pytest.raises(InputError, match="140 mm are too large .* is in mm"):
        propose_mask(replace(study, geometry=apart))
