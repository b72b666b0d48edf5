"""A small study with a known result, to write, draw and report; quicker than any fit."""

from __future__ import annotations

import numpy as np

from deepgmm.result import Result, SliceFit
from deepgmm.study.study import Geometry, Sequence, Study
from deepgmm.study.words import Kind, Role, Tissue

KINDS = {Role.BSSFP: Kind.BSSFP, Role.LGE: Kind.LGE_MAGNITUDE, Role.T2: Kind.T2_DARK_BLOOD}

#: Right-handed, no axis along any of the patient's.
OBLIQUE = (0.8, -0.36, 0.48, 0.6, 0.48, -0.64, 0.0, 0.8, 0.6)


def a_result_of(
    *,
    slices: int = 3,
    roles: tuple[Role, ...] = tuple(Role),
    geometry: Geometry | None = None,
    shape: tuple[int, int] = (40, 52),
    excluded: dict[int, str] | None = None,
    warnings: list[str] | None = None,
) -> Result:
    """Rings of blood and wall off the middle, with edema and scar in one corner of the wall."""
    geometry = geometry or Geometry((1.3, 1.1, 8.0), (-71.1, 33.3, -210.0), OBLIQUE)
    y, x = np.mgrid[: shape[0], : shape[1]]
    radius = np.hypot(y - shape[0] * 0.55, x - shape[1] * 0.4)
    labels = np.zeros((slices, *shape), np.uint8)
    for index in range(slices):
        outer = min(shape) * 0.3 * (1 - 0.3 * index / slices)
        ring = (radius < outer) & (radius >= outer * 0.55)
        infarct = ring & (y > shape[0] * 0.55) & (x > shape[1] * 0.3)
        labels[index][radius < outer] = Tissue.BLOOD
        labels[index][ring] = Tissue.MYOCARDIUM
        labels[index][infarct] = Tissue.EDEMA
        labels[index][infarct & (radius < outer * 0.75)] = Tissue.SCAR
    rng = np.random.default_rng(0)
    sequences = {role: Sequence(role, labels * 40.0 + rng.normal(0, 5, labels.shape), KINDS[role])
                 for role in roles}
    study = Study(sequences, labels > 0, geometry, excluded=dict(excluded or {}),
                  hashes={role.value: "0" * 64 for role in roles} | {"mask": "1" * 64})
    tissues = study.tissues
    shown = np.where(np.isin(labels, tissues), labels, Tissue.MYOCARDIUM) * (labels > 0)
    for index in study.excluded:
        shown[index] = 0
    posterior = np.stack([np.where(shown == t, 0.9, 0.1 / (len(tissues) - 1)) for t in tissues], 1)
    posterior *= (shown > 0)[:, None]
    k, m = len(tissues), len(roles)
    fits = [SliceFit(index, np.full(k, 1 / k), np.arange(k * m, dtype=float).reshape(k, m),
                     np.tile(np.eye(m), (k, 1, 1)), 7.25, [8.0, 7.5, 7.25], 12, True)
            for index in study.slices]
    return Result(study, tissues, shown.astype(np.uint8), posterior.astype(np.float32), fits,
                  list(warnings or []), {"settings": {"method": "map", "seed": 3}, "seed": 3})


def edited_of(result: Result, index: int = 1, old: Tissue = Tissue.EDEMA,
              new: Tissue = Tissue.SCAR) -> np.ndarray:
    """Its labels with one tissue of a slice painted as another."""
    labels = result.labels.copy()
    labels[index][labels[index] == old] = new
    return labels
