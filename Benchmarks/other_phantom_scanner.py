"""The scanner of the second phantom: signals from relaxation times, images from k-space.

Every kind of sequence is an equation of T1, T2, proton density and contrast agent, at 1.5 T.
Times are ms. Where the values come from:

- myocardium: T1 996 +- 31, T2 56 +- 3 (Granitz et al., Wien Klin Wochenschr 2019); T2 52 +- 3
  (Giri et al., JCMR 2009). Between them lies what is taken here.
- area at risk: T1 1133 +- 55 against 915, T2 71 +- 6 against 49 (Ugander et al., JACC Imaging
  2012, dogs); infarct: T2 69 +- 6 against 56 (Verhaert et al., JACC Imaging 2011), T1 1197 when
  fresh, 1060 when old, against 1011 (Messroghli et al., MRM 2007).
- blood: T1 1441 to 1600, arterial T2 250 to 290, less in vivo; liver and skeletal muscle:
  Stanisz et al., MRM 2005; fat: de Bazelaire et al., Radiology 2004.
- extracellular volume: myocardium 0.254 +- 0.025, old infarct 0.685 +- 0.086 at its core (Kellman
  et al., JCMR 2012), 0.585 +- 0.076 (Sado et al., Heart 2012); of blood, one less the haematocrit.
- gadobutrol in plasma: r1 4.78 l/(mmol s) (Szomolanyi et al., Invest Radiol 2019).

With these, blood and infarct are about equally bright on late enhancement, as in patients: blood
was the brighter in 63 % of 30 (Kellman et al., JCMR 2016). Edema's extracellular volume,
densities, the spread between and within patients, resolution and noise are choices of our own,
meant as ordinary clinical images; no method's score entered them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from other_phantom_heart import Array, Codes, Matter

from deepgmm.study.words import Kind

Values = npt.NDArray[np.float64]
M = Matter

#: T1, T2, proton density, and the share of its volume that contrast agent enters.
TISSUES: dict[Matter, tuple[float, float, float, float]] = {
    M.LUNG: (1200, 40, 0.05, 0.10), M.BLOOD: (1550, 240, 0.93, 0.58),
    M.SLOW_BLOOD: (1550, 240, 0.93, 0.58), M.PAPILLARY: (985, 52, 0.80, 0.255),
    M.MUSCLE: (985, 52, 0.80, 0.255), M.EDEMA: (1130, 68, 0.84, 0.34),
    M.INFARCT: (1190, 67, 0.84, 0.55), M.OBSTRUCTED: (1050, 55, 0.83, 0.25),
    M.FIBROSIS: (1060, 54, 0.80, 0.60), M.RV_BLOOD: (1550, 170, 0.93, 0.58),
    M.RV_WALL: (985, 52, 0.80, 0.255), M.FAT: (343, 58, 0.90, 0.05),
    M.SKELETAL: (1008, 44, 0.78, 0.12), M.LIVER: (586, 46, 0.75, 0.30),
}
#: Standard deviation of each between patients, and over a patient's tissue, relative.
BETWEEN, WITHIN = (0.03, 0.05, 0.0, 0.09), (0.02, 0.035, 0.0, 0.05)
#: Contrast agent, l/(mmol s), and its concentration in plasma 10 to 20 minutes on, mmol/l.
R1, R2, PLASMA = 4.78, 6.0, (0.45, 0.80)
POOLS, _FLOWING = (M.BLOOD, M.SLOW_BLOOD, M.RV_BLOOD), (M.BLOOD, M.RV_BLOOD)
_LIKE_MUSCLE = (M.PAPILLARY, M.RV_WALL)


@dataclass(frozen=True)
class Tissues:
    """Arrays over `Matter`: T1 and T2 in ms, proton density, uptake."""

    t1: Values
    t2: Values
    density: Values
    uptake: Values

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Tissues:
        mean = np.array([TISSUES[m] for m in Matter]).T
        spread = np.clip(rng.standard_normal(mean.shape), -2.5, 2.5)
        values = mean * (1 + spread * np.array(BETWEEN)[:, None])
        for matter in _LIKE_MUSCLE:
            values[:, matter] = values[:, M.MUSCLE]
        for matter in POOLS[1:]:
            values[[0, 3], matter] = values[[0, 3], M.BLOOD]
        values[1, M.SLOW_BLOOD] = values[1, M.BLOOD]
        return cls(*values)

    def more(self, share: float) -> Tissues:
        """The same with more water, by so many standard deviations within a tissue."""
        up = 1 + share * np.array(WITHIN)
        return Tissues(self.t1 * up[0], self.t2 * up[1], self.density, self.uptake * up[3])

    def enhanced(self, plasma: float) -> Tissues:
        """With contrast agent: its relaxivity times its concentration adds to the rates."""
        agent = plasma * self.uptake / 1000.0
        return Tissues(1 / (1 / self.t1 + R1 * agent), 1 / (1 / self.t2 + R2 * agent),
                       self.density, self.uptake)


def steady_state(tissues: Tissues, flip: float, tr: float) -> Values:
    """bSSFP on resonance, echo in the middle of TR (Freeman and Hill, J Magn Reson 1971)."""
    e1, e2 = np.exp(-tr / tissues.t1), np.exp(-tr / tissues.t2)
    return np.asarray(tissues.density * np.sin(flip) * (1 - e1) * np.exp(-tr / 2 / tissues.t2)
                      / (1 - (e1 - e2) * np.cos(flip) - e1 * e2))


def prepared_steady_state(tissues: Tissues, flip: float, tr: float, preparation: float,
                          pulses: int, recovery: float) -> Values:
    """bSSFP so many pulses after a T2 preparation, on the way to its steady state (Scheffler,
    MRM 2003); the magnetisation had the time `recovery` to grow back."""
    start = (tissues.density * (1 - np.exp(-recovery / tissues.t1))
             * np.exp(-(preparation + tr / 2) / tissues.t2) * np.sin(flip / 2))
    decay = (np.exp(-tr / tissues.t1) * np.cos(flip / 2) ** 2
             + np.exp(-tr / tissues.t2) * np.sin(flip / 2) ** 2)
    end = steady_state(tissues, flip, tr)
    return np.asarray(end + (start - end) * decay ** pulses)


def inversion_recovery(tissues: Tissues, ti: float, interval: float,
                       preparation: float = 0.0) -> Values:
    """Signed magnetisation TI after an inversion that comes every `interval`, each readout
    leaving nothing; a T2 preparation after the inversion keeps blood negative."""
    before = 1 - np.exp(-(interval - ti) / tissues.t1)
    after = -before * np.exp(-preparation / tissues.t2)
    return np.asarray(tissues.density * (1 - (1 - after) * np.exp(-ti / tissues.t1)))


def null_time(t1: float, t2: float, interval: float, preparation: float = 0.0) -> float:
    """TI at which `inversion_recovery` of a tissue is zero, by bisection."""
    tissue = Tissues(*(np.array([v]) for v in (t1, t2, 1.0, 0.0)))
    low, high = 0.0, interval
    for _ in range(40):
        ti = (low + high) / 2
        low, high = ((ti, high) if inversion_recovery(tissue, ti, interval, preparation)[0] < 0
                     else (low, ti))
    return low


def spin_echo(tissues: Tissues, interval: float, echo: float, stir: float = 0.0) -> Values:
    """Turbo spin echo at its effective echo time, after an inversion at `stir` where that is
    not 0; magnitude."""
    start = 1 - np.exp(-interval / tissues.t1)
    if stir:
        start = np.abs(1 - 2 * np.exp(-stir / tissues.t1) + np.exp(-interval / tissues.t1))
    return np.asarray(tissues.density * start * np.exp(-echo / tissues.t2))


@dataclass(frozen=True)
class Protocol:
    """How one sequence was run.

    Attributes
    ----------
    signals : of tissues, one array over `Matter` for each image acquired.
    combine : what makes one image of (images, slices, rows, columns) complex ones.
    noise : standard deviation in each channel, on the scale of `signals`.
    flow : standard deviation of the pools' unevenness, relative to their signal.
    loss : greatest share of the signal that motion takes from the inferolateral wall.
    quantitative : values are ms, not the scanner's units.
    """

    signals: Callable[[Tissues], list[Values]]
    combine: Callable[[npt.NDArray[np.complex64]], Array]
    noise: float
    flow: float
    loss: float = 0.0
    quantitative: bool = False


def protocol_of(rng: np.random.Generator, kind: Kind, tissues: Tissues,
                plasma: float) -> Protocol:
    """Draw a protocol. Heart rates of 55 to 85 a minute set the intervals.

    `tissues` are the patient's, before contrast agent: the null point is set on them.
    """
    beat = 60_000 / rng.uniform(55, 85)
    if kind is Kind.BSSFP:
        angle, time, inflow = rng.uniform(50, 70), rng.uniform(2.7, 3.4), rng.uniform(1.0, 1.2)

        def cine(t: Tissues) -> list[Values]:
            signal = steady_state(t, np.radians(angle), time)
            return [_opposed(_scaled(signal, _FLOWING, inflow))]
        return Protocol(cine, _magnitude, _noise(rng, cine(tissues)[0][M.BLOOD], 22, 45), 0.07)
    if kind.role is not None and kind.value.startswith("lge"):
        return _late_enhancement(rng, kind, tissues, plasma, beat)
    if kind is Kind.T2_DARK_BLOOD:
        return _dark_blood(rng, tissues, beat)
    if kind not in (Kind.T2_PREPARED, Kind.T2_MAP):
        raise ValueError(f"the second phantom has no {kind.value}")
    flip, tr = np.radians(rng.uniform(50, 70)), rng.uniform(2.6, 3.0)
    single = kind is Kind.T2_PREPARED
    echoes = np.array([rng.uniform(50, 65)] if single else [0.0, 25.0, 55.0])
    pulses, snr = (int(rng.integers(20, 40)), (12, 22)) if single else (4, (40, 70))

    def prepared(t: Tissues) -> list[Values]:
        return [_opposed(prepared_steady_state(t, flip, tr, e, pulses, 3 * beat)) for e in echoes]
    return Protocol(prepared, _magnitude if single else lambda images: _fitted_t2(images, echoes),
                    _noise(rng, prepared(tissues)[0][M.MUSCLE], *snr), 0.06,
                    quantitative=not single)


def _late_enhancement(rng: np.random.Generator, kind: Kind, tissues: Tissues, plasma: float,
                      beat: float) -> Protocol:
    """TI nulls this patient's muscle, but for a technician's error of 3 % (standard deviation).

    The T2 preparation of dark-blood LGE is the shortest that turns blood darker than muscle.
    Noise is 1/90 to 1/180 of full magnetisation: on bright-blood LGE nine of ten infarcts lie at
    11 to 39 times it.
    """
    late = tissues.enhanced(plasma)
    muscle, dark = (late.t1[M.MUSCLE], late.t2[M.MUSCLE], 2 * beat), rng.uniform(0.02, 0.07)
    for preparation in range(15, 80, 3) if kind is Kind.LGE_DARK_BLOOD else (0,):
        ti = null_time(*muscle, preparation)
        if inversion_recovery(late, ti, 2 * beat, preparation)[M.BLOOD] < -dark:
            break
    ti *= 1 + 0.03 * float(np.clip(rng.standard_normal(), -2, 2))
    combine = {Kind.LGE_MAGNITUDE: _magnitude, Kind.LGE_PSIR: _signed,
               Kind.LGE_DARK_BLOOD: _offset}[kind]
    return Protocol(lambda t: [inversion_recovery(t.enhanced(plasma), ti, 2 * beat, preparation)],
                    combine, _noise(rng, 1.0, 90, 180), 0.05)


def _dark_blood(rng: np.random.Generator, tissues: Tissues, beat: float) -> Protocol:
    """Double inversion: only blood that stayed in the slice is seen, and motion costs signal
    (Kellman et al., MRM 2007, name both). Fat is inverted away (STIR) or saturated (SPAIR)."""
    echo, beats = rng.uniform(60, 85), int(rng.integers(2, 4))
    stir = rng.uniform(160, 175) if rng.uniform() < 0.5 else 0.0
    stayed, slow = rng.uniform(0.02, 0.10), rng.uniform(0.15, 0.4)

    def turbo(t: Tissues) -> list[Values]:
        signal = _scaled(spin_echo(t, beats * beat, echo, stir), _FLOWING, stayed)
        signal = _scaled(signal, (M.SLOW_BLOOD,), slow)
        return [signal if stir else _scaled(signal, (M.FAT,), 0.1)]
    return Protocol(turbo, _magnitude, _noise(rng, turbo(tissues)[0][M.MUSCLE], 9, 18), 0.25,
                    rng.uniform(0, 0.25))


def _noise(rng: np.random.Generator, signal: float, low: float, high: float) -> float:
    """Of a signal that is `low` to `high` times the noise."""
    return float(abs(signal) / np.exp(rng.uniform(np.log(low), np.log(high))))


def _scaled(signal: Values, matters: tuple[Matter, ...], factor: float) -> Values:
    scaled = signal.copy()
    scaled[list(matters)] *= factor
    return scaled


def _opposed(signal: Values) -> Values:
    """Fat, 220 Hz away, lies in bSSFP's next band, where signals turn their sign: its borders
    with water go dark."""
    return _scaled(signal, (M.FAT,), -1.0)


def _magnitude(images: npt.NDArray[np.complex64]) -> Array:
    return np.abs(images[0])


def _signed(images: npt.NDArray[np.complex64]) -> Array:
    return np.asarray(images[0].real)


def _offset(images: npt.NDArray[np.complex64]) -> Array:
    """Signed values as most scanners store them: from 0 up."""
    real = images[0].real
    return np.asarray(real - real.min())


def _fitted_t2(images: npt.NDArray[np.complex64], echoes: Values) -> Array:
    """T2 in ms by a straight line through the logarithms (Giri et al., JCMR 2009)."""
    logs = np.log(np.maximum(np.abs(images), 1e-6))
    weights = (echoes - echoes.mean()) / ((echoes - echoes.mean()) ** 2).sum()
    rate = -np.tensordot(weights.astype(np.float32), logs, 1)
    return np.asarray(1 / np.clip(rate, 1 / 400, 1 / 5), np.float32)


def fine_images(codes: Codes, signal: Values, slope: Values, uneven: Array,
                flow: Array) -> Array:
    """(slices, fine rows, fine columns) transverse magnetisation, planes through a slice averaged.

    Parameters
    ----------
    codes : (slices, planes, fine rows, fine columns).
    slope : change of the signal with one standard deviation of tissue; with flow for the pools.
    uneven, flow : (slices, fine rows, fine columns) of unit variance.
    """
    base, change = signal.astype(np.float32), slope.astype(np.float32)
    tissue, pool = change.copy(), np.zeros_like(change)
    tissue[list(POOLS)], pool[list(POOLS)] = 0, change[list(POOLS)]
    image = np.zeros((len(codes), *codes.shape[2:]), np.float32)
    for plane in range(codes.shape[1]):
        matter = codes[:, plane]
        image += base[matter] + tissue[matter] * uneven + pool[matter] * flow
    return image / np.float32(codes.shape[1])


@dataclass(frozen=True)
class Readout:
    """What of k-space was acquired.

    Attributes
    ----------
    resolution : (rows, columns) mm of the acquired pixel, no less than the image's.
    window : strength of the raised cosine over k-space against ringing, 0 to 1.
    """

    resolution: tuple[float, float]
    window: float

    @classmethod
    def draw(cls, rng: np.random.Generator, pixel: float) -> Readout:
        along = max(rng.uniform(1.4, 2.0), pixel)
        pair = (along, along * rng.uniform(1.0, 1.35))
        return cls(pair if rng.uniform() < 0.5 else pair[::-1], rng.uniform(0.0, 0.8))

    def weights(self, shape: tuple[int, int], pixel: float) -> Array:
        """(rows, columns) of the discrete Fourier transform's order."""
        parts = []
        for count, resolution in zip(shape, self.resolution, strict=True):
            reach = np.abs(np.fft.fftfreq(count, pixel)) * 2 * resolution
            parts.append(np.where(reach <= 1, 1 - self.window * np.sin(np.pi / 2 * reach) ** 2, 0))
        return np.asarray(parts[0][:, None] * parts[1][None, :], np.float32)

    def image(self, fine: Array, shape: tuple[int, int], pixel: float) -> npt.NDArray[np.complex64]:
        """(slices, rows, columns) from fine samples, a whole number of them a pixel."""
        from scipy import fft

        rows, columns = (np.r_[:n // 2, -(n // 2):0] for n in shape)
        kspace = fft.fft2(fine)[:, rows[:, None], columns[None, :]]
        # the first fine sample is not in the middle of the first pixel
        for axis, count in enumerate(shape):
            factor = fine.shape[1 + axis] // count
            ramp = np.exp(2j * np.pi * np.fft.fftfreq(count) * (factor - 1) / (2 * factor))
            kspace = kspace * np.expand_dims(ramp, 1 - axis).astype(np.complex64)
        scale = np.float32(np.prod(shape) / np.prod(fine.shape[1:]))
        return np.asarray(fft.ifft2(kspace * self.weights(shape, pixel)) * scale)

    def noise(self, rng: np.random.Generator, shape: tuple[int, int, int],
              pixel: float) -> npt.NDArray[np.complex64]:
        """(slices, rows, columns) thermal noise, unit variance in each channel, as correlated
        as what was not acquired makes it."""
        from scipy import fft

        white = rng.standard_normal((2, *shape), np.float32)
        weights = self.weights(shape[1:], pixel)
        size = np.sqrt(np.prod(shape[1:])) / np.sqrt((weights ** 2).mean())
        return np.asarray(fft.ifft2((white[0] + 1j * white[1]) * weights) * size, np.complex64)


def coil_gain(rng: np.random.Generator, y: Array, x: Array) -> Array:
    """(rows, columns) what the correction for the coils leaves of their sensitivity.

    Loops of 60 to 80 mm lie on the chest (above and left of the heart) and under the back, each
    as sensitive along its axis as Biot and Savart say; root of the sum of squares.
    """
    total = np.zeros((y.size, x.size), np.float32)
    for bearing, range_ in ((-2.9, 90), (-2.3, 80), (-1.7, 90), (0.3, 140), (0.9, 130), (1.5, 140)):
        distance = range_ * rng.uniform(0.85, 1.15)
        angle = bearing + rng.normal(0, 0.1)
        far = ((y[:, None] - np.float32(distance * np.sin(angle))) ** 2
               + (x - np.float32(distance * np.cos(angle))) ** 2)
        field = 1 / (1 + far / np.float32(rng.uniform(60, 80) ** 2))
        total += field * field * field
    middle = total[np.abs(y).argmin(), np.abs(x).argmin()]
    return np.asarray((total / middle) ** (0.5 * rng.uniform(0.1, 0.4)), np.float32)


def smooth(rng: np.random.Generator, shape: tuple[int, int, int], width: float) -> Array:
    """(slices, rows, columns) of unit variance, correlated over `width` pixels in the plane."""
    from scipy import fft

    rows, columns = np.fft.fftfreq(shape[1])[:, None], np.fft.rfftfreq(shape[2])[None, :]
    kernel = np.exp(-2 * (np.pi * width) ** 2 * (rows ** 2 + columns ** 2)).astype(np.float32)
    field = fft.irfft2(fft.rfft2(rng.standard_normal(shape, np.float32)) * kernel, s=shape[1:])
    return np.asarray(field / field.std(), np.float32)
