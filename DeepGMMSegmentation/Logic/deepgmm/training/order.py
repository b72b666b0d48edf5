"""Which slices a step sees, and the seeds of what is done to them.

Nothing here depends on how many slices a step takes, nor on how many processes share them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt


@dataclass
class Order:
    """An endless row of slices: every epoch holds each of them once, in an order of its own.

    A batch may reach from one epoch into the next, so that every step sees equally many.

    Attributes
    ----------
    seed : of the orders.
    slices : how many there are.
    """

    seed: int
    slices: int
    _known: tuple[int, npt.NDArray[np.int64]] = field(default=(-1, np.zeros(0, np.int64)))

    def batch(self, step: int, size: int) -> list[tuple[int, int]]:
        """(epoch, slice) of each of the `size` slices of a step; steps count from 0."""
        return [self._place(position) for position in range(step * size, (step + 1) * size)]

    def _place(self, position: int) -> tuple[int, int]:
        epoch, place = divmod(position, self.slices)
        if self._known[0] != epoch:
            self._known = epoch, np.random.default_rng([self.seed, epoch]).permutation(self.slices)
        return epoch, int(self._known[1][place])


def seed_of(seed: int, epoch: int, index: int) -> int:
    """The seed of what is varied in a slice in an epoch, below 2**63; of these three alone."""
    return int(np.random.SeedSequence([seed, epoch, index]).generate_state(1, np.uint64)[0] >> 1)
