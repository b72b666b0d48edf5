"""`deepgmm propose-mask`: corrections from files and words, and a mark that outlives its file."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk

from deepgmm import InputError, Settings, read_images, read_study, segment
from deepgmm.cli.main import main
from deepgmm.cli.redrawn import redrawn, slices_drawn
from deepgmm.phantom import make_patient
from deepgmm.progress import silent
from deepgmm.reading.contours.markups import read_named_points
from deepgmm.reading.images.grids import image_of
from deepgmm.reading.masks.lv_mask import read_mask
from deepgmm.reading.masks.seg_nrrd import PROPOSAL, digest_of, mask_seg_nrrd_image
from deepgmm.review.panels import outlines_of
from deepgmm.review.slices import slices_named
from deepgmm.study.words import SURE, Align, Role, Tissue


@pytest.fixture(scope="module")
def patient(tmp_path_factory):
    """An LGE file of a turned stack, its study, and a file with one slice drawn."""
    study = make_patient(3, slices=3).study
    turn = (0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, -1.0)
    study = replace(study, geometry=replace(study.geometry, direction=turn,
                                            origin=(20.0, -31.0, 5.0)))
    folder = tmp_path_factory.mktemp("patient")
    write = sitk.WriteImage
    write(image_of(study.sequences[Role.LGE].values, study.geometry), str(folder / "lge.nii.gz"))
    one = np.zeros(study.mask.shape, np.uint8)
    one[1] = study.mask[1]
    write(image_of(one, study.geometry), str(folder / "drawn.nrrd"))
    return folder, study


def test_corrections_enter_and_the_file_says_that_it_was_proposed(patient, capsys, tmp_path):
    folder, study = patient
    # a point in the patient, from the pixel by the header alone
    row, column = np.argwhere(study.mask[0]).max(0)[0], np.argwhere(study.mask[0]).mean(0)[1]
    x, y, z = study.geometry.index_to_world()[:3] @ (column, row + 1.5, 0, 1)
    points = tmp_path / "endo.mrk.json"
    points.write_text(json.dumps({"markups": [{"coordinateSystem": "LPS", "controlPoints": [
        {"label": "endo-1", "position": [x, y, z]}]}]}), encoding="utf-8")
    assert read_named_points(points)[1] == ["endo-1"]
    out = tmp_path / "lv.seg.nrrd"
    assert main(["propose-mask", "--lge", str(folder / "lge.nii.gz"), "-o", str(out), "--json",
                 "--fixed", str(folder / "drawn.nrrd"), "--point", f"{x},{y},{z},EPI"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["fixed"] == [1] and said["points"] == 1 and said["confidence"][1] == 1.0
    read = read_study(lge=folder / "lge.nii.gz", mask=out)
    assert (read.mask[1] == study.mask[1]).all()
    edge = np.argwhere(read.mask[0])[:, 0].max()
    assert abs(edge - (row + 1.5)) <= 1.0
    assert sum("was proposed" in w for w in read.warnings) == 1
    assert any("on every slice but slice 1, which was drawn" in w for w in read.warnings)
    assert read.provenance["mask_proposal"]["proposed"]
    assert not read.provenance["mask_proposal"]["looked_at"]
    header = sitk.ReadImage(str(out))
    assert f"{PROPOSAL}:" in header.GetMetaData("Segment0_Tags")


@pytest.mark.parametrize("redrawn", [[], [1], [0, 1, 2]])
def test_of_a_whole_proposal_only_the_slices_that_were_redrawn_count(patient, redrawn, tmp_path,
                                                                     capsys):
    lge, first = ["--lge", str(patient[0] / "lge.nii.gz")], tmp_path / "first.seg.nrrd"
    assert main(["propose-mask", *lge, "-o", str(first), "--json"]) == 0
    before = json.loads(capsys.readouterr().out)
    proposed = read_study(lge=lge[1], mask=first)
    assert proposed.mask.any((1, 2)).all()
    mask = proposed.mask.copy()
    mask[redrawn] = np.roll(mask[redrawn], 2, axis=2)
    again, out = tmp_path / "again.nii.gz", tmp_path / "out.seg.nrrd"
    sitk.WriteImage(image_of(mask.astype(np.uint8), proposed.geometry), str(again))
    assert main(["propose-mask", *lge, "--fixed", str(again), "-o", str(out), "--json"]) == 0
    said, warned = (str(text) for text in capsys.readouterr())
    after, whole = json.loads(said), len(redrawn) == len(mask)
    assert after.get("fixed", []) == redrawn and after["proposed"] == (not whole)
    read = read_study(lge=lge[1], mask=out)
    assert (read.mask[redrawn] == mask[redrawn]).all()
    assert any("was proposed" in w for w in read.warnings) != whole
    assert ("nothing was corrected" in warned) == (not redrawn)
    assert ("counts as not drawn" in warned) == (redrawn == [1])
    if not redrawn:
        assert (read.mask == proposed.mask).all() and after == before
    if redrawn == [1]:
        assert (read.mask[[0, 2]] != proposed.mask[[0, 2]]).any()


def test_a_corrected_proposal_is_gone_on_with(patient, tmp_path, capsys):
    """The file's note says what was drawn before: what followed then follows again."""
    folder, study = patient
    lge = ["--lge", str(folder / "lge.nii.gz")]
    x, y, z = study.geometry.index_to_world()[:3] @ (
        *(np.argwhere(study.mask[0]).mean(0)[::-1] + (0, np.ptp(np.argwhere(study.mask[0])[:, 0])
                                                      / 2 + 2)), 0, 1)
    once, edited, plain, out = (tmp_path / name for name in (
        "once.seg.nrrd", "edited.seg.nrrd", "edited.nii.gz", "out.seg.nrrd"))
    assert main(["propose-mask", *lge, "--fixed", str(folder / "drawn.nrrd"), "--point",
                 f"{x},{y},{z},epi", "-o", str(once), "--json"]) == 0
    before = json.loads(capsys.readouterr().out)
    image = sitk.ReadImage(str(once))
    mask = sitk.GetArrayFromImage(image)
    # given back as it is, it stays as it is
    assert main(["propose-mask", *lge, "--fixed", str(once), "-o", str(out), "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again == before and again["fixed"] == [1] and len(again["places"]) == 1
    assert (sitk.GetArrayFromImage(sitk.ReadImage(str(out))) == mask).all()
    # one slice more is drawn: the other goes on to follow, as if all were given at once
    mask[2] = np.roll(mask[2], 2, axis=1)
    for path in (edited, plain):
        new = sitk.GetImageFromArray(mask)
        new.CopyInformation(image)
        if path is edited:
            for key in image.GetMetaDataKeys():
                new.SetMetaData(key, image.GetMetaData(key))
        sitk.WriteImage(new, str(path))
    said = {}
    for path in (edited, plain):
        assert main(["propose-mask", *lge, "--fixed", str(path), "-o", str(out), "--json"]) == 0
        text, warned = (str(one) for one in capsys.readouterr())
        said[path] = json.loads(text)["fixed"], "give the .seg.nrrd" in warned
    assert said == {edited: ([1, 2], False), plain: ([0, 1, 2], True)}
    two = np.zeros_like(mask)
    two[[1, 2]] = mask[[1, 2]]
    sitk.WriteImage(image_of(two, study.geometry), str(plain))
    at_once = tmp_path / "at-once.seg.nrrd"
    for path, to, more in ((edited, out, []), (plain, at_once, ["--point", f"{x},{y},{z},epi"])):
        assert main(["propose-mask", *lge, "--fixed", str(path), "-o", str(to), "-q", *more]) == 0
    assert (sitk.GetArrayFromImage(sitk.ReadImage(str(out)))
            == sitk.GetArrayFromImage(sitk.ReadImage(str(at_once)))).all()


def test_an_emptied_slice_says_that_there_is_none(patient, tmp_path, capsys):
    """With the file's note, and without one where most of the proposal is left as it was."""
    folder, _ = patient
    lge = ["--lge", str(folder / "lge.nii.gz")]
    first, edited, plain, out = (tmp_path / name for name in (
        "first.seg.nrrd", "edited.seg.nrrd", "plain.nii.gz", "out.seg.nrrd"))
    assert main(["propose-mask", *lge, "-o", str(first), "-q"]) == 0
    image = sitk.ReadImage(str(first))
    mask = sitk.GetArrayFromImage(image)
    mask[0] = 0
    new = sitk.GetImageFromArray(mask)
    new.CopyInformation(image)
    sitk.WriteImage(new, str(plain))
    for key in image.GetMetaDataKeys():
        new.SetMetaData(key, image.GetMetaData(key))
    sitk.WriteImage(new, str(edited))
    capsys.readouterr()
    for path in (edited, plain):
        assert main(["propose-mask", *lge, "--fixed", str(path), "-o", str(out), "--json"]) == 0
        text, warned = (str(one) for one in capsys.readouterr())
        assert json.loads(text)["fixed"] == [0] and "a person left it out" in json.loads(text)[
            "left_out"]["0"]
        assert "word that there is none" in warned
        assert not sitk.GetArrayFromImage(sitk.ReadImage(str(out)))[0].any()


@pytest.mark.parametrize("labels", ["emidec", None])
def test_a_wall_that_was_drawn_is_used(patient, labels, tmp_path):
    """Of labels by their name, and told to be unused without one."""
    folder, study = patient
    wall = make_patient(3, slices=3).wall
    values = np.zeros(study.mask.shape, np.uint8)
    values[1] = np.where(wall[1], 2, study.mask[1])
    values[1][wall[1] & (np.indices(values.shape[1:])[0] < 40)] = 3
    file = tmp_path / "labels.nii.gz"
    sitk.WriteImage(image_of(values, study.geometry), str(file))
    images = read_images(lge=folder / "lge.nii.gz")
    given = slices_drawn(file, images, labels)
    assert (given.masks[1] == study.mask[1]).all() and list(given.masks) == [1]
    assert any("--mask-labels emidec" in w for w in images.warnings) == (labels is None)
    found = redrawn(images, given, [], Align.OFF, silent)
    assert (found.pool[1] == (study.mask & ~wall)[1]).all() == (labels is not None)


@pytest.mark.parametrize("broken", [False, True])
def test_what_lies_outside_a_resampled_image_is_no_fault_of_its_file(patient, broken, tmp_path):
    folder, study = patient
    whole = sitk.ReadImage(str(folder / "lge.nii.gz"))
    part = sitk.Cast(whole, sitk.sitkFloat32)[10:-10, 10:-10]
    if broken:
        part[5, 5, 1] = float("nan")
    sitk.WriteImage(part * 2 + 1, str(tmp_path / "t2.nrrd"))
    read = read_images(lge=folder / "lge.nii.gz", t2=tmp_path / "t2.nrrd", resample=True)
    assert np.isnan(read.sequences[Role.T2].values).any()
    said = [w for w in read.warnings if "not numbers" in w]
    assert said == ([f"T2 has 1 {said[0].split(' ', 3)[3]}"] if broken else [])


def test_the_files_are_named(patient, capsys, tmp_path):
    out = tmp_path / "lv.nii.gz"
    for more in ("", " (replaced)"):
        assert main(["propose-mask", "--lge", str(patient[0] / "lge.nii.gz"), "-o", str(out)]) == 0
        assert capsys.readouterr().out.endswith(f"LV mask: {out}{more}\n")


def markups(path, **said):
    path.write_text(json.dumps({"markups": [said | {"controlPoints": [
        {"label": "a", "position": [1, 2, 3]}]}]}), encoding="utf-8")
    return path


@pytest.mark.parametrize("said, x", [
    ({}, 1), ({"coordinateSystem": "lps"}, 1), ({"coordinateSystem": "1"}, 1),
    ({"coordinateSystem": 1}, 1), ({"coordinateSystem": "ras"}, -1),
    ({"coordinateSystem": "0"}, -1), ({"coordinateSystem": 0}, -1),
    ({"coordinateUnits": "mm"}, 1), ({"coordinateUnits": ["mm", "mm_code"]}, 1)])
def test_points_of_either_system_are_read(said, x, tmp_path):
    (place,), _ = read_named_points(markups(tmp_path / "p.mrk.json", **said))
    assert place.tolist() == [x, 2 * x, 3]


@pytest.mark.parametrize("said", [
    {"coordinateSystem": "IJK"}, {"coordinateSystem": 2}, {"coordinateSystem": None},
    {"coordinateSystem": True}, {"coordinateUnits": "cm"}, {"coordinateUnits": ["um", "x"]},
    {"coordinateUnits": []}])
def test_points_of_another_system_are_refused(said, tmp_path):
    with pytest.raises(InputError, match=next(iter(said))):
        read_named_points(markups(tmp_path / "p.mrk.json", **said))


@pytest.mark.parametrize("note, warned", [
    ({"looked_at": True, "provenance": {"confidence": [0.5, "Jane Doe"]}}, False),
    ({"looked_at": False, "warnings": ["Jane Doe"]}, True), ("no note", True)])
def test_a_note_is_believed_in_what_it_says_of_looking_alone(note, warned, tmp_path):
    from deepgmm.study.study import Geometry

    mask = np.zeros((2, 9, 9), bool)
    mask[:, 3:6, 2:6] = True
    file, grid = tmp_path / "lv.seg.nrrd", Geometry((1.0, 1.2, 8.0))
    sitk.WriteImage(mask_seg_nrrd_image(mask, grid, note), str(file))
    found = read_mask(file, image_of(mask.astype(np.uint8), grid))
    assert (found.mask == mask).all()
    assert any("was proposed" in w for w in found.warnings) == warned
    assert "Jane" not in str(found.warnings)


@pytest.mark.parametrize("fixed, kept", [([0, 1, 2], [0, 1, 2]), ([1], [1]), (
    [1, -1, 3, 0.0, True, "Jane Doe"], [1]), ("Jane Doe", None)])
def test_which_slices_were_drawn_goes_on_from_file_to_result(patient, fixed, kept, tmp_path):
    """No border that was drawn is held to be a proposed one."""
    folder, study = patient
    whole, file = fixed == [0, 1, 2], tmp_path / "lv.seg.nrrd"
    sitk.WriteImage(mask_seg_nrrd_image(study.mask, study.geometry, {
        "looked_at": whole, "provenance": {"proposed": not whole, "fixed": fixed,
                                           "confidence": [0.9, 1.0, 0.9]}}), str(file))
    read = read_study(lge=folder / "lge.nii.gz", mask=file)
    said = read.provenance["mask_proposal"]
    assert said["proposed"] == (not whole) and said.get("fixed") == kept
    assert any("was proposed" in w for w in read.warnings) != whole
    assert bool(outlines_of(read.provenance, 3)) != whole
    result = segment(read, Settings(method="gmm"))
    open_ = result.proposed_border(Tissue.MYOCARDIUM)
    result.provenance["mask_proposal"] = {"proposed": True}
    every = result.proposed_border(Tissue.MYOCARDIUM)
    assert open_ == 0 if whole else 0 < open_ < every if kept else open_ == every > 0


@pytest.mark.parametrize("looked_at, since, told, unsure", [
    (False, (), [1], {0}), (False, (0,), [0, 1], set()), (False, (2,), [1, 2], {0}),
    (True, (2,), [1, 2], set())])
def test_a_proposal_given_back_says_which_slices_are_unsure_not_which_were_drawn(
        patient, looked_at, since, told, unsure, tmp_path):
    """Drawn by the file's note, or since it was written, as its digests tell."""
    folder, study = patient
    file, mask = tmp_path / "lv.seg.nrrd", study.mask.copy()
    note = {"looked_at": looked_at, "provenance": {"fixed": [1], "confidence": [0.3, 1.0, 0.95]},
            "slices": {str(i): digest_of(one) for i, one in enumerate(mask)}}
    mask[list(since)] = np.roll(mask[list(since)], 3, axis=2)
    sitk.WriteImage(mask_seg_nrrd_image(mask, study.geometry, note), str(file))
    read = read_study(lge=folder / "lge.nii.gz", mask=file)
    said = read.provenance["mask_proposal"]
    assert said["fixed"] == told and all(said["confidence"][i] == 1.0 for i in told)
    assert set().union(*map(slices_named, read.warnings)) == unsure
    assert {i for i, c in enumerate(outlines_of(read.provenance, 3)) if c <= SURE} == (
        {0} - set(told))
    # a file that lies elsewhere altogether says nothing of what was drawn since
    note["slices"] = {str(i): digest_of(~one) for i, one in enumerate(mask)}
    sitk.WriteImage(mask_seg_nrrd_image(mask, study.geometry, note), str(file))
    assert read_study(lge=folder / "lge.nii.gz", mask=file).provenance["mask_proposal"][
        "fixed"] == [1]


@pytest.mark.parametrize("wrong", [
    ["--point", "1,2,epi"], ["--point", "1,2,x,epi"], ["--point", "1,2,3,rv"],
    ["--point", "1,2,NAN,ENDO"], ["--point", "1_0,2,3,epi"], ["--point", "5000,0,0,epi"],
    ["--fixed", "lge.nii.gz-not-there"], ["--points", "lge.nii.gz"]])
def test_corrections_that_say_nothing_are_refused_in_a_line(patient, wrong, tmp_path, capsys):
    folder, _ = patient
    given = [str(folder / w) if "lge" in w else w for w in wrong]
    out = tmp_path / "lv.nii.gz"
    assert main(["propose-mask", "--lge", str(folder / "lge.nii.gz"), "-o", str(out),
                 *given]) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert said[-1].startswith("deepgmm: error:") and len(said[-1]) < 300 and not out.exists()
    assert str(folder) not in said[-1]


def test_a_proposal_appears_with_the_result_or_not_at_all(patient, tmp_path, capsys):
    folder, study = patient
    lge, out = ["--lge", str(folder / "lge.nii.gz")], ["-o", str(tmp_path / "out.seg.nrrd")]
    assert main(["segment", *lge, "--mask", "propose", "--tissues", "edema", *out]) == 2
    assert not list(tmp_path.iterdir())
    assert main(["propose-mask", *lge, "--phase", "2", *out]) == 2
    assert "--phase" in capsys.readouterr().err
    # one that was corrected under its own name is no file to be written over
    corrected = tmp_path / "out-proposed-mask.seg.nrrd"
    sitk.WriteImage(image_of(study.mask.astype(np.uint8), study.geometry), str(corrected))
    before = corrected.read_bytes()
    assert main(["segment", *lge, "--mask", "propose", *out]) == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert "--mask" in said and len(said) < 300 and str(tmp_path) not in said
    assert corrected.read_bytes() == before and [*tmp_path.iterdir()] == [corrected]


def test_the_mask_beside_a_result_says_itself_that_it_was_proposed(patient, tmp_path, capsys):
    lge, out = ["--lge", str(patient[0] / "lge.nii.gz")], ["-o", str(tmp_path / "out.seg.nrrd")]
    beside, report = tmp_path / "out-proposed-mask.seg.nrrd", tmp_path / "out.json"
    fit = ["segment", *lge, *out, "--report", str(report), "--method", "gmm", "-q"]
    # what labels of drawn masks mean does not matter here; once more the same is proposed
    for more in (["--mask-labels", "acdc"], []):
        assert main([*fit, "--mask", "propose", *more]) == 0
        assert capsys.readouterr().err.count("was proposed from the images") == 1
        said = json.loads(report.read_text())
        assert said["mask_proposal"]["proposed"] and "sequences" in said["mask_proposal"]
    assert main([*fit, "--mask", str(beside)]) == 0
    assert capsys.readouterr().err.count("was proposed from the images") == 1
    later = json.loads(report.read_text())
    assert later["mask_proposal"] == {"proposed": True, "looked_at": False,
                                      "confidence": said["mask_proposal"]["confidence"]}
    assert later["volumes_ml"] == said["volumes_ml"]


def test_a_refused_point_names_the_slice_as_the_table_does(tmp_path, capsys):
    """The base comes last in the file: its first slice, beyond the apex, is the table's last."""
    study = make_patient(3, slices=4).study
    values = study.sequences[Role.LGE].values
    beyond = np.random.default_rng(0).normal(20, 8, values[:1].shape).astype(np.float32)
    stack = np.concatenate([beyond, values])
    path = str(tmp_path / "lge.nrrd")
    sitk.WriteImage(image_of(stack, study.geometry), path)
    x, y, z = study.geometry.index_to_world()[:3] @ (40, 40, 0, 1)
    given = ["propose-mask", "--lge", path, "--json"]
    assert main(given) == 0
    left_out = json.loads(capsys.readouterr().out)["left_out"]
    assert "beyond the apex" in left_out["0"]
    assert main([*given, "--point", f"{x},{y},{z},epi"]) == 2
    assert f"slice {len(stack)}, where no border" in capsys.readouterr().err
