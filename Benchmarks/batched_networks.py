"""One network a slice, all slices at once: which way of batching is quickest?

Every way has the same weights, images and masks, and takes one step: forward and backward of the
fast preset's U-Net on the crop of a typical study. All must give the same logits and gradients.

    python Benchmarks/batched_networks.py
    python Benchmarks/batched_networks.py --device cuda
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from common import (
    REPORTED_SEED,
    bars,
    machine,
    parser_of,
    run,
    table,
    use_threads,
)
from torch import Tensor

from deepgmm.methods.networks import FAST_SHAPE
from deepgmm.model.batch import PixelBatch
from deepgmm.model.devices import few_threads
from deepgmm.model.unet import SliceConv, SliceUNet
from deepgmm.phantom import make_patient
from deepgmm.study.normalisation import normalise

TISSUES = 4
#: Largest difference between the ways, of logits and of gradients, as a share of the largest.
SAME = 1e-5


@dataclass
class Networks:
    """The same networks as one batch, and each by itself."""

    together: SliceUNet
    alone: list[SliceUNet]

    @classmethod
    def of(cls, images: Tensor) -> Networks:
        def made(slices: int) -> SliceUNet:
            # every slice starts from the same draw, so one alone equals its row of the batch
            return SliceUNet(slices, images.shape[1], TISSUES, FAST_SHAPE).to(images.device)
        return cls(made(len(images)), [made(1) for _ in images])

    def forget(self) -> None:
        for network in (self.together, *self.alone):
            network.zero_grad(set_to_none=True)


#: One step: the logits (slices, tissues, rows, columns); gradients are left in `together`.
Step = Callable[[Networks, Tensor, Tensor], Tensor]


def grouped(networks: Networks, images: Tensor, mask: Tensor) -> Tensor:
    """Convolutions grouped by slice."""
    return stepped(networks.together, images, mask)


def ours(networks: Networks, images: Tensor, mask: Tensor) -> Tensor:
    """As the library does it: grouped, and a small batch in one thread."""
    with few_threads(int(mask.sum())):
        return grouped(networks, images, mask)


def channels_last(networks: Networks, images: Tensor, mask: Tensor) -> Tensor:
    with convolving(_channels_last):
        return grouped(networks, images, mask)


def unfolded(networks: Networks, images: Tensor, mask: Tensor) -> Tensor:
    """im2col: every window a column, then one batched product."""
    with convolving(_unfolded):
        return grouped(networks, images, mask)


def mapped(networks: Networks, images: Tensor, mask: Tensor) -> Tensor:
    """torch.func.vmap of one slice's network over the stacked parameters."""
    def forward(weights: dict[str, Tensor], image: Tensor, inside: Tensor) -> Tensor:
        single = {name: weight[None] for name, weight in weights.items()}
        return torch.func.functional_call(networks.alone[0], single,
                                          (image[None], inside[None]))[0]
    logits = torch.func.vmap(forward)(dict(networks.together.named_parameters()), images, mask)
    logits.square().sum().backward()
    return logits


def in_threads(networks: Networks, images: Tensor, mask: Tensor) -> Tensor:
    """A plain network a slice, one thread a slice, as many at once as there are threads."""
    def one(index: int) -> Tensor:
        return stepped(networks.alone[index], images[index : index + 1], mask[index : index + 1])
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(threads) as pool:
            logits = list(pool.map(one, range(len(images))))
    finally:
        torch.set_num_threads(threads)
    each = zip(*(network.parameters() for network in networks.alone), strict=True)
    for weight, parts in zip(networks.together.parameters(), each, strict=True):
        weight.grad = torch.cat([part.grad for part in parts])
    return torch.cat(logits)


def stepped(network: SliceUNet, images: Tensor, mask: Tensor) -> Tensor:
    logits = network(images, mask)
    logits.square().sum().backward()
    return logits


WAYS: dict[str, Step] = {
    "grouped, small batches in one thread (ours)": ours, "grouped": grouped,
    "grouped, channels last": channels_last,
    "`torch.func.vmap`": mapped, "im2col, batched products": unfolded,
    "slices in threads": in_threads}


def _channels_last(conv: SliceConv, x: Tensor) -> Tensor:
    slices, channels, height, width = x.shape
    weight, last = conv.weight.flatten(0, 1), torch.channels_last
    y = F.conv2d(x.reshape(1, slices * channels, height, width).contiguous(memory_format=last),
                 weight.contiguous(memory_format=last), conv.bias.flatten(),
                 padding=weight.shape[-1] // 2, groups=slices)
    return y.reshape(slices, -1, height, width)


def _unfolded(conv: SliceConv, x: Tensor) -> Tensor:
    size = conv.weight.shape[-1]
    windows = F.unfold(x, size, padding=size // 2)
    y = torch.baddbmm(conv.bias[:, :, None], conv.weight.flatten(2), windows)
    return y.reshape(len(x), -1, *x.shape[2:])


@contextmanager
def convolving(forward: Callable[[SliceConv, Tensor], Tensor]):
    """Every `SliceConv` computes in another way for a while."""
    before = SliceConv.forward
    SliceConv.forward = forward  # type: ignore[method-assign]
    try:
        yield
    finally:
        SliceConv.forward = before  # type: ignore[method-assign]


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--device", default="cpu", help="cpu or cuda; cpu by default")
    parser.add_argument("--slices", type=int, nargs="+", default=[1, 5, 20])
    parser.add_argument("--repeats", type=int, default=9, help="timings, of which the median")
    options = parser.parse_args()
    use_threads(options.threads)
    device = torch.device(options.device)
    print(f"One step (forward and backward, float32) of U-Nets with {FAST_SHAPE.filters} filters "
          f"and {FAST_SHAPE.levels} levels, one a slice, on phantom slices from seed "
          f"{REPORTED_SEED}; median of {options.repeats} rounds, in each of which every way takes "
          "its turn; no truth, no labels. Device: "
          + (torch.cuda.get_device_name(device) if device.type == "cuda" else device.type) + ".")
    print(machine(options.threads) + "\n")
    rows, checks = [], []
    for count in options.slices:
        images, mask = crops(count, device)
        seconds, apart = measured(images, mask, options.repeats)
        own = next(iter(seconds.values()))
        for name, each in seconds.items():
            rows.append((str(count), f"{images.shape[2]} x {images.shape[3]}", name,
                         f"{1e3 * each:.1f} ms", f"{each / own:.2f}", f"{apart[name]:.0e}"))
        checks.append((f"all ways give the same, {count} slices", f"within {SAME:.0e}",
                       f"{max(apart.values()):.0e}", max(apart.values()) <= SAME))
        quickest = min(seconds.values())
        checks.append((f"ours, {count} slices", "at most 1.1 times the quickest",
                       f"{own / quickest:.2f} times", own <= 1.1 * quickest))
    print(table(("slices", "crop", "way", "one step", "time over ours", "difference"), rows))
    print(bars(checks))


def crops(count: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Images (slices, sequences, rows, columns) and masks, as `fit_deep` lays them out."""
    studies = [make_patient(REPORTED_SEED + i, slices=min(count, 5), shape=(160, 160)).study
               for i in range(-(-count // 5))]
    values = np.concatenate([normalise(study, study.slices)[0] for study in studies])[:count]
    mask = np.concatenate([study.mask for study in studies])[:count]
    batch = PixelBatch.from_images(values, mask, device=device, dtype=torch.float32)
    side = FAST_SHAPE.multiple
    height, width = (-(-length // side) * side for length in batch.shape)
    return (batch.grid(batch.values, (height, width)),
            batch.grid(batch.valid[:, :, None], (height, width)))


def measured(images: Tensor, mask: Tensor,
             repeats: int) -> tuple[dict[str, float], dict[str, float]]:
    """Median seconds of each way, and how far its results lie from the first's."""
    networks = Networks.of(images)
    seconds: dict[str, list[float]] = {name: [] for name in WAYS}
    apart, reference = {}, None
    for turn in range(repeats + 1):  # the first is not counted
        for name, step in WAYS.items():
            networks.forget()
            began = now(images.device)
            logits = step(networks, images, mask)
            if turn:
                seconds[name].append(now(images.device) - began)
                continue
            made = (logits.detach().flatten(),
                    torch.cat([weight.grad.flatten() for weight in networks.together.parameters()]))
            reference = reference or made
            apart[name] = max(float((a - b).abs().max() / b.abs().max())
                              for a, b in zip(made, reference, strict=True))
    return {name: statistics.median(each) for name, each in seconds.items()}, apart


def now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


if __name__ == "__main__":
    run(main)
