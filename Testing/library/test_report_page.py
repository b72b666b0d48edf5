"""Docs/report.md names every key that a report can hold, and none that no report holds."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dicom_files import Examination, a_patient, add_sequences
from small_results import a_result_of
from study_files import MASK, arrays, options, save

from deepgmm import Settings, refine, segment
from deepgmm.cli.main import main
from deepgmm.phantom import make_patient
from deepgmm.propose.proposal import propose_mask
from deepgmm.propose.proposed import with_proposal
from deepgmm.review.corrections import corrections_of
from deepgmm.review.locked import keep_locked
from deepgmm.review.recount import recounted
from deepgmm.review.report import report
from deepgmm.review.slices import slice_rows
from deepgmm.scene.insertions import Insertions
from deepgmm.study.words import Kind, Role, Tissue

PAGE = (Path(__file__).resolve().parents[2] / "Docs" / "report.md").read_text(encoding="utf-8")

#: Keys that are a study's own words: tissues, files' roles, numbers of slices.
DATA = re.compile("|".join([*(t.title for t in Tissue), *(r.value for r in Role),
                            "mask", "wall", r"\d+"]))


def sections() -> dict[str, str]:
    """The page's text by the key that a heading names; "" for the tables of all keys."""
    found = {"": ""}
    for part in re.split(r"^### ", PAGE, flags=re.MULTILINE)[1:]:
        title, _, text = part.partition("\n")
        key = re.fullmatch(r"`(\w+)`", title)
        found[key[1] if key else ""] = found.get(key[1] if key else "", "") + text
    return found


def rows(text: str) -> dict[str, str]:
    """The rest of a table's row by the keys in its first column."""
    found = {}
    for keys, rest in re.findall(r"^\| (`[^|]+) \|(.*)$", text, flags=re.MULTILINE):
        found |= dict.fromkeys(re.findall(r"`(\w+)`", keys), rest)
    return found


def keys_in(value: Any) -> Iterator[str]:
    """Every key within a value that is not a study's own word."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if not DATA.fullmatch(key):
                yield key
            yield from keys_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from keys_in(inner)


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Of a hard patient, by a network, of a DICOM examination, of proposed masks, of what the panel
    adds, refined."""
    folder = tmp_path_factory.mktemp("reports")
    state = pytest.MonkeyPatch()
    state.setenv("XDG_STATE_HOME", str(folder / "state"))

    def segmented(*words: object) -> dict[str, Any]:
        out = folder / "out.json"
        assert main([str(w) for w in ("segment", "-q", *words, "--report", out)]) == 0
        return json.loads(out.read_text(encoding="utf-8"))

    images = arrays()
    images["t2"][1] = np.random.default_rng(0).normal(100, 30, MASK.shape[1:])
    files = options({role: save(values, folder / f"{role}.nii.gz")
                     for role, values in images.items()})
    hard = segmented(*files, "--method", "map", "--slices", "0-1", "--bias-degree", 1, "--mvo",
                     "--lge-kind", "psir", "--montage", folder / "o.png")
    learned = segmented(*files, "--method", "pretrained", "--adapt", 2)

    exam, patient = Examination(folder / "exam"), a_patient(105, slices=2, lge=Kind.LGE_PSIR)
    add_sequences(exam, patient)
    assert main(["import", str(exam.folder), "-o", str(folder / "study"), "-q"]) == 0
    save(patient.study.mask.astype(np.uint8), folder / "study" / "mask.nii.gz",
         spacing=patient.study.geometry.spacing, origin=patient.study.geometry.origin,
         direction=patient.study.geometry.direction)
    imported = segmented("--study", folder / "study")

    seen, lge = a_patient(100, slices=3).study, folder / "seen.nii.gz"
    save(seen.sequences[Role.LGE].values, lge, spacing=seen.geometry.spacing,
         origin=seen.geometry.origin, direction=seen.geometry.direction)
    outline = folder / "outline.seg.nrrd"
    assert main(["propose-mask", "--lge", str(lge), "-o", str(outline), "-q"]) == 0
    looked = segmented("--lge", lge, "--mask", outline, "--method", "gmm")
    fixed = with_proposal(seen, propose_mask(seen, fixed={1: seen.mask[1]}))
    proposed = report(segment(fixed, Settings(method="gmm")))
    other = make_patient(101, slices=3).study
    cine = other.sequences[Role.BSSFP]
    far = replace(other, provenance={"bssfp_phase": {"frame": 0}}, sequences={
        Role.BSSFP: replace(cine, values=np.roll(cine.values, (24, -24), (1, 2))),
        Role.LGE: other.sequences[Role.LGE]})
    alone = report(segment(with_proposal(far, propose_mask(far, align="off")),
                           Settings(method="gmm")))
    state.undo()

    drawn = a_result_of()
    points = np.tile([[10.0, 20.0], [30.0, 20.0]], (3, 1, 1))
    drawn.study.insertion_points = points
    drawn.provenance["rv_insertion_points"] = Insertions(points, {0: points[0]}).as_dict()
    drawn = keep_locked(drawn, drawn.labels, [1])
    drawn.labels[0][drawn.labels[0] == Tissue.SCAR] = Tissue.EDEMA
    corrected, _ = recounted(report(drawn), slice_rows(drawn), drawn.labels, points)
    whole = a_result_of()
    refined = refine(whole, corrections_of(whole, whole.labels, done=[0, 1, 2]))
    return [hard, learned, imported, looked, proposed, alone, corrected, report(refined)]


def test_every_key_of_a_report_is_explained(reports: list[dict[str, Any]]) -> None:
    parts, every = sections(), rows(sections()[""])
    for said in reports:
        assert not said.keys() - every.keys()
        for key, value in said.items():
            explained = parts.get(key, every[key])
            missing = [inner for inner in keys_in(value) if f"`{inner}`" not in explained]
            assert not missing, f"{key}: {sorted(set(missing))}"


def test_every_key_of_the_page_is_in_a_report(reports: list[dict[str, Any]]) -> None:
    for section, text in sections().items():
        found = {key for said in reports
                 for key in (said if not section else keys_in(said.get(section, {})))}
        assert rows(text) and not rows(text).keys() - found, section


def test_a_section_is_linked_to_by_its_row() -> None:
    """Who reads of a key that has a section is sent there."""
    every = rows(sections()[""])
    for section in sections():
        assert not section or "see below" in every[section], section


def test_the_networks_hash_is_said_where_a_network_was_used(
        reports: list[dict[str, Any]]) -> None:
    hard, learned, *_ = reports
    assert hard["model_hash"] is None and "network" not in hard
    assert learned["model_hash"] == learned["network"]["sha256"]
