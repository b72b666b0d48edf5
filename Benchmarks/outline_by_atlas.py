"""Another rival of the network that proposes the LV mask: an atlas of the ventricle, deformed.

The mean ventricle of synthetic chests like those that the network learned from, at five levels from
apex to base, says how likely pool and wall are. It is laid where a start says, in its size, and
deformed there slice by slice by a diffeomorphism (`deepgmm.model.warp`) to where a mixture of the
brightnesses of pool, wall and two kinds of surroundings explains the image best. The start is what
`outline_without_learning.py` finds, or, to give the atlas its best chance, what the network
proposes: then only the outline is the atlas's own. Nothing of it is in the library.

    python Benchmarks/outline_by_atlas.py --threads 1 --phantoms 8 --chests 24
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from common import ROOT, machine, parser_of, run, table, use_threads
from outline_patients import MAKES, chests, phantoms, real
from outline_without_learning import outlined
from torch import Tensor

from deepgmm.errors import InputError
from deepgmm.model.warp import displacement, roughness, warped
from deepgmm.propose.canonical import PIXEL, Frame, normalised
from deepgmm.propose.proposal import propose_mask
from deepgmm.review.metrics import dice
from deepgmm.study.study import BoolArray, FloatArray, Study
from deepgmm.study.words import Role

DATA = ROOT.parent / "shared" / "data"
LEVELS, SIDE, USUAL = 5, 64, 30.0
#: Chests of the mean and the first one's seed; rounds of mixture and deformation, steps in each and
#: their length, pixels.
FIRST_SEED, CHESTS, ROUNDS, STEPS, STEP = 50_000, 24, 6, 10, 0.1


def atlas_of(count: int) -> Tensor:
    """(LEVELS, 3, SIDE, SIDE) probability of surroundings, wall and pool, of a ventricle whose mean
    radius is `USUAL` mm in pixels of `PIXEL`, each slice about its own middle."""
    from whole_chest import chest

    total, weight = np.zeros((LEVELS, 3, SIDE, SIDE)), np.zeros(LEVELS)
    for seed in range(FIRST_SEED, FIRST_SEED + count):
        one = chest(seed, looks=1)
        shares = np.stack([255 - one.pool.astype(float) - one.wall, one.wall, one.pool], 1) / 255
        held = shares[:, 1:].sum(1) > 0.5
        for i, level, frame in laid(held, (PIXEL, PIXEL)):
            total[level] += frame.sampled(shares[i])[0]
            weight[level] += 1
    return torch.from_numpy((total + 1e-2) / (weight[:, None, None, None] + 3e-2)).float()


def laid(held: BoolArray, spacing: tuple[float, float]) -> list[tuple[int, int, Frame]]:
    """Slices of a mask, their level from apex to base, and the frame on which the atlas lies."""
    chosen = np.flatnonzero(held.any((1, 2)))
    if not len(chosen):
        return []
    radii = np.sqrt(held[chosen].sum((1, 2)) * spacing[0] * spacing[1] / np.pi)
    if radii[0] > radii[-1]:
        chosen = chosen[::-1]
    pixel = PIXEL * float(radii.mean()) / USUAL
    found = []
    for k, i in enumerate(chosen):
        row, column = np.argwhere(held[i]).mean(0)
        whole = Frame._about((float(row), float(column)), spacing, (SIDE, SIDE), pixel)
        found.append((int(i), min(k * LEVELS // len(chosen), LEVELS - 1), whole))
    return found


def deformed(study: Study, start: BoolArray, atlas: Tensor, smoothness: float) -> BoolArray:
    """(slices, rows, columns) the mask, from a start that says slices, middles and mean size."""
    spacing = (float(study.geometry.spacing[1]), float(study.geometry.spacing[0]))
    out = np.zeros(start.shape, bool)
    places = laid(start, spacing)
    if not places:
        return out
    images = []
    for sequence in study.sequences.values():
        images.append(np.stack([normalised(*frame.sampled(sequence.values[i:i + 1]))[0]
                                for i, _, frame in places]))
    found = _fitted(torch.from_numpy(np.stack(images, 1)), atlas[[lev for _, lev, _ in places]],
                    smoothness)
    for (i, _, frame), inside in zip(places, found):
        out[i] = frame.back(inside[None], (start.shape[1], start.shape[2]))[0] > 0.5
    return out


def _fitted(images: Tensor, atlas: Tensor, smoothness: float) -> FloatArray:
    """(S, SIDE, SIDE) probability of being inside, from (S, sequences, SIDE, SIDE) images."""
    v = torch.zeros(len(images), 2, SIDE, SIDE, requires_grad=True)
    adam = torch.optim.Adam([v], lr=STEP)
    line = torch.arange(SIDE) - (SIDE - 1) / 2
    near = ((line[:, None] ** 2 + line ** 2) < (1.6 * USUAL / PIXEL) ** 2).float()
    with torch.no_grad():
        prior = _four(atlas)
        post = prior.clone()
        bright = images.mean(1) > (images.mean(1) * near).sum((1, 2), keepdim=True) / near.sum()
        post[:, 2], post[:, 3] = prior[:, 2] * 2 * bright, prior[:, 2] * 2 * ~bright
    for _ in range(ROUNDS):
        with torch.no_grad():
            w = post * near
            n = w.sum((2, 3)).clamp_min(1e-3)
            mean = torch.einsum("skyx,scyx->skc", w, images) / n[..., None]
            off = images[:, None] - mean[..., None, None]
            var = ((w[:, :, None] * off ** 2).sum((3, 4)) / n[..., None]).clamp_min(4e-3)
            log = -0.5 * (off ** 2 / var[..., None, None]
                          + var.log()[..., None, None]).sum(2)  # (S, 4, y, x)
        for _ in range(STEPS):
            u = displacement(v)
            prior = _four(warped(atlas, u))
            fit = (torch.logsumexp(log + prior.clamp_min(1e-5).log(), 1) * near).sum() / near.sum()
            loss = -fit + smoothness * roughness(u).sum()
            adam.zero_grad()
            loss.backward()
            adam.step()
        with torch.no_grad():
            post = torch.softmax(log + prior.clamp_min(1e-5).log(), 1)
    with torch.no_grad():
        return np.asarray(warped(atlas, displacement(v))[:, 1:].sum(1))


def _four(three: Tensor) -> Tensor:
    """Pool, wall and two kinds of surroundings, alike likely, from surroundings, wall and pool."""
    return torch.stack([three[:, 2], three[:, 1], three[:, 0] / 2, three[:, 0] / 2], 1)


def proposed(study: Study) -> BoolArray:
    try:
        return propose_mask(study).mask
    except InputError:
        return np.zeros(study.mask.shape, bool)


def main() -> None:
    parser = parser_of(__doc__, threads=1)
    parser.add_argument("--sunnybrook", type=Path, default=DATA / "sunnybrook")
    parser.add_argument("--emidec", type=Path, default=DATA / "emidec")
    parser.add_argument("--phantoms", type=int, default=8, help="patients of each make")
    parser.add_argument("--chests", type=int, default=24, help="synthetic chests")
    parser.add_argument("--first-chest", type=int, default=60_000)
    parser.add_argument("--smoothness", default="1", help="one or more, with commas")
    options = parser.parse_args()
    use_threads(options.threads)
    atlas = atlas_of(CHESTS)
    ways = [float(way) for way in options.smoothness.split(",")]
    sources = [
        ("Sunnybrook, bSSFP", real(options.sunnybrook, "_ED.nii.gz", "_ED_lv.nii.gz", Role.BSSFP)),
        ("EMIDEC, LGE alone", real(options.emidec, "_lge.nii.gz", "_labels.nii.gz", Role.LGE)),
        *((make, phantoms(make, options.phantoms)) for make in MAKES),
        ("held-out chests", chests(options.chests, options.first_chest))]
    rows = []
    for name, patients in sources:
        scores = []
        for study, truth, _ in patients:
            starts = outlined(study), proposed(study)
            scores.append([dice(mask, truth > 0) or 0.0 for mask in (
                *starts, *(deformed(study, start, atlas, way)
                           for start in starts for way in ways))])
        if scores:
            rows.append((name, str(len(scores)),
                         *(f"{value:.3f}" for value in np.mean(scores, axis=0))))
    print(machine(options.threads) + "\n")
    print(table(("mask Dice", "patients", "without learning", "proposed",
                 *(f"atlas from {start}, lambda {way:g}" for start in ("without learning",
                                                                    "the proposal")
                   for way in ways)), rows))


if __name__ == "__main__":
    run(main)
