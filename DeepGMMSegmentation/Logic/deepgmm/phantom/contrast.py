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
from deepgmm.phantom.anatomy import FloatArray, Grid, Material
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
    shading: float = 0.075
    signed: bool = False
    quantitative: bool = False
    scale: tuple[float, float] = (150.0, 1200.0)


_LGE_AROUND = {M.RV_WALL: (0.22, 0.03), M.FAT: (0.85, 0.05), M.MUSCLE: (0.30, 0.05),
               M.LIVER: (0.45, 0.08), M.LUNG: (0.05, 0.02)}
_STEADY_STATE_AROUND = {M.RV_WALL: (0.42, 0.03), M.FAT: (0.95, 0.05), M.MUSCLE: (0.25, 0.05),
                        M.LIVER: (0.35, 0.05), M.LUNG: (0.04, 0.02)}

LOOKS: dict[Kind, Look] = {
    Kind.BSSFP: Look({
        M.BLOOD: (1.00, 0.02), M.MYOCARDIUM: (0.42, 0.02), M.EDEMA: (0.49, 0.02),
        M.SCAR: (0.50, 0.025), M.MVO: (0.45, 0.02), **_STEADY_STATE_AROUND},
        noise=0.105, texture=0.035, flow=0.22),
    # Blood is drawn from well below scar to above it, as patients have it.
    Kind.LGE_MAGNITUDE: Look({
        M.BLOOD: (0.84, 0.15), M.MYOCARDIUM: (0.25, 0.02), M.EDEMA: (0.33, 0.025),
        M.SCAR: (0.94, 0.03), M.MVO: (0.30, 0.03), **_LGE_AROUND},
        noise=0.13, texture=0.042, flow=0.15),
    Kind.LGE_PSIR: Look({
        M.BLOOD: (0.75, 0.18), M.MYOCARDIUM: (-0.15, 0.03), M.EDEMA: (-0.05, 0.03),
        M.SCAR: (0.92, 0.04), M.MVO: (-0.06, 0.04), **_LGE_AROUND},
        noise=0.17, texture=0.05, flow=0.20, signed=True),
    Kind.LGE_DARK_BLOOD: Look({
        M.BLOOD: (0.10, 0.03), M.MYOCARDIUM: (0.25, 0.02), M.EDEMA: (0.32, 0.025),
        M.SCAR: (0.95, 0.03), M.MVO: (0.27, 0.03), **_LGE_AROUND},
        noise=0.145, texture=0.042, flow=0.10),
    Kind.T2_DARK_BLOOD: Look({
        M.BLOOD: (0.20, 0.025), M.MYOCARDIUM: (0.52, 0.02), M.EDEMA: (0.85, 0.03),
        M.SCAR: (0.82, 0.03), M.MVO: (0.55, 0.04), M.RV_WALL: (0.50, 0.03),
        M.FAT: (0.20, 0.03), M.MUSCLE: (0.35, 0.05), M.LIVER: (0.30, 0.05),
        M.LUNG: (0.05, 0.02)}, noise=0.145, texture=0.056, flow=0.35),
    Kind.T2_PREPARED: Look({
        M.BLOOD: (1.00, 0.025), M.MYOCARDIUM: (0.38, 0.02), M.EDEMA: (0.62, 0.025),
        M.SCAR: (0.59, 0.03), M.MVO: (0.42, 0.03), M.RV_WALL: (0.38, 0.03),
        M.FAT: (0.60, 0.05), M.MUSCLE: (0.20, 0.04), M.LIVER: (0.22, 0.04),
        M.LUNG: (0.04, 0.02)}, noise=0.115, texture=0.035, flow=0.18),
    Kind.T2_MAP: Look({
        M.BLOOD: (185.0, 15.0), M.MYOCARDIUM: (49.0, 1.5), M.EDEMA: (66.0, 2.0),
        M.SCAR: (64.0, 2.0), M.MVO: (50.0, 3.0), M.RV_WALL: (50.0, 2.0),
        M.FAT: (110.0, 10.0), M.MUSCLE: (35.0, 3.0), M.LIVER: (42.0, 4.0),
        M.LUNG: (12.0, 4.0)}, noise=6.5, texture=1.8, flow=18.0, quantitative=True),
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


def draw_signals(rng: np.random.Generator, look: Look, difficulty: float,
                 lesion: float = 1.0) -> FloatArray:
    """(materials,) this patient's signals.

    Difficulty spreads the patients and pulls the lesions' signals towards the myocardium's;
    `lesion` is the share of their contrast that is there at all.
    """
    signal = np.zeros(len(Material))
    draws = np.clip(rng.standard_normal(len(Material)), -2.0, 2.0)
    for material in Material:
        mean, spread = look.signal.get(material, (0.0, 0.0))
        signal[material] = mean + spread * difficulty * draws[material]
    keep = lesion * float(np.clip(1.2 - 0.2 * difficulty, 0.2, 1.2))
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
          difficulty: float, chronic: bool = False) -> tuple[npt.NDArray[np.float32], FloatArray]:
    """One sequence of a patient.

    Parameters
    ----------
    materials : (slices, fine rows, fine columns).
    chronic : the scar is old: without edema it is hardly bright on T2.

    Returns
    -------
    values : (slices, rows, columns) float32, in the scanner's units (T2 map: ms).
    signals : (materials,) the noise-free signals behind them, before scaling.
    """
    look = look_of(kind)
    lesion = 0.15 if chronic and kind.role is Role.T2 else 1.0
    signals = draw_signals(rng, look, difficulty, lesion)
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
