"""Make the network that proposes the LV mask, from synthetic chests alone.

    python Benchmarks/make_mask_network.py OUT            chests are made once and kept in OUT
    python Benchmarks/make_mask_network.py OUT --resume   goes on where it was stopped

No real patient is learned from. What each sample is, a few slices of one look of one chest, turned,
mirrored, stretched, blurred, shaded and cropped from around the heart to the whole chest, is drawn
anew each time. It learns in two goes: in the second and slower one slices at both ends, where it
is hardest to say whether there is a ventricle, come oftener. Weights are averaged over the last
steps of each (Polyak and Juditsky 1992), and the network is the mean of both. The same command on
the same machine gives the same weights.
"""

from __future__ import annotations

import argparse
import copy
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from common import machine, run, use_threads
from safetensors.torch import load_file, save_file
from scipy.ndimage import gaussian_filter
from torch import Tensor
from whole_chest import PIXEL, SIDE, chest

from deepgmm.model.outline import OutlineNet, folded

#: Pixels of a training crop's side; it is 160 mm wide.
CROP = 80
WEIGHT_DECAY = 1e-4
#: Of each go its steps, the most it learns at, and of all slices how many are taken from the ends.
GOES = ((12000, 3e-3, 0.0), (13000, 1.5e-3, 0.3))
#: Seeds of the chests; the network that is shown a drawn slice learns from others.
FIRST_SEED, FIRST_CHESTS = 100_000, 280
#: Of the mean of the weights, how much stays from one step to the next.
STAYS = 0.998


class Pool:
    """Chests, made where they are not yet, kept on disk and read into memory as they are used."""

    def __init__(self, folder: Path, count: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.count = folder, count
        self.chests: list[dict[str, Tensor]] = []

    def grown(self, step: int) -> None:
        """Learning begins with some, and has all of them later."""
        while len(self.chests) < min(self.count, FIRST_CHESTS + step // 2):
            file = self.folder / f"{FIRST_SEED + len(self.chests)}.npz"
            if not file.exists():
                made(self.folder, FIRST_SEED + len(self.chests))
            with np.load(file) as held:
                self.chests.append({name: torch.from_numpy(held[name]) for name in held.files})

    def batch(self, rng: np.random.Generator, size: int, ends: float) -> tuple[Tensor, Tensor]:
        """Channels (N, 4, CROP, CROP) and shares of background, wall and pool (N, 3, ...).

        Parameters
        ----------
        ends : share of the slices that are taken from a ventricle's ends.
        """
        parts = [self._raw(rng, ends) for _ in range(size)]
        images = torch.stack([image for image, _, _ in parts])
        sampled = F.grid_sample(images, torch.stack([grid for _, grid, _ in parts]),
                                align_corners=False)
        seen = (sampled[:, 5:] > 0.99) & torch.stack([window for *_, window in parts])
        wall, pool = sampled[:, 3:4], sampled[:, 4:5]
        channels = torch.stack([_seen(rng, image, mask)
                                for image, mask in zip(sampled[:, :3], seen[:, 0])])
        return channels, torch.cat([1 - wall - pool, wall, pool], 1)

    def _raw(self, rng: np.random.Generator, ends: float) -> tuple[Tensor, Tensor, Tensor]:
        """(6, SIDE, SIDE) three slices, wall, pool, one; the grid to sample it at; a window."""
        one = self.chests[int(rng.integers(len(self.chests)))]
        images, pool, wall = one["images"], one["pool"], one["wall"]
        look, i = int(rng.integers(len(images))), int(rng.integers(len(pool)))
        if rng.random() < ends:
            i = _at_an_end(rng, one)
        step = int(rng.choice([-1, 1])) * (2 if rng.random() < 0.1 else 1)
        stack = torch.zeros(6, SIDE, SIDE)
        for k, j in enumerate((i - step, i, i + step)):
            if 0 <= j < len(pool) and (j == i or rng.random() > 0.1):
                stack[k] = images[look, j].float()
        stack[3], stack[4], stack[5] = wall[i].float() / 255, pool[i].float() / 255, 1.0
        # breath-holds: neighbours lie elsewhere
        for k in (0, 2):
            stack[k] = torch.roll(stack[k], tuple(np.round(rng.normal(0, 0.7, 2)).astype(int)),
                                  (0, 1))
        held = (pool.float() + wall.float()).amax(0) > 127
        rows, columns = (torch.nonzero(held.any(axis))[:, 0].float() for axis in (1, 0))
        if not len(rows):
            rows = columns = torch.tensor([SIDE / 2 - 10.0, SIDE / 2 + 10.0])
        box = np.array([[float(rows.min()), float(rows.max())],
                        [float(columns.min()), float(columns.max())]])
        angle, zoom = rng.uniform(0, 2 * np.pi), float(np.exp(rng.uniform(-0.22, 0.22)))
        stretch = float(np.exp(rng.normal(0, 0.05)))
        cos, sin = np.cos(angle), np.sin(angle)
        turn = np.array([[cos, -sin], [sin, cos]]) @ np.diag(
            [zoom * stretch * rng.choice([-1, 1]), zoom / stretch])
        middle = box.mean(1)
        near = rng.random() < 0.8
        middle = (middle + rng.uniform(-28, 28, 2) * (rng.random() < 0.7) if near
                  else rng.uniform(20, SIDE - 20, 2))
        line = (np.arange(CROP) - (CROP - 1) / 2)
        y, x = np.meshgrid(line, line, indexing="ij")
        at = turn @ np.stack([y.ravel(), x.ravel()]) + middle[:, None]
        grid = (2 * at + 1) / SIDE - 1
        grid = torch.from_numpy(grid[::-1].T.reshape(CROP, CROP, 2).copy()).float()
        window = torch.ones(1, CROP, CROP, dtype=torch.bool)
        if near and rng.random() < 0.45:  # cropped around the heart
            half = (box[:, 1] - box[:, 0]).max() / 2 / zoom
            corner = np.linalg.solve(turn, box.mean(1) - middle)[:, None] + half * np.array(
                [-1, 1]) + np.array([-1, 1]) * rng.uniform(2, 24, (2, 2))
            low, high = (np.clip(corner + CROP / 2, 0, CROP).astype(int)).T
            window[:] = False
            window[:, low[0]:max(high[0], low[0] + 12), low[1]:max(high[1], low[1] + 12)] = True
        elif rng.random() < 0.08:
            away = (torch.from_numpy(grid.numpy()) * SIDE / 2 - 0).norm(dim=-1)
            window &= (away < rng.uniform(50, 90))[None]
        return stack, grid, window


def _at_an_end(rng: np.random.Generator, one: dict[str, Tensor]) -> int:
    """A slice that is outlined as the first or last, or lies just beyond."""
    held = torch.nonzero(((one["pool"] > 127) | (one["wall"] > 127)).any(-1).any(-1))[:, 0]
    if not len(held):
        return int(rng.integers(len(one["pool"])))
    first, last = int(held[0]), int(held[-1])
    return int(rng.choice([i for i in (first - 1, first, last, last + 1)
                           if 0 <= i < len(one["pool"])]))


def made(folder: Path, seed: int) -> None:
    one = chest(seed)
    part = folder / f"{seed}.part.npz"
    np.savez(part, images=one.images, pool=one.pool, wall=one.wall)
    part.rename(folder / f"{seed}.npz")


def _seen(rng: np.random.Generator, image: Tensor, mask: Tensor) -> Tensor:
    """(4, H, W) from three slices: what the library makes of images, after some mischief."""
    if rng.random() < 0.3:  # a coarser scan; a slice that is not there stays so
        there = (image != 0).any(-1).any(-1)[:, None, None]
        image = _blurred(image, float(rng.uniform(0.3, 1.1))) * there
    if rng.random() < 0.35:
        image = image * _shading(rng)
    gamma = float(np.exp(rng.uniform(-0.45, 0.45)))
    rough = float(rng.uniform(0, 0.08)) * (rng.random() < 0.5)
    noise = torch.from_numpy(rng.standard_normal(image.shape, np.float32)) * rough
    out = []
    for one, more in zip(image, noise):
        scaled = normalised(one, mask)
        unit = ((scaled + 1) / 2).clamp(0, 1.25) ** gamma
        out.append(torch.where(mask & (one != 0).any(), 2 * unit - 1 + more, 0.0))
    return torch.stack([*out, mask.float()])


def _blurred(image: Tensor, sigma: float) -> Tensor:
    return torch.from_numpy(gaussian_filter(image.numpy(), (0, sigma, sigma), mode="nearest",
                                            radius=(0, 3, 3)))


def _shading(rng: np.random.Generator) -> Tensor:
    """(CROP, CROP) of a coil, more than the chests have of their own."""
    c, line = rng.normal(0, 0.35, 5), np.linspace(-1, 1, CROP)
    y, x = np.meshgrid(line, line, indexing="ij")
    log = c[0] * y + c[1] * x + 0.5 * (c[2] * x * y + c[3] * x * x + c[4] * y * y)
    return torch.from_numpy(np.exp(np.clip(log, -1, 1)).astype(np.float32))


def normalised(image: Tensor, mask: Tensor) -> Tensor:
    """As `deepgmm.propose.canonical` does: the 2nd to 98th percentile to -1 to 1, cut."""
    values = image[mask]
    if not len(values):
        return torch.zeros_like(image)
    low, high = (float(v) for v in torch.quantile(values[::3], torch.tensor([0.02, 0.98])))
    return (2 * (image - low) / max(high - low, 1e-6) - 1).clamp(-1.5, 1.5)


def loss_of(logits: Tensor, shares: Tensor) -> Tensor:
    """Cross entropy and overlap of the batch."""
    log = torch.log_softmax(logits, 1)
    cross = -(shares * log).sum(1).mean()
    p = log.exp()
    both = (p * shares).sum((0, 2, 3))
    overlap = 2 * both / ((p * p).sum((0, 2, 3)) + (shares * shares).sum((0, 2, 3)) + 1)
    return cross + 0.5 * (1 - overlap[1:]).mean()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--chests", type=Path, help="folder of chests, by default in OUT")
    parser.add_argument("--patients", type=int, default=1800)
    parser.add_argument("--steps", type=int, nargs="+", default=[steps for steps, *_ in GOES],
                        help="of each go")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--resume", action="store_true")
    options = parser.parse_args()
    if len(options.steps) > len(GOES) or min(options.steps) < 1:
        parser.error(f"--steps takes one to {len(GOES)} numbers over 0")
    options.out.mkdir(parents=True, exist_ok=True)
    use_threads(options.threads)
    pool = Pool(options.chests or options.out / "chests", options.patients)
    torch.manual_seed(options.seed)
    network = OutlineNet(learns=True).train().to(memory_format=torch.channels_last)
    mean_of = copy.deepcopy(network)
    optimiser = torch.optim.AdamW(network.parameters(), lr=GOES[0][1], weight_decay=WEIGHT_DECAY)
    state, first = options.out / "training.safetensors", 0
    if options.resume and state.exists():
        first = restored(state, network, mean_of, optimiser)
    began, mean = time.perf_counter(), None
    plan = [(peak, ends, k, steps) for steps, (_, peak, ends) in zip(options.steps, GOES)
            for k in range(steps)]
    for step in range(first, len(plan)):
        peak, ends, k, steps = plan[step]
        rng = np.random.default_rng([options.seed, step])
        pool.grown(step)
        channels, shares = pool.batch(rng, options.batch, ends)
        rate = peak * min(1.0, (k + 1) / 100) * 0.5 * (1 + np.cos(np.pi * k / steps)) + 1e-6
        for group in optimiser.param_groups:
            group["lr"] = rate
        with torch.autocast("cpu", dtype=torch.bfloat16):  # twice as quick where there are such
            logits = network(channels.to(memory_format=torch.channels_last))
        loss = loss_of(logits.float(), shares)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 2.0)
        optimiser.step()
        followed(mean_of, network, min(STAYS, (step + 1) / (step + 20)))
        mean = float(loss.detach()) if mean is None else 0.98 * mean + 0.02 * float(loss.detach())
        if step % 50 == 49 or step + 1 == len(plan):
            print(f"step {step + 1} of {len(plan)}, loss {mean:.4f}, "
                  f"{time.perf_counter() - began:.0f} s", flush=True)
        if step % 100 == 99 or step + 1 == len(plan):
            kept(state, network, mean_of, optimiser, step + 1)
        if k + 1 == steps:
            save_file({name: v.contiguous() for name, v in mean_of.state_dict().items()},
                      options.out / f"go-{step + 1}.safetensors")
    goes = [load_file(options.out / f"go-{end}.safetensors") for end in np.cumsum(options.steps)]
    mean_of.load_state_dict({name: sum(one[name] for one in goes) / len(goes)
                             if v.is_floating_point() else v for name, v in goes[-1].items()})
    written(options, mean_of, len(plan), time.perf_counter() - began)
    print(machine(options.threads))


@torch.no_grad()
def followed(mean_of: OutlineNet, network: OutlineNet, stays: float) -> None:
    """The mean of the weights, moved towards them."""
    for mine, one in zip(mean_of.state_dict().values(), network.state_dict().values()):
        if mine.is_floating_point():
            mine.lerp_(one, 1 - stays)
        else:
            mine.copy_(one)


def kept(path: Path, network: OutlineNet, mean_of: OutlineNet, optimiser: torch.optim.Optimizer,
         step: int) -> None:
    tensors = {f"{name}.{k}": v.contiguous() for name, one in (("net", network), ("mean", mean_of))
               for k, v in one.state_dict().items()}
    for i, held in optimiser.state_dict()["state"].items():
        tensors |= {f"opt.{i}.{k}": v.contiguous().clone() for k, v in held.items()}
    part = path.with_suffix(".part")
    save_file(tensors, part, {"step": str(step)})
    part.rename(path)


def restored(path: Path, network: OutlineNet, mean_of: OutlineNet,
             optimiser: torch.optim.Optimizer) -> int:
    from safetensors import safe_open

    with safe_open(path, "pt") as held:
        tensors = {k: held.get_tensor(k) for k in held.keys()}  # noqa: SIM118
        step = int(held.metadata()["step"])
    for prefix, one in (("net.", network), ("mean.", mean_of)):
        one.load_state_dict({k.removeprefix(prefix): v for k, v in tensors.items()
                             if k.startswith(prefix)})
    state: dict = {}
    for name, value in tensors.items():
        if name.startswith("opt."):
            _, i, k = name.split(".")
            state.setdefault(int(i), {})[k] = value
    optimiser.load_state_dict({"state": state,
                               "param_groups": optimiser.state_dict()["param_groups"]})
    return step


def written(options: argparse.Namespace, network: OutlineNet, step: int, seconds: float) -> None:
    """The network as it ships, and its card."""
    from deepgmm.propose.network import save

    save(options.out, folded(network.eval()), {
        "learning": "synthetic-supervised",
        "patients": f"{options.patients} synthetic chests, seeds {FIRST_SEED} to "
                    f"{FIRST_SEED + options.patients - 1}, three looks each; no real patient",
        "command": f"python Benchmarks/make_mask_network.py {options.out.name} "
                   f"--patients {options.patients} --steps {' '.join(map(str, options.steps))} "
                   f"--batch {options.batch}",
        "step": step, "seconds": round(seconds), "pixel_mm": PIXEL})


if __name__ == "__main__":
    run(main)

