"""The images of deepgmm-paper's tables: slices of labelled patients that hold all four tissues.

What a method sees of an image and what is known of its truth are kept apart: a method is given
`PaperImage`s, and truth only where the paper itself does so, for mu_data.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from deepgmm.errors import InputError
from deepgmm.identify.contrast import ContrastPrior, contrast_prior
from deepgmm.model.batch import PixelBatch
from deepgmm.progress import Progress, silent
from deepgmm.reading.studies.labelled import LabelledCase, find_labelled
from deepgmm.study.normalisation import Scale, normalise
from deepgmm.study.study import Study
from deepgmm.study.words import FOUR_TISSUES, Role

#: Of the paper: images of the test set, of all; patients of it, of all (section 4.2).
TEST_IMAGES, TEST_PATIENTS = 19 / 79, 5 / 25
#: Splits by patient that are drawn, of which the one nearest to the paper's counts is taken.
DRAWS = 200

Labels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Patient:
    """One patient with slices that count.

    Attributes
    ----------
    name, key : of the case, as its user calls it and by its hash.
    study : sequences and LV mask, which is the union of the tissues.
    slices : indices of those that hold all four tissues.
    truth : one array a slice of `slices`, the labels of its mask pixels, row by row.
    """

    name: str
    key: str
    study: Study
    slices: tuple[int, ...]
    truth: tuple[Labels, ...]


@dataclass(frozen=True)
class PaperImage:
    """One slice by itself, without its truth.

    Attributes
    ----------
    patient : index of its patient in the cohort.
    study, index : the study and which of its slices this is.
    """

    patient: int
    study: Study
    index: int

    @cached_property
    def mask(self) -> npt.NDArray[np.bool_]:
        """(rows, columns)"""
        return self.study.mask[self.index]

    @cached_property
    def scale(self) -> Scale:
        """Mean 0 and standard deviation 1 inside the LV mask of this image."""
        inside = self.study.images[self.index].astype(np.float64)[:, self.mask]
        return Scale(inside.mean(1), inside.std(1))

    @cached_property
    def batch(self) -> PixelBatch:
        """The mask's pixels in the image's own units, float64, as a batch of one slice."""
        image = self.scale.apply(self.study.images[self.index][None].astype(np.float64))
        return PixelBatch.from_images(image, self.mask[None])

    @cached_property
    def contrast(self) -> ContrastPrior:
        """The shipped contrast prior of the study's kinds, brought into the image's units."""
        prior = contrast_prior({role: s.kind for role, s in self.study.sequences.items()},
                               FOUR_TISSUES)
        study = normalise(self.study, self.study.slices)[1]
        ratio = study.width / self.scale.width
        return ContrastPrior(
            prior.tissues, (study.raw_means(prior.means) - self.scale.centre) / self.scale.width,
            prior.deviations * ratio, prior.mean_deviations * ratio, prior.weights,
            prior.sources)


@dataclass(frozen=True)
class Cohort:
    """Patients, and their images in order with the truth of each."""

    patients: tuple[Patient, ...]

    @cached_property
    def images(self) -> list[PaperImage]:
        return [PaperImage(number, patient.study, index)
                for number, patient in enumerate(self.patients) for index in patient.slices]

    @cached_property
    def truths(self) -> list[Labels]:
        return [truth for patient in self.patients for truth in patient.truth]

    def of(self, patients: Sequence[int]) -> list[int]:
        """The images of some patients, as indices."""
        return [i for i, image in enumerate(self.images) if image.patient in patients]

    def owners(self, images: Sequence[int]) -> list[int]:
        """The patients of some images, as indices, each once."""
        return sorted({self.images[i].patient for i in images})


def read_cohort(folder: Path, *, most: int | None = None, progress: Progress = silent,
                around: Callable[[], AbstractContextManager[None]] = nullcontext) -> Cohort:
    """Every patient of a labelled folder who has a slice that holds all four tissues.

    Parameters
    ----------
    most : patients, from the first; all by default.
    around : see `find_labelled`.

    Raises
    ------
    InputError
        As `find_labelled`, for all faults at once; cases without truth or without one of the
        three sequences; fewer than two patients.
    """
    cases = find_labelled(folder, progress=progress, around=around)
    poor = [case.name for case in cases if not case.labelled or case.roles != tuple(Role)]
    if poor:
        raise _naming(poor, f"{', '.join(poor)}: no truth, or not all three sequences, and the "
                            "paper's tables need them of every case: complete the cases, or take "
                            "them out of the folder")
    patients: list[Patient] = []
    for number, case in enumerate(cases):
        if len(patients) == most:
            break
        progress(number / len(cases), f"reading case {number + 1} of {len(cases)}")
        patient = _patient(case)
        if patient.slices:
            patients.append(patient)
    if len(patients) < 2:
        raise InputError(
            f"{len(patients)} of {len(cases)} cases {'has' if len(patients) == 1 else 'have'} a "
            "slice that holds blood, myocardium, edema and scar: the tables need two patients "
            "with such slices")
    return Cohort(tuple(patients))


def _patient(case: LabelledCase) -> Patient:
    study, labels = case.read()
    assert labels is not None  # seen by the caller
    inside = {i: labels[i][study.mask[i]] for i in study.slices}
    slices = tuple(i for i, truth in inside.items() if set(np.unique(truth)) == set(FOUR_TISSUES))
    return Patient(case.name, case.key, study, slices, tuple(inside[i] for i in slices))


def _naming(cases: Sequence[str], text: str) -> InputError:
    """An error that names cases, which the log must not hold."""
    error = InputError(text)
    error.private = tuple(cases)
    return error


def split(cohort: Cohort, *, seed: int, test: Sequence[str] = ()) -> tuple[list[int], list[int]]:
    """Images to train on and to test on, as indices; no patient is in both.

    The paper tested on 19 of 79 images, of 5 of 25 patients, and does not say which. Of several
    splits drawn with the seed the one is taken whose count of test images is nearest to that.

    Parameters
    ----------
    test : names of the cases to test on; drawn where none is given.

    Raises
    ------
    InputError
        A name that is no case with such slices, or nobody left to train on.
    """
    number = len(cohort.patients)
    if test:
        place = {patient.name: i for i, patient in enumerate(cohort.patients)}
        unknown = [name for name in test if name not in place]
        if unknown:
            raise _naming(unknown, "no slice to test on: these are no cases with a slice that "
                                   f"holds all four tissues: {', '.join(unknown)}")
        chosen = sorted({place[name] for name in test})
    else:
        random = np.random.default_rng(seed)
        size = max(1, round(number * TEST_PATIENTS))
        wanted = len(cohort.images) * TEST_IMAGES
        draws = [sorted(random.permutation(number)[:size].tolist()) for _ in range(DRAWS)]
        chosen = min(draws, key=lambda draw: abs(len(cohort.of(draw)) - wanted))
    others = [i for i in range(number) if i not in chosen]
    if not others:
        raise InputError("all cases are to be tested on, and none is left to train on: give "
                         "fewer")
    return cohort.of(others), cohort.of(chosen)


@dataclass(frozen=True)
class KnownMeans:
    """mu_data (deepgmm-paper section 4.2): averages over a few labelled images, in their units.

    Attributes
    ----------
    images : indices in the cohort.
    means : (4, 3) mean of the images' class means.
    variances : (4, 3) mean of the variances inside the classes, and shares : (4,) of the mask:
        what a start needs besides.
    """

    images: tuple[int, ...]
    means: npt.NDArray[np.float64]
    variances: npt.NDArray[np.float64]
    shares: npt.NDArray[np.float64]


def known_means(cohort: Cohort, training: Sequence[int], *, count: int, seed: int) -> KnownMeans:
    """mu_data of `count` random training images.

    Raises
    ------
    InputError : fewer training images than that.
    """
    if len(training) < count:
        raise InputError(f"mu_data needs {count} labelled images to learn from, and the training "
                         f"patients have {len(training)} slices that hold all four tissues: give "
                         "more cases, or test on fewer")
    chosen = sorted(np.random.default_rng(seed).choice(training, count, replace=False).tolist())
    pixels = [(cohort.images[i].batch.values[0].numpy(), cohort.truths[i]) for i in chosen]

    def mean(of: str) -> npt.NDArray[np.float64]:
        return np.mean([[getattr(values[truth == t], of)(axis=0) for t in FOUR_TISSUES]
                        for values, truth in pixels], axis=0)
    shares = np.mean([[(truth == t).mean() for t in FOUR_TISSUES] for _, truth in pixels], axis=0)
    return KnownMeans(tuple(chosen), mean("mean"), mean("var"), shares)


@dataclass(frozen=True)
class Parting:
    """Who is trained on and who is tested on, and what is known beforehand.

    Attributes
    ----------
    training, tested : images, as indices in the cohort.
    means : mu_data, of training images.
    """

    training: list[int]
    tested: list[int]
    means: KnownMeans


def joined(images: Sequence[PaperImage]) -> PixelBatch:
    """The images in one batch, padded to the largest."""
    return PixelBatch.joined([image.batch for image in images])
