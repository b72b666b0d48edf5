"""The descent of the deep fits: who leaves the batch, what waits for the device, bfloat16."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from test_deep import SMALL, a_picture

from deepgmm import Method, Settings, segment
from deepgmm.methods.networks import PLANS
from deepgmm.model.batch import PixelBatch
from deepgmm.model.deep import DeepOptions, fit_deep, objective
from deepgmm.model.descent import Descent, Networks, Patience
from deepgmm.model.unet import SliceUNet
from deepgmm.phantom import make_patient
from deepgmm.settings import Preset
from deepgmm.study.study import Study

#: With these, four slices of `a_picture` stop at four different steps.
APART = DeepOptions(shape=SMALL, steps=50, learning_rate=1e-2, tolerance=3e-2, patience=1)


def networks_of(batch: PixelBatch, *, mixed: bool = False) -> Networks:
    shape = (24, 24)
    network = SliceUNet(batch.slices, batch.sequences, 4, SMALL, seed=1,
                        dtype=batch.values.dtype)
    return Networks(network, batch, batch.grid(batch.values, shape),
                    batch.grid(batch.valid[:, :, None], shape), mixed=mixed)


def test_slices_that_leave_change_nothing_for_those_that_stay(
        monkeypatch: pytest.MonkeyPatch) -> None:
    """METHOD 13 with slices that stop at different steps: each is as it would be alone."""
    images, mask = a_picture(slices=4)
    sizes: list[int] = []
    real = Networks.keep

    def watched(self: Networks, index: torch.Tensor) -> None:
        real(self, index)
        sizes.append(self.batch.slices)
    monkeypatch.setattr(Networks, "keep", watched)
    together = fit_deep(PixelBatch.from_images(images, mask), 4, APART, seed=3)
    assert len(set(together.iterations.tolist())) == 4
    assert sizes == [2, 1]
    for s in range(4):
        alone = fit_deep(PixelBatch.from_images(images[s:s + 1], mask[s:s + 1]), 4, APART,
                         seed=3)
        pixels = int(mask[s].sum())
        assert int(alone.iterations[0]) == int(together.iterations[s])
        assert bool(alone.converged[0]) == bool(together.converged[s])
        assert alone.traces[0] == pytest.approx(together.traces[s], abs=1e-9)
        assert float(alone.nll[0]) == pytest.approx(float(together.nll[s]), abs=1e-9)
        torch.testing.assert_close(alone.responsibilities[0, :pixels],
                                   together.responsibilities[s, :pixels], atol=1e-7, rtol=0)


def test_slices_that_stay_after_they_stopped_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a GPU they stay until the next look, which is seldom."""
    import deepgmm.model.descent as descent

    batch = PixelBatch.from_images(*a_picture(slices=4))
    left = fit_deep(batch, 4, APART, seed=3)
    monkeypatch.setattr(descent, "LEAVING", 0.0)
    stayed = fit_deep(batch, 4, APART, seed=3)
    assert torch.equal(left.iterations, stayed.iterations)
    torch.testing.assert_close(left.nll, stayed.nll, atol=1e-9, rtol=0)


def test_a_step_asks_no_number_of_the_device() -> None:
    """The device named `meta` holds no numbers: whatever waits for one raises there."""
    batch = PixelBatch.from_images(*a_picture(), dtype=torch.float32).on("meta")
    networks = networks_of(batch)
    networks.network.to("meta")
    descent = Descent(networks.network, 1e-2)
    patience = Patience.of(batch, 4, steps=20)
    options = DeepOptions(variation_weight=0.1, mean_weight=0.1)
    target = torch.zeros((4, 2), device="meta")
    for step in (0, 11):
        w = networks.responsibilities()
        loss, _ = objective(batch, w, options, target)
        patience.see(step, loss.detach(), w.detach(), tolerance=1e-3, patience=5,
                     minimum_steps=10)
        torch.where(patience.running, loss, 0.0).sum().backward()
        descent.step()
    with pytest.raises(RuntimeError, match="meta"):
        bool(patience.running.any())


def test_its_steps_are_those_of_torchs_adamw() -> None:
    """Also once slices have left, whose weights torch's own would have to keep."""
    batch = PixelBatch.from_images(*a_picture(slices=4))
    ours, theirs = networks_of(batch), networks_of(batch)
    descent = Descent(ours.network, 1e-2)
    optimiser = torch.optim.AdamW(theirs.network.parameters(), lr=1e-2)
    stay = torch.tensor([0, 2])
    for step in range(6):
        if step == 3:
            descent.keep(stay)
            ours.keep(stay)
        optimiser.zero_grad()
        for networks in (ours, theirs):
            w = networks.responsibilities()
            objective(networks.batch, w, DeepOptions(), None)[0].sum().backward()
        descent.step()
        optimiser.step()
    for our, their in zip(ours.network.parameters(), theirs.network.parameters(), strict=True):
        torch.testing.assert_close(our, their[stay], atol=1e-9, rtol=0)
        assert our.grad is None


def test_no_compiler_is_loaded_for_it() -> None:
    code = """
import sys
from deepgmm import Settings, segment
from deepgmm.phantom import make_patient
result = segment(make_patient(3, slices=1, shape=(96, 96)).study, Settings(method="deepg"))
assert result.fits[0].iterations > 11
print("torch._dynamo" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout.split()) == (0, ["False"]), done.stderr


def test_bfloat16_in_the_network_alone() -> None:
    batch = PixelBatch.from_images(*a_picture(), dtype=torch.float32)
    exact, mixed = (networks_of(batch, mixed=m).responsibilities().detach()
                    for m in (False, True))
    assert mixed.dtype == torch.float32
    torch.testing.assert_close(mixed.sum(2), batch.valid, atol=1e-6, rtol=0)
    assert 0 < float((mixed - exact).abs().max()) < 0.1
    nll = [fit_deep(batch, 4, DeepOptions(shape=SMALL, steps=60, learning_rate=1e-2, mixed=m),
                    seed=1).nll.mean() for m in (False, True)]
    assert float(nll[1]) == pytest.approx(float(nll[0]), abs=0.05)


@pytest.fixture(scope="module")
def a_study() -> Study:
    return make_patient(3, slices=2, shape=(96, 96)).study


def test_rounds_of_the_fast_preset_are_told_as_one_fit(a_study: Study) -> None:
    result = segment(a_study, Settings(method=Method.DEEPSVG))
    most = sum(steps for _, steps in PLANS[Preset.FAST].rounds)
    for fit in result.fits:
        assert 11 < fit.iterations <= most
        rounds = len(PLANS[Preset.FAST].rounds)
        assert len(fit.trace) == fit.iterations + rounds  # each round tells where it starts
        assert fit.trace[-1] < fit.trace[0]


def test_total_variation_smooths_and_at_weight_0_is_absent(
        a_study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    def jumps(weight: float) -> int:
        settings = Settings(method=Method.DEEPSVG, total_variation=weight)
        labels = segment(a_study, settings).labels
        inside = a_study.mask[:, :, 1:] & a_study.mask[:, :, :-1]
        return int(((labels[:, :, 1:] != labels[:, :, :-1]) & inside).sum())
    smooth = jumps(1.0)
    monkeypatch.setattr("deepgmm.model.deep.total_variation",
                        lambda *_: pytest.fail("weight 0 must not compute it"))
    assert smooth < 0.5 * jumps(0.0)


def test_what_one_study_lacks_the_study_beside_it_keeps() -> None:
    """The network invents no disease that the start found absent."""
    from deepgmm import segment_many

    studies = [make_patient(7, slices=2, shape=(96, 96), patient_set=kind).study
               for kind in ("healthy", "typical")]
    healthy, typical = segment_many(studies, Settings(method=Method.DEEPSVG))
    assert any("no scar" in w for w in healthy.warnings)
    assert not (healthy.labels == 4).any()
    assert (typical.labels == 4).any()
