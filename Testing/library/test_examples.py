"""Studies made into examples."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from deepgmm import InputError, segment
from deepgmm.phantom import PhantomPatient, make_patient
from deepgmm.segment import prepared
from deepgmm.settings import Settings
from deepgmm.study.study import Geometry
from deepgmm.study.words import Kind, Role, Tissue
from deepgmm.training.examples import make_examples


@pytest.fixture(scope="module")
def a_patient() -> PhantomPatient:
    return make_patient(101, slices=2)


@pytest.fixture(scope="module")
def another_patient() -> PhantomPatient:
    return make_patient(102, slices=1, kinds={Role.BSSFP: Kind.BSSFP, Role.LGE: Kind.LGE_PSIR})


def test_everything_lies_where_it_lay(a_patient: PhantomPatient) -> None:
    examples, _ = make_examples([(a_patient.study, a_patient.truth)], teach=False)
    case = prepared(a_patient.study, Settings())
    for i in range(2):
        mask = a_patient.study.mask[i]
        inside = examples.inside[i, 0].numpy() > 0
        assert inside.sum() == mask.sum()
        np.testing.assert_array_equal(examples.labels[i].numpy()[inside],
                                      a_patient.truth[i][mask].astype(int) - 1)
        assert (examples.labels[i].numpy()[~inside] == -1).all()
        np.testing.assert_allclose(examples.values[i].numpy()[:, inside],
                                   case.normalised[0][i][:, mask], rtol=1e-5, atol=1e-6)
    assert examples.teacher is None


def test_the_teacher_is_map(a_patient: PhantomPatient, another_patient: PhantomPatient) -> None:
    examples, owner = make_examples([(p.study, None) for p in (a_patient, another_patient)])
    assert owner.tolist() == [0, 0, 1]
    assert (examples.labels == -1).all()
    for patient, first in ((a_patient, 0), (another_patient, 2)):
        result = segment(patient.study, Settings(method="map"))
        for i, mask in enumerate(patient.study.mask):
            taught = examples.teacher[first + i].numpy()
            inside = examples.inside[first + i, 0].numpy() > 0
            wanted = np.zeros((4, int(mask.sum())), np.float32)
            wanted[[t - 1 for t in result.tissues]] = result.posterior[i][:, mask]
            np.testing.assert_allclose(taught[:, inside], wanted, atol=1e-6)
            assert (taught[:, ~inside] == 0).all()


def test_a_study_with_fewer_sequences_says_so(another_patient: PhantomPatient) -> None:
    examples, _ = make_examples([(another_patient.study, another_patient.truth)], teach=False)
    assert examples.present.tolist() == [[1, 1, 0]]
    assert examples.sought.tolist() == [[1, 1, 0, 1]]
    assert (examples.values[:, 2] == 0).all()


def test_unlabelled_pixels_and_obstruction(a_patient: PhantomPatient) -> None:
    labels = a_patient.truth.copy()
    rows, columns = np.nonzero(a_patient.study.mask[0])
    labels[0, rows[:30], columns[:30]] = 255
    labels[0, rows[30:60], columns[30:60]] = 0
    labels[0, rows[60:90], columns[60:90]] = Tissue.MVO
    examples, _ = make_examples([(a_patient.study, labels)], teach=False)
    inside = examples.inside[0, 0] > 0
    found = examples.labels[0][inside]
    assert (found[:60] == -1).all()
    assert (found[60:90] == 3).all()
    assert (found[90:] >= 0).all()


def test_a_study_that_cannot_be_fitted_is_named_as_ever(a_patient: PhantomPatient) -> None:
    flat = replace(a_patient.study, sequences={
        role: replace(s, values=np.zeros_like(s.values)) if role is Role.T2 else s
        for role, s in a_patient.study.sequences.items()})
    with pytest.raises(InputError, match="T2"):
        make_examples([(flat, None)], teach=False)


def test_the_settings_of_the_teacher_are_not_those_of_the_user(
        a_patient: PhantomPatient) -> None:
    one, _ = make_examples([(a_patient.study, None)], Settings(method="svgmm"))
    two, _ = make_examples([(a_patient.study, None)])
    assert torch.equal(one.teacher, two.teacher)


def test_small_pixels_are_seen_as_a_network_will_see_them(a_patient: PhantomPatient) -> None:
    fine = replace(a_patient.study, geometry=Geometry((0.7, 0.7, 8.0)))
    given = [(study, a_patient.truth) for study in (a_patient.study, fine)]
    usual, _ = make_examples(given[:1])
    seen, _ = make_examples(given[1:])
    assert seen.canvas == tuple(round(side * 0.7 / 1.4) for side in usual.canvas)
    inside = seen.inside[:, 0] > 0
    assert inside.sum().item() == pytest.approx(usual.inside.sum().item() / 4, rel=0.03)
    for k in range(4):
        one, other = ((e.labels == k).sum().item() for e in (seen, usual))
        assert one == pytest.approx(other / 4, rel=0.15)
    torch.testing.assert_close(seen.teacher.sum(1), inside.float())
