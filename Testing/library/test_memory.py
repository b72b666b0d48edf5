"""A GPU that is too small costs time, not the result."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import deepgmm.methods.networks as networks
from deepgmm import Method, Settings, segment
from deepgmm.methods.memory import within_memory
from deepgmm.model.batch import PixelBatch
from deepgmm.phantom import make_patient


def test_halves_give_what_the_whole_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for the GPU's limit: more than one slice at once is too much."""
    study = make_patient(3, slices=3).study
    whole = segment(study, Settings(method=Method.DEEPSVG))
    fitted, real = [], networks.fit_deep

    def small(batch: PixelBatch, *words, **options):
        if batch.slices > 1:
            raise torch.OutOfMemoryError("out of memory")
        fitted.append(batch.slices)
        return real(batch, *words, **options)
    monkeypatch.setattr(networks, "fit_deep", small)
    pieces = segment(study, Settings(method=Method.DEEPSVG))
    assert set(fitted) == {1}
    assert any("smaller groups" in w for w in pieces.warnings)
    # AdamW amplifies the rounding of float32: a few labels differ
    assert (pieces.labels == whole.labels)[study.mask].mean() > 0.95
    mean = [np.mean([f.nll for f in result.fits]) for result in (pieces, whole)]
    assert mean[0] == pytest.approx(mean[1], abs=0.01)


def test_one_slice_too_large_for_the_gpu_goes_to_the_cpu() -> None:
    """The device named `meta` stands in for a GPU that holds nothing."""
    mask = np.ones((2, 8, 8), dtype=bool)
    batch = PixelBatch.from_images(np.random.default_rng(0).normal(size=(2, 1, 8, 8)), mask)
    seen = []

    def run(part: PixelBatch, index: torch.Tensor):
        from deepgmm.model.em import fit_em
        from deepgmm.model.mixture import m_step

        seen.append((part.values.device.type, index.tolist()))
        if part.values.device.type != "cpu":
            raise torch.OutOfMemoryError("out of memory")
        here = batch.select(index)
        return fit_em(here, m_step(here, here.valid[..., None]), max_iterations=2)

    class OnMeta:
        """The batch, whose pieces lie on another device until they are moved."""

        slices, values = batch.slices, batch.values.to("meta")

        def select(self, index: torch.Tensor) -> PixelBatch:
            return batch.select(index.to("cpu") if index.device.type == "cpu"
                                else torch.arange(len(index)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("deepgmm.model.fit.Fit.joined",
                      classmethod(lambda cls, fits, device: fits[0]))
        fit = within_memory(OnMeta(), run)
    assert ("meta", [0, 1]) in seen and ("cpu", [0]) in seen and ("cpu", [1]) in seen
    assert any("on the CPU" in w for w in fit.warnings)


def test_too_large_for_everything_is_said() -> None:
    batch = PixelBatch.from_images(np.zeros((1, 1, 4, 4)), np.ones((1, 4, 4), dtype=bool))

    def run(part: PixelBatch, index: torch.Tensor):
        raise torch.OutOfMemoryError("out of memory")
    with pytest.raises(MemoryError, match="one slice alone"):
        within_memory(batch, run)
