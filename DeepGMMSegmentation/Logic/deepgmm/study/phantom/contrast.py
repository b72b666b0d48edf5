"""How bright each material is, per kind of sequence, and how the scanner spoils it.

Signals are relative to the brightest cardiac tissue (1), except T2 maps, which are in ms.
"Bright" follows the physics of each kind: blood is bright on bSSFP and T2-prepared images and
dark on dark-blood ones; myocardium is nulled by late enhancement's inversion and slightly
negative on a signed (PSIR) image; edema raises T2, acute scar nearly as much.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from deepgmm.errors import InputError
from deepgmm.study.phantom.anatomy import FloatArray, Grid, Material
from deepgmm.study.words import Kind, Role

M = Material


@dataclass(frozen=True)
class Look:
    """The signals of one kind.

    Attributes
    ----------
    signal : material to its (mean, standard deviation between patients).
    noise : standard deviation of the scanner's noise at difficulty 1.
    texture : standard deviation of the wall's spatially correlated unevenness.
    flow : the same in the blood pools; on dark-blood images slow blood is only ever brighter.
    shading : standard deviation of the coefficients of the log gain, see `shading`.
    signed : negative values are kept and noise is Gaussian; otherwise it is Rician.
    quantitative : values are physical: neither scaled nor shaded.
    scale : range of the scanner's arbitrary units, drawn log-uniformly.
    """

    signal: dict[Material, tuple[float, float]]
    noise: float
    texture: float
    flow: float
    shading: float = 0.15
    signed: bool = False
    quantitative: bool = False
    scale: tuple[float, float] = (150.0, 1200.0)


_LGE_AROUND = {M.RV_WALL: (0.22, 0.05), M.FAT: (0.85, 0.1), M.MUSCLE: (0.30, 0.05),
               M.LIVER: (0.45, 0.08), M.LUNG: (0.05, 0.02)}

LOOKS: dict[Kind, Look] = {
    Kind.BSSFP: Look({
        M.BLOOD: (1.00, 0.05), M.MYOCARDIUM: (0.42, 0.05), M.EDEMA: (0.49, 0.05),
        M.SCAR: (0.50, 0.06), M.MVO: (0.45, 0.05), M.RV_WALL: (0.45, 0.05),
        M.FAT: (0.95, 0.1), M.MUSCLE: (0.25, 0.05), M.LIVER: (0.35, 0.05),
        M.LUNG: (0.04, 0.02)}, noise=0.08, texture=0.05, flow=0.10),
    # Blood is drawn from well below scar to above it; see METHOD.md's measurements on patients.
    Kind.LGE_MAGNITUDE: Look({
        M.BLOOD: (0.82, 0.16), M.MYOCARDIUM: (0.20, 0.05), M.EDEMA: (0.28, 0.06),
        M.SCAR: (0.92, 0.08), M.MVO: (0.28, 0.06), **_LGE_AROUND}, noise=0.10, texture=0.06, flow=0.08),
    Kind.LGE_PSIR: Look({
        M.BLOOD: (0.70, 0.18), M.MYOCARDIUM: (-0.15, 0.06), M.EDEMA: (-0.04, 0.06),
        M.SCAR: (0.92, 0.08), M.MVO: (-0.08, 0.06), **_LGE_AROUND},
        noise=0.12, texture=0.07, flow=0.08, signed=True),
    Kind.LGE_DARK_BLOOD: Look({
        M.BLOOD: (0.10, 0.04), M.MYOCARDIUM: (0.25, 0.05), M.EDEMA: (0.32, 0.06),
        M.SCAR: (0.95, 0.08), M.MVO: (0.25, 0.05), **_LGE_AROUND, M.RV_BLOOD: (0.10, 0.04)},
        noise=0.10, texture=0.06, flow=0.05),
    Kind.T2_DARK_BLOOD: Look({
        M.BLOOD: (0.20, 0.06), M.MYOCARDIUM: (0.52, 0.05), M.EDEMA: (0.85, 0.07),
        M.SCAR: (0.82, 0.08), M.MVO: (0.55, 0.08), M.RV_WALL: (0.50, 0.06),
        M.FAT: (0.20, 0.06), M.MUSCLE: (0.35, 0.05), M.LIVER: (0.30, 0.05),
        M.LUNG: (0.05, 0.02)}, noise=0.11, texture=0.08, flow=0.16),
    Kind.T2_PREPARED: Look({
        M.BLOOD: (1.00, 0.06), M.MYOCARDIUM: (0.38, 0.04), M.EDEMA: (0.60, 0.05),
        M.SCAR: (0.57, 0.06), M.MVO: (0.42, 0.06), M.RV_WALL: (0.38, 0.04),
        M.FAT: (0.60, 0.1), M.MUSCLE: (0.20, 0.04), M.LIVER: (0.22, 0.04),
        M.LUNG: (0.04, 0.02)}, noise=0.08, texture=0.05, flow=0.08),
    Kind.T2_MAP: Look({
        M.BLOOD: (185.0, 18.0), M.MYOCARDIUM: (49.0, 2.0), M.EDEMA: (66.0, 3.0),
        M.SCAR: (62.0, 4.0), M.MVO: (50.0, 4.0), M.RV_WALL: (50.0, 3.0),
        M.FAT: (110.0, 15.0), M.MUSCLE: (35.0, 3.0), M.LIVER: (42.0, 4.0),
        M.LUNG: (12.0, 4.0)}, noise=4.5, texture=2.5, flow=15.0,
        quantitative=True),
}

#: The kind that a role has unless another is asked for.
DEFAULT_KINDS: dict[Role, Kind] = {Role.BSSFP: Kind.BSSFP, Role.LGE: Kind.LGE_MAGNITUDE,
                                   Role.T2: Kind.T2_DARK_BLOOD}

_LESIONS = (M.EDEMA, M.SCAR, M.MVO)


def look_of(kind: Kind) -> Look:
    """The look of a kind; an unknown kind has none."""
    if kind not in LOOKS:
        raise InputError(f"the phantom has no sequence kind '{kind.value}': give one of "
                         + ", ".join(k.value for k in LOOKS))
    return LOOKS[kind]


def draw_signals(rng: np.random.Generator, look: Look, difficulty: float) -> FloatArray:
    """(materials,) this patient's signals.

    Difficulty spreads the patients and pulls the lesions' signals towards the myocardium's.
    """
    signal = np.zeros(len(Material))
    draws = np.clip(rng.standard_normal(len(Material)), -2.0, 2.0)
    for material in Material:
        mean, spread = look.signal.get(material, (0.0, 0.0))
        signal[material] = mean + spread * difficulty * draws[material]
    keep = float(np.clip(1.2 - 0.2 * difficulty, 0.2, 1.2))
    for material in _LESIONS:
        signal[material] = (signal[M.MYOCARDIUM]
                            + keep * (signal[material] - signal[M.MYOCARDIUM]))
    signal[M.PAPILLARY] = signal[M.MYOCARDIUM]
    if M.RV_BLOOD not in look.signal:
        signal[M.RV_BLOOD] = signal[M.BLOOD]
    if not look.signed:
        signal = np.maximum(signal, 0.02)
    return signal


def correlated(rng: np.random.Generator, shape: tuple[int, ...], width: float) -> FloatArray:
    """Gaussian noise of unit variance, correlated in the plane over `width` pixels."""
    from scipy.ndimage import gaussian_filter

    field = rng.standard_normal(shape, dtype=np.float32)
    if width <= 0.0:
        return field
    field = gaussian_filter(field, (0.0, width, width), mode="wrap")
    return np.asarray(field / max(float(field.std()), 1e-6))


def shading(rng: np.random.Generator, shape: tuple[int, ...], size: float) -> FloatArray:
    """(slices, rows, columns) smooth positive gain, geometric mean 1: a coil's sensitivity.

    `size` is the standard deviation of the log gain's linear and quadratic coefficients.
    """
    y = np.linspace(-1, 1, shape[1], dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, shape[2], dtype=np.float32)[None, :]
    c = rng.normal(0.0, size, 5)
    field = c[0] * x + c[1] * y + 0.5 * (c[2] * x * y + c[3] * x * x + c[4] * y * y)
    slices = rng.normal(0.0, 0.3 * size, (shape[0], 1, 1))
    field = field - field.mean() + slices
    return np.asarray(np.exp(field), dtype=np.float32)


def image(rng: np.random.Generator, materials: npt.NDArray[np.uint8], grid: Grid, kind: Kind,
          difficulty: float) -> tuple[npt.NDArray[np.float32], FloatArray]:
    """One sequence of a patient.

    Parameters
    ----------
    materials : (slices, fine rows, fine columns).

    Returns
    -------
    values : (slices, rows, columns) float32, in the scanner's units (T2 map: ms).
    signals : (materials,) the noise-free signals behind them, before scaling.
    """
    look = look_of(kind)
    signals = draw_signals(rng, look, difficulty)
    values = grid.average(signals.astype(np.float32)[materials])
    shape = values.shape
    wall = grid.average(_IN_WALL[materials])
    pool = grid.average(_IN_POOL[materials])
    texture = look.texture * difficulty
    values = values + texture * wall * correlated(rng, shape, rng.uniform(1.8, 3.2))
    # Flow makes the pool uneven, on a coarser scale.
    flow = correlated(rng, shape, rng.uniform(2.5, 5.0))
    if kind is Kind.T2_DARK_BLOOD:
        flow = np.maximum(flow, 0.0)
    values = values + look.flow * difficulty * pool * flow
    if not look.quantitative:
        values = values * shading(rng, shape, look.shading * difficulty)
    noise = look.noise * difficulty * rng.uniform(0.75, 1.25)
    # Scanners interpolate: neighbouring pixels share a little of their noise.
    real = values + noise * correlated(rng, shape, 0.5)
    if look.signed:
        values = real
    elif look.quantitative:
        values = np.maximum(real, 1.0)
    else:
        values = np.hypot(real, noise * correlated(rng, shape, 0.5))
    if not look.quantitative:
        low, high = look.scale
        values = values * np.exp(rng.uniform(np.log(low), np.log(high)))
    return values.astype(np.float32), signals


_IN_WALL = np.isin(np.arange(len(Material)),
                   (M.MYOCARDIUM, M.EDEMA, M.SCAR, M.MVO, M.PAPILLARY)).astype(np.float32)
_IN_POOL = np.isin(np.arange(len(Material)), (M.BLOOD, M.RV_BLOOD)).astype(np.float32)
