"""The scanner of the third phantom: magnetisation pulse by pulse at 3 T, coils, k-space, noise.

Relaxation times at 3 T: muscle T1 1158 and T2 45, blood T1 1700 (von Knobelsdorff-Brenkenhoff et
al., JCMR 2013; Kellman and Hansen, JCMR 2014); edema and infarct above them by what is found at
1.5 T. Contrast agent enters each tissue by its partition coefficient (Sado et al., Heart 2012).
Noise and the spread between patients are choices of our own: with them a network trained on this
phantom finds its tissues about as well as one trained on the library's phantom finds those.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
import numpy.typing as npt

from deepgmm.study.words import Kind

Array = npt.NDArray[np.floating]


class Matter(IntEnum):
    """What a point is made of."""

    LUNG = 0
    BLOOD = 1
    PAPILLARY = 2
    MUSCLE = 3
    EDEMA = 4
    INFARCT = 5
    OLD_SCAR = 6
    OBSTRUCTED = 7
    RV_BLOOD = 8
    RV_WALL = 9
    FAT = 10
    LIVER = 11


#: T1 and T2 in ms, proton density, partition coefficient.
TISSUES = np.array([
    (1300, 30, 0.10, 0.10), (1700, 150, 0.95, 1.00), (1160, 45, 0.80, 0.43),
    (1160, 45, 0.80, 0.43), (1330, 58, 0.84, 0.56), (1400, 57, 0.84, 0.98),
    (1250, 47, 0.80, 1.02), (1250, 50, 0.83, 0.42), (1700, 130, 0.95, 1.00),
    (1160, 45, 0.80, 0.43), (380, 60, 0.90, 0.05), (800, 34, 0.75, 0.50)])
#: Standard deviations between patients, relative.
SPREAD = (0.03, 0.04, 0.0, 0.07)
#: T1 of blood with contrast agent, ms.
LATE_BLOOD = (270, 400)
_POOLS = [Matter.BLOOD, Matter.RV_BLOOD]
_WALL = [Matter.MUSCLE, Matter.EDEMA, Matter.INFARCT, Matter.OLD_SCAR, Matter.OBSTRUCTED]
#: Noise in each coil, as a share of what the sequence's brightest of blood and wall gives.
NOISE = {Kind.BSSFP: (0.30, 0.55), Kind.LGE_MAGNITUDE: (0.35, 0.60),
         Kind.T2_DARK_BLOOD: (0.40, 0.70)}


def balanced(t1: Array, t2: Array, density: Array, flip: float, tr: float) -> Array:
    """bSSFP: pulses of alternating sign until nothing changes, from half a pulse on."""
    e1, e2 = np.exp(-tr / t1), np.exp(-tr / t2)
    across, along = density * np.sin(flip / 2), density * np.cos(flip / 2)
    cos, sin = np.cos(flip), np.sin(flip)
    for _ in range(1500):
        a, b = across * e2, density + (along - density) * e1
        # in the frame that turns with the alternating pulses, each tips by the flip angle
        across, along = -a * cos + b * sin, a * sin + b * cos
    return np.asarray(np.abs(across) * np.sqrt(e2))


def late(t1: Array, density: Array, ti: npt.ArrayLike, beat: float) -> Array:
    """Inversion (of 94 %) every second beat and 24 small pulses around TI, in balance.

    T1 and density are those of tissues, or TI are several for one.
    """
    ti, flip, tr, pulses = np.asarray(ti), np.radians(18), 5.0, 24
    along = seen = density + 0 * ti
    for _ in range(6):
        along = density + (-0.94 * along - density) * np.exp(-(ti - pulses / 2 * tr) / t1)
        for pulse in range(pulses):
            if pulse == pulses // 2:
                seen = along * np.sin(flip)
            along = density + (along * np.cos(flip) - density) * np.exp(-tr / t1)
        along = density + (along - density) * np.exp(-(2 * beat - ti - pulses / 2 * tr) / t1)
    return np.asarray(seen)


class Scanner:
    """Coils and the grid of one examination."""

    def __init__(self, rng: np.random.Generator, count: int, pixel: float):
        self.count, self.pixel = count, pixel
        line = (np.arange(count) - count / 2 + 0.5) * pixel
        angles = np.array([-2.6, -2.0, -1.2, 0.4, 1.2, 2.2]) + rng.normal(0, 0.1, 6)
        away = [np.hypot(line[:, None] - 95 * np.sin(a), line[None, :] - 95 * np.cos(a))
                for a in angles]
        turned = np.exp(1j * rng.uniform(-np.pi, np.pi, 6))[:, None, None]
        self.coils = np.exp(-np.array(away) / rng.uniform(70, 110)) * turned
        self.coils = self.coils / np.sqrt((np.abs(self.coils) ** 2).sum(0)).mean()
        self.left = rng.uniform(0.2, 0.6)
        self.tissues = TISSUES * (1 + np.array(SPREAD) * np.clip(
            rng.standard_normal(TISSUES.shape), -2, 2))
        self.tissues[[Matter.PAPILLARY, Matter.RV_WALL]] = self.tissues[Matter.MUSCLE]
        self.blood, self.beat = rng.uniform(*LATE_BLOOD), 60000 / rng.uniform(55, 90)

    def signals(self, rng: np.random.Generator, kind: Kind) -> Array:
        """(matters,) of this patient."""
        t1, t2, density, part = self.tissues.T
        if kind is Kind.BSSFP:
            return balanced(t1, t2, density, np.radians(rng.uniform(35, 50)), 3.2)
        if kind is Kind.LGE_MAGNITUDE:
            t1 = 1 / (1 / t1 + part * (1 / self.blood - 1 / self.tissues[Matter.BLOOD, 0]))
            times = np.arange(150.0, 500.0, 4.0)
            muscle = late(t1[Matter.MUSCLE], density[Matter.MUSCLE], times, self.beat)
            ti = times[np.abs(muscle).argmin()] * (1 + 0.03 * rng.uniform(-1, 1.5))
            return late(t1, density, ti, self.beat)
        signal = (density * (1 - np.exp(-2 * self.beat / t1)) * np.exp(-rng.uniform(50, 70) / t2))
        signal[_POOLS] *= rng.uniform(0.02, 0.15)
        signal[Matter.FAT] *= 0.15
        return np.asarray(signal)

    def image(self, rng: np.random.Generator, kind: Kind,
              codes: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """(slices, rows, columns) magnitudes, from (slices, planes, fine rows, fine columns)."""
        signal = self.signals(rng, kind)
        fine = signal.astype(np.float32)[codes].mean(1)
        slices, side, factor = len(codes), self.count, codes.shape[2] // self.count
        full = np.fft.fftshift(np.fft.fft2(fine), axes=(1, 2))
        corner = (full.shape[1] - side) // 2
        full = full[:, corner:corner + side, corner:corner + side]
        # samples lie beside the middle of their pixel
        ramp = np.exp(1j * np.pi * np.fft.fftshift(np.fft.fftfreq(side)) * (factor - 1) / factor)
        clean = np.fft.ifft2(np.fft.ifftshift(
            full * ramp[:, None] * ramp[None, :], axes=(1, 2))) / factor ** 2
        pool, wall = (np.isin(codes, of).mean(1).reshape(slices, side, factor, side, factor)
                      .mean((2, 4)) for of in (_POOLS, _WALL))
        top = np.abs(signal[[Matter.BLOOD, Matter.INFARCT, Matter.EDEMA]]).max()
        # blood swirls, more so where it should be dark; no two places of a wall are alike
        swirl = np.abs(_smooth(rng, clean.shape, rng.uniform(3, 6) / self.pixel))
        clean = clean + top * pool * (0.12 * swirl if kind is Kind.T2_DARK_BLOOD
                                      else -0.25 * swirl)
        clean = clean + 0.03 * top * wall * _smooth(rng, clean.shape, 4.0 / self.pixel)
        sigma = float(rng.uniform(*NOISE[kind])) * top
        return self._combined(rng, clean, sigma, kind)

    def _combined(self, rng: np.random.Generator, clean: Array, sigma: float,
                  kind: Kind) -> npt.NDArray[np.float32]:
        """Each coil's k-space with its noise and edges cut, then the root of their squares."""
        keep = _kept(self.count, rng.uniform(0.68, 1.0))[:, None] * _kept(
            self.count, rng.uniform(0.8, 1.0))[None, :]
        total = np.zeros(clean.shape)
        ghost = rng.uniform(0, 0.05) if kind is not Kind.BSSFP else 0.0
        moved = clean + ghost * np.roll(clean, self.count // 3, axis=1)
        for coil in self.coils:
            noise = rng.standard_normal((2, *clean.shape))
            white = sigma * (noise[0] + 1j * noise[1]) / np.sqrt(2)
            seen = np.fft.ifft2(np.fft.fft2(moved * coil + white * np.abs(self.coils).mean())
                                * keep)
            total += np.abs(seen) ** 2
        even = np.sqrt((np.abs(self.coils) ** 2).sum(0)) ** (1 - self.left)
        values = np.sqrt(total) / even
        return np.asarray(values / values.max() * rng.uniform(300, 1500), np.float32)


def _kept(count: int, share: float) -> Array:
    """(count,) the acquired part of k-space with a Gaussian over it."""
    reach = np.abs(np.fft.fftfreq(count)) * 2 / share
    return np.where(reach <= 1, np.exp(-reach ** 2), 0.0)


def _smooth(rng: np.random.Generator, shape: tuple[int, ...], width: float) -> Array:
    """Unit variance, alike over so many pixels."""
    from scipy.ndimage import uniform_filter

    field = rng.standard_normal(shape)
    for _ in range(2):
        field = uniform_filter(field, (0, int(width) + 2, int(width) + 2), mode="wrap")
    return np.asarray(field / field.std())
