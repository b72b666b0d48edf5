"""Corrections that can hardly be of these images, or that move much: what follows, what is said."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk
from test_propose import cone

from deepgmm.cli.main import main
from deepgmm.phantom import make_patient
from deepgmm.propose.correcting import BorderPoint, corrected
from deepgmm.propose.proposed import drawn
from deepgmm.propose.rings import Ring
from deepgmm.reading.images.grids import image_of
from deepgmm.reading.masks.seg_nrrd import digest_of, mask_seg_nrrd_image
from deepgmm.review.lettering import Words
from deepgmm.study.study import Geometry, Sequence, Study
from deepgmm.study.words import Role


@pytest.mark.parametrize("border, by", [("endo", -13.0), ("epi", 13.0), ("epi", 9.5)])
def test_a_slice_whose_border_moved_far_is_at_most_half_sure(border, by):
    """Of either border, also where the mask hardly changes, and also by a point that is not far."""
    found, geometry, spacing = cone([40] * 5, of=(60.0, 61.0))
    found.confidence[:] = 0.95
    at = (60 + by + (40 if border == "epi" else 32)) / spacing[0], 61 / spacing[1]
    new = corrected(found, geometry, points=[BorderPoint(2, at, border)])
    assert new.confidence[2] <= 0.5 and new.confidence[0] == 0.95
    near = [BorderPoint(2, (at[0] - 0.7 * by / spacing[0], at[1]), border)]
    assert corrected(found, geometry, points=near).confidence[2] == 0.95


def test_the_farther_a_point_the_less_sure_its_slice_without_a_step():
    """The rest of its border is unproved; a point nearby proves it."""
    found, geometry, spacing = cone([40] * 5)
    found.confidence[:] = 0.92
    by = np.arange(0.0, 14.1, 0.4)
    sure = [corrected(found, geometry, points=[BorderPoint(
        2, ((100 + mm) / spacing[0], 61 / spacing[1]))]).confidence[2] for mm in by]
    steps = -np.diff(sure)
    assert sure[0] == 0.92 and (steps >= -1e-9).all() and steps.max() < 0.08
    at = dict(zip(by.round(1).tolist(), sure))
    assert at[3.2] == 0.92 and at[5.6] < 0.8 and 0.4 < at[8.0] < 0.55 and 0.1 < at[14.0] < 0.3


def test_what_follows_far_is_at_most_half_sure_too():
    """The slice beside a drawn one, where it comes to lie far from where it was."""
    found, geometry, spacing = cone([40] * 5)
    found.confidence[:] = 0.95
    found.overlap[:] = 0.7  # each is unsure of itself, and goes along
    moved = Ring(found.rings[2].centre + (14.0, 0.0), found.rings[2].outer, found.rings[2].inner)
    by_hand = moved.filled(found.mask.shape[1:], spacing)
    new = corrected(found, geometry, fixed=dict.fromkeys((1, 3), by_hand))
    off = float(np.linalg.norm(new.rings[2].centre - found.rings[2].centre))
    assert off > 9.0 and new.confidence[2] <= 0.5 and (new.confidence[[1, 3]] == 1.0).all()


@pytest.mark.parametrize("index, why", [(0, "proposed there"), (3, "proposed beside it")])
def test_no_slice_follows_a_corner(index, why):
    """As large as an apex may be; on a slice where one is proposed, and where none is."""
    found, geometry, spacing = cone([16, 20, 24, 24])
    del found.rings[3]
    found.mask[3] = found.confidence[3] = found.overlap[3] = 0
    by_hand = np.zeros(found.mask.shape[1:], bool)
    by_hand[:16, :16] = True
    new = corrected(found, geometry, fixed={index: by_hand})
    assert (new.mask[index] == by_hand).all() and new.confidence[index] == 1.0
    assert new.provenance["elsewhere"] == [index]
    others = [i for i in range(4) if i != index]
    assert (new.mask[others] == found.mask[others]).all()
    assert (new.confidence[others] == found.confidence[others]).all()
    assert any(f"slice {index} stays, but no other slice follows it: it lies nowhere near the "
               f"ventricle {why}" in w for w in new.warnings)
    # where nothing is sure of where the ventricle is, a person's word leads
    found.confidence[:] = 0.6 * (found.confidence > 0)
    led = corrected(found, geometry, fixed={index: by_hand})
    assert not any("nowhere near" in w for w in led.warnings)
    assert (led.mask[others] != found.mask[others]).any()


def test_slices_drawn_elsewhere_may_be_of_another_patient():
    found, geometry, spacing = cone([24, 26, 26, 26])

    def given(slices, off, size=0.0):
        rings = {i: Ring(found.rings[i].centre + off, found.rings[i].outer + size,
                         found.rings[i].inner) for i in slices}
        mask, _ = drawn(rings, found.mask.shape, spacing)
        new = corrected(found, geometry, fixed={i: mask[i] for i in slices})
        assert all((new.mask[i] == mask[i]).all() for i in slices)
        return new, any("another patient" in w for w in new.warnings)
    for slices, off, size, told in (
            (range(4), 14.0, 0.0, True), ((1, 2), 20.0, 0.0, True), ((1, 2), 5.0, 0.0, False),
            ((1,), 20.0, 0.0, False), (range(4), 3.0, 3.0, False), (range(4), 0.0, -9.0, True)):
        new, said = given(slices, off, size)
        assert said == told, (slices, off, size)
        if told:
            assert "another patient" in new.warnings[0] and "file" not in new.warnings[0]
        if off == 20.0:
            assert new.provenance["elsewhere"] == list(slices)
        elif not told:
            assert new.provenance["elsewhere"] == []


def test_what_is_odd_by_its_shape_is_not_called_far_off():
    found, geometry, spacing = cone([24, 26, 26, 26])
    whole = found.mask[1]
    pieces = whole.copy()
    pieces[np.indices(whole.shape)[1] == int(np.argwhere(whole)[:, 1].mean())] = False
    tiny = np.zeros_like(whole)
    tiny[tuple(np.argwhere(whole)[len(np.argwhere(whole)) // 2])] = True
    for by_hand, why in ((pieces, "several pieces"), (tiny, "too small")):
        new = corrected(found, geometry, fixed={1: by_hand})
        assert any(why in w for w in new.warnings)
        assert new.provenance["elsewhere"] == []


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """An LGE file, its proposal, and one for another patient, whose heart lies elsewhere."""
    study = make_patient(3, slices=3).study
    folder = tmp_path_factory.mktemp("files")
    lge = str(folder / "lge.nii.gz")
    sitk.WriteImage(image_of(study.sequences[Role.LGE].values, study.geometry), lge)
    other = np.roll(study.mask, (16, -16), (1, 2))
    note = {"looked_at": False, "provenance": {"proposed": True}, "slices": {
        str(i): digest_of(one) for i, one in enumerate(other)}}
    return folder, lge, study, other, note


def test_another_patients_proposal_in_which_nobody_drew_is_refused(files, tmp_path, capsys):
    folder, lge, study, other, note = files
    given, out = tmp_path / "other.seg.nrrd", tmp_path / "out.seg.nrrd"
    sitk.WriteImage(mask_seg_nrrd_image(other, study.geometry, note), str(given))
    assert main(["propose-mask", "--lge", lge, "--fixed", str(given), "-o", str(out)]) == 2
    assert "perhaps another patient's, and nobody drew in it" in capsys.readouterr().err
    assert not out.exists()
    # a slice that was drawn in it stays, and that is said
    mine = other.copy()
    mine[1] = study.mask[1]
    sitk.WriteImage(mask_seg_nrrd_image(mine, study.geometry, note), str(given))
    assert main(["propose-mask", "--lge", lge, "--fixed", str(given), "-o", str(out)]) == 0
    printed = capsys.readouterr()
    assert "the other slices are as proposed for these" in printed.err.splitlines()[0]
    mask = sitk.GetArrayFromImage(sitk.ReadImage(str(out)))
    assert (mask[1] == study.mask[1]).all()
    overlap = [2 * (mask[i] & study.mask[i]).sum() / (mask[i].sum() + study.mask[i].sum())
               for i in (0, 2)]
    assert min(overlap) > 0.85
    assert "drawn" in next(line for line in printed.out.splitlines() if "1.00" in line)


def test_anothers_untouched_proposal_on_another_grid_is_refused_too(files, tmp_path, capsys):
    """Brought onto these images its slices are no longer what its note says that they held."""
    folder, lge, study, other, note = files
    given, out = tmp_path / "other.seg.nrrd", tmp_path / "out.seg.nrrd"
    words = ["propose-mask", "--lge", lge, "--fixed", str(given), "-o", str(out)]
    finer = Geometry((0.9 * study.geometry.spacing[0], *study.geometry.spacing[1:]),
                     study.geometry.origin, study.geometry.direction)
    sitk.WriteImage(mask_seg_nrrd_image(other, finer, note), str(given))
    assert main(words) == 2
    assert "on another grid, and nobody drew in it" in capsys.readouterr().err
    mine = other.copy()
    mine[1] = np.roll(mine[1], 2, 0)  # where somebody did it stays
    sitk.WriteImage(mask_seg_nrrd_image(mine, finer, note), str(given))
    assert main(words) == 0 and out.exists()


def test_a_proposal_that_was_changed_is_not_written_over(files, tmp_path, capsys):
    _, lge, study, *_ = files
    out = tmp_path / "lv.seg.nrrd"
    words = ["propose-mask", "--lge", lge, "-o", str(out)]
    assert main(words) == 0 and main(words) == 0  # nobody touched it
    image = sitk.ReadImage(str(out))
    values = sitk.GetArrayFromImage(image)
    values[1] = np.roll(values[1], 3, 0)
    changed = sitk.GetImageFromArray(values)
    changed.CopyInformation(image)
    for key in image.GetMetaDataKeys():
        changed.SetMetaData(key, image.GetMetaData(key))
    sitk.WriteImage(changed, str(out))
    before = out.read_bytes()
    capsys.readouterr()
    assert main(words) == 2
    assert "was changed since it was written" in capsys.readouterr().err
    assert out.read_bytes() == before


def test_anothers_proposal_is_not_taken_as_drawn_where_no_ventricle_is_seen(tmp_path, capsys):
    """Slices of a brain, and a proposal for somebody's heart that nobody touched."""
    from deepgmm.brain.phantom import make_brain

    values = make_brain(314, contrast="T1 T2 inverted".split()[314 % 3],
                        spacing=1.5).volume.image[10:60:5].astype(np.float32)
    geometry, image = Geometry((1.5, 1.5, 7.5)), tmp_path / "brain.nii.gz"
    sitk.WriteImage(image_of(values, geometry), str(image))
    y, x = np.indices(values.shape[1:]) - np.array(values.shape[1:])[:, None, None] / 2
    mask = np.zeros(values.shape, bool)
    mask[2:8] = np.hypot(y, x) < 18
    note = {"looked_at": False, "provenance": {"proposed": True}, "slices": {
        str(i): digest_of(mask[i]) for i in range(2, 8)}}
    given, out = tmp_path / "other.seg.nrrd", tmp_path / "out.seg.nrrd"
    words = ["propose-mask", "--bssfp", str(image), "--fixed", str(given), "-o", str(out)]
    sitk.WriteImage(mask_seg_nrrd_image(mask, geometry, note), str(given))
    assert main(words) == 2
    said = capsys.readouterr().err
    assert "no left ventricle" in said and "in which nobody drew" in said and not out.exists()
    mask[4] = np.roll(mask[4], 3, 0)  # a person draws one: that one alone is drawn
    sitk.WriteImage(mask_seg_nrrd_image(mask, geometry, note), str(given))
    assert main(words) == 0
    printed = capsys.readouterr()
    assert "was proposed, for other images" in printed.err
    assert sum(" drawn" in line for line in printed.out.splitlines()) == 1
    assert (sitk.GetArrayFromImage(sitk.ReadImage(str(out)))[4] == mask[4]).all()


def test_a_plain_mask_of_another_patient_stays_as_drawn_and_is_said(files, tmp_path, capsys):
    folder, lge, study, other, _ = files
    given, out = tmp_path / "other.nii.gz", tmp_path / "out.seg.nrrd"
    sitk.WriteImage(image_of(other.astype(np.uint8), study.geometry), str(given))
    assert main(["propose-mask", "--lge", lge, "--fixed", str(given), "-o", str(out)]) == 0
    printed = capsys.readouterr()
    assert "may be of another patient" in printed.err.splitlines()[0]
    assert printed.out.count("drawn, far from what was proposed") == 3
    assert (sitk.GetArrayFromImage(sitk.ReadImage(str(out))) == other).all()


def test_the_picture_says_what_was_drawn_and_where_far_off(monkeypatch):
    """By its words and colours: green where an outline is likely right, amber elsewhere."""
    import io

    from PIL import Image

    from deepgmm.review import proposal_picture

    found, geometry, spacing = cone([24, 26, 26])
    study = Study({Role.LGE: Sequence(Role.LGE, found.mask * 100.0)}, found.mask, geometry)
    words = []
    monkeypatch.setattr(proposal_picture, "Words", lambda *given, **how: words.append(given) or
                        Words(*given, **how))

    def drawn_by(mm):
        new = corrected(found, geometry, fixed={1: np.roll(found.mask[1], round(mm / 1.3), 1)})
        words.clear()
        png = proposal_picture.proposal_png(study, new)
        pixels = np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)
        amber = (np.abs(pixels - (255, 178, 0)).max(-1) < 12).sum()
        return [w[2] for w in words if "slice" in w[2] and ":" in w[2]], int(amber)
    told, amber = drawn_by(4)
    assert sum(one.endswith(": drawn") for one in told) == 1 and not amber
    told, amber = drawn_by(34)
    assert sum(one.endswith(": drawn, far off") for one in told) == 1 and amber > 100


def test_of_a_proposal_made_otherwise_the_slices_are_proposed_anew(files, tmp_path, capsys):
    folder, lge, study, _, note = files
    near = np.roll(study.mask, 2, 1)
    note = note | {"slices": {str(i): digest_of(one) for i, one in enumerate(near)}}
    given, out = tmp_path / "near.seg.nrrd", tmp_path / "out.seg.nrrd"
    sitk.WriteImage(mask_seg_nrrd_image(near, study.geometry, note), str(given))
    assert main(["propose-mask", "--lge", lge, "--fixed", str(given), "-o", str(out)]) == 0
    said = capsys.readouterr().err
    assert "were proposed otherwise" in said and "to the pixel" not in said


def test_images_far_apart_are_said_to_be(files, tmp_path, capsys):
    folder, lge, study, *_ = files
    down = study.geometry.index_to_world()[:3, 1] / study.geometry.spacing[1]
    away = replace(study.geometry, origin=tuple(study.geometry.origin + 500 * down))
    bssfp = tmp_path / "bssfp.nii.gz"
    sitk.WriteImage(image_of(study.sequences[Role.BSSFP].values, away), str(bssfp))
    height = study.mask.shape[1] * study.geometry.spacing[1]
    for more in (["propose-mask"], ["segment", "--mask", "propose"]):
        assert main([*more, "--bssfp", str(bssfp), "--lge", lge, "--resample", "-o",
                     str(tmp_path / "out.seg.nrrd")]) == 2
        said = capsys.readouterr().err.strip().splitlines()[-1]
        assert f"bSSFP and LGE do not overlap: they lie {500 - height:.0f} mm apart" in said


@pytest.mark.parametrize("there, said", [(False, "was not found"), (True, "has no study.json")])
def test_a_study_folder_that_is_not_there_is_not_found(there, said, tmp_path, capsys):
    folder = tmp_path / "nowhere"
    if there:
        folder.mkdir()
    for more in (["propose-mask"], ["segment", "--mask", "propose"]):
        assert main([*more, "--study", str(folder), "-o", str(tmp_path / "out.seg.nrrd")]) == 2
        assert said in capsys.readouterr().err.strip().splitlines()[-1]
