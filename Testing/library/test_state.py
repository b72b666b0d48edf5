"""A study and its versions in a file; two versions compared; room; files that are refused."""

from __future__ import annotations

import hashlib
import json
import zlib
from dataclasses import replace

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load, save
from small_results import a_result_of

from deepgmm.errors import InputError
from deepgmm.result import Result
from deepgmm.review import versions as versions_module
from deepgmm.review.corrections import corrections_of
from deepgmm.review.state import NOTICE, of_bytes, read_state, state_bytes, study_key
from deepgmm.review.state import _digest as digest_of
from deepgmm.review.versions import Versions, differences
from deepgmm.review.versions_picture import versions_png
from deepgmm.study.words import Role, Tissue


def corrected(result: Result, index: int = 1) -> Result:
    edited = result.labels.copy()
    edited[index][edited[index] == Tissue.EDEMA] = Tissue.MYOCARDIUM
    given = corrections_of(result, edited, done=[index], when="2026-01-02T03:04:05+00:00")
    return replace(result, labels=edited, corrections=given, provenance={
        **result.provenance, "refined": {"corrected_voxels": int(given.fixed.sum()),
                                         "done_slices": [index]}})


@pytest.fixture
def versions() -> Versions:
    result = a_result_of(shape=(140, 170), warnings=["look at slice 2"])
    result.study.insertion_points = np.full((3, 2, 2), np.nan)
    found = Versions.begun(result)
    found.add(corrected(result), "refined")
    return found


def same(one: Result, other: Result) -> None:
    np.testing.assert_array_equal(one.labels, other.labels)
    np.testing.assert_array_equal(one.posterior, other.posterior)
    assert one.tissues == other.tissues and one.warnings == other.warnings
    assert [f.trace for f in one.fits] == [f.trace for f in other.fits]
    for a, b in zip(one.fits, other.fits, strict=True):
        np.testing.assert_array_equal(a.means, b.means)
        np.testing.assert_array_equal(a.covariances, b.covariances)


def test_a_state_comes_back_as_it_was(versions: Versions, tmp_path) -> None:
    content = state_bytes(versions)
    (tmp_path / "s.dgmm").write_bytes(content)
    back, digest = read_state(tmp_path / "s.dgmm")
    assert digest == hashlib.sha256(content).hexdigest()
    assert [v.what for v in back.line] == ["segmented", "refined"]
    for number in (1, 2):
        same(back.result(number), versions.result(number))
    given, mine = back.result().corrections, versions.result().corrections
    assert given is not None and mine is not None and given.edits == mine.edits
    np.testing.assert_array_equal(given.tissue, mine.tissue)
    study = back.study
    np.testing.assert_array_equal(study.mask, versions.study.mask)
    assert study.geometry == versions.study.geometry and study.hashes == versions.study.hashes
    assert study_key(study) == study_key(versions.study)
    assert study.insertion_points is not None and np.isnan(study.insertion_points).all()
    # images in the mask's box and around it, and nothing further away
    values, kept = versions.study.sequences[Role.LGE].values, study.sequences[Role.LGE].values
    np.testing.assert_array_equal(kept[study.mask], values[study.mask])
    assert kept[:, 0, 0].tolist() == [0, 0, 0] and values[:, 0, 0].all()


def test_what_is_in_a_state_another_program_reads(versions: Versions, tmp_path) -> None:
    """With the format's own reader, which knows nothing of ours."""
    versions.line[0].words["provenance"]["x"] = "y"
    (tmp_path / "s.dgmm").write_bytes(state_bytes(versions))
    with safe_open(tmp_path / "s.dgmm", "numpy") as file:
        about = file.metadata()
        assert about["notice"] == NOTICE and "images of a patient" in NOTICE
        said = json.loads(about["state"])
        assert file.get_tensor("mask").sum() == versions.study.mask.sum()
        assert file.get_tensor("images.lge").shape[0] == 3
    assert [v["numbers"]["volumes_ml"]["Scar"] for v in said["versions"]] == [
        versions.result(n).volume("scar") for n in (1, 2)]


def test_own_priors_and_networks_are_named_without_their_paths(tmp_path) -> None:
    result = a_result_of()
    (tmp_path / "Mustermann.json").write_text("{}")
    result.provenance["settings"] |= {"priors": str(tmp_path / "Mustermann.json"),
                                      "model": str(tmp_path / "net")}
    content = state_bytes(Versions.begun(result))
    assert b"Mustermann" not in content and str(tmp_path).encode() not in content
    assert of_bytes(content).result().provenance["settings"]["priors"].startswith("sha256:")


def spoil(content: bytes, how: str) -> bytes:
    arrays = dict(load(content))
    length = int.from_bytes(content[:8], "little")
    about = json.loads(content[8 : 8 + length])["__metadata__"]
    if how == "no state":
        return save(arrays, {})
    if how == "no file of the kind":
        return b"PK\x03\x04" + content
    if how == "cut":
        return content[: len(content) // 2]
    if how == "bit":
        return content[:-9] + bytes([content[-9] ^ 1]) + content[-8:]
    if how == "version":
        return save(arrays, about | {"format_version": "2"})
    if how == "images":
        arrays["images.lge"] = arrays["images.lge"] + 1
        return save(arrays, about)
    if how == "words":
        return save(arrays, about | {"state": about["state"].replace("refined", "rewritten")})
    if how == "no words":
        return save(arrays, {k: v for k, v in about.items() if k != "state"})
    del arrays["mask"]
    return save(arrays, about)


@pytest.mark.parametrize("how, words", [
    ("no state", "no state"), ("no file of the kind", "no state"), ("cut", "damaged"),
    ("bit", "damaged"), ("version", "another version of DeepGMM"),
    ("images", "images in the state are not those"), ("words", "damaged"),
    ("no words", "damaged"), ("no mask", "state")])
def test_a_state_that_is_not_whole_is_refused(versions: Versions, tmp_path, how, words) -> None:
    (tmp_path / "s.dgmm").write_bytes(spoil(state_bytes(versions), how))
    with pytest.raises(InputError, match=words) as refusal:
        read_state(tmp_path / "s.dgmm")
    assert len(str(refusal.value)) < 300 and "s.dgmm" not in str(refusal.value)


def rewritten(versions: Versions, how: str) -> bytes:
    """A state with right checksums and something in it that no program of ours wrote."""
    content = state_bytes(versions)
    arrays = dict(load(content))
    length = int.from_bytes(content[:8], "little")
    about = json.loads(content[8 : 8 + length])["__metadata__"]
    said = json.loads(about["state"])
    last, study = said["versions"][-1], said["study"]
    if how == "newer":
        last["settings"]["new_setting"] = 1
    elif how == "wrong setting":
        last["settings"]["seed"] = "many"
    elif how == "no numbers":
        last["numbers"] = {}
    elif how == "no words":
        del last["words"]["warnings"]
    elif how == "no volume":
        last["numbers"]["volumes_ml"]["Scar"] = "a lot"
    elif how == "flat":
        study["geometry"]["spacing"][0] = 0.0
    elif how == "not a number":
        study["geometry"]["spacing"][0] = float("nan")
    elif how == "short direction":
        study["geometry"]["direction"].pop()
    elif how == "empty mask":
        arrays["mask"] = np.zeros_like(arrays["mask"])
    elif how == "huge":
        study["shape"] = [3, 10**9, 10**9]
    elif how == "huge version":
        last["arrays"]["posterior"][1] = [10**12, 4]
    elif how == "cut":
        arrays["versions.2.posterior"] = arrays["versions.2.posterior"][:-9].copy()
    elif how == "bomb":
        packed = zlib.compress(bytes(50_000_000))
        arrays["versions.2.labels"] = np.frombuffer(packed, np.uint8)
    elif how == "no tissue":
        arrays["versions.2.labels"] = np.frombuffer(
            zlib.compress(np.full(study["shape"], 77, np.uint8).tobytes()), np.uint8)
    elif how == "no fits":
        last["words"]["traces"] = []
    elif how == "no such slice":
        last["words"]["corrections"]["done"] = [77]
    elif how == "twice":
        last["number"] = 1
    own = {k: v for k, v in arrays.items() if not k.startswith("versions.")}
    said["images_sha256"] = digest_of(study, own)
    text = json.dumps(said, sort_keys=True)
    return save(arrays, about | {"state": text, "sha256": digest_of(text, arrays)})


@pytest.mark.parametrize("how", [
    "newer", "wrong setting", "no numbers", "no words", "no volume", "flat", "not a number",
    "short direction", "empty mask", "huge", "huge version", "cut", "bomb", "no fits",
    "no such slice", "twice", "no tissue"])
def test_a_state_whose_checksums_are_right_may_still_be_none(versions: Versions, how: str) -> None:
    words = "newer DeepGMM" if how == "newer" else "the state is damaged"
    with pytest.raises(InputError, match=words):
        of_bytes(rewritten(versions, how)).result()
    of_bytes(rewritten(versions, "nothing")).result()


def test_one_goes_back_and_nothing_is_lost(versions: Versions) -> None:
    version = versions.back(1)
    assert version.number == 3 and version.what == "went back to version 1"
    same(versions.result(), versions.result(1))
    assert versions.result().corrections is None
    assert versions.numbered(2).corrections() is not None
    with pytest.raises(InputError, match="no version 9"):
        versions.back(9)


def test_the_version_that_was_edited_is_found(versions: Versions) -> None:
    for number in (1, 2):
        edited = versions.numbered(number).labels()
        edited[0][edited[0] == Tissue.SCAR] = Tissue.EDEMA
        assert versions.edited_from(edited).number == number


def test_an_older_file_edited_on_is_known_by_the_slices_left_alone(versions: Versions) -> None:
    """The refit changed a slice that nobody touched; the file has it as it was before."""
    result = versions.result()
    result.labels[2][result.labels[2] == Tissue.SCAR] = Tissue.EDEMA
    versions.add(result, "refined")
    edited = versions.numbered(3).labels()  # with all corrections, and much of slice 0 drawn anew
    edited[2] = versions.numbered(1).labels()[2]
    edited[0][edited[0] == Tissue.BLOOD] = Tissue.MYOCARDIUM
    assert versions.edited_from(edited).number == 2


def test_differences_are_those_of_the_labels(versions: Versions) -> None:
    found = differences(versions, 1, 2)
    one, other = (versions.numbered(n).labels() for n in (1, 2))
    moved = int((one == Tissue.EDEMA)[1].sum())
    voxel = versions.study.geometry.voxel_volume
    change = {row["tissue"]: row["difference_ml"] for row in found["tissues"]}
    assert change["Edema"] == pytest.approx(-moved * voxel)
    assert change["Myocardium"] == pytest.approx(moved * voxel) and change["Scar"] == 0
    assert [row["changed_pixels"] for row in found["slices"]] == [
        moved if row["index"] == 1 else 0 for row in found["slices"]]
    assert sum(row["by_hand"] for row in found["slices"]) == moved
    assert {row["tissue"]: (row["changed_voxels"], row["by_hand"]) for row in found["tissues"]} == {
        "Blood": (0, 0), "Myocardium": (moved, moved), "Edema": (moved, moved), "Scar": (0, 0)}
    a, b = one == Tissue.EDEMA, other == Tissue.EDEMA
    assert {r["tissue"]: r["dice"] for r in found["tissues"]}["Edema"] == pytest.approx(
        2 * (a & b).sum() / (a.sum() + b.sum()))


def test_the_picture_of_two_versions_is_one(versions: Versions) -> None:
    from io import BytesIO

    from PIL import Image

    picture = np.asarray(Image.open(BytesIO(versions_png(versions, 1, 2))).convert("RGB"), float)
    nothing = np.asarray(Image.open(BytesIO(versions_png(versions, 2, 2))).convert("RGB"), float)

    def amber(image: np.ndarray) -> int:
        return int(((image[..., 0] > 150) & (image[..., 2] < 0.5 * image[..., 0])
                    & (image[..., 1] > 0.6 * image[..., 0]))[:, -image.shape[1] // 3:].sum())
    assert amber(picture) > amber(nothing) + 50


def test_the_oldest_give_up_their_probabilities_where_room_is_short(
        versions: Versions, monkeypatch) -> None:
    last = versions.result()
    inside = last.posterior.any(1)
    last.posterior.transpose(0, 2, 3, 1)[inside] = np.random.default_rng(0).random(
        (int(inside.sum()), 4))  # which cannot be compressed, unlike rings
    versions.line.clear()
    versions.add(last, "segmented")
    each = versions.last.size
    monkeypatch.setattr(versions_module, "MOST_BYTES", int(3.2 * each))
    for _ in range(4):
        versions.add(last, "refined")
    assert [v.has_posterior for v in versions.line] == [True, False, False, True, True]
    assert sum(v.size for v in versions.line) <= 3.2 * each
    assert versions.numbered(2).corrections() is not None  # what a person drew stays
    assert (versions.numbered(2).labels() > 0).any()
    with pytest.raises(InputError, match="given up for room"):
        versions.result(2)
    assert of_bytes(state_bytes(versions)).numbered(2).labels().any()
    monkeypatch.setattr(versions_module, "MOST_BYTES", int(1.5 * each))
    versions.add(last, "refined")  # with no room beside the last, the first gives up too
    assert [v.has_posterior for v in versions.line] == [False] * 5 + [True]
