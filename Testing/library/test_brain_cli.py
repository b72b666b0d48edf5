"""`deepgmm brain`: exit statuses, files, words; nibabel reads what was written."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

from deepgmm.brain.atlas import Atlas
from deepgmm.brain.layouts import brain_cases, read_case
from deepgmm.brain.phantom import make_brain
from deepgmm.brain.phantom_files import write_ibsr
from deepgmm.brain.volumes import read_volume
from deepgmm.cli.main import main
from deepgmm.model.deformable import DeformableOptions

pytestmark = pytest.mark.usefixtures("a_log_of_our_own")


def run(*arguments: object) -> int:
    return main(["brain", *(str(a) for a in arguments)])


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Four brains in IBSR18's layout and an atlas made of the last, smoothed."""
    from scipy.ndimage import gaussian_filter

    root = tmp_path_factory.mktemp("brains")
    made = [make_brain(s, spacing=4.0) for s in range(4)]
    images = write_ibsr(made, root / "cases" / "Training_Set")
    last = read_case(brain_cases(images[-1].parent)[0])
    shares = np.stack([gaussian_filter((last.labels == k).astype(np.float32), 1)
                       for k in (1, 2, 3)])
    atlas = Atlas(shares, np.ones(last.image.shape, np.float32), last.affine, "of one",
                  (last.name,), (last.hashes["image"],), True)
    atlas.save(root / "atlas.npz")
    return root


def case(folder: Path, number: int, suffix: str = "") -> Path:
    name = f"T1_{number:04d}"
    return folder / "cases" / "Training_Set" / name / f"{name}{suffix}.nii.gz"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path


def test_segment_without_an_atlas_writes_all_that_is_asked_for(folder, out, capsys) -> None:
    assert run("segment", case(folder, 0), "-o", out / "l.nii.gz", "--probabilities",
               out / "p.nii.gz", "--field", out / "b.nii.gz", "--montage", out / "m.png",
               "--report", out / "r.json", "--truth", case(folder, 0, "_seg")) == 0
    labels, image = nibabel.load(out / "l.nii.gz"), nibabel.load(case(folder, 0))
    found, truth = (np.asarray(nibabel.load(p).dataobj)
                    for p in (out / "l.nii.gz", case(folder, 0, "_seg")))
    np.testing.assert_array_equal(labels.affine, image.affine)
    assert ((found > 0) == (np.asarray(image.dataobj) != 0)).all()
    for tissue in (2, 3):
        a, b = found == tissue, truth == tissue
        assert 2 * (a & b).sum() / (a.sum() + b.sum()) > 0.7
    sums = np.asarray(nibabel.load(out / "p.nii.gz").dataobj).sum(-1)
    np.testing.assert_allclose(sums[found > 0], 1, atol=1e-4)
    field = np.asarray(nibabel.load(out / "b.nii.gz").dataobj)
    assert (field[found == 0] == 1).all() and field[found > 0].std() > 0.01
    assert min(Image.open(out / "m.png").size) > 300
    printed = capsys.readouterr()
    assert "physical" in printed.out and "trivial" in printed.out
    assert "nonzero voxels were taken" in printed.err
    text = (out / "r.json").read_text()
    report = json.loads(text)
    assert str(out) not in text and "T1_0000" not in text
    assert report["supervision"].startswith("no label")
    volume = 0.064 * (found == 3).sum()
    assert report["volumes_ml"]["White matter"] == pytest.approx(volume, rel=1e-5)
    low, high = report["volume_intervals_90_ml"]["White matter"]
    assert low < volume < high and report["atlas"] is None
    assert [c["tissue"] for c in report["mixture"]] == ["CSF", "GM", "WM"]


def test_an_atlas_tells_tissues_whatever_is_bright(folder, out, capsys) -> None:
    made = make_brain(0, spacing=4.0, contrast="T2")
    (image,) = write_ibsr([made], out / "in")
    assert run("segment", image, "--atlas", folder / "atlas.npz", "--affine", "--sulci", "grey",
               "-o", out / "l.nii.gz", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    truth = made.as_labelled
    found = np.asarray(nibabel.load(out / "l.nii.gz").dataobj).T
    for tissue in (1, 2, 3):
        a, b = found == tissue, truth == tissue
        assert 2 * (a & b).sum() / (a.sum() + b.sum()) > 0.7, tissue
    assert report["atlas"]["labelled_cases"] == 1 and report["deformation"] is None
    assert "1 labelled case" in report["supervision"]
    brighter = {c["tissue"]: c["mean"] for c in report["mixture"][:3]}
    assert brighter["CSF"] > brighter["GM"] > brighter["WM"]


def test_an_atlas_is_not_scored_on_its_own_case_under_another_name(folder, out, capsys) -> None:
    copy = out / "other.nii.gz"
    copy.write_bytes(case(folder, 3).read_bytes())
    assert run("segment", copy, "--atlas", folder / "atlas.npz", "--truth",
               case(folder, 3, "_seg")) == 2
    assert "made of this case" in capsys.readouterr().err


def spoilt(tmp_path: Path, source: Path, change) -> Path:
    image = nibabel.load(source)
    path = tmp_path / "spoilt.nii.gz"
    nibabel.save(nibabel.Nifti1Image(change(np.asarray(image.dataobj)), image.affine), path)
    return path


@pytest.mark.parametrize("change, said", [
    (lambda v: v * 0, "0 voxels"), (lambda v: v * 0 + 5, "constant"),
    (lambda v: np.where(v > 60, np.nan, v), "no numbers"),
    (lambda v: np.stack([v, v], -1), "2 frames"),
    (lambda v: np.where(np.arange(v.shape[2]) == v.shape[2] // 2, v, 0), "spans 1 voxel along"),
])
def test_bad_images_are_one_line(folder, out, capsys, change, said) -> None:
    bad = spoilt(out, case(folder, 0), change)
    assert run("segment", bad, "-o", out / "l.nii.gz") == 2
    error = capsys.readouterr().err
    assert said in error and len(error.splitlines()) == 1 and len(error) < 300
    assert not (out / "l.nii.gz").exists()


def test_labels_that_no_brain_has_are_no_truth(folder, out, capsys) -> None:
    truth = spoilt(out, case(folder, 0, "_seg"), lambda v: np.where(v == 3, 255, v))
    assert run("segment", case(folder, 0), "--truth", truth) == 2
    assert "no tissue (255)" in capsys.readouterr().err


def test_a_mask_given_as_truth_is_said(folder, out, capsys) -> None:
    truth = spoilt(out, case(folder, 0, "_seg"), lambda v: (v > 0).astype(np.uint8))
    assert run("segment", case(folder, 0), "--truth", truth) == 0
    assert "the truth has no grey matter and no white matter" in capsys.readouterr().err


def test_an_image_that_fills_its_grid_wants_a_mask(folder, out, capsys) -> None:
    assert run("segment", spoilt(out, case(folder, 0), lambda v: v + 7), "--json") == 2
    assert "give --mask" in capsys.readouterr().err


def test_what_does_not_go_together_is_refused(folder, out, capsys) -> None:
    image, atlas = case(folder, 0), folder / "atlas.npz"
    for more, said in (
            (("-o", out / "l.png"), "must end with"), ((), "no output"),
            (("--json", "--affine"), "--affine does nothing"),
            (("--json", "--smoothness", 3), "--smoothness does nothing"),
            (("--json", "--steps", 3), "--steps does nothing"),
            (("--json", "--atlas", atlas, "--contrast", "T2"), "--contrast does nothing"),
            (("--json", "--atlas", out / "none.npz"), "atlas does not exist"),
            (("--json", "--atlas", image), "is none"),
            (("--json", "--model", out), "network"),
            (("-o", image), "overwrite"),
            (("--json", "--mask", out / "none.nii.gz"), "the brain mask file does not exist")):
        assert run("segment", image, *more) == 2, said
        error = capsys.readouterr().err
        assert said in error and len(error) < 300, error
    assert run("segment", out / "none.nii.gz", "--json") == 2


def test_atlas_names_its_cases_and_says_which_layout(folder, out, capsys, monkeypatch) -> None:
    seen = {}

    def quick(volumes, *, progress, **_):
        seen["names"] = [v.name for v in volumes]
        return replace(Atlas.load(folder / "atlas.npz"), cases=tuple(seen["names"]))

    monkeypatch.setattr("deepgmm.brain.atlas.make_atlas", quick)
    assert run("atlas", folder / "cases", "--without", "T1_0002", "-o", out / "a.npz") == 0
    assert seen["names"] == ["T1_0000", "T1_0001", "T1_0003"]
    assert Atlas.load(out / "a.npz").cases == tuple(seen["names"])
    said = capsys.readouterr().err
    assert said.count("IBSR18") == 1 and "T1_" not in said
    assert run("atlas", folder / "cases", "--without", "nobody", "-o", out / "b.npz") == 2
    assert run("atlas", folder / "cases", "-o", out / "b.nii.gz") == 2
    assert run("atlas", out / "none", "-o", out / "b.npz") == 2


def test_train_and_segment_by_slices(folder, out, capsys) -> None:
    assert run("train", folder / "cases", "-o", out / "net", "--steps", 4, "--filters", 4,
               "--levels", 2, "--json") == 0
    card = json.loads(capsys.readouterr().out)
    assert card["labelled_cases"]["loss"] == 0 and card["training"]["count"] == 4
    assert run("segment", case(folder, 1), "--model", out / "net", "-o", out / "l.nii.gz") == 0
    assert "net" in capsys.readouterr().out
    assert set(np.unique(np.asarray(nibabel.load(out / "l.nii.gz").dataobj))) <= {0, 1, 2, 3}
    assert run("segment", case(folder, 1), "--model", out / "net", "--atlas",
               folder / "atlas.npz", "-o", out / "a.nii.gz") == 2
    assert "--atlas does nothing" in capsys.readouterr().err and not (out / "a.nii.gz").exists()
    assert run("train", folder / "cases", "-o", out / "net") == 2
    assert "--force" in capsys.readouterr().err
    assert run("train", folder / "cases", "-o", out / "n", "--smoothness", 2) == 2
    assert run("train", folder / "cases", "-o", out / "n", "--atlas", "mni", "--filters", 2) == 2
    capsys.readouterr()
    assert run("train", folder / "cases", "-o", out / "n", "--atlas", "mni", "--contrast",
               "FLAIR") == 2
    error = capsys.readouterr().err
    assert "--contrast FLAIR" in error and "T1" in error and len(error) < 300


def test_what_is_odd_of_cases_is_said_once_with_their_number(folder, out, capsys) -> None:
    cases = out / "cases"
    shutil.copytree(folder / "cases", cases)
    for number, few in ((0, 8), (2, 8), (3, 5)):
        path = cases / "Training_Set" / f"T1_{number:04d}" / f"T1_{number:04d}.nii.gz"
        image = nibabel.load(path)
        values = np.asarray(image.dataobj)
        steps = np.ceil(values / values.max() * few) * 10
        nibabel.save(nibabel.Nifti1Image(steps.astype(np.float32), image.affine), path)
    assert run("train", cases, "-o", out / "net", "--steps", 1, "--filters", 2, "--levels", 1) == 0
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning:")]
    grey = [line for line in said if "grey levels" in line]
    assert len(grey) == 1 and "3 of 4 cases, as: " in grey[0]
    assert not any("T1_" in line for line in said) and len(set(said)) == len(said)
    assert grey[0].split(": ", 1)[1] in json.loads(
        (out / "net" / "card.json").read_text())["training"]["warnings"]


def test_table_writes_markdown_and_json(folder, out, capsys) -> None:
    assert run("table", folder / "cases", "--quick", "--fractions", "0.5", "--networks", "unet",
               "-o", out / "t.md", "--report", out / "t.json") == 0
    assert "A trial" in capsys.readouterr().out
    rows = json.loads((out / "t.json").read_text())["rows"]
    assert [r["loss"] for r in rows] == ["L_CE", "L_CE + L_GMM_TV"]
    assert (out / "t.md").read_text().startswith("IBSR18")
    for bad in (("--fractions", "half"), ("--fractions", "2"), ("-o", folder / "cases/t.md")):
        assert run("table", folder / "cases", "--quick", *bad) == 2


@pytest.mark.parametrize("part", ["segment", "atlas", "train", "table", "demo"])
def test_every_part_has_an_example(part, capsys) -> None:
    assert run(part, "--help") == 0
    assert f"deepgmm brain {part}" in capsys.readouterr().out.split("Example:")[1]


def test_demo_goes_from_files_to_files(folder, out, capsys, monkeypatch) -> None:
    monkeypatch.setattr("deepgmm.cli.brain_command.DEMO_MM", 5.0)
    monkeypatch.setattr("deepgmm.cli.brain_command.DEMO_OTHERS", 2)
    monkeypatch.setattr("deepgmm.brain.atlas.make_atlas",
                        lambda *_, **__: Atlas.load(folder / "atlas.npz"))
    few = partial(DeformableOptions, iterations=(2, 2))
    monkeypatch.setattr("deepgmm.model.deformable.DeformableOptions", few)
    case = out / "d" / "input" / "T1_0001"  # as the page's command names its files
    case.mkdir(parents=True)
    (case / "T1_0001.nii.gz").write_bytes(b"older")
    assert run("demo", "-o", out / "d") == 0
    assert {p.name for p in (out / "d").iterdir()} == {
        "input", "labels.nii.gz", "field.nii.gz", "montage.png", "report.json", "atlas.npz"}
    said = capsys.readouterr().out
    assert "atlas, deformed" in said
    replaced = [line for line in said.splitlines() if line.endswith("(replaced)")]
    assert replaced == [f"input: {case} (replaced)"]
    volume = read_volume(case / "T1_0001.nii.gz", mask=case / "brain.nii.gz")
    assert (volume.mask == make_brain(1, spacing=5.0, bias=0.2).volume.mask).all()
    (found,) = brain_cases(out / "d" / "input")
    assert found.layout == "IBSR18", "the mask beside is no case of its own"


@pytest.mark.parametrize("affine", [
    -np.eye(4), np.diag([1000.0, 1000.0, 1000.0, 1.0]), np.diag([4.0, 4.0, 4.0, 2.0]),
    np.diag([4.0, 4.0, -4.0, 1.0]), np.eye(4) * 0.001])
def test_an_atlas_that_lies_in_no_head_is_refused(folder, out, capsys, affine) -> None:
    with np.load(folder / "atlas.npz") as stored:
        np.savez(out / "a.npz", **{**stored, "affine": affine})
    assert run("segment", case(folder, 0), "--atlas", out / "a.npz", "-o", out / "l.nii.gz") == 2
    said = capsys.readouterr().err.strip()
    assert "atlas" in said and len(said) < 300 and not (out / "l.nii.gz").exists()


def test_a_title_of_a_stranger_stays_one_line(folder, out) -> None:
    from deepgmm.brain.atlas_choice import described

    odd = replace(Atlas.load(folder / "atlas.npz"), title="a\x1b[2J\n" + "b " * 400)
    title = described(odd)["title"]
    assert len(title) <= 80 and title.isprintable()
