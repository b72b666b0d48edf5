"""What the worker is asked for and answers, without a process between."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import numpy as np
import pytest

from deepgmm import Settings, refine, segment
from deepgmm.errors import Cancelled, InputError
from deepgmm.jobs.protocol import pieces, read_message
from deepgmm.jobs.tasks import (
    TASKS,
    Segmented,
    refine_request,
    refined,
    segment_request,
    segmented,
)
from deepgmm.phantom import make_patient
from deepgmm.review.corrections import corrections_of
from deepgmm.review.report import report
from deepgmm.review.slices import slice_rows
from deepgmm.review.where_next import review_next
from deepgmm.study.alignment import with_alignment
from deepgmm.study.study import Study
from deepgmm.study.words import Kind, Role


@pytest.fixture
def a_study() -> Study:
    return make_patient(1003, slices=3).study


def through(header: dict, arrays: dict) -> tuple[dict, dict]:
    """As the other side gets it."""
    return read_message(io.BytesIO(b"".join(bytes(p) for p in pieces(header, arrays))))


def asked(study: Study, settings: Settings | None = None, progress=None, **more) -> Segmented:
    header, arrays = through(*segment_request(study, settings, **more))
    answer = TASKS["segment"](header, arrays, progress or (lambda fraction, stage: None))
    return segmented(*through(*answer), study)


@pytest.mark.parametrize("settings", [
    Settings(), Settings(method="gmm", seed=3, restarts=2),
    Settings(tissues=["blood", "myocardium"])],
    ids=["auto", "gmm", "two tissues"])
def test_the_answer_is_the_librarys(a_study: Study, settings: Settings) -> None:
    answer = asked(a_study, settings)
    expected = segment(with_alignment(a_study, "check"), settings)
    np.testing.assert_array_equal(answer.result.labels, expected.labels)
    np.testing.assert_array_equal(answer.result.posterior, expected.posterior)
    assert answer.result.tissues == expected.tissues
    assert answer.result.warnings == expected.warnings
    assert answer.slices == slice_rows(expected) == slice_rows(answer.result)
    without_times = {"times_s": None}
    assert answer.report | without_times == report(expected) | without_times
    assert report(answer.result) == answer.report
    json.dumps(answer.report, allow_nan=False)


@pytest.fixture
def a_shifted_study(a_study: Study) -> Study:
    """T2 lies five pixels, 7 mm or so, off LGE."""
    t2 = a_study.sequences[Role.T2]
    moved = replace(t2, values=np.roll(t2.values, 5, axis=2))
    return replace(a_study, sequences={**a_study.sequences, Role.T2: moved})


def test_a_sequence_that_does_not_lie_on_lge_is_said_first(a_shifted_study: Study) -> None:
    stages: list[str] = []
    answer = asked(a_shifted_study, progress=lambda fraction, stage: stages.append(stage))
    first = answer.report["warnings"][0]
    assert first.startswith("T2 lies up to ") and "mm off LGE (slices 0-2)" in first
    assert answer.result.warnings[0] == first and "checking alignment" in stages
    assert answer.report["alignment"]["applied"] is False
    off = asked(a_shifted_study, align="off")
    assert "alignment" not in off.report
    assert not any("off LGE" in w for w in off.report["warnings"])


@pytest.mark.parametrize("align", ["shift", "rigid"])
def test_what_is_moved_on_request_is_what_was_fitted(a_shifted_study: Study, align: str) -> None:
    answer, expected = asked(a_shifted_study, align=align), with_alignment(a_shifted_study, align)
    assert answer.report["alignment"] == expected.provenance["alignment"]
    assert answer.report["alignment"]["applied"] is True
    for role in Role:
        np.testing.assert_array_equal(answer.result.study.sequences[role].values,
                                      expected.sequences[role].values)
    np.testing.assert_array_equal(answer.result.labels, segment(expected).labels)
    assert not np.array_equal(answer.result.study.sequences[Role.T2].values,
                              a_shifted_study.sequences[Role.T2].values)


def test_images_do_not_come_back(a_study: Study) -> None:
    header, arrays = through(*segment_request(a_study))
    said, answer = TASKS["segment"](header, arrays, lambda fraction, stage: None)
    assert not any(name.startswith("study.") for name in answer)
    assert sum(a.nbytes for a in answer.values()) < a_study.images.nbytes
    assert segmented(said, answer, a_study).result.study.mask is a_study.mask


def test_what_the_user_chose_gets_there(a_study: Study) -> None:
    wall = a_study.mask & ~np.roll(a_study.mask, 12, axis=1)
    study = replace(a_study, excluded={1: "left out by the user"}, wall=wall)
    answer = asked(study)
    assert not answer.result.labels[1].any() and answer.result.study.excluded == study.excluded
    assert answer.report["excluded_slices"] == {"1": "left out by the user"}
    assert (answer.slices[1]["used"], answer.slices[1]["why"]) == (False, "left out by the user")
    assert (answer.result.labels[0][study.mask[0] & ~wall[0]] == 1).all()


def test_kinds_are_guessed_where_asked_for_alone(a_study: Study) -> None:
    for role in (Role.LGE, Role.T2):
        a_study.sequences[role].kind = Kind.UNKNOWN
    kinds = {role: s.kind for role, s in asked(a_study, guess=[Role.T2]).result
             .study.sequences.items()}
    assert kinds[Role.T2] is Kind.T2_DARK_BLOOD and kinds[Role.LGE] is Kind.UNKNOWN
    assert a_study.sequences[Role.T2].kind is Kind.UNKNOWN


def test_repaired_voxels_come_back_and_those_here_stay(a_study: Study) -> None:
    row, column = np.argwhere(a_study.mask[1])[40]
    a_study.sequences[Role.T2].values[1, row, column] = np.nan
    answer = asked(a_study)
    values = answer.result.study.sequences
    assert np.isfinite(values[Role.T2].values).all()
    assert values[Role.LGE].values is a_study.sequences[Role.LGE].values
    assert np.isnan(a_study.sequences[Role.T2].values[1, row, column])
    assert any("NaN" in w for w in answer.report["warnings"]) and not a_study.warnings


def test_locked_slices_keep_their_labels(a_study: Study) -> None:
    labels = np.zeros(a_study.mask.shape, np.uint8)
    labels[2] = np.where(a_study.mask[2], 2, 0)
    answer, free = asked(a_study, locked=[2], locked_labels=labels), segment(a_study)
    np.testing.assert_array_equal(answer.result.labels[2], labels[2])
    np.testing.assert_array_equal(answer.result.labels[:2], free.labels[:2])
    assert (answer.result.posterior[2, 1][a_study.mask[2]] == 1).all()
    assert answer.report["locked_slices"] == [2] and answer.slices[2]["locked"]


def test_an_input_at_fault_is_said_in_its_own_words(a_study: Study) -> None:
    empty = replace(a_study, mask=np.zeros_like(a_study.mask))
    with pytest.raises(InputError, match="the LV mask is empty"):
        asked(empty)
    with pytest.raises(InputError, match="scar cannot be told apart from bSSFP alone"):
        asked(replace(a_study, sequences={Role.BSSFP: a_study.sequences[Role.BSSFP]}),
              Settings(tissues=["scar", "blood"]))


def test_whoever_is_told_of_the_progress_can_stop_it(a_study: Study) -> None:
    told: list[float] = []

    def progress(fraction: float, stage: str) -> None:
        told.append(fraction)
        if fraction > 0:
            raise Cancelled("enough")

    with pytest.raises(Cancelled):
        asked(a_study, progress=progress)
    assert told[0] == 0 and told == sorted(told)


# Corrections, of which only what changed travels

def refined_by(corrections, study: Study, **more) -> Segmented | None:
    sent = through(*refine_request(corrections, **more))
    assert sum(a.nbytes for a in sent[1].values()) < 30_000 or "result" in more
    return refined(*through(*TASKS["refine"](*sent, lambda fraction, stage: None)), study)


def test_a_refit_by_the_worker_is_the_librarys_and_only_changes_travel(a_study: Study) -> None:
    answer = asked(a_study, Settings(method="map"))
    edited = answer.result.labels.copy()
    edited[1][tuple(np.argwhere(edited[1] == 2)[:30].T)] = 4
    given = corrections_of(answer.result, edited)
    new = refined_by(given, answer.result.study, key=answer.kept)
    assert new is not None and new.kept not in ("", answer.kept)
    expected = refine(answer.result, given)
    np.testing.assert_array_equal(new.result.labels, expected.labels)
    np.testing.assert_array_equal(new.result.posterior, expected.posterior)
    assert new.result.warnings == expected.warnings and new.slices == slice_rows(expected)
    assert new.next == review_next(expected)
    assert new.report["refined"]["corrected_voxels"] == 30
    # the next correction, of the new result: what the first one said still holds
    done = corrections_of(new.result, new.result.labels, done=[0])
    later = refined_by(done, new.result.study, key=new.kept)
    assert later is not None and (later.result.labels[given.fixed] == 4).all()
    assert later.report["refined"]["done_slices"] == [0]


def test_a_worker_that_has_forgotten_a_result_says_so_and_takes_it_whole(a_study: Study) -> None:
    answer = asked(a_study, Settings(method="map"))
    given = corrections_of(answer.result, answer.result.labels, done=[1])
    assert refined_by(given, a_study, key="of another process") is None
    new = refined_by(given, answer.result.study, key="of another process", result=answer.result)
    assert new is not None
    np.testing.assert_array_equal(new.result.labels, refine(answer.result, given).labels)


def test_a_result_sent_whole_may_have_corrections_of_its_own(a_study: Study) -> None:
    answer = asked(a_study, Settings(method="gmm", restarts=1))
    edited = answer.result.labels.copy()
    edited[1][tuple(np.argwhere(edited[1] == 2)[:30].T)] = 4
    first = refine(answer.result, corrections_of(answer.result, edited))
    given = corrections_of(first, first.labels, done=[0])
    new = refined_by(given, a_study, key="of another process", result=first)
    assert new is not None
    np.testing.assert_array_equal(new.result.labels, refine(first, given).labels)
    assert new.report["refined"]["done_slices"] == [0]
    assert new.report["refined"]["corrected_voxels"] > 30


def test_a_worker_keeps_the_newest_results_only(a_study: Study) -> None:
    from deepgmm.jobs import kept

    answer = asked(a_study, Settings(method="gmm", restarts=1))
    keys = [kept.keep(answer.result) for _ in range(kept.MOST)]
    assert kept.find(answer.kept) is None and all(map(kept.find, keys))
