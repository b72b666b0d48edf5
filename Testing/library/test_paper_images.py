"""The images of the paper's tables, who is tested on, and mu_data."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from small_cohorts import a_cohort, a_cohort_of, phantoms, write_myops

from deepgmm.errors import InputError
from deepgmm.identify.contrast import contrast_prior
from deepgmm.study.normalisation import normalise
from deepgmm.study.words import FOUR_TISSUES
from deepgmm.training import paper_tables
from deepgmm.training.paper_images import Cohort, PaperImage, known_means, read_cohort, split


@pytest.fixture
def a_data_set(tmp_path: Path) -> Path:
    write_myops(phantoms(), tmp_path)
    return tmp_path


def test_images_are_the_slices_that_hold_all_four_tissues(a_data_set: Path) -> None:
    """Edema is taken out of one slice."""
    path = a_data_set / "train25_myops_gd" / "myops_training_102_gd.nii.gz"
    image = sitk.ReadImage(str(path))
    codes = sitk.GetArrayFromImage(image)
    codes[2][codes[2] == 1220] = 200
    changed = sitk.GetImageFromArray(codes)
    changed.CopyInformation(image)
    sitk.WriteImage(changed, str(path))
    cohort = read_cohort(a_data_set)
    assert [p.slices for p in cohort.patients] == [(0, 1, 2, 3, 4), (0, 1, 3, 4), (0, 1, 2, 3, 4)]
    assert [(i.patient, i.index) for i in cohort.images][5:9] == [(1, 0), (1, 1), (1, 3), (1, 4)]
    for image, truth in zip(cohort.images, cohort.truths, strict=True):
        patient = phantoms()[image.patient]
        assert np.array_equal(image.mask, patient.study.mask[image.index])
        assert np.array_equal(truth, patient.truth[image.index][image.mask])


def test_a_method_is_not_given_the_truth(a_data_set: Path) -> None:
    image = read_cohort(a_data_set).images[0]
    assert set(PaperImage.__dataclass_fields__) == {"patient", "study", "index"}
    assert image.study.wall is None


def test_each_image_is_brought_to_mean_0_and_deviation_1_inside_its_mask() -> None:
    for image in a_cohort().images[3:6]:
        values = image.batch.values[0].numpy()
        assert values.shape == (image.mask.sum(), 3)
        np.testing.assert_allclose(values.mean(0), 0, atol=1e-12)
        np.testing.assert_allclose(values.std(0), 1, atol=1e-12)


def test_contrast_priors_mean_the_same_intensities_in_the_units_of_an_image() -> None:
    image = a_cohort().images[7]
    kinds = {role: s.kind for role, s in image.study.sequences.items()}
    prior, study = contrast_prior(kinds, FOUR_TISSUES), normalise(image.study, range(5))[1]
    np.testing.assert_allclose(image.scale.raw_means(image.contrast.means),
                               study.raw_means(prior.means))
    np.testing.assert_allclose(image.contrast.deviations * image.scale.width,
                               prior.deviations * study.width)


def test_the_split_is_by_patient_and_as_near_to_the_papers_as_can_be() -> None:
    """25 patients with 79 images: 60 to train on, 19 of 5 patients to test on."""
    cohort = a_cohort_of([3] * 13 + [4] * 8 + [2] * 4)
    assert len(cohort.images) == 79
    splits = [split(cohort, seed=seed) for seed in (0, 0, 1)]
    for training, tested in splits:
        assert (len(training), len(tested)) == (60, 19) and len(cohort.owners(tested)) == 5
        assert not set(cohort.owners(training)) & set(cohort.owners(tested))
        assert sorted(training + tested) == list(range(79))
    assert splits[0] == splits[1] != splits[2]


def test_cases_to_test_on_can_be_named() -> None:
    cohort = a_cohort_of([2, 3, 1])
    assert split(cohort, seed=0, test=["1"]) == ([0, 1, 5], [2, 3, 4])
    with pytest.raises(InputError, match="no slice to test on: .*: 7, 9") as told:
        split(cohort, seed=0, test=["1", "7", "9"])
    assert told.value.private == ("7", "9")
    with pytest.raises(InputError, match="none is left to train on"):
        split(cohort, seed=0, test=["0", "1", "2"])


def test_mu_data_is_the_mean_of_class_means_of_ten_training_images() -> None:
    training = list(range(12))
    found = known_means(a_cohort(), training, count=10, seed=4)
    assert len(set(found.images)) == 10 and set(found.images) <= set(training)
    by_hand = []
    for i in found.images:
        patient, index = phantoms()[i // 5], i % 5
        mask, truth = patient.study.mask[index], patient.truth[index]
        rows = []
        for sequence in patient.study.sequences.values():
            values = sequence.values[index].astype(float)
            values = (values - values[mask].mean()) / values[mask].std()
            rows.append([values[truth == tissue].mean() for tissue in (1, 2, 3, 4)])
        by_hand.append(np.transpose(rows))
    np.testing.assert_allclose(found.means, np.mean(by_hand, axis=0), atol=1e-6)
    assert found.shares.sum() == pytest.approx(1)
    assert known_means(a_cohort(), training, count=10, seed=4).images == found.images
    assert known_means(a_cohort(), training, count=10, seed=5).images != found.images
    with pytest.raises(InputError, match="needs 10 labelled images .* have 9 slices"):
        known_means(a_cohort(), range(9), count=10, seed=0)


def test_no_other_labels_enter_the_priors_of_those_images() -> None:
    cohort = a_cohort()
    means = known_means(cohort, range(15), count=10, seed=0)
    others = [np.ones_like(truth) if i not in means.images else truth
              for i, truth in enumerate(cohort.truths)]
    spoilt = Cohort(tuple(replace(p, truth=tuple(others[5 * n : 5 * n + 5]))
                          for n, p in enumerate(cohort.patients)))
    assert paper_tables._contrasts(spoilt, means) == paper_tables._contrasts(cohort, means)
