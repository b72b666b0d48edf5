"""Whether an LV atlas, deformed to the patient, helps `map` to tell wall from pool: an ablation.

The atlas says how likely the pool is at a share of the depth from the mask's border to its
deepest point, for slices of four sizes. It is laid out in ventricular coordinates (sector, depth),
deformed there by a diffeomorphism (`deepgmm.model.warp`) fitted to what the anchored fit says of
every pixel as wall and as pool, and joins the contour's evidence. Nothing of it is in the library:
`Docs/method.md` says why.

    python Benchmarks/heart_atlas.py --source phantom
    python Benchmarks/heart_atlas.py --source patients      # the atlas of four fifths, by folds
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import REPORTED_SEED, machine, number, parser_of, patients_of, run, table, use_threads
from real_lge import DATA, patients_in, read_patient, score, summary, wall_of
from torch import Tensor

from deepgmm import Settings, Tissue, segment
from deepgmm.model import anchored
from deepgmm.model.endocardium import Endocardium
from deepgmm.model.warp import displacement, roughness, warped
from deepgmm.review.metrics import dice

SHARES, SIZES = 24, (9.0, 15.0, 21.0)
FOLDS = 5
#: Steps of v at each round of the fit, their length in cells, and how often the atlas counts.
STEPS, STEP, ROUNDS = 8, 0.15, 12


def atlas_of(cases: list[tuple[np.ndarray, np.ndarray, tuple[float, float]]]) -> Tensor:
    """(4, SHARES) probability of pool; cases are (mask, pool, (row, column) spacing in mm)."""
    from scipy.ndimage import distance_transform_edt

    pool, count = np.zeros((2, len(SIZES) + 1, SHARES))
    for mask, truth, spacing in cases:
        for inside, blood in zip(mask, truth, strict=True):
            if not inside.any():
                continue
            depth = distance_transform_edt(np.pad(inside, 1), sampling=spacing)[1:-1, 1:-1]
            size = np.digitize(depth.max(), SIZES)
            at = np.minimum((depth[inside] / depth.max() * SHARES).astype(int), SHARES - 1)
            np.add.at(pool[size], at, blood[inside])
            np.add.at(count[size], at, 1)
    return torch.from_numpy(((pool + 0.5) / (count + 1)).clip(1e-3, 1 - 1e-3))


class AtlasContour(Endocardium):
    """The contour's posterior, with the deformed atlas among its evidence."""

    atlas: Tensor
    smoothness: float | None = 2.0
    strength = 1.0

    def update(self, log_wall: Tensor, log_pool: Tensor, *, tied: bool = True) -> None:
        self.rounds = getattr(self, "rounds", 0) + 1
        if not hasattr(self, "velocity") or len(self.velocity) != len(log_wall):
            self.velocity = log_wall.new_zeros(len(log_wall), 2, self.ventricle.sectors, self.bins)
            self.laid = self._laid_out(log_wall)
        if self.smoothness is not None and self.rounds <= ROUNDS:
            self._deform(log_wall.detach(), log_pool.detach())
        with torch.no_grad():
            pool = self._at_pixels(self._moved(displacement(self.velocity)))
            extra = self.strength * (torch.log1p(-pool) - pool.log())
            super().update(log_wall + extra, log_pool, tied=tied)

    def _laid_out(self, like: Tensor) -> Tensor:
        """(S, 1, A, N) the atlas in this ventricle's coordinates."""
        deepest = (self.ventricle.depth * self.valid).amax(1).clamp_min(1e-3)
        size = torch.bucketize(deepest, torch.tensor(SIZES, dtype=deepest.dtype))
        at = (self.each / deepest[:, None] * SHARES - 0.5).clamp(0, SHARES - 1)
        low = at.floor().long().clamp_max(SHARES - 2)
        rows = self.atlas.to(like)[size]
        line = rows.gather(1, low) * (1 - at + low) + rows.gather(1, low + 1) * (at - low)
        return line[:, None, None].expand(-1, 1, self.ventricle.sectors, -1).contiguous()

    def _moved(self, u: Tensor) -> Tensor:
        return warped(self.laid, u)[:, 0].clamp(1e-3, 1 - 1e-3)

    def _at_pixels(self, polar: Tensor) -> Tensor:
        flat = polar.flatten(1)
        return flat.gather(1, self.at) * (1 - self.share) + flat.gather(1, self.at + 1) * self.share

    def _deform(self, log_wall: Tensor, log_pool: Tensor) -> None:
        v = self.velocity.detach().requires_grad_()
        adam = torch.optim.Adam([v], lr=STEP)
        weight = self.valid / self.valid.sum(1, keepdim=True)
        for _ in range(STEPS):
            u = displacement(v)
            pool = self._at_pixels(self._moved(u))
            inside = torch.logaddexp(torch.log1p(-pool) + log_wall, pool.log() + log_pool)
            loss = (-(weight * inside).sum(1) + self.smoothness * roughness(u)).sum()
            adam.zero_grad()
            loss.backward()
            adam.step()
        self.velocity = v.detach()

    def select(self, index: Tensor, ventricle: Any, valid: Tensor) -> AtlasContour:
        part = super().select(index, ventricle, valid)
        part.__class__ = type(self)
        if hasattr(self, "velocity"):
            part.velocity = self.velocity[index][..., : part.bins]
            part.laid, part.rounds = self.laid[index][..., : part.bins], self.rounds
        return part


def phantom_atlas() -> Tensor:
    cases = []
    for kind in ("typical", "atypical", "healthy"):
        for patient in patients_of(kind, 12, 100):
            g = patient.study.geometry
            cases.append((patient.study.mask, patient.truth == Tissue.BLOOD,
                          (g.spacing[1], g.spacing[0])))
    return atlas_of(cases)


def patient_case(study: Any, truth: np.ndarray) -> tuple:
    g = study.geometry
    return study.mask, (truth == Tissue.BLOOD) & study.mask, (g.spacing[1], g.spacing[0])


def rows_of(name: str, atlases: list[Tensor | None], cases: list[tuple], way: float | None
            ) -> tuple[str, ...]:
    """A row over real patients."""
    scores = []
    for (patient, study, truth), atlas in zip(cases, atlases, strict=True):
        scores.append(score(patient, with_atlas(study, atlas, way), truth))
    found = summary(scores)
    return (name, *(number(found[key], 3) for key in ("scar", "false", "r", "wall", "blood")))


def with_atlas(study: Any, atlas: Tensor | None, way: float | None) -> np.ndarray:
    """Labels by `map`, with the atlas in the contour's evidence or without."""
    if atlas is None:
        anchored.Endocardium = Endocardium
    else:
        AtlasContour.atlas, AtlasContour.smoothness = atlas, way
        anchored.Endocardium = AtlasContour
    try:
        return segment(study, Settings(method="map")).labels
    finally:
        anchored.Endocardium = Endocardium


def main() -> None:
    parser = parser_of(__doc__, threads=1)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--source", choices=("phantom", "patients"), default="phantom")
    parser.add_argument("--patients", type=int)
    parser.add_argument("--phantoms", type=int, default=12)
    parser.add_argument("--smoothness", type=float, default=2.0)
    parser.add_argument("--skip-plain", action="store_true")
    options = parser.parse_args()
    use_threads(options.threads)
    ways = [("map", None, False), ("map, atlas laid in", None, True),
            (f"map, atlas deformed, lambda {options.smoothness:g}", options.smoothness, True)]
    ways = ways[1:] if options.skip_plain else ways
    print(machine(options.threads), "\n")
    names = patients_in(options.data)[: options.patients]
    cases = [(n, *read_patient(options.data, n)) for n in names]
    if options.source == "phantom":
        one = phantom_atlas()
        atlases: list = [one] * len(cases)
    else:
        atlases = [atlas_of([patient_case(s, t) for j, (_, s, t) in enumerate(cases)
                             if j % FOLDS != i % FOLDS]) for i in range(len(cases))]
    rows = [rows_of(name, atlases if used else [None] * len(cases), cases, way)
            for name, way, used in ways]
    print(f"{len(cases)} real patients, mask given; the atlas of {options.source}.\n")
    print(table(("", "scar Dice", "false scar, % of healthy walls", "r", "wall", "blood"), rows))
    if options.source == "phantom" and options.phantoms:
        made = patients_of("typical", options.phantoms, REPORTED_SEED)
        lines = []
        for name, way, used in ways:
            found = [with_atlas(p.study, one if used else None, way) for p in made]
            lines.append((name, *(number(float(np.nanmean([
                dice(f == t, p.truth == t) for f, p in zip(found, made, strict=True)])), 3)
                for t in (Tissue.BLOOD, Tissue.MYOCARDIUM, Tissue.EDEMA, Tissue.SCAR)),
                number(float(np.mean([dice(wall_of(f), wall_of(p.truth))
                                      for f, p in zip(found, made, strict=True)])), 3)))
        print(table(("", "blood", "myocardium", "edema", "scar", "wall"), lines))


if __name__ == "__main__":
    run(main)
