"""Statistics of readers and methods against published examples and scikit-learn, and the command
that prints them."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import cohen_kappa_score
from study_files import TRUTH, save

from deepgmm.cli.main import main
from deepgmm.review.statistics import bland_altman, holm, icc, kappa, wilcoxon

pytestmark = pytest.mark.usefixtures("a_log_of_our_own")


def test_icc_is_that_of_shrout_and_fleiss() -> None:
    """Their table 2: six targets, four judges; ICC(2,1) is .29."""
    ratings = np.array([[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9],
                        [6, 2, 4, 7]])
    assert icc(ratings) == pytest.approx(0.29, abs=0.005)
    assert icc(np.array([[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]])) == pytest.approx(1)
    assert icc(ratings[:1]) is None


def test_kappa_is_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    one = rng.integers(0, 4, 300)
    other = np.where(rng.random(300) < 0.6, one, rng.integers(0, 4, 300))
    assert kappa(one, other) == pytest.approx(cohen_kappa_score(one, other))
    assert kappa(one, other, weighted=True) == pytest.approx(
        cohen_kappa_score(one, other, weights="quadratic"))
    assert kappa(one * 0, one * 0) is None and kappa(one[:0], one[:0]) is None


def test_bland_altman_wilcoxon_and_holm() -> None:
    one, other = np.array([3.0, 5, 4, 8, 9, 7, 6]), np.array([2.0, 5.5, 3, 5, 8.2, 5, 5.4])
    found = bland_altman(one, other)
    away = one - other
    assert found.bias == pytest.approx(away.mean())
    assert found.high - found.low == pytest.approx(2 * 1.96 * np.std(away, ddof=1))
    assert bland_altman([1.0], [2.0]).low is None
    assert wilcoxon(one, other) == pytest.approx(stats.wilcoxon(one, other).pvalue)
    assert wilcoxon(one[:5], other[:5]) is None
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": None}) == {
        "a": pytest.approx(0.03), "b": pytest.approx(0.06), "c": pytest.approx(0.06), "d": None}


@pytest.fixture(scope="module")
def cohort(tmp_path_factory) -> Path:
    """Eight cases: truth, a second reader, a good method and a worse one; scar smaller or larger
    by case."""
    folder = tmp_path_factory.mktemp("cohort")
    for n in range(8):
        truth = np.roll(TRUTH, n % 3, axis=2)
        rows = np.indices(truth.shape)[1]
        made = {"truth": truth, "reader": np.where((truth == 4) & (rows > 34 - n % 3), 3, truth),
                "good": np.where((truth == 4) & (rows > 35), 3, truth),
                "worse": np.where((truth == 4) & (rows > 31 + n % 2), 2, truth)}
        if n == 7:
            made = {name: np.where(labels > 2, 2, labels) for name, labels in made.items()}
        for name, labels in made.items():
            save(labels.astype(np.uint8), folder / name / f"case{n}.nii.gz")
    return folder


def test_the_command_compares_methods_readers_and_segments(cohort: Path, tmp_path: Path,
                                                           capsys) -> None:
    outs = [tmp_path / f"o.{e}" for e in ("csv", "tex", "png")]
    assert main([str(w) for w in (
        "evaluate", cohort / "good", cohort / "truth", "--against", cohort / "worse", "--reader",
        cohort / "reader", "--by-segment", "--tissues", "blood,myocardium,edema,scar", "--json",
        "--csv", outs[0], "--latex", outs[1],
        "--plot", outs[2])]) == 0
    captured = capsys.readouterr()
    said = json.loads(captured.out)
    assert said["methods"] == ["good", "worse"]
    test = said["tests"]["good against worse, Scar"]
    rows = list(csv.DictReader(outs[0].open(encoding="utf-8")))
    volumes = [r for r in rows if r["scope"] == "volume" and r["tissue"] == "Scar"]
    dice = {m: [float(r["dice"]) for r in volumes if r["method"] == m and r["dice"]]
            for m in ("good", "worse")}
    assert test["cases"] == len(dice["good"]) == 7
    assert test["p"] == pytest.approx(stats.wilcoxon(*dice.values()).pvalue)
    assert test["p_holm"] >= test["p"]
    missing = [r for r in volumes if r["case"] == "case7"]
    assert [r["note"] for r in missing] == ["empty in both: no Dice, no distance"] * 2
    readers = said["readers"]

    assert 0 < readers["kappa"] < 1 and 0 < readers["tissues"]["Scar"]["icc"] < 1
    assert readers["tissues"]["Blood"]["kappa"] == pytest.approx(1)
    assert "(undefined)" in outs[1].read_text() and r"\pm" in outs[1].read_text()
    assert outs[2].read_bytes()[:4] == b"\x89PNG"
    # the little heart's areas do not fall, so that no slice is the apex
    assert "no AHA segments" in captured.err


def test_a_tissue_that_nobody_has_is_explained_below_the_table(cohort: Path, capsys) -> None:
    assert main(["evaluate", str(cohort / "truth"), str(cohort / "truth"),
                 "--tissues", "blood,myocardium,scar"]) == 0
    text = capsys.readouterr().out
    assert [line.split()[-1] for line in text.splitlines() if line.startswith("Scar")] == ["1"]
    assert "\nin neither: cases where neither" in text and "undefined" not in text


def test_two_readers_in_a_few_lines(cohort: Path, capsys) -> None:
    import SimpleITK as sitk

    assert main([str(w) for w in ("evaluate", cohort / "truth", cohort / "truth", "--reader",
                                  cohort / "reader", "--json")]) == 0
    said = json.loads(capsys.readouterr().out)["readers"]
    labels = {name: [sitk.GetArrayFromImage(sitk.ReadImage(str(p)))
                     for p in sorted((cohort / name).iterdir())] for name in ("truth", "reader")}
    one, other = (np.stack(labels[n]) for n in ("truth", "reader"))
    inside = (one > 0) | (other > 0)
    assert said["kappa"] == pytest.approx(cohen_kappa_score(one[inside], other[inside]))
    ml = 2 * 2 * 8 / 1000
    away = ((other == 4).sum((1, 2, 3)) - (one == 4).sum((1, 2, 3))) * ml
    assert said["tissues"]["Scar"]["bias_ml"] == pytest.approx(away.mean())


def test_segments_are_scored_where_base_and_apex_are_known(tmp_path: Path, capsys) -> None:
    from deepgmm.phantom import make_patient, write_patient

    patient = make_patient(1003, slices=4)
    write_patient(patient, tmp_path)
    truth = tmp_path / "truth.nii.gz"
    assert main(["evaluate", str(truth), str(truth), "--by-segment", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)["segments"]["truth"]
    assert set(said["Myocardium"]) == {str(n) for n in range(1, 17)}
    assert all(s["percent_difference"] == 0 for s in said["Scar"].values())
    assert {s["hausdorff95"] for s in said["Scar"].values() if s["defined"]} == {0.0}
    assert main(["evaluate", str(truth), str(truth), "--by-segment"]) == 0
    text = capsys.readouterr().out
    assert "share off, points" in text and "share off: by how many percentage points" in text
    assert "in neither: cases where neither prediction nor truth has the tissue" in text


def test_distances_by_segment_are_monais_of_what_lies_in_the_segment() -> None:
    monai = pytest.importorskip("monai.metrics")
    torch = pytest.importorskip("torch")
    from deepgmm.phantom import make_patient
    from deepgmm.review.aha import segment_map
    from deepgmm.review.comparison import by_segment
    from deepgmm.study.words import Tissue

    patient = make_patient(1003, slices=4)
    study, truth = patient.study, patient.truth
    moved = np.roll(truth, 2, axis=2)
    moved[study.mask & (moved == 0)] = Tissue.MYOCARDIUM
    moved[~study.mask] = 0
    geometry, points = study.geometry, study.insertion_points
    segments = segment_map(truth, study.mask, points,
                           (geometry.spacing[1], geometry.spacing[0]))
    checked = 0
    for one in by_segment(moved, truth, geometry, points, [Tissue.SCAR]):
        a, b = ((labels == Tissue.SCAR) & (segments == one.segment) for labels in (moved, truth))
        if not (a.any() and b.any()):
            assert one.hausdorff95 is None and one.surface_distance is None
            continue
        given = [torch.tensor(part[None, None]) for part in (a, b)]
        for value, measure in (
                (one.hausdorff95, lambda *x, **k: monai.compute_hausdorff_distance(
                    *x, percentile=95, **k)),
                (one.surface_distance, lambda *x, **k: monai.compute_average_surface_distance(
                    *x, symmetric=True, **k))):
            wanted = float(measure(*given, include_background=True,
                                   spacing=[float(s) for s in geometry.spacing[::-1]]))
            assert value == pytest.approx(wanted, rel=1e-4)
        checked += 1
    assert checked >= 2
