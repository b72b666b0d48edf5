"""How well slices beside a drawn one could follow at best, by rules learned from the patients
themselves: `mask_proposal.py` prints it beside what they do. What is learned here is thrown away.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from deepgmm.propose.following import curve_of, points_of, radii_about
from deepgmm.propose.proposed import MaskProposal
from deepgmm.propose.rings import Ring
from deepgmm.study.study import FloatArray

#: A border's numbers that one rule is for: centre, mean radius, each harmonic's two.
KINDS = (slice(0, 2), slice(2, 3), *(slice(k, k + 2) for k in range(3, 19, 2)))
#: How strongly rules are held to nothing, in pairs of slices.
HOLD = 30.0


@dataclass
class Pair:
    """A slice that was drawn and the one beside it.

    Attributes
    ----------
    patient : whose they are.
    known : (numbers, features) of each number of a border, by the borders; the last one is the
        answer that is given today, less what was proposed.
    wanted : (numbers,) the true border's less those proposed.
    proposed, true : the border beside.
    """

    patient: int
    known: FloatArray
    wanted: FloatArray
    proposed: FloatArray
    true: Ring

    def off(self, by: FloatArray) -> float:
        """mm off along the rays where the border proposed is moved by so much."""
        points = points_of(self.proposed + by)
        return float(np.abs(radii_about(points, self.true.centre) - self.true.outer).mean())


@dataclass
class Pairs:
    """Of one data set."""

    held: list[Pair] = field(default_factory=list)
    patients: int = 0

    def add(self, found: MaskProposal, true: Mapping[int, Ring], drawn: int,
            now: Mapping[int, Ring]) -> None:
        """What is known of the slices beside one that was drawn; `now` : as they follow today."""
        curves = {i: curve_of(ring.points()) for i, ring in found.rings.items()}
        hand = curve_of(true[drawn].points())
        for j in {drawn - 1, drawn + 1} & set(true):
            beyond = curves.get(2 * j - drawn, 2 * curves[j] - hand)
            behind = curves.get(2 * drawn - j, 2 * curves[drawn] - curves[j])
            borders = np.stack([hand - curves[drawn], hand - curves[j], beyond - curves[j],
                                behind - curves[drawn]], 1)
            size, doubt = curves[j][2] / 10 - 3, min(1 - found.overlap[j], 0.2) / 0.06
            given = curve_of(now[j].points()) - curves[j]
            known = np.concatenate([borders, borders * doubt, borders[:, :1] * size,
                                    np.full((len(hand), 1), size), given[:, None]], 1)
            self.held.append(Pair(self.patients, known, curve_of(true[j].points()) - curves[j],
                                  curves[j], true[j]))

    def row(self, name: str) -> tuple[str, ...]:
        """% that the error beside falls by at best: by the borders alone, and where today's answer
        is known too, each patient by rules learned from the others; mm left were the centre and
        the mean radius right, and were all numbers."""
        before = np.mean([one.off(np.zeros(len(one.wanted))) for one in self.held])
        right = [np.mean([one.off(np.where(np.arange(len(one.wanted)) < count, one.wanted, 0.0))
                          for one in self.held]) for count in (3, len(self.held[0].wanted))]
        return (name, str(len(self.held)), *(
            f"{100 * (np.mean(self._left(every)) / before - 1):+.0f} %" for every in (False, True)),
            *(f"{mm:.2f} ({100 * (mm / before - 1):+.0f} %)" for mm in right))

    def _left(self, every: bool) -> list[float]:
        left = []
        for patient in {one.patient for one in self.held}:
            rules = [self._rule(kind, patient, every) for kind in KINDS]
            for one in self.held:
                if one.patient == patient:
                    left.append(one.off(np.concatenate([
                        one.known[kind, :len(rule)] @ rule for kind, rule in zip(KINDS, rules)])))
        return left

    def _rule(self, kind: slice, patient: int, every: bool) -> FloatArray:
        others = [one for one in self.held if one.patient != patient]
        x = np.concatenate([one.known[kind] for one in others])[:, :None if every else -1]
        y = np.concatenate([one.wanted[kind] for one in others])
        scale = np.sqrt((x ** 2).mean(0)) + 1e-9
        x = x / scale
        return np.linalg.solve(x.T @ x + HOLD * np.eye(x.shape[1]), x.T @ y) / scale
