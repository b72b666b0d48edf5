"""Quality before the fit: what is spoilt is found, and proposed for exclusion; nothing else."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage
from study_files import options, save_all

from deepgmm import read_study, segment
from deepgmm.cli.main import main
from deepgmm.phantom import make_patient
from deepgmm.study.coordinates import ventricle_coordinates
from deepgmm.study.quality import Finding, _end, find_faults, proposals
from deepgmm.study.study import Sequence, Study
from deepgmm.study.words import Role

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "sunnybrook"


@cache
def clean(seed: int = 100) -> Study:
    return make_patient(seed, slices=5).study


def spoilt(role: Role, values: np.ndarray, seed: int = 100, **changes) -> Study:
    """The phantom with other values in one sequence."""
    study = clean(seed)
    sequences = {**study.sequences, role: Sequence(role, values, study.sequences[role].kind)}
    return replace(study, sequences=sequences, **changes)


def values_of(role: Role, seed: int = 100) -> np.ndarray:
    return clean(seed).sequences[role].values.copy()


def found(study: Study) -> list[tuple[int | None, Role | None]]:
    return [(f.index, f.role) for f in find_faults(study)]


def reasons(study: Study) -> str:
    return " | ".join(f.reason for f in find_faults(study))


# No false alarms

@pytest.mark.parametrize("seed", range(100, 121, 4))
def test_clean_phantoms_are_clean(seed: int) -> None:
    assert find_faults(clean(seed)) == []


@pytest.mark.skipif(not DATA.is_dir(), reason="needs ../shared/data/sunnybrook")
@pytest.mark.parametrize("case", ["SCD0000101", "SCD0000201", "SCD0000301"])
def test_real_patients_are_clean(case: str) -> None:
    study = read_study(bssfp=DATA / f"{case}_ED.nii.gz", mask=DATA / f"{case}_ED_lv.nii.gz")
    assert find_faults(study) == []


@pytest.mark.parametrize("role", Role)
def test_brightness_and_scale_are_no_fault(role: Role) -> None:
    values = values_of(role) * 7.3 + 1000
    values *= np.array([1.0, 0.9, 1.0, 1.1, 1.0])[:, None, None]
    assert find_faults(spoilt(role, values)) == []


# Signal

@pytest.mark.parametrize("role", Role)
def test_noise_is_found(role: Role) -> None:
    values = values_of(role)
    inside = values[clean().mask]
    noise = np.random.default_rng(1).normal(0, np.ptp(np.percentile(inside, (2, 98))),
                                            values.shape[1:])
    values[3] += noise
    study = spoilt(role, values)
    assert (3, role) in found(study) and {i for i, _ in found(study)} == {3}
    assert "hardly above its noise" in reasons(study)


def test_a_slice_that_lost_its_signal_is_found() -> None:
    values = values_of(Role.LGE)
    values[2] = values[2].mean() + 0.2 * (values[2] - values[2].mean())
    study = spoilt(Role.LGE, values)
    assert found(study) == [(2, Role.LGE)] and "little contrast" in reasons(study)


# Field of view

@pytest.mark.parametrize("turns", range(4))
def test_padding_that_reaches_into_the_mask_is_found(turns: int) -> None:
    study, values = clean(), values_of(Role.T2)
    mask = np.rot90(study.mask[1], turns)
    first = int(np.flatnonzero(mask.any(axis=1))[0])
    np.rot90(values[1], turns)[: first + 4] = 0
    cut = spoilt(Role.T2, values)
    assert found(cut) == [(1, Role.T2)] and "in or at the padding" in reasons(cut)
    values = values_of(Role.T2)
    np.rot90(values[1], turns)[: first - 4] = 0
    assert find_faults(spoilt(Role.T2, values)) == []


def test_a_mask_at_the_border_of_the_image_is_found() -> None:
    study = clean()
    first = int(np.flatnonzero(study.mask[4].any(axis=1))[0]) + 5
    cut = replace(study, mask=study.mask[:, first:], sequences={
        role: replace(s, values=s.values[:, first:]) for role, s in study.sequences.items()})
    assert (4, None) in found(cut) and "border cuts the LV mask" in reasons(cut)


# Saturation

def test_saturated_values_are_found() -> None:
    values = values_of(Role.LGE)
    values = np.minimum(values, np.percentile(values[2][clean().mask[2]], 90))
    study = spoilt(Role.LGE, values)
    assert (2, Role.LGE) in found(study) and "saturated (10 % of" in reasons(study)
    assert all(role is Role.LGE for _, role in found(study))


# Motion

def ghosted(image: np.ndarray, axis: int, pixels: float) -> np.ndarray:
    """Moved to and fro along one axis while its spectrum was acquired line by line."""
    spectrum = np.fft.fft(np.moveaxis(image, axis, 0), axis=0)
    count = len(spectrum)
    moved = pixels * np.sin(2 * np.pi * np.arange(count) / 7.3)
    phase = np.exp(-2j * np.pi * np.fft.fftfreq(count) * moved)
    return np.moveaxis(np.abs(np.fft.ifft(spectrum * phase[:, None], axis=0)), 0, axis)


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("seed", [100, 107, 113])
def test_breathing_during_the_scan_is_found(seed: int, role: Role, axis: int) -> None:
    values = values_of(role, seed)
    values[2] = ghosted(values[2], axis, 4.0)
    study = spoilt(role, values, seed)
    assert (2, role) in found(study) and "ghosted by breathing" in reasons(study)
    assert {i for i, _ in found(study)} == {2}


def test_blur_is_found() -> None:
    values = values_of(Role.BSSFP)
    values[1] = ndimage.gaussian_filter(values[1], 4.0)
    study = spoilt(Role.BSSFP, values)
    assert (1, Role.BSSFP) in found(study) and "is blurred" in reasons(study)


# Fold-over

@pytest.mark.parametrize("axis", [1, 2])
@pytest.mark.skipif(not DATA.is_dir(), reason="needs ../shared/data/sunnybrook")
def test_fold_over_is_found_on_real_patients(axis: int) -> None:
    study = read_study(bssfp=DATA / "SCD0000101_ED.nii.gz", mask=DATA / "SCD0000101_ED_lv.nii.gz")
    sequence = study.sequences[Role.BSSFP]
    lines = np.moveaxis(sequence.values.astype(float), axis, 0)
    kept = int(0.6 * len(lines))
    start = (len(lines) - kept) // 2
    folded = lines[start:start + kept].copy()
    for k in [*range(start), *range(start + kept, len(lines))]:
        folded[(k - start) % kept] += lines[k]
    mask = np.moveaxis(np.moveaxis(study.mask, axis, 0)[start:start + kept], 0, axis)
    sequence = replace(sequence, values=np.moveaxis(folded, 0, axis))
    faults = find_faults(replace(study, mask=mask, sequences={Role.BSSFP: sequence}))
    border = "upper and lower" if axis == 1 else "left and right"
    assert any(f.index is None and not f.exclude and f"across its {border} border" in f.reason
               for f in faults)


# Base and apex

def test_a_tiny_mask_is_found() -> None:
    study = clean()
    mask = study.mask.copy()
    rows, columns = np.nonzero(mask[0])
    y, x = np.mgrid[: mask.shape[1], : mask.shape[2]]
    mask[0] = np.hypot(y - rows.mean(), x - columns.mean()) < 6
    radius = np.sqrt(mask[0].sum() * study.geometry.pixel_area / np.pi)
    small = replace(study, mask=mask)
    assert (0, None) in found(small) and f"radius {radius:.0f} mm" in reasons(small)


def opened(study: Study, part: float) -> tuple[np.ndarray, np.ndarray]:
    """Where the wall of the last slice is replaced by pool, and its bSSFP then."""
    values, mask = study.sequences[Role.BSSFP].values.copy(), study.mask[4]
    rows, columns = np.nonzero(mask)
    y, x = np.mgrid[: mask.shape[0], : mask.shape[1]]
    angle = np.arctan2(y - rows.mean(), x - columns.mean())
    gone = mask & (np.abs(angle) < part * np.pi)
    depth = ndimage.distance_transform_edt(mask)
    pool = values[4][mask & (depth > 0.7 * depth.max())]
    values[4][gone] = np.random.default_rng(0).choice(pool, int(gone.sum()))
    return gone, values


def test_a_wall_that_does_not_close_is_found() -> None:
    for part, wanted in ((0.2, []), (0.45, [(4, Role.BSSFP)])):
        study = spoilt(Role.BSSFP, opened(clean(), part)[1])
        assert found(study) == wanted
        assert ("no closed wall" in reasons(study)) is bool(wanted)


def test_an_open_wall_is_said_to_lie_beyond_the_end_that_is_near() -> None:
    study = spoilt(Role.BSSFP, opened(clean(), 0.45)[1])  # from apex to base
    assert "as beyond the base" in reasons(study)
    turned = replace(study, mask=study.mask[::-1])
    assert [_end(turned, i) for i in range(5)] == ["base", "base", "ventricle", "apex", "apex"]
    alike = np.broadcast_to(study.mask[2], study.mask.shape)
    assert _end(replace(study, mask=alike), 4) == "ventricle"


def test_coordinates_that_have_been_taken_are_used() -> None:
    study = spoilt(Role.BSSFP, opened(clean(), 0.45)[1])
    taken = ventricle_coordinates(study, study.slices)
    assert find_faults(study, taken) == find_faults(study) != []
    nowhere = replace(taken, depth=np.zeros_like(taken.depth))
    assert find_faults(study, nowhere) == []


def test_a_given_wall_that_does_not_close_is_found() -> None:
    patient = make_patient(100, slices=5)
    study = replace(patient.study, wall=patient.wall)
    assert find_faults(study) == []
    wall = patient.wall.copy()
    wall[4] &= ~opened(study, 0.2)[0]
    assert found(replace(study, wall=wall)) == [(4, None)]


# What the user is told

def test_proposals_name_slices_and_how_to_leave_them_out() -> None:
    study = clean()
    faults = [Finding(0, Role.LGE, "is blurred"), Finding(0, None, "the LV mask is very small"),
              Finding(3, Role.T2, "is saturated"), Finding(None, Role.T2, "goes on", False)]
    assert proposals(faults, study) == [
        "T2: goes on", "slice 0: LGE is blurred; the LV mask is very small",
        "slice 3: T2 is saturated", "it is proposed to leave slices 0, 3 out, which keeps 1-2,4 "
        "(--slices 1-2,4)"]
    assert proposals([], study) == []
    assert proposals([Finding(i, None, "x") for i in range(5)], study) == ["slices 0-4: x"]
    faults = [Finding(i, Role.LGE, "is blurred") for i in (0, 1, 3)] + [Finding(4, None, "x")]
    assert proposals(faults, study) == [
        "slices 0-1, 3: LGE is blurred", "slice 4: x",
        "it is proposed to leave slices 0-1, 3-4 out, which keeps 2 (--slices 2)"]


def test_slices_left_out_are_not_looked_at() -> None:
    values = values_of(Role.LGE)
    values[2] = 0.01 * values[2]
    assert found(spoilt(Role.LGE, values)) != []
    assert find_faults(spoilt(Role.LGE, values, excluded={2: "asked for"})) == []


def test_the_fit_warns_and_reports_but_leaves_nothing_out() -> None:
    values = values_of(Role.LGE)
    values[2] = values[2].mean() + 0.2 * (values[2] - values[2].mean())
    result = segment(spoilt(Role.LGE, values))
    assert result.study.slices == (0, 1, 2, 3, 4) and result.labels[2].any()
    assert any(w.startswith("slice 2: LGE has little contrast") for w in result.warnings)
    assert ("it is proposed to leave slice 2 out, which keeps 0-1,3-4 (--slices 0-1,3-4)"
            in result.warnings)
    assert [(f["index"], f["role"], f["exclude"]) for f in result.provenance["quality"]] == [
        (2, "lge", True)]


def test_the_command_line_prints_and_reports_it(tmp_path: Path, capsys) -> None:
    import SimpleITK as sitk

    paths = save_all(tmp_path)
    image = sitk.ReadImage(str(paths["t2"]))
    values = sitk.GetArrayFromImage(image)
    values[1] = 0.2 * values[1]
    spoilt_image = sitk.GetImageFromArray(values)
    spoilt_image.CopyInformation(image)
    sitk.WriteImage(spoilt_image, str(paths["t2"]))
    report = tmp_path / "report.json"
    assert main(["segment", *options(paths), "--report", str(report)]) == 0
    assert "warning: slice 2: T2 has little contrast" in capsys.readouterr().err
    assert json.loads(report.read_text())["quality"][0]["index"] == 1
