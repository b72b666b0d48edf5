"""Studies made into examples: what a network reads, what a teacher says, what a person labelled."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import interpolate

from deepgmm.methods import Case
from deepgmm.methods.network_input import (
    images_of,
    margin_of,
    pixel_of,
    resized,
    scale_of,
)
from deepgmm.model.architecture import INPUTS
from deepgmm.model.learning import Examples
from deepgmm.progress import Progress, silent
from deepgmm.segment import prepared, segment_many
from deepgmm.settings import Device, Method, Settings
from deepgmm.study.study import Study
from deepgmm.study.words import FOUR_TISSUES, Tissue

Labelled = tuple[Study, npt.NDArray[np.uint8] | None]


def make_examples(cases: Iterable[Labelled], settings: Settings | None = None, *,
                  teach: bool = True, inputs: int = INPUTS,
                  progress: Progress = silent,
                  ) -> tuple[Examples, torch.Tensor]:
    """Every masked slice of some studies, normalised and laid out.

    Parameters
    ----------
    cases : a study, and labels (slices, rows, columns) as in our labelmaps or None. Inside the
        LV mask, 0 and 255 say that a pixel is not labelled; microvascular obstruction is scar.
    settings : priors, and what the teacher is run with; its method is always `map`.
    teach : whether the teacher is asked; its answer to each study is then part of the examples.
    inputs : channels of the network that is to learn from them: whether it sees what lies around
        the mask.

    Returns
    -------
    The examples, on the CPU in float32, and (S,) which case each is of, in their order.

    Raises
    ------
    InputError : a study that cannot be fitted; as `segment`.
    """
    settings = replace(settings or Settings(), method=Method.MAP, device=Device.CPU)
    parts: list[Examples] = []
    owner: list[int] = []
    for number, (study, labels, taught) in enumerate(_taught(cases, settings, teach)):
        case = prepared(study, settings)
        parts.append(_examples(case, labels, taught, inputs))
        owner += [number] * len(parts[-1])
        progress(0.0, f"teacher, study {number + 1}" if teach else f"study {number + 1}")
    return Examples.joined(parts), torch.tensor(owner)


def _taught(cases: Iterable[Labelled], settings: Settings,
            teach: bool) -> Iterator[tuple[Study, npt.NDArray | None, npt.NDArray | None]]:
    """Cases with the teacher's posterior (slices, K, rows, columns), a few in memory at a time."""
    waiting: list[Labelled] = []

    def studies() -> Iterator[Study]:
        for study, labels in cases:
            waiting.append((study, labels))
            yield study
    if not teach:
        yield from ((study, labels, None) for study, labels in cases)
        return
    for result in segment_many(studies(), settings):
        study, labels = waiting.pop(0)
        full = np.zeros((len(study.mask), len(FOUR_TISSUES), *study.mask.shape[1:]), np.float32)
        full[:, [FOUR_TISSUES.index(t) for t in result.tissues]] = result.posterior
        yield study, labels, full


def _examples(case: Case, labels: npt.NDArray | None, taught: npt.NDArray | None,
              inputs: int) -> Examples:
    margin = margin_of(inputs, pixel_of(case))
    images = images_of(case, margin=margin)
    chosen, batch = list(case.slices), case.batch
    corner = batch.corner.tolist()
    height, width = batch.shape

    def crops(grid: npt.NDArray, empty: float) -> npt.NDArray:
        """The batch's crop of every slice of (slices, ..., rows, columns)."""
        out = np.full((len(chosen), *grid.shape[1:-2], height, width), empty, grid.dtype)
        for i, (row, column) in enumerate(corner):
            part = grid[chosen[i]][..., row : row + height, column : column + width]
            out[i][..., : part.shape[-2], : part.shape[-1]] = part
        return np.pad(out, [(0, 0)] * (out.ndim - 2) + [(margin, margin)] * 2,
                      constant_values=empty)
    inside = images.inside[:, 0] > 0
    wanted = torch.full(inside.shape, -1, dtype=torch.int64)
    if labels is not None:
        index = np.full(256, -1, dtype=np.int64)
        for k, tissue in enumerate(FOUR_TISSUES):
            index[tissue] = k
        index[Tissue.MVO] = index[Tissue.SCAR]
        wanted = torch.as_tensor(index[crops(labels, 0)]).masked_fill(~inside, -1)
    answer = None
    if taught is not None:
        answer = torch.as_tensor(crops(taught, 0.0)) * inside[:, None]
    return _at_scale(Examples(**vars(images), teacher=answer, labels=wanted), pixel_of(case))


def _at_scale(examples: Examples, pixel: float) -> Examples:
    """The examples as a network will see such images; see `logits_of`."""
    factor = scale_of(pixel)
    if factor == 1:
        return examples
    seen = resized(examples, factor)
    labels, teacher = examples.labels, examples.teacher
    if labels is not None:
        nearest = interpolate(labels[:, None].to(torch.float32), seen.canvas, mode="nearest")
        labels = torch.where(seen.inside[:, 0] > 0, nearest[:, 0].long(), -1)
    if teacher is not None:
        share = interpolate(teacher, seen.canvas, mode="bilinear", align_corners=False)
        teacher = share / share.sum(1, keepdim=True).clamp_min(1e-6) * seen.inside
    return replace(seen, labels=labels, teacher=teacher)
