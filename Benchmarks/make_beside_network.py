"""Make the network by which slices follow one that was drawn, from synthetic chests alone.

    python Benchmarks/make_beside_network.py OUT                   proposals are made once and kept
    python Benchmarks/make_beside_network.py OUT --chests FOLDER   chests of make_mask_network.py

No real patient is learned from. Each chest is proposed on; then a reader draws one of its slices.
What is to be learned is how that reader would draw the one beside it. Readers have habits that hold
through a stack (a border farther out or in, to a side, of another shape) and vary from slice to
slice, both by as much as chance will have it. The same command on the same machine gives the same
weights.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from common import machine, run, use_threads
from make_mask_network import made
from torch import Tensor
from whole_chest import PIXEL

from deepgmm.errors import InputError
from deepgmm.model.beside import BesideNet, folded
from deepgmm.propose.beside import looks_of, shown
from deepgmm.propose.following import curve_of, followed, points_of, radii_about
from deepgmm.propose.network import save
from deepgmm.propose.proposal import propose_mask
from deepgmm.propose.rings import Ring, ring_of_mask
from deepgmm.study.study import Geometry, Sequence, Study
from deepgmm.study.words import Role

#: Seed of the first chest: from here on the network that proposes learned from none. Looks of each;
#: mm from slice to slice; mm2 that a ventricle has at least.
FIRST_SEED, LOOKS, GAP, SMALL = 50_290, 2, 9.0, 200.0
#: Share of a pixel that is ventricle, from which it counts.
CLEAR = 0.02
PEAK_RATE, WEIGHT_DECAY, FARTHEST = 2e-3, 1e-3, 14.0
_ORDERS = np.repeat(np.arange(2, 10), 2)
#: mm, standard deviations of a border's numbers (`deepgmm.propose.following`): a reader's habits,
#: and what varies from slice to slice; each is scaled by chance.
HABIT = np.concatenate([[1.3, 1.3, 1.0], 1.0 / _ORDERS])
VARIES = np.concatenate([[0.8, 0.8, 0.8], 1.1 / _ORDERS])
#: Channels that are images.
IMAGES = [0, 1, 2]


def proposed(folder: Path, chests: Path, seed: int) -> list[dict[str, Any]]:
    """Looks of a chest, its slices moved by breath-holds, each with its proposal."""
    file = folder / f"{seed}.npz"
    if not file.exists():
        _propose(file, looks(chests, seed))
    with np.load(file) as held:
        arrays = {name: held[name] for name in held.files}
    return [{name: arrays[f"{k}_{name}"] for name in
             ("values", "truth", "inside", "overlap", "slices", "centres", "outer", "inner")}
            for k in range(int(arrays["count"]))]


def looks(chests: Path, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(slices, rows, columns) images, and the share of their pixels that is ventricle, in 1/255."""
    if not (chests / f"{seed}.npz").exists():
        made(chests, seed)
    with np.load(chests / f"{seed}.npz") as held:
        images = held["images"]
        share = np.minimum(held["pool"].astype(int) + held["wall"], 255).astype(np.uint8)
    rng = np.random.default_rng([seed, 7])
    for look in range(LOOKS):
        values, truth = images[look].astype(np.float32), share.copy()
        moves = np.round(rng.normal(0, rng.uniform(0, 0.8), (len(values), 2))).astype(int)
        for i, move in enumerate(moves):
            values[i], truth[i] = (np.roll(one[i], move, (0, 1)) for one in (values, truth))
        yield values, truth


def _propose(file: Path, stacks: Iterator[tuple[np.ndarray, np.ndarray]]) -> None:
    kept, count = {}, 0
    for values, truth in stacks:
        try:
            found = propose_mask(_study(values))
        except InputError:
            continue
        rings = found.rings
        if len(rings) < 2:
            continue
        of = {"values": values.astype(np.float16), "truth": truth,
              "inside": found.inside.astype(np.float16), "overlap": found.overlap,
              "slices": np.array(list(rings)),
              **{name: np.stack([getattr(ring, field) for ring in rings.values()]) for name, field
                 in (("centres", "centre"), ("outer", "outer"), ("inner", "inner"))}}
        kept |= {f"{count}_{name}": value for name, value in of.items()}
        count += 1
    part = file.with_suffix(".part.npz")
    np.savez(part, count=count, **kept)
    part.rename(file)


def _study(values: np.ndarray) -> Study:
    return Study({Role.LGE: Sequence(Role.LGE, values)}, np.zeros(values.shape, bool),
                 Geometry((PIXEL, PIXEL, GAP)))


def samples(one: dict[str, Any], rng: np.random.Generator, readers: int
            ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """What the network is shown, (channels, angles, places), and mm outward, (angles,)."""
    rings = {int(i): Ring(*borders) for i, *borders in zip(
        one["slices"], one["centres"], one["outer"], one["inner"])}
    seen = looks_of(_study(one["values"].astype(np.float32)), one["inside"].astype(np.float32),
                    rings)
    curves = {i: curve_of(ring.points()) for i, ring in rings.items()}
    true = {}
    for i in rings:
        share = one["truth"][i] / 255.0
        held = np.where(share > CLEAR, share, 0.0)
        if held.sum() * PIXEL ** 2 > SMALL and (
                ring := ring_of_mask(held, (PIXEL, PIXEL))) is not None:
            true[i] = curve_of(ring.points())
    for i in true:
        for j in {i - 1, i + 1} & set(true):
            for _ in range(readers):
                habit = rng.normal(size=len(HABIT)) * HABIT * rng.uniform(0, 1.4)
                varies = VARIES * rng.uniform(0, 1.5)
                hand, other = (true[k] + habit + rng.normal(size=len(HABIT)) * varies
                               for k in (i, j))
                if min(hand[2], other[2]) < 6:
                    continue
                expected = followed(curves, one["overlap"], GAP, {i: hand})[j]
                wanted = (radii_about(points_of(other), expected[:2])
                          - radii_about(points_of(expected), expected[:2]))
                if np.abs(wanted).max() < 25:
                    yield (shown(seen, curves, one["overlap"], (i, hand), (j, expected))[0],
                           np.clip(wanted, -FARTHEST, FARTHEST))


def batch(rng: np.random.Generator, given: np.ndarray, wanted: np.ndarray, size: int
          ) -> tuple[Tensor, Tensor]:
    """Some samples, turned and mirrored, their images of other brightness and noise."""
    at = rng.integers(len(given), size=size)
    turn = int(rng.integers(given.shape[2]))
    x, y = np.roll(given[at].astype(np.float32), turn, 2), np.roll(wanted[at], turn, 1)
    if rng.random() < 0.5:
        x, y = x[:, :, ::-1].copy(), y[:, ::-1].copy()
    gamma = np.exp(rng.uniform(-0.4, 0.4, (size, 1, 1, 1)))
    rough = rng.uniform(0, 0.12, (size, 1, 1, 1)) * rng.normal(size=x[:, IMAGES].shape)
    # slices are made comparable one by one, which is never quite so
    gain, level = (rng.normal(at, spread, (size, len(IMAGES), 1, 1)) for at, spread in
                   ((1.0, 0.12), (0.0, 0.08)))
    unit = np.clip((x[:, IMAGES] + 1) / 2, 0, 1.25) ** gamma
    x[:, IMAGES] = gain * (2 * unit - 1) + level + rough
    return torch.from_numpy(x), torch.from_numpy(y)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--chests", type=Path, help="folder of chests, by default in OUT")
    parser.add_argument("--patients", type=int, default=170)
    parser.add_argument("--readers", type=int, default=4, help="for each two slices")
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    use_threads(options.threads)
    chests, folder = options.chests or options.out / "chests", options.out / "proposals"
    for one in (chests, folder):
        one.mkdir(parents=True, exist_ok=True)
    given, wanted = [], []
    for seed in range(FIRST_SEED, FIRST_SEED + options.patients):
        rng = np.random.default_rng([options.seed, seed])
        for look in proposed(folder, chests, seed):
            for x, y in samples(look, rng, options.readers):
                given.append(x.astype(np.float16))
                wanted.append(y.astype(np.float32))
    print(f"{len(given)} samples", flush=True)
    network = learned(np.stack(given), np.stack(wanted), options)
    save(options.out, folded(network), {
        "learning": "synthetic-supervised",
        "patients": f"{options.patients} synthetic chests, seeds {FIRST_SEED} to "
                    f"{FIRST_SEED + options.patients - 1}, two looks each; no real patient",
        "command": f"python Benchmarks/make_beside_network.py {options.out.name} "
                   f"--patients {options.patients} --readers {options.readers} "
                   f"--steps {options.steps} --batch {options.batch}",
        "samples": len(given), "step": options.steps})
    print(machine(options.threads))


def learned(given: np.ndarray, wanted: np.ndarray, options: argparse.Namespace) -> BesideNet:
    torch.manual_seed(options.seed)
    rng, network = np.random.default_rng(options.seed), BesideNet(learns=True).train()
    optimiser = torch.optim.AdamW(network.parameters(), lr=PEAK_RATE, weight_decay=WEIGHT_DECAY)
    began, mean = time.perf_counter(), np.zeros(2)
    for step in range(options.steps):
        rate = PEAK_RATE * min(1.0, (step + 1) / 100) * 0.5 * (
            1 + np.cos(np.pi * step / options.steps)) + 1e-6
        for group in optimiser.param_groups:
            group["lr"] = rate
        x, y = batch(rng, given, wanted, options.batch)
        moves = network(x)
        loss = F.smooth_l1_loss(moves, y)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        off = np.array([float((moves - y).abs().mean().detach()), float(y.abs().mean())])
        mean = off if step == 0 else 0.99 * mean + 0.01 * off
        if step % 250 == 249 or step + 1 == options.steps:
            print(f"step {step + 1} of {options.steps}, off by {mean[0]:.2f} mm of {mean[1]:.2f}, "
                  f"{time.perf_counter() - began:.0f} s", flush=True)
    return network


if __name__ == "__main__":
    run(main)
