"""How far a scar goes, and whether it is one: islands of what may be scar around a sure core.

A network is sure of the middle of a scar and less so of its border; of a bright rim it is unsure
throughout. So a scar begins where the network is sure, and goes as far as
scar is likelier than `LIKELY`: hysteresis (Canny, A computational approach to edge detection,
1986), slice by slice.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

#: The share of scar among the wall's tissues from which a pixel may be scar, and which one pixel of
#: its island must reach.
LIKELY, SURE = 0.6, 0.8
#: A pixel by itself is noise, however sure: less than what an image resolves.
LEAST_PIXELS = 2
#: All scar of a heart together, as a share of its wall, that is drawn: a fifth of a millilitre in a
#: wall of 100 ml. Beneath that lies what specks of noise make, and no infarct that was seen.
LEAST_SHARE = 0.002
#: What was not drawn is spoken of from this share of the wall.
SPOKEN_OF = 0.01

FloatArray = npt.NDArray[np.floating]


@dataclass(frozen=True)
class Thresholds:
    """Shares of scar: from where a pixel may be scar, and which one pixel of its island must
    reach."""

    likely: float = LIKELY
    sure: float = SURE


@dataclass(frozen=True)
class Islands:
    """What a network says of scar, judged.

    Attributes
    ----------
    scar : (slices, rows, columns) share of scar among the wall's tissues, above one half where it
        is to be drawn.
    unsure : share of the wall that may be scar and was not drawn, for each slice.
    drawn : share of the wall that is to be drawn.
    speck : share of the wall that would be drawn, were it not less than `LEAST_SHARE` in all.
    """

    scar: FloatArray
    unsure: FloatArray
    drawn: float
    speck: float = 0.0


def judged(scar: FloatArray, wall: npt.NDArray[np.bool_], *, likely: float = LIKELY,
           sure: float = SURE) -> Islands:
    """Judge the islands of what may be scar.

    Parameters
    ----------
    scar : (slices, rows, columns) share of scar among the wall's tissues, 0 to 1.
    wall : of the same shape, where the wall lies; elsewhere shares stay as they are, moved as
        those of a drawn island, so that they go on smoothly.

    Returns
    -------
    Islands : odds of scar times (1 - likely) / likely in islands that are drawn, so that `likely`
        becomes one half; elsewhere as they were, at most just below one half. Islands that
        make less than `LEAST_SHARE` of the wall in all are not drawn.
    """
    from scipy import ndimage

    moved = scar * (1 - likely)
    moved = moved / np.maximum(moved + (1 - scar) * likely, 1e-12)
    held = np.minimum(scar, np.nextafter(0.5, 0.0, dtype=scar.dtype))
    none_drawn = np.where(wall, held, moved)
    result, unsure, specks = none_drawn.copy(), np.zeros(len(scar)), np.zeros(len(scar))
    total, drawn = max(int(wall.sum()), 1), 0
    for index in np.flatnonzero(wall.any((1, 2))):
        # above: a pixel at `likely` itself stays with the wall, as in the labels
        islands, count = ndimage.label(wall[index] & (moved[index] > 0.5), np.ones((3, 3)))
        if not count:
            continue
        highest = ndimage.maximum(scar[index], islands, np.arange(1, count + 1))
        large = np.bincount(islands.ravel(), minlength=count + 1)[1:] >= LEAST_PIXELS
        kept = np.isin(islands, 1 + np.flatnonzero((highest >= sure) & large))
        result[index][kept] = moved[index][kept]
        drawn += int(kept.sum())
        specks[index] = float(kept.sum()) / total
        unsure[index] = float(((islands > 0) & ~kept).sum()) / total
    if 0 < drawn < LEAST_SHARE * total:
        return Islands(none_drawn, unsure + specks, 0.0, drawn / total)
    return Islands(result, unsure, drawn / total)
