"""`deepgmm refine` and `deepgmm versions`: from a state and an edited file to files, or refused."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from small_phantoms import a_patient
from study_files import BEFORE

from deepgmm import Settings, segment
from deepgmm.cli.main import main
from deepgmm.reading.masks.labelmap import read_labels, write_image
from deepgmm.reading.masks.seg_nrrd import seg_nrrd_image
from deepgmm.refine import case_of  # noqa: F401  loads the module
from deepgmm.review.metrics import dice
from deepgmm.review.outputs import write_outputs
from deepgmm.review.state import read_state
from deepgmm.review.versions import Versions
from deepgmm.study.levels import Numbering
from deepgmm.study.words import Tissue


@cache
def fitted():
    patient = a_patient(101)
    return segment(patient.study, Settings(method="map")), patient.truth


@pytest.fixture
def place(tmp_path: Path, a_log_of_our_own) -> Path:
    folder = tmp_path / "Mustermann"
    folder.mkdir()
    write_outputs(fitted()[0], state=folder / "s.dgmm", segmentation=folder / "auto.seg.nrrd")
    return folder


def edit(place: Path, *slices: int, name: str = "e.seg.nrrd") -> Path:
    """The result with slices as they truly are, as Slicer saves it."""
    result, truth = fitted()
    labels = result.labels.copy()
    for index in slices:
        labels[index] = np.where(result.study.mask[index], truth[index], 0)
    write_image(seg_nrrd_image(labels, result.study.geometry, result.present_tissues),
                place / name, "segmentation")
    return place / name


def run(*words: object) -> int:
    return main([str(word) for word in words])


def number(index: int) -> int:
    """As the command counts slices: the apex of phantoms is at the first."""
    return 3 - index


def test_from_an_edited_file_to_files_and_a_new_version(place: Path, capsys) -> None:
    assert run("refine", place / "s.dgmm", "--edited", edit(place, 1), "--done", number(1),
               "-o", place / "n.seg.nrrd", "--labelmap", place / "n.nii.gz", "--probabilities",
               place / "p.nii.gz", "--montage", place / "n.png", "--report", place / "n.json",
               "--edit-log", place / "log.json", "--seconds", 41) == 0
    said = capsys.readouterr()
    assert f"version 2: {fitted()[0].study.mask[1].sum()} voxels corrected, done: slice 2" in \
        said.out
    truth = fitted()[1]
    new = read_labels(place / "n.seg.nrrd")
    labels = new.on(fitted()[0].study.geometry, truth.shape)
    np.testing.assert_array_equal(labels[1], np.where(fitted()[0].study.mask[1], truth[1], 0))
    np.testing.assert_array_equal(
        sitk.GetArrayFromImage(sitk.ReadImage(str(place / "n.nii.gz"))), labels)
    report = json.loads((place / "n.json").read_text())
    assert report["refined"]["done_slices"] == [1] and report["settings"]["method"] == "map"
    held, _ = read_state(place / "s.dgmm")
    assert [v.what for v in held.line] == ["segmented", "refined"]
    np.testing.assert_array_equal(held.last.labels(), labels)
    np.testing.assert_array_equal(held.line[0].labels(), fitted()[0].labels)
    log = json.loads((place / "log.json").read_text())
    before = fitted()[0].labels
    touched = (before[1] != labels[1]) & fitted()[0].study.mask[1]
    assert log["voxels_touched"]["all"] == touched.sum() and log["seconds_of_person"] == 41
    assert log["effects"] is None  # no editor was watched
    row = log["automatic_against_corrected"]["slices"]
    assert [r["Scar"] for r in row if r["index"] == 1] == [
        pytest.approx(dice(before[1] == Tissue.SCAR, truth[1] == Tissue.SCAR))]
    assert [r["number"] for r in log["done_slices"]] == [2]
    texts = "".join((place / n).read_text() for n in ("n.json", "log.json"))
    assert "Mustermann" not in texts and b"Mustermann" not in (place / "s.dgmm").read_bytes()

    # said again, nothing is refitted and no version added
    held_before = (place / "s.dgmm").read_bytes()
    for again in (["--done", number(1)], ["--edited", edit(place, 1), "--done", number(1)]):
        assert run("refine", place / "s.dgmm", *again, "-o", place / "again.seg.nrrd") == 0
        told = capsys.readouterr()
        assert "nothing changed: all of this was said before" in told.err
        assert "version 2, as it was: " in told.out and "followed" not in told.out
        assert "s.dgmm" not in told.out, "the state was not written"
        assert (place / "s.dgmm").read_bytes() == held_before
        np.testing.assert_array_equal(
            read_labels(place / "again.seg.nrrd").on(fitted()[0].study.geometry, truth.shape),
            labels)

    # the same file edited on, from the first version: what was done stays done
    assert run("refine", place / "s.dgmm", "--edited", edit(place, 0, 1), "--state",
               place / "t.dgmm", "-q") == 0
    assert "made from version 1" in capsys.readouterr().err
    later = read_state(place / "t.dgmm")[0]
    corrections = later.result().corrections
    assert not any("made from version" in w for w in later.result().warnings), "of that run alone"
    assert corrections is not None and corrections.done == (1,) and len(later.line) == 3
    assert len(read_state(place / "s.dgmm")[0].line) == 2
    np.testing.assert_array_equal(later.last.labels()[1], labels[1])

    assert run("versions", place / "t.dgmm", "--compare", "1,3", "--picture", place / "v.png",
               "--back", 1, "-o", place / "first.seg.nrrd") == 0
    told = capsys.readouterr().out
    assert "went back to version 1" in told and f"state: {place / 't.dgmm'} (replaced)" in told
    assert f"picture: {place / 'v.png'}\n" in told
    assert (place / "v.png").read_bytes()[:4] == b"\x89PNG"
    again = read_labels(place / "first.seg.nrrd").on(fitted()[0].study.geometry, truth.shape)
    np.testing.assert_array_equal(again, before)
    assert len(read_state(place / "t.dgmm")[0].line) == 4


def test_a_file_of_a_version_that_was_left_brings_what_was_drawn_in_it_again(place: Path) -> None:
    """After a way back, and after what was said since is taken back: the drawing is told anew."""
    result = fitted()[0]
    labels = result.labels.copy()
    stroke = np.zeros(labels.shape, bool)
    stroke[(1, *np.argwhere(labels[1] == Tissue.MYOCARDIUM)[:12].T)] = True
    labels[stroke] = Tissue.SCAR
    write_image(seg_nrrd_image(labels, result.study.geometry, result.tissues), place / "e.seg.nrrd",
                "segmentation")

    def told(*words: object) -> np.ndarray:
        assert run("refine", place / "s.dgmm", *words, "--json", "-q") == 0
        last = read_state(place / "s.dgmm")[0].last
        corrections = last.corrections()
        assert corrections is not None
        return last.labels()[stroke] if corrections.fixed[stroke].all() else np.zeros(0)

    edited = "--edited", place / "e.seg.nrrd"
    assert (told(*edited) == Tissue.SCAR).all()
    assert run("versions", place / "s.dgmm", "--back", 1) == 0
    assert (again := told(*edited)).size and (again == Tissue.SCAR).all()
    # the older file and a slice done say otherwise, and later holds; taken back, the drawing is
    # told anew
    assert (told("--edited", place / "auto.seg.nrrd", "--done", number(1)) != Tissue.SCAR).all()
    assert run("refine", place / "s.dgmm", "--reopen", number(1), "--json",
               "-q") == 0
    assert (last := told(*edited)).size and (last == Tissue.SCAR).all()


def test_segment_writes_a_state_that_refits_as_the_result_in_memory(place: Path, capsys) -> None:
    from study_files import options, save_all

    from deepgmm import refine
    from deepgmm.review.corrections import corrections_of

    files = save_all(place / "in")
    assert run("segment", *options(files), "--method", "map", "--state", place / "x.dgmm",
               "-q") == 0
    result = read_state(place / "x.dgmm")[0].result()
    edited = result.labels.copy()
    at = np.argwhere(edited[0] == Tissue.MYOCARDIUM)[:40]
    edited[0][tuple(at.T)] = Tissue.BLOOD
    new = refine(result, corrections_of(result, edited))
    assert (new.labels[0][tuple(at.T)] == Tissue.BLOOD).all()
    capsys.readouterr()


@pytest.mark.parametrize("wrong, words", [
    ("no state", "state cannot be read"), ("other file", "no state of a study"),
    ("damaged", "damaged"), ("nothing", "nothing was corrected"),
    ("the result itself", "is the result itself"),
    ("an emptied slice", "has nothing on slice 2, which"), ("another grid", "another grid"),
    ("another heart", "of this patient"), ("no such slice", "no slice 9"),
    ("no list", "no slice or range"), ("over the edited", "would overwrite the edited"),
    ("no output", "no output asked for"), ("no such version", "no version 7"),
    ("priors", "contrast priors"), ("a folder that is not there", "folder does not exist"),
    ("tissue", "no tissue"), ("a path", "no slice or range"), ("reopened", "--reopen names"),
    ("for ever", "--seconds"), ("not done", "not done, 1"), ("backwards", "backwards: write 1-2")])
def test_what_cannot_be_refined_is_refused_and_nothing_is_lost(
        place: Path, capsys, wrong: str, words: str) -> None:
    state, edited = place / "s.dgmm", edit(place, 1)
    out = place / "n.seg.nrrd"
    out.write_bytes(BEFORE)
    more: list[object] = ["-o", out]
    given: list[object] = ["--edited", edited]
    result, truth = fitted()
    if wrong == "no state":
        state = place / "there.dgmm"
    elif wrong == "other file":
        state = edited
    elif wrong == "damaged":
        content = bytearray(state.read_bytes())
        content[-40] ^= 255
        state.write_bytes(content)
    elif wrong == "nothing":
        given = []
    elif wrong == "the result itself":
        given = ["--edited", place / "auto.seg.nrrd"]
    elif wrong == "an emptied slice":
        emptied = result.labels.copy()
        emptied[1] = 0
        write_image(seg_nrrd_image(emptied, result.study.geometry, result.present_tissues), edited,
                    "segmentation")
    elif wrong == "another grid":
        image = sitk.ReadImage(str(edited))
        image.SetSpacing((9.0, 9.0, 9.0))
        sitk.WriteImage(image, str(edited))
    elif wrong == "another heart":
        moved = np.roll(result.labels, 25, axis=1)
        write_image(seg_nrrd_image(moved, result.study.geometry, result.present_tissues), edited,
                    "segmentation")
    elif wrong == "no such slice":
        given += ["--done", "9"]
    elif wrong == "no list":
        given += ["--done", "two"]
    elif wrong == "a path":
        given += ["--done", place / "e.seg.nrrd"]
    elif wrong == "reopened":
        given += ["--done", "1-2", "--reopen", "2"]
    elif wrong == "not done":
        given = ["--reopen", "1"]
    elif wrong == "backwards":
        given += ["--done", "2-1"]
    elif wrong == "for ever":
        given += ["--seconds", "inf"]
    elif wrong == "over the edited":
        more = ["-o", edited]
    elif wrong == "no output":
        more = []
    elif wrong == "no such version":
        given += ["--from-version", 7]
    elif wrong == "priors":
        (place / "priors.json").write_text("{}")
        given += ["--priors", place / "priors.json"]
    elif wrong == "a folder that is not there":
        more = ["-o", place / "none" / "n.seg.nrrd"]
    elif wrong == "tissue":
        write_image(seg_nrrd_image(result.labels, result.study.geometry, result.present_tissues),
                    place / "l.nrrd", "labelmap")
        image = sitk.GetImageFromArray(np.where(result.labels > 3, 77, result.labels))
        image.CopyInformation(sitk.ReadImage(str(place / "l.nrrd")))
        sitk.WriteImage(image, str(place / "l.nrrd"))
        given = ["--edited", place / "l.nrrd"]
    before = hashlib.sha256((place / "s.dgmm").read_bytes()).hexdigest()
    files = sorted(p.name for p in place.iterdir())
    assert run("refine", state, *given, *more) == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1 and words in said[0] and len(said[0]) < 300
    assert "Mustermann" not in said[0]
    assert out.read_bytes() == BEFORE and sorted(p.name for p in place.iterdir()) == files
    assert hashlib.sha256((place / "s.dgmm").read_bytes()).hexdigest() == before


def test_a_stroke_beneath_another_segment_is_not_passed_over_in_silence(place: Path,
                                                                        capsys) -> None:
    """Myocardium painted over scar in 3D Slicer with overlap allowed: scar is on top."""
    image = sitk.ReadImage(str(place / "auto.seg.nrrd"))
    labels = sitk.GetArrayFromImage(image)
    stroke = np.zeros_like(labels)
    stroke[2][tuple(np.argwhere(fitted()[0].labels[2] == Tissue.SCAR)[:20].T)] = 1
    two = sitk.GetImageFromArray(np.stack([labels, stroke], -1), isVector=True)
    two.CopyInformation(image)
    for key in image.GetMetaDataKeys():
        two.SetMetaData(key, image.GetMetaData(key))
    for key, value in (("Name", "Myocardium"), ("ID", "more"), ("Layer", "1"), ("LabelValue", "1"),
                       ("Extent", " ".join(f"0 {n - 1}" for n in image.GetSize()))):
        two.SetMetaData(f"Segment4_{key}", value)
    sitk.WriteImage(two, str(place / "over.seg.nrrd"))
    assert run("refine", place / "s.dgmm", "--edited", place / "over.seg.nrrd",
               "-o", place / "n.seg.nrrd") == 2
    said = capsys.readouterr().err
    assert "nothing was corrected" in said and "segments overlap on 20 voxels" in said


def test_a_state_that_changed_meanwhile_is_not_written_over(place: Path, capsys,
                                                            monkeypatch) -> None:
    module = sys.modules["deepgmm.refine"]
    fit = module.refine

    def meanwhile(result, corrections, **more):
        other = Versions.begun(result)
        other.add(result, "refined")
        write_outputs(result, state=place / "s.dgmm", versions=other)
        return fit(result, corrections, **more)
    monkeypatch.setattr(module, "refine", meanwhile)
    assert run("refine", place / "s.dgmm", "--edited", edit(place, 1), "-o",
               place / "n.seg.nrrd") == 2
    assert "changed by another run meanwhile" in capsys.readouterr().err
    assert not (place / "n.seg.nrrd").exists()
    assert len(read_state(place / "s.dgmm")[0].line) == 2


@pytest.mark.parametrize("words", [("refine", "--done", "1-3"), ("versions", "--back", "1")])
def test_of_two_runs_at_once_one_is_refused(place: Path, capsys, monkeypatch, words) -> None:
    """Another waits while a state is written, and what changed it by then is not lost."""
    from deepgmm.errors import InputError
    from deepgmm.review import outputs, state

    write, path = outputs._write_state, place / "s.dgmm"
    monkeypatch.setattr(state, "PATIENCE", 0.1)

    def meanwhile(*given, **more) -> None:
        write(*given, **more)
        with pytest.raises(InputError, match="being written"), state.unchanged(path, ""):
            pass
        path.write_bytes(BEFORE)
    monkeypatch.setattr(outputs, "_write_state", meanwhile)
    assert run(words[0], path, *words[1:], "-o", place / "n.seg.nrrd") == 2
    assert "changed by another run meanwhile" in capsys.readouterr().err
    assert path.read_bytes() == BEFORE
    assert {p.name for p in place.iterdir()} == {"s.dgmm", "auto.seg.nrrd"}  # and no lock


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_a_killed_refit_loses_nothing(place: Path) -> None:
    before = (place / "s.dgmm").read_bytes()
    edited = edit(place, 1)
    child = subprocess.Popen(
        [sys.executable, "-c", "import sys, os, signal, deepgmm.files as f\n"
         "def die(self): os.kill(os.getpid(), signal.SIGKILL)\n"
         "f.Outputs._publish = die\n"
         "from deepgmm.cli.main import main\nsys.exit(main(sys.argv[1:]))",
         "refine", str(place / "s.dgmm"), "--edited", str(edited), "--done", "1-3", "-o",
         str(place / "n.seg.nrrd"), "-q"])  # all are done: nothing is fitted, and it is quick
    assert child.wait(timeout=300) == -signal.SIGKILL
    assert (place / "s.dgmm").read_bytes() == before
    assert not (place / "n.seg.nrrd").exists()


def test_slices_are_counted_from_the_base() -> None:
    for numbering, index in ((Numbering(5, 1), 0), (Numbering(5, -1), 4), (Numbering(5, 0), 0)):
        assert numbering.index_of(1) == index and numbering.of(index) == 1
    assert Numbering(5, -1).parsed("1,3-4", "--done") == {4, 2, 1}


@pytest.mark.parametrize("words, said", [
    (("--compare", "1"), "two versions"), (("--compare", "1,9"), "no version 9"),
    (("--back", "4"), "no version 4"), (("--picture", "v.png"), "--compare")])
def test_versions_that_are_not_there_are_refused(place: Path, capsys, words, said) -> None:
    assert run("versions", place / "s.dgmm", *words) == 2
    assert said in capsys.readouterr().err


def test_every_file_that_is_written_is_named(place: Path, capsys) -> None:
    from study_files import options, save_all

    assert run("quantify", place / "auto.seg.nrrd", "-o", place / "n.json", "--csv",
               place / "n.csv") == 0
    # of numbers by name alone, see test_numbers: they are copied from a terminal
    assert capsys.readouterr().out.endswith("numbers: n.json\nnumbers' table: n.csv\n")
    (place / "in").mkdir(exist_ok=True)
    images = options(save_all(place / "in"))
    images = images[:images.index("--mask")] + images[images.index("--mask") + 2:]
    assert run("segment", *images, "--mask", "propose", "-o", place / "p.seg.nrrd") == 0
    mask = place / "p-proposed-mask.seg.nrrd"
    assert mask.is_file() and f"proposed LV mask: {mask}\n" in capsys.readouterr().out
