"""What a fit said is said as long as it holds: corrections make some of it untrue."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from small_phantoms import a_patient
from small_results import a_result_of

from deepgmm import Settings, refine, segment
from deepgmm.given import Corrections, Edit, Strength
from deepgmm.outdated import still_true
from deepgmm.review.corrections import corrections_of
from deepgmm.review.montage import montage_png
from deepgmm.review.report import report
from deepgmm.study.words import Tissue

LOOK = "the LV mask was proposed from the images and not drawn: look at its outline on every slice"
MORE = ("scar may be more than what is drawn: another 3.1% of the wall, on slices 0, 2, looks like "
        "it without being sure anywhere; look at the probabilities")


@pytest.mark.parametrize(("said", "settled", "left"), [
    (LOOK, [1], f"{LOOK} but slice 1, which was called right"),
    (LOOK, [0, 1, 2], ""),
    (f"{LOOK} but slice 0, which was drawn", [1], f"{LOOK} but slices 0-1, which were drawn or "
                                                  "called right"),
    ("the proposed LV mask is unsure on slices 0-1", [1],
     "the proposed LV mask is unsure on slice 0"),
    ("the proposed LV mask is unsure on slice 1", [1], ""),
    ("other starts of the fit label more than 10% of the pixels otherwise in slices 0-2: look at "
     "these first", [1], "other starts of the fit label more than 10% of the pixels otherwise in "
                         "slices 0, 2: look at these first"),
    (MORE, [1], MORE),
    (MORE, [0], "scar may be more than what is drawn: some of the wall, on slice 2, looks like it "
                "without being sure anywhere; look at the probabilities"),
    ("no scar was found: what the network is sure of is a speck, 0.12% of the wall; 2.0% of the "
     "wall may be scar, on slices 0, 1", [1],
     "no scar was found: what the network is sure of is a speck, 0.12% of the wall; some of the "
     "wall may be scar, on slice 0"),
    ("no scar was found: nowhere is the network sure of it; 2.0% of the wall may be scar, on "
     "slice 1", [1], "no scar was found: nowhere is the network sure of it"),
    ("no scar was found: nowhere is the network sure of it", [0, 1, 2], ""),
    ("it is proposed to leave slices 0-1 out, which keeps 2 (--slices 2)", [1],
     "it is proposed to leave slice 0 out, which keeps 1-2 (--slices 1-2)"),
    ("it is proposed to leave slice 1 out, which keeps 0,2 (--slices 0,2)", [1], ""),
    ("slice 1 locked with no tissue drawn: untick Done to have it segmented", [], ""),
    ("slice 1: LGE is blurred", [1], "slice 1: LGE is blurred"),  # of the image
])
def test_what_is_to_be_looked_at_is_asked_of_open_slices_alone(said: str, settled: list[int],
                                                                left: str) -> None:
    study = a_result_of().study
    study.provenance["mask_proposal"] = {"fixed": [0]} if "was drawn" in said else {}
    assert still_true([said], study, settled) == ([left] if left else [])


def test_what_a_refit_says_is_of_itself_and_what_it_silenced_comes_back() -> None:
    asked = "the proposed LV mask is unsure on slices 0-1"
    result = segment(a_patient(101).study, Settings(method="map"))
    result.study.warnings.append(asked)  # as a proposal says it of its study
    result.warnings.insert(0, asked)
    edited = result.labels.copy()
    stroke = tuple(np.argwhere(edited == Tissue.MYOCARDIUM)[:9].T)
    edited[stroke] = Tissue.SCAR
    one = refine(result, corrections_of(result, edited, done=[1]))
    back = edited.copy()
    back[stroke] = Tissue.MYOCARDIUM
    two = refine(one, corrections_of(one, np.where(back != edited, back, one.labels)))
    three = refine(two, corrections_of(two, two.labels, done=[0]))
    four = refine(three, Corrections.none(result.labels.shape), reopened=[1])
    said = [[w for w in r.warnings if "corrected before" in w] for r in (one, two, three)]
    assert [len(s) for s in said] == [0, 1, 0]  # the contradiction is of the second alone
    unsure = [[w for w in report(r)["warnings"] if w.startswith("the proposed LV mask is unsure")]
              for r in (one, three, four)]
    assert unsure == [["the proposed LV mask is unsure on slice 0"], [],
                      ["the proposed LV mask is unsure on slice 1"]]
    assert "warnings_before" not in report(four)
    assert all(len(set(r.warnings)) == len(r.warnings) for r in (one, two, three, four))


def test_a_slice_of_which_every_voxel_was_corrected_is_settled() -> None:
    result = a_result_of()
    whole = np.zeros(result.labels.shape, np.uint16)
    whole[1] = result.study.mask[1]
    given = Corrections(result.labels * (whole > 0), whole, [Edit(Strength.VOXEL)])
    assert replace(result, corrections=given).settled == (1,)
    whole[1][tuple(np.argwhere(whole[1])[0])] = 0
    assert replace(result, corrections=replace(given, edit=whole)).settled == ()
    assert montage_png(replace(result, corrections=given))[:4] == b"\x89PNG"
