"""Student-t components and the outlier class: against SciPy, and what they are good for."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from test_em import clouds, pixels_of

from deepgmm import InputError, Method, Settings, segment
from deepgmm.model.batch import PixelBatch
from deepgmm.model.em import fit_em
from deepgmm.model.mixture import m_step
from deepgmm.model.starts import spread_centres
from deepgmm.model.tails import Tails
from deepgmm.phantom import make_patient


@pytest.fixture
def a_batch() -> PixelBatch:
    return PixelBatch.from_images(*clouds(np.random.default_rng(3)))


@pytest.mark.parametrize("full", [False, True])
def test_the_density_is_scipys(a_batch: PixelBatch, full: bool) -> None:
    from scipy.stats import multivariate_t

    mixture = m_step(a_batch, spread_centres(a_batch, 3, seed=0), full=full)
    joint, _ = Tails(degrees=5.0).log_joint(a_batch, mixture)
    x = pixels_of(a_batch, 0)
    for k in range(3):
        shape = mixture.covariances[0, k].numpy()
        expected = multivariate_t(mixture.means[0, k].numpy(), shape if full else np.diag(shape),
                                  df=5.0).logpdf(x) + float(mixture.log_weights[0, k])
        np.testing.assert_allclose(joint[0, : len(x), k], expected, atol=1e-9)


def test_many_degrees_of_freedom_are_a_gaussian(a_batch: PixelBatch) -> None:
    start = m_step(a_batch, spread_centres(a_batch, 4, seed=1))
    plain = fit_em(a_batch, start, tolerance=1e-8)
    wide = fit_em(a_batch, start, tails=Tails(degrees=1e7), tolerance=1e-8)
    torch.testing.assert_close(wide.nll, plain.nll, atol=1e-4, rtol=0)
    assert torch.equal(wide.posterior.argmax(2), plain.posterior.argmax(2))


@pytest.mark.parametrize("tails", [Tails(degrees=4.0), Tails(outlier=0.05),
                                   Tails(degrees=4.0, outlier=0.05)])
@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("spatial", [False, True])
def test_the_objective_never_rises(a_batch: PixelBatch, tails: Tails, full: bool,
                                   spatial: bool) -> None:
    start = m_step(a_batch, spread_centres(a_batch, 4, seed=1), full=full, floor=1e-3)
    # without a floor, Algorithm 2 ends in classes of no mass, where rounding decides
    fit = fit_em(a_batch, start, tails=tails, spatial=spatial, floor=0.0, tolerance=0.0,
                 max_iterations=12 if spatial else 60)
    for trace in fit.traces:
        assert max(np.diff(trace)) <= 1e-9


@pytest.mark.parametrize("tails", [Tails(degrees=3.0), Tails(outlier=0.05)])
def test_wild_pixels_move_a_gaussian_and_hardly_these(tails: Tails) -> None:
    images, mask = clouds(np.random.default_rng(5), slices=1, tissues=1)
    clean = PixelBatch.from_images(images, mask)
    wild = images.copy()
    wild[0][:, 14:17, 14:17] = 8.0
    batch = PixelBatch.from_images(wild, mask)
    truth = pixels_of(clean, 0).mean(0)

    def error(**options) -> float:
        fit = fit_em(batch, m_step(batch, batch.valid[..., None]), max_iterations=200,
                     tolerance=1e-8, **options)
        return float(np.abs(fit.mixture.means[0, 0].numpy() - truth).max())
    assert error(tails=tails) < 0.25 * error()


def test_what_cannot_be_is_refused(a_batch: PixelBatch) -> None:
    for wrong in ({"degrees": -1.0}, {"outlier": 1.0}):
        with pytest.raises(ValueError, match="must"):
            Tails(**wrong)
        with pytest.raises(InputError):
            segment(make_patient(1, slices=1).study, Settings(method=Method.GMM, **wrong))


def test_tails_are_an_option_of_the_same_methods() -> None:
    patient = make_patient(2, slices=2)
    for method in (Method.GMM, Method.SVGMM):
        result = segment(patient.study, Settings(method=method, degrees=6.0, outlier=0.02,
                                                 restarts=2))
        assert (result.labels[patient.study.mask] > 0).all()
        assert result.provenance["settings"]["degrees"] == 6.0
