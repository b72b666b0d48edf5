"""Alignment: known shifts are found, what lies right stays, and nothing is moved unasked."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from deepgmm.errors import InputError
from deepgmm.phantom import PhantomPatient, make_patient
from deepgmm.phantom.anatomy import Pose
from deepgmm.reading.studies.from_files import read_study
from deepgmm.review.alignment_picture import alignment_gif, alignment_png
from deepgmm.study.alignment import (
    Alignment,
    Move,
    aligned,
    alignment_rows,
    find_alignment,
    masks_in_place,
    with_alignment,
)
from deepgmm.study.alignment.slice_matching import peak
from deepgmm.study.alignment.slice_moves import resampled
from deepgmm.study.levels import numbering_in
from deepgmm.study.study import Study
from deepgmm.study.words import Align, Kind, Role

B, L, T = Role.BSSFP, Role.LGE, Role.T2
KINDS = ((Kind.LGE_MAGNITUDE, Kind.T2_DARK_BLOOD), (Kind.LGE_PSIR, Kind.T2_PREPARED),
         (Kind.LGE_DARK_BLOOD, Kind.T2_MAP))


@cache
def a_patient(seed: int = 1000, kinds: tuple[Kind, Kind] = KINDS[0]) -> PhantomPatient:
    return make_patient(seed, kinds={B: Kind.BSSFP, L: kinds[0], T: kinds[1]})


def moved(image: np.ndarray, rows: float, columns: float) -> np.ndarray:
    """An image whose content lies so many pixels further, exactly: a change of phase."""
    wave = np.exp(-2j * np.pi * (np.fft.fftfreq(image.shape[0])[:, None] * rows
                                 + np.fft.fftfreq(image.shape[1])[None, :] * columns))
    return np.fft.ifft2(np.fft.fft2(image) * wave).real.astype(image.dtype)


def with_moved(patient: PhantomPatient, shifts: dict[Role, np.ndarray]) -> Study:
    """The patient's study with the content of each slice moved by (rows, columns) mm; LGE lies
    where the mask does, and the phantom's own motion is undone in the others."""
    study, pixel = patient.study, patient.study.geometry.spacing[0]
    sequences = {}
    for role, sequence in study.sequences.items():
        shift = shifts.get(role, np.zeros((len(study.mask), 2))) / pixel - patient.shifts[role]
        values = np.stack([moved(v, *s) for v, s in zip(sequence.values, shift, strict=True)])
        sequences[role] = replace(sequence, values=values)
    return replace(study, sequences=sequences)


def drawn(seed: int, low: float, high: float) -> dict[Role, np.ndarray]:
    rng = np.random.default_rng(seed)
    angle, length = rng.uniform(0, 2 * np.pi, (2, 5)), rng.uniform(low, high, (2, 5))
    both = length[..., None] * np.stack([np.sin(angle), np.cos(angle)], axis=-1)
    return dict(zip((B, T), both))


def errors(found, shifts: dict[Role, np.ndarray]) -> np.ndarray:
    """Distance of what was found from what was done, mm."""
    return np.array([np.hypot(m.dy + shifts[Role(m.sequence)][m.slice][0],
                              m.dx + shifts[Role(m.sequence)][m.slice][1]) for m in found.moves])


def test_known_shifts_are_recovered_in_every_kind(monkeypatch) -> None:
    """50 slices of typical infarcts, no sequence of which has a shape or place of its own, so that
    the shift is known exactly; `Benchmarks/alignment.py` measures 300 with the phantom's motion.
    """
    monkeypatch.setattr(Pose, "draw", lambda *drawn: Pose())
    error = []
    for seed in range(1000, 1005):
        lge, t2 = KINDS[seed % 3]
        patient = make_patient(seed, kinds={B: Kind.BSSFP, L: lge, T: t2})
        shifts = drawn(seed, 2, 6)
        found = find_alignment(with_moved(patient, shifts))
        assert np.mean([m.accepted for m in found.moves]) >= 0.9
        error.append(errors(found, shifts))
    assert np.median(error) < 0.3 and np.percentile(error, 95) < 0.7


def test_what_lies_right_is_left() -> None:
    for kinds in KINDS:
        study = with_moved(a_patient(1000, kinds), {})
        found = find_alignment(study)
        assert np.mean([m.accepted for m in found.moves]) <= 0.1
        assert found.warnings() == []
        after = aligned(study, found)
        for move in found.moves:
            if not move.accepted:
                role, i = Role(move.sequence), move.slice
                np.testing.assert_array_equal(after.sequences[role].values[i],
                                              study.sequences[role].values[i])


def test_moving_brings_the_image_back() -> None:
    """The slice after the move is the slice before the shift, but for the interpolation."""
    patient, shifts = a_patient(), {B: np.tile([3.0, -2.5], (5, 1))}
    still, study = with_moved(patient, {}), with_moved(patient, shifts)
    after = aligned(study, find_alignment(study))
    inside = patient.study.mask
    def apart(one: Study) -> float:
        difference = (one.sequences[B].values - still.sequences[B].values)[inside]
        return float(np.sqrt(np.mean(difference ** 2)))
    assert apart(after) < 0.25 * apart(study)
    np.testing.assert_array_equal(after.mask, study.mask)
    assert after.sequences[L].values is study.sequences[L].values, "the reference never moves"
    assert np.abs(study.sequences[B].values - with_moved(patient, shifts).sequences[B].values
                  ).max() == 0, "the study given is left as it was"


def test_the_mask_is_carried_to_where_a_sequence_lies() -> None:
    study, shift = a_patient().study, (3, -4)
    pixel = study.geometry.spacing[0]
    move = Move("bssfp", 2, -shift[1] * pixel, -shift[0] * pixel, 0.0, 0.1, 0.5, True, "")
    there = masks_in_place(study, Alignment(L, [move]).as_dict())
    assert list(there) == [B] and (there[B][[0, 1, 3, 4]] == study.mask[[0, 1, 3, 4]]).all()
    wanted = np.roll(study.mask[2], shift, (0, 1))
    assert (there[B][2] != wanted).sum() <= 2
    turned = replace(move, rotation=15.0)
    own = masks_in_place(study, Alignment(L, [turned]).as_dict())[B][2]
    back = resampled(study, turned, own.astype(np.float32)) > 0.5
    assert (back != study.mask[2]).sum() < 0.03 * study.mask[2].sum() < (own != wanted).sum() * 3
    assert not masks_in_place(study, Alignment(L, [move]).as_dict(), beyond=100)
    assert not masks_in_place(study, Alignment(L, [replace(move, accepted=False)]).as_dict())


def test_a_check_warns_and_moves_nothing() -> None:
    study = with_moved(a_patient(), {B: np.tile([0.0, 4.0], (5, 1))})
    checked = with_alignment(study, "check")
    assert all(checked.sequences[r].values is study.sequences[r].values for r in study.roles)
    assert any("bSSFP lies up to 4" in w and "--align shift" in w for w in checked.warnings)
    assert not any("T2 lies" in w for w in checked.warnings)
    study.warnings.append("bSSFP and LGE look exchanged")
    assert with_alignment(study, "check").warnings[0].startswith("bSSFP lies"), "first of all"
    study.warnings.pop()
    assert checked.provenance["alignment"]["applied"] is False
    assert "alignment" not in study.provenance and study.warnings == a_patient().study.warnings


def test_under_three_mm_a_check_is_silent() -> None:
    study = with_moved(a_patient(), {B: np.tile([0.0, 2.2], (5, 1))})
    assert with_alignment(study, Align.CHECK).warnings == study.warnings
    assert any("moved" in w for w in with_alignment(study, Align.SHIFT).warnings)


def test_off_looks_at_nothing() -> None:
    study = a_patient().study
    assert with_alignment(study, "off") is study


def test_findings_are_json_and_a_table() -> None:
    study = with_alignment(with_moved(a_patient(), drawn(3, 2, 6)), "shift")
    findings = json.loads(json.dumps(study.provenance["alignment"], allow_nan=False))
    rows = alignment_rows(findings)
    assert len(rows) == 1 + 2 * len(study.slices) and {len(r) for r in rows} == {9}
    assert rows[1][0] == "bSSFP" and rows[1][-2:] == ("yes", "clearly better")
    assert [r[1] for r in rows[1:6]] == ["1", "2", "3", "4", "5"]
    from_base = alignment_rows(findings, numbering_in(study.mask))  # laid from apex to base
    assert [r[1] for r in from_base[1:6]] == ["1", "2", "3", "4", "5"]
    assert [r[2:] for r in from_base[1:6]] == [r[2:] for r in rows[5:0:-1]]
    for move in findings["moves"]:
        assert 0 <= move["before"] < move["after"] <= 1


def test_a_rotation_is_found_only_when_asked_for() -> None:
    patient = a_patient()
    study = with_moved(patient, {})
    study = replace(study, excluded=dict.fromkeys((0, 4), "for speed"))
    values = study.sequences[B].values.copy()
    pixel = study.geometry.spacing[0]
    for i, image in enumerate(values):
        row, column = np.argwhere(study.mask[i]).mean(axis=0)
        plane = sitk.GetImageFromArray(image)
        plane.SetSpacing((pixel, pixel))
        turn = sitk.Euler2DTransform((column * pixel, row * pixel), np.radians(8.0))
        values[i] = sitk.GetArrayFromImage(sitk.Resample(plane, turn, sitk.sitkBSpline))
    study = replace(study, sequences=study.sequences | {
        B: replace(study.sequences[B], values=values)})
    turned = [m.rotation for m in find_alignment(study, turn=True).moves if m.sequence == "bssfp"]
    assert abs(np.median(turned) - 8.0) < 2.0
    assert all(m.rotation == 0 for m in find_alignment(study).moves)
    straight = find_alignment(replace(study, sequences=with_moved(patient, {}).sequences),
                              turn=True)
    assert all(m.rotation == 0 for m in straight.moves)


def test_a_stack_one_slice_deeper_is_said() -> None:
    patient = make_patient(1002, slices=6, kinds={B: Kind.BSSFP, L: KINDS[2][0], T: KINDS[2][1]})
    of = patient.study.sequences
    still = {r: replace(s, values=s.values[:-1]) for r, s in of.items()}
    study = replace(patient.study, sequences=still, mask=patient.study.mask[:-1])
    assert find_alignment(study).deeper == {"t2": 0}
    deeper = replace(study, sequences=still | {T: replace(of[T], values=of[T].values[1:])})
    found = find_alignment(deeper)
    assert found.deeper == {"t2": 1}
    assert any("its slice 1 looks like slice 2 of LGE" in w for w in found.warnings())


def test_a_mask_a_pixel_too_large_puts_no_stack_deeper() -> None:
    """Larger slices, which lie in the window of a smaller one with no border in it, do not win."""
    from scipy.ndimage import binary_dilation

    study = make_patient(100).study
    for mask in (study.mask, binary_dilation(study.mask, np.ones((1, 3, 3)))):
        assert find_alignment(replace(study, mask=mask)).deeper == {"bssfp": 0, "t2": 0}


def test_a_mask_that_jumps_is_said() -> None:
    study = a_patient().study
    mask = study.mask.copy()
    mask[2] = np.roll(mask[2], 8, axis=1)
    assert 2 in find_alignment(replace(study, mask=mask)).jumps
    assert find_alignment(study).jumps == {}


def test_an_image_without_structure_is_left() -> None:
    """Noise has no place that is clearly better, and a constant slice none at all."""
    study = a_patient().study
    noise = np.random.default_rng(1).normal(100, 10, study.mask.shape).astype(np.float32)
    noise[0] = 7.0
    sequences = study.sequences | {T: replace(study.sequences[T], values=noise)}
    found = find_alignment(replace(study, sequences=sequences))
    t2 = [m for m in found.moves if m.sequence == "t2"]
    assert len(t2) == 5 and not any(m.accepted for m in t2)
    assert all(np.isfinite([m.dx, m.dy, m.before, m.after]).all() for m in t2)


def test_a_shift_beyond_the_search_is_not_guessed() -> None:
    study = with_moved(a_patient(), {B: np.tile([0.0, 12.0], (5, 1))})
    found = find_alignment(study)
    assert not any(m.accepted for m in found.moves if m.sequence == "bssfp")
    assert any("bSSFP finds no best place within 10 mm of LGE" in w for w in found.warnings())


def test_one_sequence_has_nothing_to_lie_on() -> None:
    study = a_patient().study
    alone = replace(study, sequences={L: study.sequences[L]})
    assert with_alignment(alone, "shift").provenance["alignment"]["moves"] == []


def test_the_reference_can_be_chosen_among_what_is_there() -> None:
    study = a_patient().study
    assert find_alignment(study, B).moves[0].sequence == "lge"
    without = replace(study, sequences={r: study.sequences[r] for r in (B, T)})
    assert find_alignment(without).reference is B
    with pytest.raises(InputError, match="LGE cannot be the reference"):
        find_alignment(without, L)
    with pytest.raises(InputError, match="--align: 'bend' is unknown"):
        with_alignment(study, "bend")


def test_the_peak_of_a_paraboloid_is_found_between_samples() -> None:
    y, x = np.mgrid[-5:6, -5:6].astype(float)
    place, value, inside = peak(3.0 - (y - 1.3) ** 2 - 0.5 * (x + 2.6) ** 2)
    np.testing.assert_allclose(place, [1.3, -2.6], atol=0.051)
    assert value == pytest.approx(3.0, abs=0.05) and inside
    assert not peak(y)[2], "still rising at the border"


def test_the_picture_shows_every_slice() -> None:
    from PIL import Image

    study = with_moved(a_patient(), drawn(4, 2, 6))
    after = with_alignment(study, "shift")
    with Image.open(io.BytesIO(alignment_png(study, after))) as image:
        width, height = image.size
        pixels = np.asarray(image)
    from_base = alignment_png(*(replace(s, mask=s.mask[::-1], sequences={
        r: replace(q, values=q.values[::-1]) for r, q in s.sequences.items()})
        for s in (study, replace(after, provenance={"alignment": {
            **after.provenance["alignment"], "moves": [
                {**m, "slice": 4 - m["slice"]}
                for m in after.provenance["alignment"]["moves"]]}}))))
    assert from_base == alignment_png(study, after), "the base first, whatever the file's order"
    assert width > 5 * 150 and height > 5 * 150
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 100


def test_the_flicker_shows_before_and_after_by_turns() -> None:
    from PIL import Image

    study = with_moved(a_patient(), drawn(4, 2, 6))
    after = with_alignment(study, "shift")
    with Image.open(io.BytesIO(alignment_gif(study, after))) as image:
        assert image.n_frames == 2 and image.info["loop"] == 0
        frames = []
        for number in range(2):
            image.seek(number)
            frames.append(np.asarray(image.convert("L"), float))
    moved = [np.abs(a - b).mean() for a, b in zip(np.array_split(frames[0][70:, 120:], 3, axis=1),
                                                  np.array_split(frames[1][70:, 120:], 3, axis=1),
                                                  strict=True)]
    still = list(study.roles).index(L)
    others = [m for i, m in enumerate(moved) if i != still]
    assert moved[still] < 0.3 * min(others), "the reference does not move"


# Slices at other positions

def a_stack(path: Path, positions: list[float], step: float, values: np.ndarray) -> Path:
    image = sitk.GetImageFromArray(values.astype(np.float32))
    image.SetSpacing((2.0, 2.0, step))
    image.SetOrigin((10.0, -20.0, positions[0]))
    sitk.WriteImage(image, str(path))
    return path


def a_study_of_levels(tmp_path: Path, t2_levels: list[float]) -> dict[str, Path]:
    """Images whose brightness is their level in mm, so that a slice tells where it is from."""
    rows, columns = np.mgrid[:48, :48]
    disc = np.hypot(rows - 23.5, columns - 23.5) < 14
    noise = np.random.default_rng(2).normal(0, 1, (8, 48, 48))
    def level(levels: list[float]) -> np.ndarray:
        return np.stack([100.0 + l + n for l, n in zip(levels, noise)])
    lge = [0.0, 8.0, 16.0, 24.0]
    return {"lge": a_stack(tmp_path / "lge.nrrd", lge, 8.0, level(lge) + 5),
            "t2": a_stack(tmp_path / "t2.nrrd", t2_levels, t2_levels[1] - t2_levels[0],
                          level(t2_levels)),
            "mask": a_stack(tmp_path / "mask.nrrd", lge, 8.0, np.stack([disc] * 4))}


def test_slices_are_matched_by_position_not_by_index(tmp_path: Path) -> None:
    files = a_study_of_levels(tmp_path, [8.5, 16.5, 24.5])
    with pytest.raises(InputError, match="different grids"):
        read_study(**files)
    study = read_study(**files, resample=True)
    means = [study.sequences[T].values[i][study.mask[i]].mean() - 100 for i in (1, 2, 3)]
    np.testing.assert_allclose(means, [8.5, 16.5, 24.5], atol=0.3)
    assert study.excluded == {0: "T2 has no slice there"}
    assert any("slice 0 was left out" in w for w in study.warnings)
    assert any("slice by nearest slice" in w for w in study.warnings)


def test_unequal_spacing_gives_each_slice_its_nearest_and_says_how_far(tmp_path: Path) -> None:
    study = read_study(**a_study_of_levels(tmp_path, [-1.0, 8.0, 17.0, 26.0]), resample=True)
    means = [v[m].mean() - 100 for v, m in zip(study.sequences[T].values, study.mask)]
    np.testing.assert_allclose(means, [-1, 8, 17, 26], atol=0.3)
    assert any("up to 2.0 mm away" in w for w in study.warnings)
