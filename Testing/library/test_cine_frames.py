"""Frames of a cine: their order, which of them contours name, and in which axis they lie."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import nrrd
import numpy as np
import pydicom
import pytest
from dicom_files import CINE, LGE, Examination, run
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid
from test_dicom_identity import SHORT, change
from test_dicom_stacks import some_values, the_stack

from deepgmm import InputError, Role, read_study
from deepgmm.reading.contours.drawn_on import drawn_frames
from deepgmm.reading.dicom.frames import Variation
from deepgmm.reading.dicom.pixels import volume_of
from deepgmm.reading.images.cine import read_cine
from deepgmm.reading.images.phases import drawn_on, parse_phase, tells
from deepgmm.reading.studies.study_folder import read_study_folder

pytestmark = pytest.mark.usefixtures("a_log_of_our_own")


# Order

def phase_of(image: pydicom.FileDataset) -> int:
    return (image.InstanceNumber - 1) % 9


def temporal(image: pydicom.FileDataset, n: int) -> None:
    image.TemporalPositionIdentifier = phase_of(image) + 1
    image.InstanceNumber = 1


def acquisition(image: pydicom.FileDataset, n: int) -> None:
    image.AcquisitionTime = f"100000.{70000 * phase_of(image):06d}"
    del image.InstanceNumber


def content(image: pydicom.FileDataset, n: int) -> None:
    image.ContentTime = f"1000{2 * phase_of(image):02d}"
    del image.InstanceNumber, image.AcquisitionTime


def trigger_zero(image: pydicom.FileDataset, n: int) -> None:
    image.TriggerTime = 0


def trigger_partly(image: pydicom.FileDataset, n: int) -> None:
    if n % 4:
        image.TriggerTime = 70 * phase_of(image)


def trigger_in_some_slices(image: pydicom.FileDataset, n: int) -> None:
    if image.InstanceNumber > 9:
        image.TriggerTime = 70 * phase_of(image)


@pytest.mark.parametrize("said", [temporal, acquisition, content, trigger_zero, trigger_partly,
                                  trigger_in_some_slices])
def test_frames_are_ordered_by_what_is_there(exam, said) -> None:
    values = some_values(4, phases=9)
    change(exam.add(5, "cine_sa", values, SHORT, tags=CINE, seed=4), said)
    stack = the_stack(exam)
    assert stack.variation in (Variation.ORDER, Variation.PHASE) and not stack.notes
    np.testing.assert_array_equal(volume_of(stack).values, values)


def test_an_order_that_nothing_says_is_said(exam) -> None:
    values = some_values(4, phases=9)
    change(exam.add(5, "cine_sa", values, SHORT, tags=CINE),
           lambda image, n: setattr(image, "InstanceNumber", 1))
    assert "in which order" in " ".join(the_stack(exam).notes)


def test_trigger_times_win_over_instance_numbers(exam) -> None:
    values = some_values(4, phases=9)
    change(exam.add(5, "cine_sa", values, SHORT, tags=CINE, times=[70.0 * p for p in range(9)]),
           lambda image, n: setattr(image, "InstanceNumber", 1000 - n))
    np.testing.assert_array_equal(volume_of(the_stack(exam)).values, values)


def test_one_series_a_phase_is_a_cine(exam) -> None:
    values = some_values(4, phases=9)
    for p in range(9):
        exam.add(10 + p, "cine_sa", values[p:p + 1], SHORT, tags=CINE, times=[70.0 * p])
    stack = the_stack(exam)
    assert stack.variation is Variation.PHASE
    np.testing.assert_array_equal(volume_of(stack).values, values)


@pytest.mark.parametrize("times, known", [
    ([0.0] * 9, False), ([float("nan")] * 9, False), ([70.0 * p for p in range(9)], True),
    ([0.0, 70.0] + [float("nan")] * 7, False), ([640.0, 0.0, 300.0, 20.0], False),
    ([float("nan"), 70.0, 140.0, 210.0, 280.0], True), ([5.0], False)])
def test_times_tell_only_where_they_differ(times, known) -> None:
    assert tells(times) is known


def test_times_that_are_all_zero_choose_no_frame(exam, tmp_path) -> None:
    exam.add(1, "cine_sa", some_values(4, phases=9), SHORT, tags=CINE, times=[0.0] * 9)
    exam.add(20, "lge_sa", some_values(4), SHORT, tags=LGE)
    assert run("import", exam.folder, "-o", tmp_path / "out") == 0
    said = json.loads((tmp_path / "out" / "study.json").read_text())
    assert said["sequences"]["bssfp"]["phase"] is None


def test_import_cannot_tell_end_systole(exam, tmp_path, capsys) -> None:
    exam.add(1, "cine_sa", some_values(4, phases=9), SHORT, tags=CINE)
    assert run("import", exam.folder, "-o", tmp_path / "out", "--phase", "es") == 2
    assert "--phase es" in capsys.readouterr().err and not (tmp_path / "out/study.json").exists()


# Contours

#: Radius of pool and ventricle at each of nine frames, mm; smallest at frame 4.
POOL = [20.0 - 8 * np.sin(np.pi * p / 8) for p in range(9)]
VENTRICLE = 28.0


@pytest.fixture
def cine(exam) -> dict[tuple[int, int], str]:
    """A cine of 4 slices and 9 frames; (slice, frame) to image."""
    far = np.hypot(*(np.indices((64, 72)) - np.array([[[32]], [[36]]])) * np.array(
        [[[1.25]], [[1.5]]]))
    noise = np.random.default_rng(0).normal(0, 20, (9, 4, *far.shape))
    values = np.stack([np.stack([np.where(far < r, 900, np.where(far < VENTRICLE, 300, 500))] * 4)
                       for r in POOL]) + noise
    paths = exam.add(8, "cine_sa", values.clip(0), SHORT, tags=CINE,
                     times=[80.0 * p for p in range(9)])
    images = [pydicom.dcmread(path) for path in paths]
    return {divmod(image.InstanceNumber - 1, 9): image.SOPInstanceUID for image in images}


def circle(radius: float) -> np.ndarray:
    """(72, 2) columns and rows."""
    t = 2 * np.pi * np.arange(72) / 72
    return np.stack([36 + radius / 1.5 * np.cos(t), 32 + radius / 1.25 * np.sin(t)], axis=1)


def workspace(path: Path, cine, frames) -> Path:
    def line(name: str, radius: float) -> str:
        points = "".join(
            f'<L:item xmlns:L="l"><P:x xmlns:P="p">{round(4 * x)}</P:x><P:y xmlns:P="p">'
            f"{round(4 * y)}</P:y></L:item>" for x, y in circle(radius))
        return (f'<H:item H:key="{name}"><H:item H:key="Points">{points}</H:item>'
                '<H:item H:key="SubpixelResolution">4</H:item></H:item>')

    states = "".join(
        f'<H:item H:key="{cine[k, p]}"><H:item H:key="Contours">'
        f'{line("saepicardialContour", VENTRICLE)}{line("saendocardialContour", POOL[p])}'
        "</H:item></H:item>" for k in range(4) for p in frames)
    path.write_text(f'<?xml version="1.0"?><W xmlns:H="h"><H:item H:key="ImageStates">{states}'
                    "</H:item></W>")
    return path


def structures(path: Path, cine, frames) -> Path:
    """As an RTSTRUCT that names the image of each line."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.481.3"
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    made.SOPClassUID, made.Modality = meta.MediaStorageSOPClassUID, "RTSTRUCT"
    axes = np.asarray(SHORT.direction).reshape(3, 3)
    made.StructureSetROISequence, made.ROIContourSequence = [], []
    for number, name in enumerate(("LV epicardium", "LV endocardium"), 1):
        roi, item = Dataset(), Dataset()
        roi.ROINumber, roi.ROIName, item.ReferencedROINumber = number, name, number
        item.ContourSequence = []
        for k in range(4):
            for p in frames:
                plane = circle(VENTRICLE if number == 1 else POOL[p])
                points = np.asarray(SHORT.origin) + np.c_[plane * (1.5, 1.25),
                                                          np.full(72, 8.0 * k)] @ axes.T
                line, image = Dataset(), Dataset()
                image.ReferencedSOPClassUID = "1.2.840.10008.5.1.4.1.1.4"
                image.ReferencedSOPInstanceUID = cine[k, p]
                line.ContourImageSequence = [image]
                line.ContourGeometricType, line.NumberOfContourPoints = "CLOSED_PLANAR", 72
                line.ContourData = [f"{v:.3f}" for v in points.ravel()]
                item.ContourSequence.append(line)
        made.StructureSetROISequence.append(roi)
        made.ROIContourSequence.append(item)
    pydicom.dcmwrite(path, made)
    return path


WRITERS = [(workspace, "c.cvi42wsx"), (structures, "c.dcm")]


def pool_of(study) -> float:
    """mm2 of the pool on a slice."""
    return float((study.mask & ~study.wall).sum() / 4 * 1.5 * 1.25)


@pytest.mark.parametrize("write, name", WRITERS)
def test_the_frame_that_contours_name_is_taken(exam, cine, tmp_path, write, name) -> None:
    study = read_study(bssfp=exam.folder, mask=write(tmp_path / name, cine, [6]))
    assert study.provenance["bssfp_phase"] == {
        "frame": 6, "of": 9, "why": "the contours were drawn on it"}
    assert pool_of(study) == pytest.approx(np.pi * POOL[6] ** 2, rel=0.03)


@pytest.mark.parametrize("write, name", WRITERS)
@pytest.mark.parametrize("phase, frame", [("ed", 8), ("es", 4), (8, 8), ("4", 4), (None, 8),
                                          ("match", 8)])
def test_contours_of_two_frames_serve_both(exam, cine, tmp_path, write, name, phase, frame) -> None:
    study = read_study(bssfp=exam.folder, mask=write(tmp_path / name, cine, [4, 8]), phase=phase)
    assert study.provenance["bssfp_phase"]["frame"] == frame
    assert pool_of(study) == pytest.approx(np.pi * POOL[frame] ** 2, rel=0.03)
    told = any("contours were drawn on frames 4, 8" in w for w in study.warnings)
    assert told == (phase in (None, "match"))


def test_a_frame_without_contours_is_refused_or_said(exam, cine, tmp_path) -> None:
    both = workspace(tmp_path / "both.cvi42wsx", cine, [4, 8])
    with pytest.raises(InputError, match="drawn on frames 4, 8"):
        read_study(bssfp=exam.folder, mask=both, phase=2)
    one = workspace(tmp_path / "one.cvi42wsx", cine, [4])
    study = read_study(bssfp=exam.folder, mask=one, phase=2)
    assert any("drawn on frame 4" in w for w in study.warnings)
    study = read_study(bssfp=exam.folder, mask=one, phase="ed")
    assert any("whether it is end diastole they do not say" in w for w in study.warnings)


def test_a_study_folder_takes_the_frame_that_contours_name(exam, cine, tmp_path) -> None:
    assert run("import", exam.folder, "-o", tmp_path / "study") == 0
    both = workspace(tmp_path / "both.cvi42wsx", cine, [4, 8])
    for phase, frame in (("es", 4), (None, 8)):
        study = read_study_folder(tmp_path / "study", mask=both, mask_dicom=exam.folder,
                                  phase=phase)
        assert study.provenance["bssfp_phase"]["frame"] == frame
        assert pool_of(study) == pytest.approx(np.pi * POOL[frame] ** 2, rel=0.03)


def test_nothing_says_end_systole_without_contours(exam, cine, tmp_path) -> None:
    mask = np.zeros((4, 64, 72), np.uint8)
    mask[:, 20:40, 20:40] = 1
    from deepgmm.reading.images.grids import image_of
    from deepgmm.reading.masks.labelmap import write_image

    write_image(image_of(mask, SHORT), tmp_path / "mask.nii.gz", "mask")
    with pytest.raises(InputError, match="--phase es: nothing says which frame that is"):
        read_study(bssfp=exam.folder, mask=tmp_path / "mask.nii.gz", phase="es")


def test_of_several_frames_that_nearest_to_lge_is_taken() -> None:
    phase, warnings = drawn_on({0: 90.0, 5: 40.0}, 9, None, [80.0 * p for p in range(9)], 420.0)
    assert phase.frame == 5 and "nearest to LGE" in warnings[0]
    assert parse_phase("ED") == "ed" and parse_phase("es") == "es"


def test_files_without_contours_name_no_frame(tmp_path) -> None:
    (tmp_path / "mask.nii.gz").write_bytes(b"nothing")
    assert drawn_frames(tmp_path / "mask.nii.gz", {"1.2": 0}, []).areas == {}


# Files of four axes

@pytest.fixture
def beats() -> np.ndarray:
    """(frames, slices, rows, columns)"""
    return np.random.default_rng(0).integers(0, 999, (7, 5, 40, 48)).astype(np.int16)


@pytest.mark.parametrize("kind", ["list", "time", "domain"])
@pytest.mark.parametrize("first", [True, False])
def test_sequences_of_slicer_are_cines(tmp_path, beats, kind, first) -> None:
    """Written by pynrrd, as 3D Slicer does."""
    data = np.transpose(beats, (0, 3, 2, 1) if first else (3, 2, 1, 0))
    space, none = np.diag([1.4, 1.3, 8.0]), [[np.nan] * 3]
    nrrd.write(str(tmp_path / "a.seq.nrrd"), data, {
        "space": "left-posterior-superior", "space origin": [10, 20, 30], "encoding": "gzip",
        "space directions": np.vstack([none, space] if first else [space, none]),
        "kinds": [kind, *["domain"] * 3] if first else [*["domain"] * 3, kind]})
    cine = read_cine(tmp_path / "a.seq.nrrd")
    assert cine is not None
    np.testing.assert_array_equal(cine.values, beats)
    assert cine.geometry.spacing == pytest.approx((1.4, 1.3, 8.0))
    assert cine.geometry.origin == (10, 20, 30)


@pytest.mark.parametrize("first", [True, False])
def test_time_is_found_first_or_last(tmp_path, beats, first) -> None:
    """Written by nibabel."""
    affine = np.diag([-1.4, -1.3, 8.0, 1.0])
    affine[:3, 3] = (10, 20, 30)
    data = np.transpose(beats, (0, 3, 2, 1) if first else (3, 2, 1, 0))
    nib.save(nib.Nifti1Image(data, affine), tmp_path / "a.nii.gz")
    cine = read_cine(tmp_path / "a.nii.gz")
    assert cine is not None
    np.testing.assert_array_equal(cine.values, beats)
    assert cine.geometry.spacing == pytest.approx((1.4, 1.3, 8.0))
    assert cine.geometry.origin == pytest.approx((-10, -20, 30))
    assert bool(cine.warnings) == first


def test_colours_are_no_frames(tmp_path) -> None:
    nrrd.write(str(tmp_path / "a.nrrd"), np.zeros((3, 8, 8, 4), np.uint8), {
        "space": "left-posterior-superior", "space origin": [0, 0, 0],
        "space directions": np.vstack([[[np.nan] * 3], np.eye(3)]),
        "kinds": ["RGB-color", "domain", "domain", "domain"]})
    assert read_cine(tmp_path / "a.nrrd") is None


def test_the_example_is_a_short_axis(exam, cine) -> None:
    from dicom_files import choice_of

    assert list(choice_of(exam).taken) == [Role.BSSFP]
    assert isinstance(exam, Examination)
