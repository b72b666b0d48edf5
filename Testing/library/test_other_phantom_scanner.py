"""The second phantom's scanner: its equations against Bloch's, its images against closed forms."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from deepgmm.study.words import Kind

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "Benchmarks"))

import other_phantom_scanner as scanner  # noqa: E402
from other_phantom_heart import Matter  # noqa: E402

# Equations of the sequences, against the Bloch equations step by step

def some_tissues() -> scanner.Tissues:
    return scanner.Tissues(np.array([1000.0, 1500.0, 400.0]), np.array([50.0, 240.0, 60.0]),
                           np.array([0.8, 0.9, 1.0]), np.array([0.25, 0.6, 0.5]))


def stepped(t1: float, t2: float, start: float, flip: float, tr: float, pulses: int,
            first: float) -> float:
    """Transverse magnetisation half a TR after a train of alternating pulses."""
    m = np.array([0.0, start])  # transverse (in the pulses' plane), longitudinal
    for pulse in range(pulses):
        angle = (first if pulse == 0 else flip) * (-1) ** pulse
        turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        m = turn @ m
        seen = abs(m[0]) * np.exp(-tr / 2 / t2)
        m = np.array([m[0] * np.exp(-tr / t2), 1 + (m[1] - 1) * np.exp(-tr / t1)])
    return float(seen)


def test_the_steady_state_is_where_the_bloch_equations_end() -> None:
    tissues, flip, tr = some_tissues(), np.radians(60), 3.0
    wanted = [d * stepped(t1, t2, 1.0, flip, tr, 4000, flip / 2)
              for t1, t2, d in zip(tissues.t1, tissues.t2, tissues.density)]
    assert np.allclose(scanner.steady_state(tissues, flip, tr), wanted, rtol=1e-6)


@pytest.mark.parametrize("pulses", [4, 30])
def test_the_way_to_the_steady_state_follows_the_bloch_equations(pulses: int) -> None:
    tissues, flip, tr, prepared = some_tissues(), np.radians(60), 2.8, 55.0
    wanted = [d * stepped(t1, t2, np.exp(-prepared / t2), flip, tr, pulses + 1, flip / 2)
              for t1, t2, d in zip(tissues.t1, tissues.t2, tissues.density)]
    found = scanner.prepared_steady_state(tissues, flip, tr, prepared, pulses, 1e6)
    assert np.allclose(found, wanted, rtol=0.06)


@pytest.mark.parametrize("preparation", [0.0, 40.0])
def test_inversion_recovery_nulls_the_tissue_it_is_set_on(preparation: float) -> None:
    tissues = some_tissues()
    ti = scanner.null_time(1000.0, 50.0, 1700.0, preparation)
    signal = scanner.inversion_recovery(tissues, ti, 1700.0, preparation)
    assert signal[0] == pytest.approx(0.0, abs=1e-6) and signal[2] > 0.1
    # after a full recovery and without preparation the null lies at T1 log 2
    assert scanner.null_time(500.0, 50.0, 1e5) == pytest.approx(500 * np.log(2), rel=1e-6)


def test_contrast_agent_shortens_t1_most_where_it_enters_most() -> None:
    before, after = some_tissues(), some_tissues().enhanced(0.6)
    assert np.allclose(1000 * (1 / after.t1 - 1 / before.t1),
                       scanner.R1 * 0.6 * before.uptake)


def test_a_map_of_pure_decay_gives_back_its_t2() -> None:
    echoes, t2 = np.array([0.0, 25.0, 55.0]), np.array([45.0, 70.0, 200.0])
    images = np.exp(-echoes[:, None] / t2)[:, None, None].astype(np.complex64)
    assert np.allclose(scanner._fitted_t2(images, echoes)[0, 0], t2, rtol=1e-4)


def test_blood_may_outshine_infarct_on_late_enhancement_and_the_other_way_about() -> None:
    ratios = []
    for seed in range(100):
        rng = np.random.default_rng(seed)
        tissues = scanner.Tissues.draw(rng)
        signal = scanner.protocol_of(rng, Kind.LGE_PSIR, tissues, 0.6).signals(tissues)[0]
        ratios.append(signal[Matter.BLOOD] / signal[Matter.INFARCT])
    assert 0.2 < np.mean(np.array(ratios) > 1) < 0.8


# From magnetisation to images

def test_an_even_object_keeps_its_value_and_a_small_one_its_place() -> None:
    readout = scanner.Readout((2.0, 2.6), 0.4)
    for factor in (1, 2, 3):
        fine = np.ones((1, 40 * factor, 48 * factor), np.float32)
        assert np.allclose(readout.image(fine, (40, 48), 1.3), 1.0, atol=1e-5)
        fine[:] = 0
        fine[0, 17 * factor:18 * factor, 30 * factor:31 * factor] = 1
        image = readout.image(fine, (40, 48), 1.3)[0].real
        assert np.unravel_index(image.argmax(), image.shape) == (17, 30)
        assert np.allclose(image[16], image[18], atol=1e-4)
        assert np.allclose(image[:, 29], image[:, 31], atol=1e-4)


def test_truncated_k_space_rings_at_edges_unless_windowed() -> None:
    fine = np.zeros((1, 64, 64), np.float32)
    fine[:, 16:48] = 1
    over = [scanner.Readout((2.0, 2.0), window).image(fine, (64, 64), 1.0).real.max() - 1
            for window in (0.0, 1.0)]
    assert over[0] == pytest.approx(0.09, abs=0.03) and over[1] < 0.01


def test_noise_has_unit_variance_and_is_correlated_over_what_was_not_acquired() -> None:
    readout = scanner.Readout((2.6, 1.3), 0.0)
    noise = readout.noise(np.random.default_rng(0), (20, 64, 64), 1.3)
    assert noise.real.std() == pytest.approx(1.0, abs=0.02)
    assert noise.imag.std() == pytest.approx(1.0, abs=0.02)
    down = (noise.real[:, 1:] * noise.real[:, :-1]).mean()
    along = (noise.real[:, :, 1:] * noise.real[:, :, :-1]).mean()
    # 33 of 64 rows of k-space: sin(pi 33 / 64) / (pi 33 / 64)
    assert down == pytest.approx(0.616, abs=0.02) and abs(along) < 0.02


def test_shading_is_smooth_and_one_in_the_middle() -> None:
    axis = np.linspace(-90, 90, 91, dtype=np.float32)
    for seed in range(5):
        gain = scanner.coil_gain(np.random.default_rng(seed), axis, axis)
        heart = gain[28:63, 28:63]
        assert gain[45, 45] == pytest.approx(1.0) and gain.min() > 0.4
        assert 1.03 < heart.max() / heart.min() < 2.0
        assert np.abs(np.diff(heart, 2)).max() < 0.01
