"""Whether a disease is there at all: a tissue that the data do not support is reported absent.

Pixels are correlated and a mixture always finds a brighter half, so the evidence is judged by
sectors: a disease that is there makes whole sectors brighter than the spread of the others.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

#: A tissue covering less of the wall than `share` is taken for noise, and its sectors must lie
#: `contrast` standard deviations of the others above them; from the share `plain` any contrast
#: above 0 will do, for hardly a sector may be left to compare it with. `evidence` is asked of
#: share times contrast: what is faint must be large, what is small must stand out. On healthy
#: phantoms, shaded ones included, fits painted up to 14 % edema and 4 % scar; on healthy hearts of
#: real LGE up to 12 % scar. Scar's last two bars were chosen there, and scored by five folds.
SCAR_LEAST = {"share": 0.02, "contrast": 2.0, "plain": 0.15, "evidence": 0.15}
EDEMA_LEAST = {"share": 0.02, "contrast": 2.0, "plain": 0.10}
#: Edema without any scar is rarer, and coil shading looks like it: more is asked. So does noise
#: that is smooth over a quarter of the wall: `smooth` times the contrast that its brightest part
#: has by chance is asked however large the share, while at least half of the sectors are free.
EDEMA_ALONE_LEAST = {"share": 0.08, "contrast": 3.0, "plain": 0.20, "smooth": 1.25}
#: A network has seen what healthy hearts look like, so less is asked of what it finds. The share
#: lies between what networks taught by `map` painted of absent and of present diseases on phantom
#: patients of seeds 100 to 127.
NETWORK_LEAST = {"share": 0.035, "contrast": 1.0, "plain": 0.10}
#: Edema that was drawn and lies on T2 less than `VISIBLE` standard deviations of the free sectors
#: above their mean is not what T2 shows: on phantom patients edema that was there lay 1.3 and more
#: above. And where none was drawn and blood lies less than `APART` off the wall, T2 shows nothing.
VISIBLE, APART = 1.0, 0.5
#: What fills no sector must cover this share of the wall.
SCATTERED_SHARE = 0.05
#: A sector counts as diseased, or as free, from these shares of its wall.
DISEASED, FREE = 0.5, 0.2
#: Fewer wall pixels than this make no sector.
LEAST_PIXELS = 8


@dataclass(frozen=True)
class Support:
    """What speaks for a disease.

    Attributes
    ----------
    share : of the wall that was labelled with it.
    contrast : mean of the diseased sectors above the free ones, in standard deviations of the
        free ones; NaN where no sector is full of it or none is free.
    scattered : whether no sector is full of it.
    chance : the contrast that the brightest sectors, as many, would have if all held one tissue
        under one smooth noise; NaN as `contrast`, and where fewer than half are free.
    """

    share: float
    contrast: float
    scattered: bool = False
    chance: float = float("nan")

    def suffices(self, least: dict[str, float]) -> bool:
        """Where nothing can be compared its share decides; scattered pixels must be many."""
        share = max(SCATTERED_SHARE if self.scattered else 0.0, least["share"])
        return self.share >= share and not self.contrast < self.asked(least)

    def asked(self, least: dict[str, float]) -> float:
        """The contrast that is asked of such a share."""
        contrast = 0.0 if self.share >= least["plain"] else max(
            least["contrast"], least.get("evidence", 0.0) / max(self.share, 1e-9))
        if np.isfinite(self.chance):
            contrast = max(contrast, least.get("smooth", 0.0) * self.chance)
        return contrast


def by_chance(part: float) -> float:
    """How far the brightest `part` of normal draws lies above the mean of the rest, in standard
    deviations of the rest: moments of a normal distribution cut in two (Johnson, Kotz and others,
    Continuous univariate distributions, chapter 13)."""
    from statistics import NormalDist

    normal = NormalDist()
    cut = normal.inv_cdf(1 - part)
    height = normal.pdf(cut)
    top, rest = height / part, -height / (1 - part)
    spread = 1 - cut * height / (1 - part) - rest**2
    return float((top - rest) / np.sqrt(max(spread, 1e-9)))


def support(diseased: npt.NDArray[np.bool_], wall: npt.NDArray[np.bool_],
            values: npt.NDArray[np.floating], sector: npt.NDArray[np.integer],
            sectors: int) -> Support:
    """Judge one disease on the sequence that shows it.

    Parameters
    ----------
    diseased, wall : (slices, pixels); `values` : (slices, pixels) intensities.
    sector : (slices, pixels) index around the ventricle.
    """
    full, free = _levels(diseased, wall, values, sector, sectors)
    contrast = chance = float("nan")
    if len(full) and len(free) > 2:
        contrast = float((full.mean() - free.mean()) / max(free.std(), 1e-9))
        if len(full) <= len(free):
            chance = by_chance(len(full) / (len(full) + len(free)))
    return Support(float(diseased[wall].mean()) if wall.any() else 0.0, contrast,
                   scattered=not len(full), chance=chance)


def above_free(chosen: npt.NDArray[np.bool_], diseased: npt.NDArray[np.bool_],
               wall: npt.NDArray[np.bool_], values: npt.NDArray[np.floating],
               sector: npt.NDArray[np.integer], sectors: int) -> float:
    """Mean of the chosen pixels above the sectors that are free of any disease, in standard
    deviations of these; NaN where nothing is chosen or hardly a sector is free.

    Arrays as for `support`.
    """
    free = _levels(diseased, wall, values, sector, sectors)[1]
    if not chosen.any() or len(free) < 3:
        return float("nan")
    return float((values[chosen].mean() - free.mean()) / max(free.std(), 1e-9))


def _levels(diseased: npt.NDArray[np.bool_], wall: npt.NDArray[np.bool_],
            values: npt.NDArray[np.floating], sector: npt.NDArray[np.integer],
            sectors: int) -> tuple[npt.NDArray[np.floating], npt.NDArray[np.floating]]:
    """Mean intensities of the sectors that are full of a disease, and of those free of it."""
    slices = np.broadcast_to(np.arange(wall.shape[0])[:, None], wall.shape)
    place = (slices * sectors + sector)[wall]
    size = np.bincount(place, minlength=wall.shape[0] * sectors)
    with np.errstate(invalid="ignore", divide="ignore"):
        level = np.bincount(place, values[wall], minlength=size.size) / size
        share = np.bincount(place, diseased[wall], minlength=size.size) / size
    enough = size >= LEAST_PIXELS
    return level[enough & (share > DISEASED)], level[enough & (share < FREE)]
