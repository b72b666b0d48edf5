"""The paper's tables on a folder of labelled cases; phantoms stand for the data set."""

from __future__ import annotations

import contextlib
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from small_cohorts import a_cohort, phantoms, write_myops

from deepgmm.cli.main import main
from deepgmm.errors import Cancelled
from deepgmm.model.images import read
from deepgmm.model.learning import Objective, losses
from deepgmm.phantom import make_patient, write_patient
from deepgmm.settings import Device
from deepgmm.study.levels import numbering_in
from deepgmm.study.study import case_key
from deepgmm.study.words import FOUR_TISSUES
from deepgmm.training.paper_fits import Components, fit_mixtures, named, rearranged
from deepgmm.training.paper_images import PaperImage, known_means
from deepgmm.training.paper_tables import Protocol
from deepgmm.training.paper_training import answers, examples_of, trained

pytestmark = pytest.mark.usefixtures("a_log_of_our_own")

SMALL = replace(Protocol(device=Device.CPU).quick(), training_steps=2)


@pytest.fixture
def a_data_set(tmp_path: Path) -> Path:
    write_myops(phantoms(), tmp_path / "data")
    return tmp_path / "data"


def images_in(folder: Path) -> Path:
    return folder / "train25"


def run(*words: object) -> int:
    return main(["myops", *map(str, words)])


# Fits

def true_components(image: PaperImage, truth: np.ndarray, order: list[int]) -> Components:
    """What a fit that is right would find, its components in some order."""
    values = image.batch.values[0].numpy()
    parts = [values[truth == FOUR_TISSUES[k]] for k in order]
    winner = np.array([order.index(FOUR_TISSUES.index(t)) for t in truth])
    return Components(winner, np.array([p.mean(0) for p in parts]),
                      np.array([p.var(0) for p in parts]),
                      np.array([len(p) / len(values) for p in parts]))


def test_components_are_named_by_contrast_and_ordered_by_truth() -> None:
    """Without truth mostly right, given what tissues look like; with truth always."""
    cohort = a_cohort()
    found = [true_components(image, truth, [2, 0, 3, 1])
             for image, truth in zip(cohort.images, cohort.truths)]
    by_contrast, by_truth = named(cohort.images, found), rearranged(cohort.truths, found)
    right = [np.array_equal(a, truth) for a, truth in zip(by_contrast, cohort.truths)]
    assert np.mean(right) > 0.8
    assert all(np.array_equal(a, truth) for a, truth in zip(by_truth, cohort.truths))


def test_a_random_start_is_the_same_from_the_same_seed_and_another_from_another() -> None:
    images = a_cohort().images[:3]
    runs = [fit_mixtures(images, spatial=True, seed=seed) for seed in (3, 3, 4)]
    winners = [np.concatenate([c.winner for c in run]) for run in runs]
    assert np.array_equal(winners[0], winners[1]) and not np.array_equal(winners[0], winners[2])


def test_a_start_at_known_means_keeps_their_tissues() -> None:
    """From the very means of an image the components stay where they began."""
    cohort = a_cohort()
    means = known_means(cohort, [0], count=1, seed=0)
    (found,) = fit_mixtures(cohort.images[:1], spatial=False, seed=0, start=means)
    distance = np.linalg.norm(found.means[:, None] - means.means[None], axis=2)
    assert distance.argmin(1).tolist() == [0, 1, 2, 3]


# Algorithm 4

def test_the_m_step_of_a_shared_network_is_that_of_maximum_likelihood() -> None:
    """Weighted means and variances, whatever mu_data says; nothing but the mask counts."""
    cohort = a_cohort()
    means = known_means(cohort, range(12), count=10, seed=0)
    examples = examples_of(cohort.images[4:6], means).to(torch.float64)
    logits = torch.randn((2, 4, *examples.canvas), dtype=torch.float64,
                         generator=torch.Generator().manual_seed(0))
    reading = read(examples, logits, temperature=1.0)
    for i, image in enumerate(cohort.images[4:6]):
        values = image.batch.values[0].numpy()
        inside = examples.inside[i, 0] > 0
        assert int(inside.sum()) == len(values)
        w = torch.softmax(logits, 1)[i][:, inside].numpy()
        expected = w @ values / w.sum(1)[:, None]
        np.testing.assert_allclose(reading.mixture.means[i], expected, atol=1e-4)
        squares = w @ values**2 / w.sum(1)[:, None] - expected**2
        np.testing.assert_allclose(reading.mixture.covariances[i], squares, rtol=1e-4)


def test_the_penalty_on_the_means_is_of_each_image() -> None:
    cohort = a_cohort()
    means = known_means(cohort, range(12), count=10, seed=0)
    examples = examples_of(cohort.images[:2], means)
    logits = torch.randn((2, 4, *examples.canvas), generator=torch.Generator().manual_seed(1))
    plain, reading = losses(examples, logits, SMALL.training(0, likelihood_weight=1.0).objective)
    held, _ = losses(examples, logits, SMALL.training(
        0, likelihood_weight=1.0, mean_weight=1.0).objective)
    away = (reading.mixture.means.numpy() - means.means) ** 2
    np.testing.assert_allclose((held - plain).numpy(), away.sum((1, 2)), rtol=1e-4)
    np.testing.assert_allclose(plain.numpy(), reading.nll.numpy(), rtol=1e-6)


def test_labels_for_cross_entropy_lie_where_the_truth_lies() -> None:
    """And the objective of that row is plain cross entropy of the softmax."""
    cohort = a_cohort()
    examples = examples_of(cohort.images[:2], truths=cohort.truths[:2])
    for i, (image, truth) in enumerate(zip(cohort.images[:2], cohort.truths[:2])):
        inside = examples.inside[i, 0] > 0
        assert np.array_equal(examples.labels[i][inside].numpy() + 1, truth)
        assert (examples.labels[i][~inside] == -1).all()
        rows, columns = np.nonzero(image.mask)
        ours = torch.nonzero(inside).numpy()
        assert np.array_equal(ours, np.stack([rows - rows.min(), columns - columns.min()], 1))
    logits = torch.randn((2, 4, *examples.canvas), generator=torch.Generator().manual_seed(2))
    loss, _ = losses(examples, logits, SMALL.training(0, label_weight=1.0, bare=1.0).objective)
    expected = [torch.nn.functional.cross_entropy(
        logits[i : i + 1], examples.labels[i : i + 1], ignore_index=-1) for i in range(2)]
    np.testing.assert_allclose(loss, torch.stack(expected), rtol=1e-4)
    assert SMALL.training(0, label_weight=1.0, bare=1.0).objective == Objective(
        labels=1.0, bare=1.0)


def test_an_interrupted_training_says_that_nothing_was_kept() -> None:
    def stop(fraction: float, stage: str) -> None:
        raise Cancelled("the user has had enough")

    images = a_cohort().images[:4]
    with pytest.raises(Cancelled, match="no network and no table was kept"):
        trained(images, SMALL.training(0, likelihood_weight=1.0), progress=stop)


def test_a_shared_network_answers_an_image_the_same_beside_others() -> None:
    """A larger image beside it makes the canvas larger; every answer stays."""
    images = a_cohort().images
    network = trained(images[:4], SMALL.training(0, likelihood_weight=1.0),
                      progress=lambda fraction, stage: None)
    for together, alone in zip(answers(network, images), answers(network, images[8:9])):
        np.testing.assert_array_equal(together[8].winner, alone[0].winner)
        np.testing.assert_allclose(together[8].means, alone[0].means, atol=1e-4)
        assert len(together) == 15 and together[8].winner.shape == (images[8].mask.sum(),)


# The command

@pytest.fixture(scope="module")
def both_tables(tmp_path_factory) -> tuple[str, dict]:
    """What a trial on three phantom patients prints, and its report."""
    folder = tmp_path_factory.mktemp("tables")
    write_myops(phantoms(), folder / "data")
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        assert run(folder / "data", "--quick", "--test", "102", "--training-steps", 2, "--device",
                   "cpu", "--report", folder / "report.json", "--log", folder / "log") == 0
    text = (folder / "report.json").read_text(encoding="utf-8")
    assert "myops_training" not in text and str(folder) not in text
    return said.getvalue(), json.loads(text)


def test_our_rows_stand_under_the_papers(both_tables: tuple[str, dict]) -> None:
    said, report = both_tables
    first, second = (report["tables"][n]["rows"] for n in "12")
    assert [(r["name"], r["source"] == "ours", r["ordered_by_truth"]) for r in first[:3]] == [
        ("GMM", False, True), ("GMM", True, True), ("GMM", True, False)]
    theirs = [r["name"] for r in first if r["source"] != "ours"]
    assert theirs == ["GMM", "deepG", "SVGMM", "deepSVG"]
    assert [r["name"] for r in second if r["source"] != "ours"] == [
        "SVGMM", "deepSVG", "SVGMM_mu", "deepSVG_mu"]
    assert "GMM (paper)" in said and ".75 ± .14" in said and "arXiv:2404.12252" in said
    assert "A trial: no figure below means anything." in said
    assert "trained on 10 images of 2 patients, tested on 5 images of 1 patient" in said


def test_every_row_counts_its_labelled_cases(both_tables: tuple[str, dict]) -> None:
    _, report = both_tables
    used = {(r["name"], r["ordered_by_truth"]): tuple(r["labelled_cases"].values())
            for r in report["tables"]["2"]["rows"] if r["source"] == "ours"}
    assert used["SVGMM", True] == (0, 0, 0, 0) and used["SVGMM", False] == ("T", 0, 0, 0)
    assert used["SVGMM_mu", False] == used["deepSVG_mu, by argmax w", False] == (2, 0, 0, 0)
    assert used["cross entropy on the 10 images", False] == (0, 0, 2, 0)
    assert used["auto, whole study", False] == ("T", 0, 0, "P")
    assert used["auto, whole study, priors of the 10 images", False] == (2, 0, 0, "P")


def test_truth_can_only_help_and_our_own_way_needs_none(both_tables: tuple[str, dict]) -> None:
    _, report = both_tables
    for table in report["tables"].values():
        rows = {(r["name"], r["ordered_by_truth"]): [i["mean"] for i in r["images"]]
                for r in table["rows"] if r["source"] == "ours"}
        both = [name for name, by_truth in rows if by_truth]
        assert len(both) >= 3
        for name in both:
            assert (np.array(rows[name, True]) >= np.array(rows[name, False]) - 1e-12).all()
        assert np.mean(rows["auto, whole study", False]) > 0.75
        assert len(rows["auto, whole study", False]) == len(table["images"])


def test_the_report_names_cases_by_their_keys(both_tables: tuple[str, dict]) -> None:
    _, report = both_tables
    second = report["tables"]["2"]
    tested = {i["case"] for i in second["images"]}
    training = {i["case"] for i in second["training_images"]}
    assert len(tested) == 1 and len(training) == 2 and not tested & training
    assert {i["case"] for i in second["mu_data"]["images"]} <= training
    assert all(len(key) == len(case_key({})) for key in tested | training)
    assert report["protocol"]["training_steps"] == 2 and len(report["departures"]) > 3


# Bad input

def test_all_that_is_wrong_with_the_folder_is_listed_at_once(
        a_data_set: Path, a_log_of_our_own: Path, capsys) -> None:
    images = images_in(a_data_set)
    (images / "myops_training_101_T2.nii.gz").unlink()
    (images / "myops_training_102_C0.nii").write_bytes(b"")  # a second C0
    image = sitk.ReadImage(str(images / "myops_training_103_DE.nii.gz"))
    image.SetOrigin((0.0, 0.0, 77.0))
    sitk.WriteImage(image, str(images / "myops_training_103_DE.nii.gz"))
    assert run(a_data_set, "--quick") == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1
    assert "3 of the folder's 3 cases" in said.err and "grid" in said.err
    assert all(number in said.err for number in ("101", "102", "103"))
    log = next(a_log_of_our_own.rglob("*.log")).read_text(encoding="utf-8")
    assert "InputError" in log and "103" not in log


def test_a_device_that_is_not_there_is_said_before_the_folder_is_read(
        tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert run(tmp_path / "no such folder", "--device", "cuda") == 2
    assert "no CUDA device was found" in capsys.readouterr().err


@pytest.mark.parametrize("folder", ["", "train25"])
def test_a_folder_without_cases_is_refused(tmp_path: Path, folder: str, capsys) -> None:
    (tmp_path / "data" / folder).mkdir(parents=True)
    assert run(tmp_path / "data") == 2 and run(tmp_path / "nowhere") == 2
    assert capsys.readouterr().err.count("deepgmm: error:") == 2


def test_cases_without_truth_or_a_sequence_are_named(tmp_path: Path, capsys) -> None:
    for patient, name in zip(phantoms(), ("Doe", "Roe", "Poe")):
        write_patient(patient, tmp_path / name)
    (tmp_path / "Doe" / "truth.nii.gz").unlink()
    (tmp_path / "Roe" / "t2.nii.gz").unlink()
    assert run(tmp_path) == 2
    said = capsys.readouterr().err
    assert "Doe, Roe: no truth, or not all three sequences" in said and "Poe" not in said


def test_two_patients_with_such_slices_are_needed(tmp_path: Path, capsys) -> None:
    healthy = make_patient(100, patient_set="healthy", slices=1)
    write_myops([phantoms()[0], healthy], tmp_path)
    assert run(tmp_path) == 2
    assert "1 of 2 cases has a slice that holds blood, myocardium, edema and scar" \
        in capsys.readouterr().err


def test_too_few_images_for_mu_data_are_seen_before_any_fit(tmp_path: Path, capsys) -> None:
    write_myops(phantoms()[:2], tmp_path)
    assert run(tmp_path) == 2
    said = capsys.readouterr()
    assert "mu_data needs 10 labelled images" in said.err and "have 5 slices" in said.err
    assert said.out == ""


def test_a_case_to_test_on_that_is_not_there(a_data_set: Path, capsys) -> None:
    assert run(a_data_set, "--test", "102,999") == 2
    assert "no slice to test on" in capsys.readouterr().err
    assert run(a_data_set, "--table", "1", "--test", "102") == 2
    assert "are for table 2" in capsys.readouterr().err


def test_a_slice_that_cannot_be_fitted_is_left_out_and_said(a_data_set: Path, capsys) -> None:
    path = images_in(a_data_set) / "myops_training_102_T2.nii.gz"
    image = sitk.ReadImage(str(path))
    values = sitk.GetArrayFromImage(image)
    values[3][phantoms()[1].study.mask[3]] = 5.0
    flat = sitk.GetImageFromArray(values)
    flat.CopyInformation(image)
    sitk.WriteImage(flat, str(path))
    assert run(a_data_set, "--test", "101,103") == 2  # before any fit
    said = capsys.readouterr().err
    number = numbering_in(phantoms()[1].study.mask).of(3)  # from 1, the base first
    assert f"warning: case 102: slice {number} was left out: T2 is constant" in said
    assert "have 4 slices" in said


@pytest.mark.parametrize(("place", "words"), [
    ("nowhere/out.json", "its folder does not exist"), ("out.txt", "must end with .json"),
    ("data/out.json", "would lie among the data")])
def test_a_report_that_cannot_be_written_is_seen_first(
        a_data_set: Path, place: str, words: str, capsys) -> None:
    assert run(a_data_set, "--report", a_data_set.parent / place) == 2
    assert words in capsys.readouterr().err
