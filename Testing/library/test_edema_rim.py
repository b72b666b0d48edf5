"""The thin edema rim survives the smoothing: neither erased nor inflated (METHOD 16)."""

from __future__ import annotations

import numpy as np

from deepgmm import Geometry, Kind, Role, Sequence, Study, Tissue, segment

NOISE = 0.1
#: Levels of blood, healthy wall, edema and scar in units of the noise-free range; edema stands
#: 1.5 noise standard deviations above healthy wall on T2 and nowhere else.
LEVELS = {
    Role.BSSFP: (1.0, 0.35, 0.35, 0.35),
    Role.LGE: (0.75, 0.2, 0.2, 1.0),
    Role.T2: (0.1, 0.45, 0.45 + 1.5 * NOISE, 0.45 + 1.5 * NOISE),
}


def a_heart_with_a_rim(seed: int, slices: int = 4) -> tuple[Study, np.ndarray]:
    """A round ventricle whose scar, two thirds of the wall deep, has 2 pixels of edema around."""
    from scipy import ndimage

    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:72, :72] - 36.0
    radius, angle = np.hypot(y, x), np.mod(np.arctan2(y, x), 2 * np.pi)
    truth = np.zeros((slices, 72, 72), dtype=np.uint8)
    start = rng.uniform(0, 2 * np.pi)
    for index in range(slices):
        wall = (radius < 26) & (radius >= 18)
        truth[index][radius < 18] = Tissue.BLOOD
        truth[index][wall] = Tissue.MYOCARDIUM
        arc = np.mod(angle - start - 0.05 * index, 2 * np.pi) < 1.4
        scar = wall & arc & (radius < 24)
        rim = ndimage.binary_dilation(scar, iterations=2) & wall & ~scar
        truth[index][rim] = Tissue.EDEMA
        truth[index][scar] = Tissue.SCAR
    sequences = {}
    for role, levels in LEVELS.items():
        clean = np.array([0.0, *levels])[truth]
        noisy = 500 * (clean + rng.normal(0, NOISE, clean.shape)) + 200
        kind = {Role.BSSFP: Kind.BSSFP, Role.LGE: Kind.LGE_MAGNITUDE,
                Role.T2: Kind.T2_DARK_BLOOD}[role]
        sequences[role] = Sequence(role, noisy, kind)
    return Study(sequences, truth > 0, Geometry(spacing=(1.2, 1.2, 10.0))), truth


def test_the_rim_has_about_its_true_area() -> None:
    ratios = []
    for seed in range(20):
        study, truth = a_heart_with_a_rim(seed)
        labels = segment(study).labels
        ratios.append((labels == Tissue.EDEMA).sum() / (truth == Tissue.EDEMA).sum())
    ratios = np.array(ratios)
    assert 0.67 <= np.median(ratios) <= 1.5, ratios
    assert ((ratios >= 0.5) & (ratios <= 2)).mean() >= 0.9, ratios
