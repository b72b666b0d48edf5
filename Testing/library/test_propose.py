"""The proposed LV mask: found wherever the heart lies, and nothing where there is none."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from cones import cone
from PIL import Image

from deepgmm import InputError, Kind, propose_mask, read_study, with_proposal
from deepgmm.given import Corrections, Edit, Strength
from deepgmm.jobs.tasks import TASKS, correct_request, propose_request, proposed
from deepgmm.phantom import make_patient
from deepgmm.progress import silent
from deepgmm.propose import asking
from deepgmm.propose.canonical import Frame, brightened
from deepgmm.propose.correcting import BorderPoint, corrected
from deepgmm.result import OUTLINE_MM, Result
from deepgmm.review.metrics import dice
from deepgmm.review.proposal_picture import proposal_png
from deepgmm.study.study import Geometry, Sequence, Study
from deepgmm.study.words import Role, Tissue


@pytest.fixture(scope="module")
def study():
    return make_patient(3, slices=3).study


def without_mask(study):
    return replace(study, mask=np.zeros_like(study.mask), warnings=[])


@pytest.fixture(scope="module")
def plain(study):
    return propose_mask(without_mask(study))


def test_finds_the_ventricle_turned_and_mirrored(study):
    turned = replace(study, mask=study.mask[:, ::-1].transpose(0, 2, 1), sequences={
        role: Sequence(role, s.values[:, ::-1].transpose(0, 2, 1), s.kind)
        for role, s in study.sequences.items()})
    for one in (study, turned):
        found = propose_mask(without_mask(one))
        assert dice(found.mask, one.mask) > 0.85
        assert not (found.wall & found.pool).any()
        assert (found.mask == (found.wall | found.pool)).all()
        assert found.warnings


def test_a_study_takes_a_proposal_and_stays_as_it_was(study, plain):
    empty = without_mask(study)
    empty.sequences = {role: Sequence(role, s.values, Kind.UNKNOWN)
                       for role, s in study.sequences.items()}
    made = with_proposal(empty, plain)
    assert (made.mask == plain.mask).all() and not empty.mask.any() and not empty.warnings
    assert made.provenance["mask_proposal"] == plain.provenance
    assert set(plain.warnings) <= set(made.warnings)
    assert Kind.UNKNOWN not in {s.kind for s in made.sequences.values()}, "guessed, as of a file"
    with pytest.raises(InputError, match="bring them onto one grid"):
        with_proposal(empty, replace(plain, mask=plain.mask[:, 1:]))


def test_blank_slices_around_a_stack_change_nothing(study, plain):
    """As padding leaves them: neither the outline nor which end is which."""
    around = [(2, 4), (0, 0), (0, 0)]
    padded = replace(without_mask(study), mask=np.pad(np.zeros_like(study.mask), around),
                     insertion_points=None, sequences={
                         role: Sequence(role, np.pad(s.values, around), s.kind)
                         for role, s in study.sequences.items()})
    found = propose_mask(padded)
    assert (found.mask == np.pad(plain.mask, around)).all()
    assert (found.confidence[2:-4] == plain.confidence).all() and not found.confidence[:2].any()
    assert list(found.left_out) == [0, 1, 5, 6, 7, 8]
    assert set(found.left_out.values()) == {"the images are blank there"}
    drawn = {3: np.roll(study.mask[1], 2, axis=0)}
    assert (corrected(found, study.geometry, fixed=drawn).mask[2:-4] == corrected(
        plain, study.geometry, fixed={1: drawn[3]}).mask).all()


def test_an_end_that_is_too_unsure_is_said_to_be(study, monkeypatch):
    """No wall is said to be missing where one was found, and too little is expected of it."""
    monkeypatch.setattr("deepgmm.propose.proposal._faint", lambda overlap: [0])
    assert "too unsure" in propose_mask(without_mask(study)).left_out[0]


def test_reading_without_a_mask_says_what_python_wants(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="in Python propose_mask"):
        read_study(lge="lge.nii.gz")
    with pytest.raises(InputError, match=r"propose_mask\(read_images"):
        read_study(lge="lge.nii.gz", mask="propose")


def test_nothing_found_is_an_answer(study):
    rng = np.random.default_rng(0)
    empty = replace(without_mask(study), sequences={
        role: Sequence(role, rng.normal(100, 10, s.values.shape).astype(np.float32), s.kind)
        for role, s in study.sequences.items()})
    with pytest.raises(InputError, match="no left ventricle"):
        propose_mask(empty)


def test_a_fixed_slice_stays_and_the_worker_gives_the_same(study, plain):
    fixed = {1: np.roll(study.mask[1], 2, axis=0)}
    found = corrected(plain, study.geometry, fixed=fixed)
    assert (found.mask[1] == fixed[1]).all() and found.confidence[1] == 1.0
    assert found.provenance["fixed"] == [1]
    answer = proposed(*TASKS["propose"](*propose_request(without_mask(study), fixed), silent))
    assert (answer.mask == found.mask).all()
    again = proposed(*TASKS["correct"](*correct_request(plain, study.geometry, fixed), silent))
    assert (again.mask == found.mask).all() and again.warnings == found.warnings
    assert (again.rings[0].outer == found.rings[0].outer).all()


def test_what_was_said_to_be_less_sure_stays_so_when_something_else_is_corrected(
        study, plain, monkeypatch):
    """As a base is whose wall may be open, of an overlap as high as others'."""
    found, geometry, spacing = cone([26, 26, 26, 26])
    found.confidence[:] = 0.95
    found.confidence[3] = 0.5
    for given in ({"fixed": {1: found.mask[1]}},
                  {"points": [BorderPoint(1, ((60 + 28) / spacing[0], 61 / spacing[1]))]}):
        new = corrected(found, geometry, **given)
        assert new.confidence[3] == 0.5 and new.confidence[0] == 0.95
        assert any("unsure on slice 3" in w for w in new.warnings)
    assert corrected(found, geometry, fixed={3: found.mask[3]}).confidence[3] == 1.0
    base = len(study.mask) - 1
    assert plain.confidence[base] > 0.5
    monkeypatch.setattr("deepgmm.propose.proposal.opened", lambda *_: (set(), {base}))
    new = propose_mask(without_mask(study), fixed={0: study.mask[0]})
    assert new.confidence[base] == 0.5 and new.confidence[0] == 1.0
    assert any("unsure on" in w for w in new.warnings)


def test_the_picture_shows_which_slices_to_look_at_first(study, plain):
    found = replace(plain)
    amber = []
    for confidence in (0.95, 0.5):
        found.confidence = np.array([0.95, confidence, 0.95])
        pixels = np.asarray(Image.open(io.BytesIO(proposal_png(study, found))).convert("RGB"))
        amber.append(int((pixels == (255, 179, 0)).all(2).sum()))
    assert amber[0] == 0 and amber[1] > 100


def test_the_wall_is_shown_as_bright_as_usual_and_a_bright_one_is_left():
    """By hand: what gamma makes of the wall's own brightness."""
    def level(of):
        return np.full(9, 2 * of - 1, np.float32)
    for bright in (0.25, 0.45):
        gamma = asking._gamma(level(bright), level(0.7))
        assert abs(bright ** gamma - asking.USUAL_WALL) < 1e-3
    assert asking._gamma(level(0.02), level(0.7)) == asking.GAMMAS[0]
    assert asking._gamma(level(0.8), level(0.3)) == 1.0 == asking._gamma(level(0.3)[:0], level(0.7))
    seen = np.array([[True, True, True, False]])
    shown = brightened(np.array([[[-1, 0, 1, 1]]], np.float32), seen, 0.5)
    assert np.allclose(shown, [[[-1, 2 * 0.5 ** 0.5 - 1, 1, 0]]])


def test_a_small_slice_is_asked_larger_in_its_place(monkeypatch):
    """A network that gives back what is bright: a finer look puts it where it lies."""
    looked = []

    def bright(given, views):
        looked.append(given.shape)
        inside = np.clip((given[:, 1] + 1) / 2, 0.01, 0.99)
        return np.log(np.stack([1 - inside, inside / 2, inside / 2], 1))
    monkeypatch.setattr(asking, "_asked", bright)
    y, x = np.indices((120, 130))
    sizes = (34.0, 16.0)  # mm of radius; only the second is small
    values = np.stack([(np.hypot((y - 50) * 1.4, (x - 70) * 1.3) < r) for r in sizes])
    # a border of one value would be no image
    shown = 100 * values + np.random.default_rng(0).uniform(0, 1e-3, values.shape)
    study = Study({Role.LGE: Sequence(Role.LGE, shown.astype(np.float32))},
                  np.zeros(values.shape, bool), Geometry((1.3, 1.4, 8.0)))
    frame = Frame.around((55.0, 66.0), (1.4, 1.3))
    answer = asking.answered(study, frame)
    looked.clear()
    pieces = {i: answer.parts[i, 1:].sum(0) > 0.5 for i in (0, 1)}
    parts = asking.finer(study, frame, answer, pieces, (1.4, 1.3))
    assert looked == [(1, 4, 80, 80)] and (parts[0] == answer.parts[0]).all()
    assert np.allclose(parts.sum(1), 1, atol=1e-5)
    back = frame.back(parts[:, 1:].sum(1), (120, 130)) > 0.5
    assert dice(back[1], values[1]) > 0.94
    # a look that loses what was found is not believed
    monkeypatch.setattr(asking, "_asked", lambda given, views: np.log(np.stack(
        [np.full((1, 80, 80), p) for p in (0.98, 0.01, 0.01)], 1)))
    assert (asking.finer(study, frame, answer, pieces, (1.4, 1.3)) == answer.parts).all()


@pytest.mark.parametrize("values, why", [(np.nan, "no number"), (7.0, "constant")])
def test_an_image_without_contrast_is_called_that(study, values, why):
    flat = replace(without_mask(study), sequences={
        role: replace(s, values=np.full_like(s.values, values))
        for role, s in study.sequences.items()})
    with pytest.raises(InputError, match=why):
        propose_mask(flat)


@pytest.mark.parametrize("pixel", [0.35, 0.5, 3.0])
def test_what_is_no_ventricle_in_size_and_looks_is_not_proposed(study, pixel):
    """Or, where it is two fifths as large as in a man, no slice of it is sure, which is said."""
    other = replace(without_mask(study), geometry=replace(study.geometry,
                                                          spacing=(pixel, pixel, 10.0)))
    if pixel == 0.5:
        assert any("surely" in w for w in propose_mask(other).warnings)
        return
    with pytest.raises(InputError, match="no left ventricle"):
        propose_mask(other)


def test_where_no_slice_is_sure_that_is_said(study, plain, monkeypatch):
    assert not any("surely" in w for w in plain.warnings)
    monkeypatch.setattr("deepgmm.propose.proposal.confidence_of", lambda overlap: 0.5 * overlap)
    found = propose_mask(without_mask(study))
    assert any("surely" in w for w in found.warnings)
    # a point says nothing of it, a slice that was drawn where the heart is
    row, column = np.argwhere(found.mask[1])[0]
    for given, said in (({"points": [BorderPoint(1, (row - 1.0, float(column)))]}, True),
                        ({"fixed": {1: found.mask[1]}}, False)):
        assert any("surely" in w for w in corrected(found, study.geometry, **given).warnings
                   ) == said


@pytest.mark.parametrize("values", [np.nan, 0.0])
def test_nothing_is_proposed_on_blank_slices_at_an_end(study, plain, values):
    def blanked(s):
        new = s.values.copy()
        new[0] = values
        return replace(s, values=new)
    found = propose_mask(replace(without_mask(study), sequences={
        role: blanked(s) for role, s in study.sequences.items()}))
    assert not found.mask[0].any() and "blank" in found.left_out[0]
    assert found.confidence[0] == 0 and plain.mask[0].any() and found.mask[1:].any()


def test_a_proposed_outline_widens_the_intervals_of_blood_and_myocardium() -> None:
    """Circles: by hand, their length times the slices' distance times the mm of `OUTLINE_MM`."""
    y, x = np.mgrid[:120, :120] * 0.8 - 48.0
    away = np.broadcast_to(np.hypot(y, x), (3, 120, 120))
    radii = {Tissue.BLOOD: 20.0, Tissue.MYOCARDIUM: 32.0}
    labels = np.where(away < 20, 1, np.where(away < 32, 2, 0)).astype(np.uint8)
    study = Study({Role.BSSFP: Sequence(Role.BSSFP, labels.astype(np.float32))}, labels > 0,
                  Geometry((0.8, 0.8, 9.0)))
    crisp = np.stack([labels == t for t in radii], 1).astype(np.float32)

    def halves(done: tuple[int, ...] = (), **said: object) -> np.ndarray:
        whole = study.mask & np.isin(np.arange(3), done)[:, None, None]
        result = Result(study, tuple(radii), labels, crisp, provenance={
            "calibrated": True, "method": "map", "mask_proposal": said},
            corrections=Corrections(labels * whole, whole, [Edit(Strength.SLICE)], done))
        return np.array([np.ptp(result.volume_interval(t)) / 2 for t in radii])
    drawn, whole, part = halves(), halves(proposed=True), halves(proposed=True, fixed=[1])
    for slices, wide in ((3, whole), (2, part)):
        by_hand = [1.645 * OUTLINE_MM[t] * 2 * np.pi * r * slices * 9 / 1000
                   for t, r in radii.items()]
        assert np.allclose(np.sqrt(wide**2 - drawn**2), by_hand, rtol=0.04)
    # an outline that somebody accepted with all of its slice counts as drawn
    accepted, as_drawn = halves((1,), proposed=True), halves((1,))
    assert np.allclose(accepted**2 - as_drawn**2, part**2 - drawn**2)
    assert (halves((0, 1, 2), proposed=True) == halves((0, 1, 2))).all()
    assert (halves(proposed=False, fixed=[0, 1, 2]) == drawn).all()
