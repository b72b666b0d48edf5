"""A proposal of round slices, for tests of what corrections do to it."""

from __future__ import annotations

import numpy as np

from deepgmm.propose.proposed import MaskProposal, drawn
from deepgmm.propose.rings import ANGLES, Ring
from deepgmm.study.study import Geometry


def cone(radii, of=(60.0, 61.0), off=()):
    """A proposal of round slices whose centres are off by so many mm, all equally sure."""
    shape, spacing = (len(radii), 90, 92), (1.4, 1.3)
    rings = {i: Ring(np.array(of) + (off[i] if len(off) else 0.0), np.full(ANGLES, float(r)),
                     np.full(ANGLES, r - 8.0)) for i, r in enumerate(radii)}
    mask, pool = drawn(rings, shape, spacing)
    found = MaskProposal(mask, mask & ~pool, pool, mask.astype(np.float32), np.ones(len(radii)),
                         np.full(len(radii), 0.94), rings=rings)
    return found, Geometry((spacing[1], spacing[0], 10.0)), spacing
