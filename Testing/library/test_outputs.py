"""What is written from a result, read back by readers that are not ours."""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
from pathlib import Path

import nibabel
import nrrd
import numpy as np
import pytest
import SimpleITK as sitk
from small_results import OBLIQUE, a_result_of

from deepgmm.errors import InputError
from deepgmm.reading.masks.labelmap import read_labels
from deepgmm.review.outputs import write_outputs
from deepgmm.review.report import report
from deepgmm.study.study import Geometry
from deepgmm.study.words import Role, Tissue

TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
MIRRORED = tuple((np.array(OBLIQUE).reshape(3, 3) * [1, 1, -1]).ravel())
GRIDS = {
    "straight": Geometry((1.25, 1.25, 10.0)),
    "anisotropic": Geometry((0.8203125, 1.40625, 9.7), (-130.5, 12.25, 1e3 / 7)),
    "oblique": Geometry((1.3, 1.1, 8.0), (-71.1, 33.3 / 7, -210.0), OBLIQUE),
    "left-handed": Geometry((1.3, 1.1, 8.0), (5.5, -4.0, 3.0), MIRRORED),
}
SUFFIXES = (".seg.nrrd", ".nii.gz", ".nii", ".nrrd", ".mha")

every_grid = pytest.mark.parametrize("geometry", GRIDS.values(), ids=GRIDS.keys())


@pytest.fixture
def a_result():
    return a_result_of()


@pytest.fixture
def everything(tmp_path: Path) -> dict[str, Path]:
    """A place for each of the five outputs."""
    return {"segmentation": tmp_path / "o.seg.nrrd", "labelmap": tmp_path / "o.nii.gz",
            "probabilities": tmp_path / "p.nii.gz", "montage": tmp_path / "o.png",
            "report": tmp_path / "o.json"}


def test_everything_is_written_and_nothing_else(a_result, everything, tmp_path: Path) -> None:
    write_outputs(a_result, **everything)
    assert set(tmp_path.iterdir()) == set(everything.values())


def test_only_what_is_asked_for_is_written(a_result, tmp_path: Path) -> None:
    write_outputs(a_result, report=tmp_path / "o.json")
    assert [p.name for p in tmp_path.iterdir()] == ["o.json"]


@every_grid
def test_nibabel_finds_every_label_in_its_place(geometry: Geometry, tmp_path: Path) -> None:
    result = a_result_of(geometry=geometry)
    write_outputs(result, labelmap=tmp_path / "o.nii.gz")

    image = nibabel.load(tmp_path / "o.nii.gz")

    assert image.get_data_dtype() == np.uint8
    np.testing.assert_array_equal(np.asarray(image.dataobj), result.labels.transpose(2, 1, 0))
    np.testing.assert_allclose(image.affine, TO_RAS @ geometry.index_to_world(),
                               rtol=1e-6, atol=1e-5)


@every_grid
def test_pynrrd_finds_every_label_in_its_place(geometry: Geometry, tmp_path: Path) -> None:
    result = a_result_of(geometry=geometry)
    write_outputs(result, segmentation=tmp_path / "o.seg.nrrd")

    values, header = nrrd.read(str(tmp_path / "o.seg.nrrd"))

    np.testing.assert_array_equal(values, result.labels.transpose(2, 1, 0))
    assert header["space"] == "left-posterior-superior"
    assert header["encoding"] == "gzip"
    world = geometry.index_to_world()
    np.testing.assert_allclose(header["space directions"], world[:3, :3].T, rtol=0, atol=1e-12)
    np.testing.assert_allclose(header["space origin"], world[:3, 3], rtol=0, atol=1e-12)
    assert header["Segment3_Name"] == "Scar"
    assert header["Segment3_LabelValue"] == "4"


@every_grid
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_round_trip_brings_every_voxel_back(
    geometry: Geometry, suffix: str, tmp_path: Path
) -> None:
    result = a_result_of(geometry=geometry)
    path = tmp_path / f"o{suffix}"
    write_outputs(result, **{"segmentation" if suffix == ".seg.nrrd" else "labelmap": path})

    back = read_labels(path)

    np.testing.assert_array_equal(back.values, result.labels)
    tolerance = 1e-5 if ".nii" in suffix else 1e-12
    np.testing.assert_allclose(back.geometry.index_to_world(), geometry.index_to_world(),
                               rtol=0, atol=tolerance)


def test_probabilities_are_4d_and_their_tissues_are_said(everything) -> None:
    result = a_result_of(geometry=GRIDS["left-handed"], excluded={1: "asked for"})
    write_outputs(result, **everything)

    image = nibabel.load(everything["probabilities"])
    values = np.asarray(image.dataobj)

    assert values.dtype == np.float32
    assert values.shape == (*result.labels.shape[::-1], 4)
    np.testing.assert_array_equal(values, result.posterior.transpose(3, 2, 0, 1))
    np.testing.assert_allclose(image.affine, nibabel.load(everything["labelmap"]).affine,
                               rtol=0, atol=1e-6)
    order = json.loads(everything["report"].read_text())["tissues"]
    assert order == ["Blood", "Myocardium", "Edema", "Scar"]
    assert image.header["descrip"].tobytes().rstrip(b"\0").decode() == (
        "DeepGMM: " + ", ".join(order))


def test_an_absent_tissue_is_in_the_segmentation_and_the_report(tmp_path: Path) -> None:
    result = a_result_of()
    result.labels[result.labels == Tissue.SCAR] = Tissue.EDEMA
    write_outputs(result, segmentation=tmp_path / "o.seg.nrrd", report=tmp_path / "o.json")

    assert nrrd.read_header(str(tmp_path / "o.seg.nrrd"))["Segment3_Name"] == "Scar"
    said = json.loads((tmp_path / "o.json").read_text())
    assert said["volumes_ml"]["Scar"] == 0
    assert said["percent_of_wall"]["Scar"] == 0


def test_microvascular_obstruction_is_a_fifth_segment_when_there_is_any(tmp_path: Path) -> None:
    result = a_result_of()
    result.labels[1][np.argwhere(result.labels[1] == Tissue.SCAR)[0][0]] = Tissue.MVO
    write_outputs(result, segmentation=tmp_path / "o.seg.nrrd")
    header = nrrd.read_header(str(tmp_path / "o.seg.nrrd"))
    assert header["Segment4_Name"] == "Microvascular obstruction"
    np.testing.assert_array_equal(read_labels(tmp_path / "o.seg.nrrd").values, result.labels)


def test_bssfp_alone_gives_two_segments(tmp_path: Path) -> None:
    write_outputs(a_result_of(roles=(Role.BSSFP,)), segmentation=tmp_path / "o.seg.nrrd")
    header = nrrd.read_header(str(tmp_path / "o.seg.nrrd"))
    assert [header["Segment0_Name"], header["Segment1_Name"]] == ["Blood", "Myocardium"]
    assert "Segment2_Name" not in header


def test_the_report_holds_what_a_paper_needs(a_result, tmp_path: Path) -> None:
    a_result.provenance |= {"device": "cpu", "seconds": {"fit": 0.5}}
    a_result.warnings += ["LGE and T2 look exchanged"]
    a_result.study.excluded[2] = "asked for"
    write_outputs(a_result, report=tmp_path / "o.json")

    said = json.loads((tmp_path / "o.json").read_text())

    assert "not for diagnosis" in said["notice"]
    assert said["settings"] == {"method": "map", "seed": 3}
    assert (said["seed"], said["device"], said["times_s"]) == (
        3, "cpu", {"fit": 0.5, "total": 0.5})
    assert said["model_hash"] is None
    assert said["versions"]["numpy"] == importlib.metadata.version("numpy")
    assert {"deepgmm", "python", "torch", "simpleitk"} <= said["versions"].keys()
    assert said["input_hashes"]["mask"] == "1" * 64
    assert said["warnings"] == ["LGE and T2 look exchanged"]
    assert said["excluded_slices"] == {"2": "asked for"}
    first = said["slices"][0]
    assert (first["index"], first["nll"], first["iterations"]) == (0, 7.25, 12)
    assert first["trace"] == [8.0, 7.5, 7.25]
    assert first["means"]["Myocardium"] == [3.0, 4.0, 5.0]
    voxel = 1.3 * 1.1 * 8.0 / 1000
    assert said["volumes_ml"]["Scar"] == pytest.approx((a_result.labels == 4).sum() * voxel)
    wall = np.isin(a_result.labels, (2, 3, 4)).sum()
    assert said["percent_of_wall"]["Edema"] == pytest.approx(
        100 * (a_result.labels == 3).sum() / wall)


def test_the_report_is_strict_json_and_what_is_no_number_is_null(a_result, tmp_path) -> None:
    a_result.fits[0].nll = float("nan")
    a_result.fits[1].means[0, 0] = np.inf
    a_result.provenance["device"] = Role.LGE
    write_outputs(a_result, report=tmp_path / "o.json")

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    said = json.loads((tmp_path / "o.json").read_text(), parse_constant=refuse)
    assert said["slices"][0]["nll"] is None
    assert said["slices"][1]["means"]["Blood"][0] is None
    assert said["device"] == "lge"


def test_no_path_is_in_any_output(a_result, everything, tmp_path: Path) -> None:
    (tmp_path / "priors.json").write_bytes(b"abc")
    a_result.provenance["settings"]["priors"] = str(tmp_path / "priors.json")
    write_outputs(a_result, **everything)
    for path in everything.values():
        assert str(tmp_path).encode() not in path.read_bytes()
    said = json.loads(everything["report"].read_text())
    assert said["settings"]["priors"].startswith("sha256:ba7816bf")


def test_the_same_result_gives_the_same_bytes(a_result, everything) -> None:
    write_outputs(a_result, **everything)
    before = {name: path.read_bytes() for name, path in everything.items()}
    write_outputs(a_result, **everything)
    assert {name: path.read_bytes() for name, path in everything.items()} == before


@pytest.mark.parametrize(("what", "name"), [
    ("segmentation", "o.nii.gz"), ("labelmap", "o.seg.nrrd"), ("probabilities", "o.nrrd"),
    ("montage", "o.jpg"), ("report", "o.txt"),
])
def test_a_wrong_suffix_is_refused_before_anything_is_written(
    a_result, tmp_path: Path, what: str, name: str
) -> None:
    with pytest.raises(InputError, match=f"the file name of the {what} must end with"):
        write_outputs(a_result, **{what: tmp_path / name})
    assert list(tmp_path.iterdir()) == []


def test_one_bad_place_and_nothing_is_written(a_result, everything, tmp_path: Path) -> None:
    everything["report"] = tmp_path / "none" / "o.json"
    with pytest.raises(InputError, match="report.*folder does not exist"):
        write_outputs(a_result, **everything)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="limits of file size are a thing of Unix")
@pytest.mark.parametrize("what", ["segmentation", "labelmap", "probabilities", "montage",
                                  "report"])
def test_a_full_disk_is_said_and_leaves_nothing(what: str, everything, tmp_path: Path) -> None:
    """A limit of a file's size stands for the disk; NIfTI's writer overlooks it in silence."""
    program = f"""
import resource, sys
from small_results import a_result_of
from deepgmm.errors import InputError
from deepgmm.review.outputs import write_outputs
result = a_result_of()
import numpy as np
result.labels[:] = np.random.default_rng(0).integers(0, 5, result.labels.shape)
resource.setrlimit(resource.RLIMIT_FSIZE, (400, 400))
try:
    write_outputs(result, {what}=sys.argv[1])
except InputError as error:
    print(error)
"""
    folders = [str(Path(__file__).parent), *sys.path]
    run = subprocess.run([sys.executable, "-B", "-c", program, str(everything[what])],
                         env={**os.environ, "PYTHONPATH": os.pathsep.join(folders)},
                         capture_output=True, text=True)
    assert f"the {what} cannot be written" in run.stdout, run.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_name_in_any_script_works(a_result, tmp_path: Path) -> None:
    path = tmp_path / "Größe 心臓" / "ödem.seg.nrrd"
    path.parent.mkdir()
    write_outputs(a_result, segmentation=path)
    np.testing.assert_array_equal(read_labels(path).values, a_result.labels)


def saved(values: np.ndarray, path: Path) -> Path:
    sitk.WriteImage(sitk.GetImageFromArray(values), str(path))
    return path


def test_a_truth_coded_as_in_myops_is_understood(tmp_path: Path) -> None:
    codes = np.array([[[0, 200, 500], [600, 1220, 2221]]], np.uint16)
    back = read_labels(saved(codes, tmp_path / "truth.nii.gz"))
    np.testing.assert_array_equal(back.values, [[[0, 2, 1], [0, 3, 4]]])


def test_whole_numbers_kept_as_floats_are_labels(tmp_path: Path) -> None:
    values = np.arange(6, dtype=np.float32).reshape(1, 2, 3)
    np.testing.assert_array_equal(read_labels(saved(values, tmp_path / "a.mha")).values, values)


@pytest.mark.parametrize(("values", "said"), [
    (np.full((1, 2, 2), 7, np.uint8), "no tissue .7.*wanted"),
    (np.full((1, 2, 2), 0.5, np.float32), "no tissue"),
    (np.ones((2, 3, 2, 2), np.uint8), "2 frames"),
])
def test_what_is_no_labelmap_is_refused(values, said: str, tmp_path: Path) -> None:
    image = sitk.GetImageFromArray(values, isVector=False)
    sitk.WriteImage(image, str(tmp_path / "a.nii.gz"))
    with pytest.raises(InputError, match=said):
        read_labels(tmp_path / "a.nii.gz", "truth")


def test_a_file_that_is_missing_or_broken_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="truth file does not exist"):
        read_labels(tmp_path / "a.nii.gz", "truth")
    (tmp_path / "a.nii.gz").write_bytes(b"nothing of the kind")
    with pytest.raises(InputError, match="truth file is truncated or damaged"):
        read_labels(tmp_path / "a.nii.gz", "truth")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_half_a_file_is_refused(a_result, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"o{suffix}"
    write_outputs(a_result, **{"segmentation" if suffix == ".seg.nrrd" else "labelmap": path})
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) - len(whole) // 4])
    with pytest.raises(InputError, match="prediction.*(truncated|damaged)"):
        read_labels(path, "prediction")


def test_a_segment_of_unknown_tissue_is_refused_unless_empty(a_result, tmp_path: Path) -> None:
    path = tmp_path / "o.seg.nrrd"
    write_outputs(a_result, segmentation=path)
    image = sitk.ReadImage(str(path))
    image.SetMetaData("Segment4_ID", "x")
    image.SetMetaData("Segment4_Name", "Valve")
    image.SetMetaData("Segment4_LabelValue", "9")
    sitk.WriteImage(image, str(path))
    np.testing.assert_array_equal(read_labels(path).values, a_result.labels)

    image[0, 0, 0] = 9
    sitk.WriteImage(image, str(path))
    with pytest.raises(InputError, match="no tissue of ours"):
        read_labels(path)


def test_labels_of_another_grid_are_not_laid_over_each_other(a_result, tmp_path: Path) -> None:
    write_outputs(a_result, labelmap=tmp_path / "o.nrrd")
    back = read_labels(tmp_path / "o.nrrd")
    there, shape = a_result.study.geometry, a_result.labels.shape
    np.testing.assert_array_equal(back.on(there, shape), a_result.labels)
    half_a_voxel = Geometry(there.spacing, tuple(np.add(there.origin, 0.5)), there.direction)
    with pytest.raises(InputError, match="different grids"):
        back.on(half_a_voxel, shape)
    with pytest.raises(InputError, match="reaches beyond"):
        back.on(there, (shape[0], 20, shape[2]))


def test_the_report_of_a_result_without_provenance_is_complete() -> None:
    result = a_result_of()
    result.provenance.clear()
    said = report(result)
    assert said["settings"] is None
    assert said["input_hashes"]["lge"] == "0" * 64
