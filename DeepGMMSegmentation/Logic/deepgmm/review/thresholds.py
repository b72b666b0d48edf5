"""Reference methods: what others would call scar or edema of the same wall, slice by slice.

Each gives a threshold for a slice; what of its wall is brighter is infarct (on LGE) or area at
risk (on T2). All work on the wall that they are given and know no truth.

- **n-SD**: the mean of remote wall and n of its standard deviations (n - 1 in the denominator).
  Kim et al., Circulation 1999;100:1992-2002; Bondarenko et al., JCMR 2005;7:481-485.
- **FWHM**, full width at half maximum: half of the brightest (`BRIGHTEST` percentile of the wall).
  Amado et al., JACC 2004;44:2383-2389. Half of it counts from where no signal is 0; in
  phase-sensitive images (PSIR), whose 0 is no such place, and in those of unknown kind, half way
  from the remote mean.
- **Otsu**: the two classes furthest apart, exactly (no bins), so that no zero matters.
  Otsu, IEEE Trans SMC 1979;9:62-66.
- **GMM**: two Gaussians, by EM from Otsu's classes; where the brighter becomes the likelier.
- **T2**: 2-SD (Eitel, Friedrich, JCMR 2011;13:13) and, on maps, a threshold in ms.

Remote wall: drawn, or else, as in Heiberg et al., Radiology 2008;246:581-588, the darkest part: of
all sectors of `REMOTE` degrees of the slice's wall the one with the least mean.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from deepgmm.errors import InputError
from deepgmm.study.study import BoolArray, FloatArray, Sequence
from deepgmm.study.words import Kind, Role, named_slices

#: Degrees of the remote sector, and between the sectors tried.
REMOTE, _TURN = 72, 6
#: Percentile of the wall that counts as its brightest.
BRIGHTEST = 99.0
#: Of a slice whose wall or remote wall has fewer pixels, nothing is said.
LEAST_PIXELS = 10
#: T2 above which myocardium counts as edematous on a map at 1.5 T, ms: Verhaert et al., JACC
#: Cardiovasc Imaging 2011;4:269-278. Scanners and sequences differ; it can be changed.
T2_MS = 59.0

#: Why a slice is refused whose image lacks pixels of the wall.
NO_VALUE = "the image has no value in parts of the wall"
#: Said of methods that part any wall in two.
ALWAYS = "finds something in healthy wall too"
#: Names of the methods on LGE, in the order of tables.
ON_LGE = ("2 SD", "3 SD", "5 SD", "6 SD", "FWHM", "Otsu", "GMM")
ON_T2 = ("T2 2 SD",)

Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Refused:
    """Why a method gives no threshold."""

    why: str


@dataclass
class Reference:
    """What a reference method says of a study.

    Attributes
    ----------
    name : "5 SD", "FWHM", "T2 2 SD", ...
    role : the sequence it reads.
    bright : (slices, rows, columns) bool, what of the wall is over the threshold.
    levels : slice to the threshold, in the units of the file.
    refused : slice to why it has none.
    rule : how it was done, in words, its zero included.
    """

    name: str
    role: Role
    bright: BoolArray
    levels: dict[int, float] = field(default_factory=dict)
    refused: dict[int, str] = field(default_factory=dict)
    rule: str = ""


def references(sequences: dict[Role, Sequence], wall: BoolArray, pool: BoolArray,
               spacing: tuple[float, float], *, remote: BoolArray | None = None,
               t2_ms: float | None = None) -> list[Reference]:
    """All reference methods that the sequences allow.

    Parameters
    ----------
    sequences : LGE, T2 or both; others are ignored.
    wall, pool : (slices, rows, columns).
    spacing : of rows and of columns, mm.
    remote : remote wall, drawn; None: found, slice by slice and sequence by sequence.
    t2_ms : threshold of a T2 map, ms; None: `T2_MS` on maps.

    Raises
    ------
    InputError
        A threshold in ms for T2 that is no map, or a drawn remote region beside the wall.
    """
    found: list[Reference] = []
    if remote is not None and not (remote & wall).any():
        raise InputError("the remote region has no pixel in the wall: draw it in the wall, or "
                         "leave it out")
    for role, names in ((Role.LGE, ON_LGE), (Role.T2, ON_T2)):
        if role in sequences:
            sequence = sequences[role]
            where = (remote & wall if remote is not None
                     else remote_walls(sequence.values, wall, pool, spacing))
            found += [_applied(name, sequence, wall, where, remote is not None) for name in names]
    if Role.T2 in sequences:
        sequence = sequences[Role.T2]
        if sequence.kind is Kind.T2_MAP:
            found.append(_over(T2_MS if t2_ms is None else t2_ms, sequence, wall))
        elif t2_ms is not None:
            raise InputError("a threshold in ms needs a T2 map, and the T2 images are none: leave "
                             "--t2-ms out, or say --t2-kind map")
    elif t2_ms is not None:
        raise InputError("a threshold in ms needs a T2 map, and no T2 was given")
    return found


def remote_walls(values: FloatArray, wall: BoolArray, pool: BoolArray,
                 spacing: tuple[float, float]) -> BoolArray:
    """`remote_wall` of every slice; (slices, rows, columns)."""
    found = np.zeros(wall.shape, bool)
    for i in np.flatnonzero(wall.any(axis=(1, 2))):
        found[i] = remote_wall(values[i], wall[i], pool[i], spacing)
    return found


def remote_wall(values: FloatArray, wall: BoolArray, pool: BoolArray,
                spacing: tuple[float, float]) -> BoolArray:
    """The darkest sector of a slice's wall.

    Parameters
    ----------
    values, wall, pool : (rows, columns). Angles are about the middle of the pool, or of the wall
        where there is no pool.

    Returns
    -------
    (rows, columns) bool; empty where no sector has `LEAST_PIXELS`.
    """
    empty = np.zeros(wall.shape, bool)
    if wall.sum() < LEAST_PIXELS:
        return empty
    where = np.argwhere(wall)
    centre = np.argwhere(pool if pool.any() else wall).mean(axis=0)
    y, x = ((where - centre) * spacing).T
    angle = np.degrees(np.arctan2(y, x))
    intensity = np.asarray(values, float)[tuple(where.T)]
    best, least = None, np.inf
    for begin in range(0, 360, _TURN):
        chosen = (angle - begin) % 360 < REMOTE
        if chosen.sum() >= LEAST_PIXELS and intensity[chosen].mean() < least:
            best, least = chosen, intensity[chosen].mean()
    if best is not None:
        empty[tuple(where[best].T)] = True
    return empty


def sd_level(remote: Values, n: float) -> float:
    """Mean of remote wall and n standard deviations of it."""
    return float(remote.mean() + n * remote.std(ddof=1))


def half_maximum(inside: Values, zero: float) -> float:
    """Half way from a zero to the brightest of the wall."""
    return float((zero + np.percentile(inside, BRIGHTEST)) / 2)


def otsu(values: Values) -> float:
    """The threshold, between two neighbouring values, of greatest variance between classes.

    Examples
    --------
    >>> otsu(np.array([1.0, 2.0, 2.0, 9.0, 11.0]))
    5.5
    """
    ordered = np.sort(np.asarray(values, float))
    below = np.arange(1, len(ordered))
    sums = np.cumsum(ordered)
    low = sums[:-1] / below
    high = (sums[-1] - sums[:-1]) / (len(ordered) - below)
    between = below * (len(ordered) - below) * (high - low) ** 2
    between[ordered[1:] == ordered[:-1]] = -1.0  # no threshold parts equal values
    cut = int(between.argmax())
    return float((ordered[cut] + ordered[cut + 1]) / 2)


@dataclass(frozen=True)
class TwoGaussians:
    """A mixture of two Gaussians, the darker first.

    Attributes
    ----------
    weights, means, deviations : (2,).
    """

    weights: Values
    means: Values
    deviations: Values

    def density(self, at: Values) -> Values:
        """(2, values) weighted densities."""
        z = (at[None] - self.means[:, None]) / self.deviations[:, None]
        scale = self.weights / (np.sqrt(2 * np.pi) * self.deviations)
        return np.asarray(scale[:, None] * np.exp(-0.5 * z**2))

    @property
    def border(self) -> float:
        """Where the brighter becomes the likelier, from the darker mean upwards."""
        at = np.linspace(self.means[0], self.means[1], 2001)
        dark, bright = self.density(at)
        over = np.flatnonzero(bright > dark)
        return float(at[over[0]]) if len(over) else float(self.means[1])


def two_gaussians(values: Values, rounds: int = 500, tolerance: float = 1e-6) -> TwoGaussians:
    """EM of two Gaussians from Otsu's classes; a millionth of the variance is added to each.

    Stops when the mean log-likelihood rises by less than the tolerance.
    """
    values = np.asarray(values, float)
    floor = 1e-6 * values.var()
    bright = (values > otsu(values)).astype(float)
    share = np.stack([1 - bright, bright])
    before = -np.inf
    mixture = TwoGaussians(np.full(2, 0.5), np.zeros(2), np.ones(2))
    for _ in range(rounds):
        count = share.sum(axis=1) + 1e-12
        means = share @ values / count
        variances = (share * (values[None] - means[:, None]) ** 2).sum(axis=1) / count + floor
        mixture = TwoGaussians(count / count.sum(), means, np.sqrt(variances))
        density = mixture.density(values)
        total = np.maximum(density.sum(axis=0), 1e-300)
        share = density / total
        fit = float(np.log(total).mean())
        if fit - before < tolerance:
            break
        before = fit
    order = np.argsort(mixture.means)
    return TwoGaussians(mixture.weights[order], mixture.means[order], mixture.deviations[order])


def level_of(name: str, inside: Values, remote: Values | None, kind: Kind) -> float | Refused:
    """The threshold of one method in one slice.

    Parameters
    ----------
    name : one of `ON_LGE` or `ON_T2`.
    inside : intensities of the slice's wall.
    remote : of its remote wall; None where none was found.
    """
    if not np.isfinite(inside).all():
        return Refused(NO_VALUE)
    if inside.size < LEAST_PIXELS:
        return Refused(f"under {LEAST_PIXELS} pixels of wall")
    if np.ptp(inside) == 0:
        return Refused("the wall is of one brightness")
    from_remote = name.endswith("SD") or (name == "FWHM" and not _has_zero(kind))
    if from_remote and (remote is None or remote.size < LEAST_PIXELS):
        return Refused(f"under {LEAST_PIXELS} pixels of remote wall")
    if name.endswith("SD"):
        assert remote is not None
        return sd_level(remote, float(name.split()[-2]))
    if name == "FWHM":
        return half_maximum(inside, 0.0 if _has_zero(kind) or remote is None else remote.mean())
    by_name: dict[str, Callable[[], float]] = {
        "Otsu": lambda: otsu(inside), "GMM": lambda: two_gaussians(inside).border}
    return by_name[name]()


def rule_of(name: str, kind: Kind, drawn: bool) -> str:
    """How a method was done, in words."""
    remote = "remote wall as drawn" if drawn else (
        f"remote wall: the darkest {REMOTE} degrees of each slice's wall")
    if name.endswith("SD"):
        return f"mean + {name.split()[-2]} SD of remote wall; {remote}"
    if name == "FWHM":
        brightest = f"the {BRIGHTEST:g}th percentile of the slice's wall"
        if _has_zero(kind):
            return f"half of {brightest}, from a zero of no signal; {ALWAYS}"
        return ("half way from the mean of remote wall, which is its zero, to "
                f"{brightest}; {remote}; {ALWAYS}")
    if name == "Otsu":
        return f"two classes furthest apart in each slice's wall; needs no zero; {ALWAYS}"
    return f"two Gaussians in each slice's wall; needs no zero; {ALWAYS}"


def _has_zero(kind: Kind) -> bool:
    """Whether no signal is 0 in such images, and all signal above."""
    return kind in (Kind.LGE_MAGNITUDE, Kind.LGE_DARK_BLOOD)


def _applied(name: str, sequence: Sequence, wall: BoolArray, remote: BoolArray,
             drawn: bool) -> Reference:
    found = Reference(name, sequence.role, np.zeros(wall.shape, bool),
                      rule=rule_of(name, sequence.kind, drawn))
    for index in np.flatnonzero(wall.any(axis=(1, 2))):
        image = np.asarray(sequence.values[index], float)
        level = level_of(name, image[wall[index]],
                         image[remote[index]] if remote[index].any() else None, sequence.kind)
        if isinstance(level, Refused):
            found.refused[int(index)] = level.why
        else:
            found.levels[int(index)] = level
            found.bright[index] = wall[index] & (image > level)
    return found


def _over(ms: float, sequence: Sequence, wall: BoolArray) -> Reference:
    if not 20 <= ms <= 200:
        raise InputError("--t2-ms must be between 20 and 200 ms: healthy myocardium has about 50")
    values = np.asarray(sequence.values, float)
    found = Reference(f"T2 > {ms:g} ms", Role.T2, np.zeros(wall.shape, bool),
                      rule=f"T2 over {ms:g} ms, which is absolute and depends on the scanner")
    for index in map(int, np.flatnonzero(wall.any(axis=(1, 2)))):
        if np.isfinite(values[index][wall[index]]).all():
            found.levels[index] = float(ms)
            found.bright[index] = wall[index] & (values[index] > ms)
        else:
            found.refused[index] = NO_VALUE
    return found


def refusals(reference: Reference) -> str:
    """Why a method says nothing of some slices, in words; "" where it speaks of all."""
    by_reason: dict[str, list[int]] = {}
    for index, why in reference.refused.items():
        by_reason.setdefault(why, []).append(index)
    return "; ".join(f"{named_slices(slices)}: {why}" for why, slices in by_reason.items())
