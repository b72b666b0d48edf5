"""A coil's shading, found together with the mixture and taken out (METHOD 11)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
import torch

from deepgmm import Geometry, InputError, Kind, Role, Sequence, Settings, Study, segment
from deepgmm.model import bias_field
from deepgmm.model.batch import PixelBatch
from deepgmm.model.bias_field import FieldFit, FieldOptions, fit_bias_field, legendre_basis
from deepgmm.model.mixture import Mixture, log_joint
from deepgmm.model.priors import ConjugatePrior
from deepgmm.model.starts import several_starts
from deepgmm.phantom import PhantomPatient, make_patient
from deepgmm.review.metrics import evaluate
from deepgmm.study.words import FOUR_TISSUES

LEVELS = np.array([0.35, 0.65, 1.0])


def a_shading(rng: np.random.Generator, size: float, pixels: int) -> npt.NDArray[np.float64]:
    """A polynomial of degree 2 that runs from 1 - size to 1 + size over the image."""
    y, x = np.mgrid[-1:1:pixels * 1j, -1:1:pixels * 1j]
    shape = np.tensordot(rng.normal(size=5), np.stack([x, y, x * y, x * x, y * y]), 1)
    middle, half = (shape.max() + shape.min()) / 2, np.ptp(shape) / 2
    return 1 + size * (shape - middle) / half


def an_image(seed: int, *, size: float = 0.2, noise: float = 0.07, pixels: int = 128
             ) -> tuple[npt.NDArray, npt.NDArray]:
    """Three intermingled classes under a field, and that field."""
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(seed)
    labels = np.stack([gaussian_filter(rng.normal(size=(pixels, pixels)), 3)
                       for _ in LEVELS]).argmax(0)
    field = a_shading(rng, size, pixels)
    return field * LEVELS[labels] + rng.normal(0, noise, field.shape), field


def packed(*images: npt.NDArray) -> PixelBatch:
    """Each image a slice of one sequence, all of it inside the mask."""
    stack = np.clip(np.stack(images), 0, None)[:, None]
    return PixelBatch.from_images(stack, np.ones(stack[:, 0].shape, dtype=bool))


def fitted(batch: PixelBatch, options: FieldOptions | None = None, tissues: int = 3) -> FieldFit:
    return fit_bias_field(*several_starts(batch, tissues, starts=1, seed=0), options)


def errors(fit: FieldFit, truths: list[npt.NDArray]) -> list[tuple[float, float]]:
    """Per slice the relative RMSE of the field, and the correlation of the log-fields."""
    out = []
    for got, truth in zip(fit.field[..., 0].numpy(), truths, strict=True):
        truth = (truth / np.exp(np.log(truth).mean())).ravel()
        rmse = np.sqrt(np.mean((got / truth - 1) ** 2))
        out.append((rmse, np.corrcoef(np.log(got), np.log(truth))[0, 1]))
    return out


@pytest.mark.parametrize("noise", [0.02, 0.07])
def test_a_field_is_found(noise: float) -> None:
    images, fields = zip(*(an_image(seed, noise=noise) for seed in range(1000, 1006)), strict=True)
    fit = fitted(packed(*images))
    assert fit.converged.all()
    for rmse, correlation in errors(fit, list(fields)):
        assert rmse < 0.02 and correlation > 0.95


def test_where_there_is_none_none_is_found() -> None:
    fit = fitted(packed(*(an_image(seed, size=0.0)[0] for seed in range(1000, 1006))))
    for rmse in (fit.field - 1).square().mean((1, 2)).sqrt().tolist():
        assert rmse < 0.005


def test_the_levels_are_those_behind_the_field() -> None:
    image, field = an_image(1, noise=0.03)
    fit = fitted(packed(image))
    expected = LEVELS * np.exp(np.log(field).mean())
    np.testing.assert_allclose(fit.mixture.means[0, :, 0].sort().values, expected, rtol=0.01)


def a_brighter_prior(strength: float = 0.1) -> ConjugatePrior:
    means = torch.tensor([[0.4], [0.8], [1.2]], dtype=torch.float64)
    return ConjugatePrior(means, torch.full_like(means, 0.02), torch.full((3,), 1 / 3).double(),
                          torch.full_like(means, strength))


@pytest.mark.parametrize("prior", [None, a_brighter_prior()])
def test_the_objective_never_rises(prior: ConjugatePrior | None) -> None:
    images = [an_image(seed, noise=0.12, pixels=48)[0] for seed in range(3)]
    batch, start = several_starts(packed(*images), 3, starts=2, seed=3)
    options = FieldOptions(degree=3, tolerance=0.0, max_iterations=80)
    for trace in fit_bias_field(batch, start, options, prior=prior).traces:
        assert len(trace) > 20
        assert max(np.diff(trace)) <= 1e-9


def test_a_field_kept_positive_costs_no_descent() -> None:
    """A bright band at one end and hardly any ridge: the best straight line crosses zero."""
    image = np.tile(np.where(np.arange(40) < 8, 3.0, 0.1), (40, 1))
    options = FieldOptions(degree=1, spread=100.0, lowest=0.2, tolerance=0.0, max_iterations=40)
    one = Mixture(*(torch.full(shape, value).double() for shape, value in
                    (((1, 1), 0.0), ((1, 1, 1), 1.0), ((1, 1, 1), 0.1))))
    fit = fit_bias_field(packed(image), one, options)
    assert float(fit.field.min()) > 0
    assert max(np.diff(fit.traces[0])) <= 1e-9
    free = fit_bias_field(packed(image), one, replace(options, lowest=-10.0))
    assert bool(free.field.isnan().any()), "without the bound it does cross zero"


def test_the_steps_are_where_the_gradient_vanishes() -> None:
    """Independent of the closed forms: autograd through the likelihood of a plain mixture."""
    batch = packed(an_image(5, pixels=32)[0])
    prior, options = a_brighter_prior(), FieldOptions(degree=3)
    work = bias_field._Work(batch, legendre_basis(batch, 3), prior,
                            torch.zeros(1, dtype=torch.bool), options)
    rng = np.random.default_rng(0)
    omega = torch.tensor(rng.normal(0, 0.05, (1, work.basis.shape[2], 1)))
    _, w = bias_field._e_step(work, bias_field._State(prior.mixture(1), omega))
    step = bias_field._m_step(work, bias_field._State(prior.mixture(1), omega), w)

    def bound(mixture: Mixture, omega: torch.Tensor) -> torch.Tensor:
        field = (1 + legendre_basis(batch, 3) @ omega)[0, :, 0]
        normal = torch.distributions.Normal(field[:, None] * mixture.means[0, :, 0],
                                            mixture.covariances[0, :, 0].sqrt())
        fits = mixture.log_weights[0] + normal.log_prob(batch.values[0])
        ridge = options.together / (2 * options.spread**2 * 32 * 32) * omega.square().sum()
        return -(w[0] * fits).sum() / 32**2 + ridge + prior.penalty(mixture).sum()

    means, variances = (t.clone().requires_grad_() for t in
                        (step.mixture.means, step.mixture.covariances))
    logits = step.mixture.log_weights.clone().requires_grad_()
    bound(Mixture(torch.log_softmax(logits, 1), means, variances), omega).backward()
    found = step.omega.clone().requires_grad_()
    bound(step.mixture, found).backward()
    for gradient in (means.grad, variances.grad, logits.grad, found.grad):
        assert gradient is not None and float(gradient.abs().max()) < 1e-9
    assert float((found - omega).detach().abs().max()) > 0.01


def test_the_gauge_changes_no_likelihood_and_no_volume() -> None:
    batch = packed(an_image(2, pixels=48)[0])
    no_ridge = FieldOptions(spread=1e6)
    fit = fitted(batch, no_ridge)
    assert abs(float(fit.field.log().mean())) < 1e-12
    normal = torch.distributions.Normal(fit.field[0] * fit.mixture.means[0, :, 0],
                                        fit.mixture.covariances[0, :, 0].sqrt())
    joint = fit.mixture.log_weights[0] + normal.log_prob(batch.values[0])
    nll = -torch.logsumexp(joint, 1).mean()
    assert float(nll) == pytest.approx(fit.traces[0][-1], abs=1e-9)


def test_the_density_is_that_of_a_plain_mixture_where_the_field_is_even() -> None:
    batch = packed(an_image(4, pixels=40)[0])
    _, start = several_starts(batch, 3, starts=1, seed=0)
    fit = fit_bias_field(batch, start, FieldOptions(max_iterations=1))
    expected = -torch.logsumexp(log_joint(batch, start), 2).mean()
    assert fit.traces[0][0] == pytest.approx(float(expected), abs=1e-9)


def test_polynomials_are_those_of_legendre_with_mean_zero() -> None:
    from scipy.special import eval_legendre

    mask = np.zeros((1, 30, 30), dtype=bool)
    mask[0, 4:25, 6:20] = True
    mask[0, 10:14, 10:14] = False
    batch = PixelBatch.from_images(np.ones((1, 1, 30, 30)), mask)
    rows, columns = np.nonzero(mask[0])
    down, across = (rows - 14) / 10, (columns - 12.5) / 6.5
    expected = np.stack([eval_legendre(i, down) * eval_legendre(j, across)
                         for i in range(4) for j in range(4 - i) if i + j], 1)
    got = legendre_basis(batch, 3)[0].numpy()
    np.testing.assert_allclose(got, expected - expected.mean(0), atol=1e-12)


def test_one_batch_equals_one_by_one() -> None:
    images = [an_image(0)[0], an_image(1, pixels=40)[0], an_image(2, pixels=64)[0]]
    mask, stack = np.zeros((3, 128, 128), dtype=bool), np.zeros((3, 1, 128, 128))
    for i, image in enumerate(images):
        n = len(image)
        stack[i, 0, :n, :n], mask[i, :n, :n] = np.clip(image, 0, None), True
    batch = PixelBatch.from_images(stack, mask)
    batch, start = several_starts(batch, 3, starts=1, seed=0)
    together = fit_bias_field(batch, start)
    for s in range(3):
        index = torch.tensor([s])
        alone = fit_bias_field(batch.select(index), start.select(index))
        np.testing.assert_allclose(alone.field[0], together.field[s], atol=1e-9)
        assert len(alone.traces[0]) == len(together.traces[s])


def test_a_sequence_held_even_gets_no_field_and_may_be_negative() -> None:
    (shaded, field), (other, _) = an_image(0), an_image(0, size=0.0)
    images = np.stack([np.clip(shaded, 0, None), other - 0.6])[None]
    batch = PixelBatch.from_images(images, np.ones((1, 128, 128), dtype=bool))
    batch, start = several_starts(batch, 3, starts=1, seed=0)
    fit = fit_bias_field(batch, start, even=torch.tensor([False, True]))
    assert (fit.field[..., 1] == 1).all()
    assert errors(fit, [field])[0][0] < 0.01


def test_what_a_field_cannot_be_fitted_to_is_refused() -> None:
    batch, start = several_starts(packed(an_image(0, pixels=32)[0]), 3, starts=1, seed=0)
    full = Mixture(start.log_weights, start.means, torch.diag_embed(start.covariances))
    for mixture, options in ((full, FieldOptions()), (start, FieldOptions(degree=0))):
        with pytest.raises(ValueError, match="degree 1 or more"):
            fit_bias_field(batch, mixture, options)


@pytest.fixture(scope="module")
def a_patient() -> PhantomPatient:
    return make_patient(100, slices=3)


def test_off_is_bit_for_bit_absent(a_patient: PhantomPatient,
                                   monkeypatch: pytest.MonkeyPatch) -> None:
    from deepgmm.methods import bias

    monkeypatch.setattr(bias, "fit_bias_field", None)
    monkeypatch.setattr(bias, "normalise", None)
    with_it = segment(a_patient.study, Settings(bias_degree=0))
    monkeypatch.setattr("deepgmm.methods.without_shading", lambda problem: bias.Unshaded(problem))
    without = segment(a_patient.study)
    np.testing.assert_array_equal(with_it.posterior, without.posterior)
    assert with_it.fits[0].trace == without.fits[0].trace
    assert "bias_field" not in with_it.provenance


def test_the_result_says_what_was_taken_out(a_patient: PhantomPatient) -> None:
    before = {role: s.values.copy() for role, s in a_patient.study.sequences.items()}
    result = segment(a_patient.study, Settings(bias_degree=2))
    said = result.provenance["bias_field"]
    assert said["degree"] == 2 and said["left_as_it_is"] == {}
    assert set(said["largest_percent"]) == {"bssfp", "lge", "t2"}
    assert all(0 < percent < 30 for percent in said["largest_percent"].values())
    for role, values in before.items():
        np.testing.assert_array_equal(result.study.sequences[role].values, values)


def test_a_strong_field_is_warned_of() -> None:
    """A wide ventricle, so that there is enough to tell a field by."""
    y, x = np.mgrid[-1:1:140j, -1:1:140j]
    radius = np.hypot(y, x)
    noise = np.random.default_rng(0).normal(0, 0.05, (2, 140, 140))
    clean = np.where(radius < 0.65, 1.0, 0.4) * np.exp(0.5 * y)
    study = Study({Role.BSSFP: Sequence(Role.BSSFP, 300 * np.abs(clean + noise), Kind.BSSFP)},
                  np.broadcast_to(radius < 0.95, noise.shape), Geometry((0.7, 0.7, 8.0)))
    result = segment(study, Settings(bias_degree=1))
    assert result.provenance["bias_field"]["largest_percent"]["bssfp"] > 30
    assert any("bias field taken out of bSSFP reaches" in w for w in result.warnings)


def test_what_no_coil_shades_is_left_alone() -> None:
    kinds = {Role.BSSFP: Kind.BSSFP, Role.LGE: Kind.LGE_PSIR, Role.T2: Kind.T2_MAP}
    study = make_patient(100, slices=2, kinds=kinds).study
    result = segment(study, Settings(bias_degree=2))
    said = result.provenance["bias_field"]
    assert set(said["left_as_it_is"]) == {"lge", "t2"} and set(said["largest_percent"]) == {"bssfp"}
    for words in ("LGE was not corrected for a bias field: a signed", "T2 was not corrected"):
        assert any(words in w for w in result.warnings)
    alone = replace(study, sequences={Role.LGE: study.sequences[Role.LGE]})
    corrected, plain = segment(alone, Settings(bias_degree=2)), segment(alone)
    np.testing.assert_array_equal(corrected.posterior, plain.posterior)


def test_negative_values_of_an_image_without_a_kind_are_left_alone(
        a_patient: PhantomPatient) -> None:
    study = a_patient.study
    lge = study.sequences[Role.LGE]
    lge = replace(lge, kind=Kind.UNKNOWN, values=lge.values - np.median(lge.values[study.mask]))
    result = segment(replace(study, sequences={Role.LGE: lge}), Settings(bias_degree=1))
    assert any("negative values inside the LV mask" in w for w in result.warnings)


@pytest.mark.parametrize("degree", [-1, 5])
def test_an_impossible_degree_is_refused(a_patient: PhantomPatient, degree: int) -> None:
    with pytest.raises(InputError, match="bias.*degree"):
        segment(a_patient.study, Settings(bias_degree=degree))


def test_the_unit_of_an_image_does_not_matter(a_patient: PhantomPatient) -> None:
    study = a_patient.study
    scaled = replace(study, sequences={role: replace(s, values=s.values * 4)
                                       for role, s in study.sequences.items()})
    one, other = (segment(s, Settings(bias_degree=2)) for s in (study, scaled))
    np.testing.assert_array_equal(one.labels, other.labels)


def mean_dice(patient: PhantomPatient, study: Study, degree: int) -> float:
    labels = segment(study, Settings(bias_degree=degree)).labels
    scores = evaluate(labels, patient.truth, patient.study.geometry)
    return float(np.mean([scores.mean("dice", t, four_tissues_only=True).value
                          for t in FOUR_TISSUES]))


def test_the_phantom_loses_nothing() -> None:
    patients = [make_patient(seed) for seed in range(100, 104)]
    off, on = (np.mean([mean_dice(p, p.study, degree) for p in patients]) for degree in (0, 2))
    assert on > off - 0.01
