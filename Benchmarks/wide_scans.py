"""Images of the hearts of `wide_hearts.py`, of any scanner: signals, coils, k-space, noise.

Every range is wide on purpose: it holds what patients show and what they might, so that a network
learns what makes a tissue that tissue, and not how bright one scanner draws it. Signals are
relative to the brightest tissue; of T2 maps they are ms.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

from deepgmm.phantom.anatomy import FloatArray, Grid
from deepgmm.phantom.anatomy import Material as M
from deepgmm.study.words import Kind, Role

_POOL, _WALL = (M.BLOOD, M.RV_BLOOD), (M.MYOCARDIUM, M.EDEMA, M.SCAR, M.MVO, M.PAPILLARY)


def scanned(rng: np.random.Generator, materials: npt.NDArray[np.uint8], grid: Grid, kind: Kind,
            old: bool) -> npt.NDArray[np.float32]:
    """(slices, rows, columns) of one sequence from (slices, fine rows, fine columns)."""
    signal = _signals(rng, kind, old)
    values = grid.average(signal.astype(np.float32)[materials])
    pool, wall = (grid.average(np.isin(np.arange(len(M)), of)[materials].astype(np.float32))
                  for of in (_POOL, _WALL))
    reach = float(signal[M.BLOOD] if kind is Kind.T2_MAP else 1.0)
    values = values + pool * _flow(rng, kind, pool, grid) * reach
    muscle = abs(float(signal[M.MYOCARDIUM]))
    values = values + wall * rng.uniform(0.0, 0.13) * max(muscle, 0.2 * reach) * _correlated(
        rng, values.shape, rng.uniform(1.5, 6.0) / grid.pixel)
    if kind is not Kind.T2_MAP:
        values = values * _gain(rng, values.shape, kind, grid)
    sigma = float(np.exp(rng.uniform(np.log(0.015), np.log(0.2))))
    sigma *= 0.25 * muscle if kind is Kind.T2_MAP else 1.0
    values = _acquired(rng, values, sigma, kind)
    if kind is Kind.T2_MAP:
        return np.maximum(values, 1.0).astype(np.float32)
    return (values * np.exp(rng.uniform(np.log(100.0), np.log(2000.0)))).astype(np.float32)


def _signals(rng: np.random.Generator, kind: Kind, old: bool) -> FloatArray:
    """(materials,) this patient's; an old scar has no edema in it."""
    def between(low: float, high: float) -> float:
        return float(rng.uniform(low, high))

    if kind.role is Role.BSSFP:
        muscle = between(0.28, 0.62)
        blood, edema, scar = 1.0, muscle * between(0.97, 1.3), muscle * between(0.9, 1.35)
        blocked, fat = muscle * between(0.95, 1.2), between(-1.0, 1.0)
    elif kind.role is Role.LGE:
        scar, muscle = 1.0, between(-0.15, 0.35)
        blood = (between(-0.25, 0.12) if kind is Kind.LGE_DARK_BLOOD else between(0.3, 1.2))
        edema, blocked = (muscle + (scar - muscle) * between(0.0, high) for high in (0.4, 0.45))
        fat = between(0.3, 1.0)
    elif kind is Kind.T2_DARK_BLOOD:
        blood, muscle, fat = between(0.0, 0.35), between(0.35, 0.65), between(0.05, 1.0)
        edema = muscle * between(1.12, 1.85)
        scar, blocked = _of_edema(rng, muscle, edema, old)
    elif kind is Kind.T2_PREPARED:
        blood, muscle, fat = 1.0, between(0.28, 0.6), between(-0.6, 0.6)
        edema = muscle * between(1.12, 1.75)
        scar, blocked = _of_edema(rng, muscle, edema, old)
    else:
        blood, muscle, fat = between(120.0, 280.0), between(40.0, 60.0), between(50.0, 120.0)
        edema = muscle * between(1.12, 1.5)
        scar, blocked = _of_edema(rng, muscle, edema, old)
    signal = np.full(len(M), 0.05)
    signal[[M.BLOOD, M.RV_BLOOD]] = blood
    signal[[M.MYOCARDIUM, M.PAPILLARY, M.RV_WALL]] = muscle
    signal[[M.EDEMA, M.SCAR, M.MVO, M.FAT]] = edema, scar, blocked, fat
    signal[[M.MUSCLE, M.LIVER]] = muscle * np.array([0.7, 0.9])
    if kind is Kind.LGE_DARK_BLOOD:
        # stored from 0 up, as most scanners do
        signal -= min(signal.min(), 0.0)
    return signal


def _of_edema(rng: np.random.Generator, muscle: float, edema: float,
              old: bool) -> tuple[float, float]:
    """Scar's and obstruction's T2-weighted signals."""
    if old:
        return muscle * rng.uniform(0.9, 1.12), muscle
    return (muscle + (edema - muscle) * rng.uniform(0.5, 1.2),
            muscle + (edema - muscle) * rng.uniform(-0.1, 0.8))


def _flow(rng: np.random.Generator, kind: Kind, pool: FloatArray, grid: Grid) -> FloatArray:
    """Unevenness of the pools; of dark-blood images, blood that stays bright beside the wall."""
    uneven = _correlated(rng, pool.shape, rng.uniform(2.5, 7.0) / grid.pixel)
    if kind is not Kind.T2_DARK_BLOOD:
        return np.asarray(rng.uniform(0.02, 0.22) * uneven)
    width = rng.uniform(1.5, 5.0) / grid.pixel
    beside = np.clip(2 * (1 - gaussian_filter(pool, (0.0, width, width))), 0.0, 1.0)
    slow = rng.uniform(0.0, 0.6) * beside * np.clip(0.5 + uneven, 0.0, 2.0)
    return np.asarray(slow + rng.uniform(0.0, 0.3) * np.maximum(uneven, 0.0))


def _gain(rng: np.random.Generator, shape: tuple[int, ...], kind: Kind, grid: Grid) -> FloatArray:
    """(slices, rows, columns) coils, slice by slice, and what motion takes of some of the wall."""
    y, x = ((np.arange(n) - (n - 1) / 2) * grid.pixel / 40.0 for n in shape[1:])
    y, x = y[:, None], x[None, :]
    c = rng.normal(0.0, rng.uniform(0.0, 0.2), 5)
    log = c[0] * x + c[1] * y + 0.5 * (c[2] * x * y + c[3] * x * x + c[4] * y * y)
    each = rng.normal(0.0, rng.uniform(0.0, 0.08), (shape[0], 1, 1))
    gain = np.exp(np.clip(log, -1.0, 1.0)[None] + each)
    if rng.random() < (0.6 if kind.role is Role.T2 else 0.2):
        turn, width = rng.uniform(-np.pi, np.pi), rng.uniform(0.25, 0.7)
        away = (y - 0.7 * np.sin(turn)) ** 2 + (x - 0.7 * np.cos(turn)) ** 2
        gain = gain * (1 - rng.uniform(0.0, 0.4) * np.exp(-away / (2 * width ** 2)))
    return np.asarray(gain, np.float32)


def _acquired(rng: np.random.Generator, values: FloatArray, sigma: float,
              kind: Kind) -> FloatArray:
    """Values by way of a k-space of which a middle part was acquired, with noise there."""
    parts = []
    strength = rng.uniform(0.0, 1.0)
    for count in values.shape[1:]:
        reach = np.abs(np.fft.fftfreq(count)) * 2 * rng.uniform(1.0, 1.7)
        parts.append(np.where(reach <= 1, 1 - strength * np.sin(np.pi / 2 * reach) ** 2, 0.0))
    window = parts[0][:, None] * parts[1][None, :]
    white = rng.standard_normal((2, *values.shape))
    noise = np.fft.ifft2(np.fft.fft2(white[0] + 1j * white[1]) * window)
    image = np.fft.ifft2(np.fft.fft2(values) * window).real
    noise *= sigma / np.sqrt((window ** 2).mean())
    if kind is Kind.LGE_PSIR or kind is Kind.T2_MAP:
        return np.asarray(image + noise.real)
    return np.abs(image + noise)


def _correlated(rng: np.random.Generator, shape: tuple[int, ...], width: float) -> FloatArray:
    """Unit variance, correlated in the plane over `width` pixels."""
    field = gaussian_filter(rng.standard_normal(shape, dtype=np.float32), (0.0, width, width))
    return np.asarray(field / max(float(field.std()), 1e-6))
