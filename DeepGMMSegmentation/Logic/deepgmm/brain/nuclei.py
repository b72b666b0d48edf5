"""Deep nuclei and brain stem: what is grey or white matter whatever its intensity.

Pallidum and thalamus are nearly as bright as white matter on T1, and the brain stem is darker
than it, so the tissue maps of an average brain, which follow its intensities, have them wrong.
Nuclei are grey matter by name. That the ventral diencephalon counts as grey matter too, and the
brain stem, whole, as white, is a convention: that of IBSR's graders. The shapes are ellipsoids,
drawn over the T1 of ICBM 152.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]

#: One of a pair, left and right alike: centre and half axes along left-right, back-front and up,
#: MNI coordinates in mm; and by how many degrees its front lies nearer to the midline.
_Shape = tuple[tuple[float, float, float], tuple[float, float, float], float]

_GREY: dict[str, _Shape] = {
    "thalamus": ((12, -19, 7), (11.4, 16.8, 12.6), 25),
    "pallidum": ((20, -5, -1), (8.4, 10.8, 8.4), 30),
    "putamen": ((26, 3, 0), (7.2, 20.4, 12), 10),
    "its lower part": ((23, 6, -6), (9.6, 14.4, 6), 10),
    "ventral diencephalon": ((8, -12, -7), (10, 11, 7), 0),
}
_WHITE: dict[str, _Shape] = {
    "midbrain": ((0, -31, -12), (12, 8, 10), 0),
    "pons": ((0, -27, -33), (15, 14, 16), 0),
    "medulla": ((0, -40, -52), (10, 9, 14), 0),
}

#: Of the template's T1, whose white matter has 224 and grey 164: from here on the internal and
#: external capsules, which the ellipsoids of grey matter cut.
_CAPSULES = 208.0


def settled(t1: Array, left: npt.NDArray[np.floating], front: npt.NDArray[np.floating],
            up: npt.NDArray[np.floating]) -> Array:
    """(2, ...) 1 where the template is grey or white matter by its anatomy, 0 elsewhere.

    Parameters
    ----------
    t1 : the template; left, front, up : MNI coordinates in mm, shaped to broadcast to it.
    """
    def within(shapes: dict[str, _Shape]) -> npt.NDArray[np.bool_]:
        found = np.zeros(t1.shape, bool)
        for (x, y, z), (a, b, c), turn in shapes.values():
            cos, sin = np.cos(np.deg2rad(turn)), np.sin(np.deg2rad(turn))
            aside, ahead = abs(left) - x, front - y
            found |= (((cos * aside + sin * ahead) / a) ** 2
                      + ((cos * ahead - sin * aside) / b) ** 2 + ((up - z) / c) ** 2 <= 1)
        return found

    white = within(_WHITE) & (t1 > 0)
    grey = within(_GREY) & (t1 > 0) & (t1 < _CAPSULES)
    # the midbrain's front is the ventral diencephalon's back
    return np.stack([grey, white & ~grey]).astype(np.float32)
