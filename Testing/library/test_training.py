"""One network learns from many images."""

from __future__ import annotations

import io
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from small_trainings import SIDE, small, some_examples, trained
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from deepgmm.errors import ComputationError, InputError
from deepgmm.model.architecture import Architecture
from deepgmm.model.architectures import build
from deepgmm.model.images import read
from deepgmm.model.learning import losses
from deepgmm.study.words import COLOURS, Tissue
from deepgmm.training.curves import curves_png
from deepgmm.training.loop import in_words, learning_rate, train_network
from deepgmm.training.machines import started
from deepgmm.training.order import Order, seed_of
from deepgmm.training.scores import scored
from deepgmm.training.settings import TrainingSettings

LABELS_ALONE = {"likelihood_weight": 0.0, "teacher_weight": 0.0, "bare": 1.0}
LIKELIHOOD_ALONE = {"likelihood_weight": 1.0, "teacher_weight": 0.0, "label_weight": 0.0}


def training_rows(rows: list[dict], name: str) -> list[float]:
    return [row["training"][name] for row in rows if "training" in row]


# What is learned

def test_cross_entropy_learns_two_slices_by_heart(tmp_path: Path) -> None:
    """Without mixture and posterior: a network, its softmax and labels."""
    done = trained(tmp_path, small(**LABELS_ALONE, steps=80, batch=2, filters=8,
                                    learning_rate=2e-2), slices=2)
    examples = some_examples(2)
    with torch.no_grad():
        answer = done.network(examples.channels(), examples.inside).argmax(1)
    known = examples.labels >= 0
    assert (answer == examples.labels)[known].float().mean() > 0.98
    assert training_rows(done.rows, "loss")[-1] < 0.1


def test_without_labels_the_likelihood_rises(tmp_path: Path) -> None:
    examples, held_out = some_examples(7, labelled=False), some_examples(5, 1, labelled=False)
    done = train_network(examples, held_out, small(**LIKELIHOOD_ALONE, steps=60), tmp_path)
    nll = training_rows(done.rows, "nll")
    assert nll == training_rows(done.rows, "loss")
    assert np.mean(nll[-5:]) < np.mean(nll[:5]) - 0.3
    assert "dice" not in done.scores
    with torch.no_grad():
        fresh, now = (read(held_out, net(held_out.channels(), held_out.inside), temperature=1.0)
                      for net in (build(small().architecture), done.network))
    assert now.nll.mean() < fresh.nll.mean() - 0.3


def test_the_loss_of_a_step_is_the_mean_over_its_images(tmp_path: Path) -> None:
    settings = small(steps=1, mean_weight=0.1, variation_weight=0.1)
    done = trained(tmp_path, settings)
    part = some_examples(7).select(torch.tensor([i for _, i in Order(0, 7).batch(0, 4)]))
    network = build(settings.architecture, seed=settings.seed)
    loss, reading = losses(part, network(part.channels(), part.inside), settings.objective)
    assert done.rows[0]["training"]["loss"] == pytest.approx(loss.mean().item(), rel=1e-6)
    assert done.rows[0]["training"]["nll"] == pytest.approx(reading.nll.mean().item(), rel=1e-6)


def test_the_gradients_norm_is_that_of_the_mean(tmp_path: Path) -> None:
    settings = small(steps=1)
    part = some_examples(7).select(torch.tensor([i for _, i in Order(0, 7).batch(0, 4)]))
    network = build(settings.architecture, seed=settings.seed)
    losses(part, network(part.channels(), part.inside), settings.objective)[0].mean().backward()
    norm = torch.stack([w.grad.square().sum() for w in network.parameters()]).sum().sqrt().item()
    assert trained(tmp_path, settings).rows[0]["training"]["gradient"] == pytest.approx(norm, 1e-5)


def test_three_steps_by_hand_lead_to_the_same_weights(tmp_path: Path) -> None:
    """AdamW, a gradient that is too long, a rising rate: up to half, to the peak, then down."""
    settings = small(steps=3, warm_up=0.67, clip=0.1, weight_decay=0.5, precision="float64")
    network, whole = build(settings.architecture).double(), some_examples(7).to(torch.float64)
    optimiser = torch.optim.AdamW(network.parameters(), weight_decay=0.5)
    for step, rate in enumerate((0.5e-2, 1e-2, 1e-2)):
        part = whole.select(torch.tensor([i for _, i in Order(0, 7).batch(step, 4)]))
        optimiser.zero_grad()
        logits = network(part.channels(), part.inside)
        losses(part, logits, settings.objective)[0].mean().backward()
        norm = torch.stack([w.grad.square().sum() for w in network.parameters()]).sum().sqrt()
        assert norm > 0.1
        for weight in network.parameters():
            weight.grad *= 0.1 / norm
        optimiser.param_groups[0]["lr"] = rate
        optimiser.step()
    done = trained(tmp_path, settings)
    for mine, theirs in zip(network.parameters(), done.network.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-8)


@pytest.mark.parametrize("network", ["unet", "modified-unet"])
def test_networks_by_name(tmp_path: Path, network: str) -> None:
    done = trained(tmp_path, small(network=network, steps=3))
    assert Architecture(name=network, filters=4, levels=1, convolutions=1) == small(
        network=network).architecture
    assert done.network(some_examples(1).channels(), some_examples(1).inside).shape[1] == 4


def test_a_canvas_that_the_network_cannot_halve_is_enlarged(tmp_path: Path) -> None:
    odd = some_examples(4)
    odd = replace(odd, **{name: value[..., 1:] for name, value in vars(odd).items()
                          if value is not None and value.shape[-1] == SIDE})
    assert train_network(odd, odd, small(steps=2, levels=2), tmp_path).scores["loss"] > 0


# Validation

def test_the_best_network_by_validation_is_the_one_given_back(tmp_path: Path) -> None:
    """Slices whose labels say the contrary: the better it learns, the worse it does there."""
    contrary = some_examples(4, seed=3)
    contrary.labels = torch.where(contrary.labels >= 0, 3 - contrary.labels, -1)
    settings = small(**LABELS_ALONE, steps=40, validate_every=5)
    done = trained(tmp_path, settings, validation=contrary)
    seen = {row["step"]: row["validation"]["loss"] for row in done.rows if "validation" in row}
    assert list(seen) == list(range(5, 41, 5))
    assert done.step == min(seen, key=seen.__getitem__) < 40
    again = scored(done.network, contrary, settings.objective, started(settings), batch=4)
    assert again["loss"] == pytest.approx(seen[done.step], abs=1e-12)
    assert again == done.scores


def test_patience_ends_a_training(tmp_path: Path) -> None:
    contrary = some_examples(4, seed=3)
    contrary.labels = torch.where(contrary.labels >= 0, 3 - contrary.labels, -1)
    done = trained(tmp_path, small(**LABELS_ALONE, steps=400, validate_every=5, patience=2),
                   validation=contrary)
    last = done.rows[-1]["step"]
    assert last == done.step + 10 and last < 400


def test_scores_are_those_of_a_count_by_hand() -> None:
    """A network that answers by the T2 image alone; two pixels are not labelled."""
    class ByT2(torch.nn.Module):
        def forward(self, channels: torch.Tensor, inside: torch.Tensor) -> torch.Tensor:
            bright = channels[:, 2:3] > 0.3
            return torch.cat([~bright, torch.zeros_like(bright), bright,
                              torch.zeros_like(bright)], 1).float() * 9

    examples = some_examples(3)
    examples.labels[:, 8, 8:10] = -1
    settings = small(**LABELS_ALONE, label_weight=1.0)
    scores = scored(ByT2(), examples, settings.objective, started(settings), batch=2)
    known = (examples.labels >= 0).numpy()
    truth = examples.labels.numpy()[known]
    said = np.where(examples.values[:, 2].numpy() > 0.3, 2, 0)[known]
    for k, name in enumerate(("blood", "myocardium", "edema", "scar")):
        both = 2 * ((said == k) & (truth == k)).sum()
        assert scores["dice"][name] == pytest.approx(both / ((said == k).sum()
                                                             + (truth == k).sum()))
    assert scores["dice"]["edema"] > 0.4 and scores["dice"]["scar"] == 0


def test_a_tissue_that_is_not_sought_is_not_missed() -> None:
    examples = some_examples(3)
    examples.sought[:, 3] = 0  # scar counts as edema then
    settings = small()
    scores = scored(build(settings.architecture), examples, settings.objective,
                    started(settings), batch=3)
    assert scores["dice"]["scar"] is None and scores["dice"]["edema"] is not None


# Order and variation

def test_every_epoch_holds_every_slice_once_in_another_order() -> None:
    row = [place for step in range(15) for place in Order(4, 10).batch(step, 4)]
    epochs = [[i for e, i in row if e == epoch] for epoch in range(6)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 6
    assert [p for step in range(4) for p in Order(4, 10).batch(step, 15)] == row
    assert Order(5, 10).batch(0, 10) != Order(4, 10).batch(0, 10)


def test_seeds_of_variation_are_of_slice_and_epoch_alone() -> None:
    seeds = {seed_of(s, e, i) for s in range(3) for e in range(20) for i in range(20)}
    assert len(seeds) == 1200 and all(0 <= seed < 2**63 for seed in seeds)
    assert seed_of(1, 2, 3) == seed_of(1, 2, 3)


def test_each_slice_is_varied_by_its_own_seed(tmp_path: Path) -> None:
    asked: list[tuple[float, int]] = []

    def seen(examples, seeds):
        asked.extend(zip(examples.values.sum((1, 2, 3)).tolist(), seeds))
        return examples

    trained(tmp_path, small(steps=4), slices=8, augment=seen)
    whole = some_examples(8).values.sum((1, 2, 3)).tolist()
    places = Order(0, 8).batch(0, 16)
    assert asked == [(whole[index], seed_of(0, epoch, index)) for epoch, index in places]


def test_the_learning_rate_rises_along_a_line_and_falls_along_a_cosine() -> None:
    settings = small(steps=110, warm_up=0.1, learning_rate=2.0)
    rates = [learning_rate(step, settings) for step in range(110)]
    assert settings.steps * settings.warm_up == pytest.approx(11)
    assert rates[:11] == pytest.approx([2 * (i + 1) / 11 for i in range(11)])
    turn = np.arange(99) / 99
    assert rates[11:] == pytest.approx(list(1 + np.cos(np.pi * turn)))
    assert learning_rate(0, small(warm_up=0.0, learning_rate=2.0)) == 2.0
    assert learning_rate(11, small(warm_up=1.0, steps=12, learning_rate=2.0)) == 2.0


# What is written

def test_trace_and_tensorboard_hold_what_happened(tmp_path: Path) -> None:
    done = trained(tmp_path, small(steps=9), validation=some_examples(3, seed=1))
    lines = [json.loads(line) for line in (tmp_path / "trace.jsonl").read_text().splitlines()]
    assert lines == done.rows
    assert [row["step"] for row in lines if "training" in row] == list(range(1, 10))
    assert [row["step"] for row in lines if "validation" in row] == [4, 8, 9]
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    for name in ("loss", "nll", "gradient", "learning_rate"):
        scalars = events.Scalars(f"training/{name}")
        assert [s.step for s in scalars] == list(range(1, 10))
        assert [s.value for s in scalars] == pytest.approx(training_rows(lines, name), rel=1e-6)
    scar = [row["validation"]["dice"]["scar"] for row in lines if "validation" in row]
    assert [s.value for s in events.Scalars("validation/dice/scar")] == pytest.approx(scar)


def test_the_curves_show_loss_likelihood_and_dice() -> None:
    rng = np.random.default_rng(0)
    rows: list[dict] = []
    for step in range(1, 201):
        fall = float(np.exp(-step / 60))
        rows.append({"step": step, "training": {
            "loss": fall + rng.normal(0, 0.05), "nll": 2 + fall, "gradient": 1.0,
            "learning_rate": 1e-3}})
        if step % 20 == 0:
            rows.append({"step": step, "validation": {
                "loss": fall + 0.1, "nll": 2 + fall, "nll_sd": 0.1,
                "dice": {"blood": 0.9, "myocardium": 1 - fall, "edema": None, "scar": 0.6}}})
    with_dice = Image.open(io.BytesIO(curves_png(rows))).convert("RGB")
    without = [{k: v for k, v in row.items() if k != "validation"} for row in rows]
    plain = Image.open(io.BytesIO(curves_png([r for r in without if len(r) > 1]))).convert("RGB")
    assert with_dice.width > plain.width
    for tissue, shown in ((Tissue.BLOOD, True), (Tissue.SCAR, True), (Tissue.EDEMA, False)):
        found = (np.asarray(with_dice) == COLOURS[tissue]).all(2)[60:].sum()
        assert (found > 60) == shown, (tissue, found)
    assert Image.open(io.BytesIO(curves_png([]))).size == plain.size


def test_progress_says_step_loss_and_time_left(tmp_path: Path) -> None:
    said: list[tuple[float, str]] = []
    done = trained(tmp_path, small(steps=5), progress=lambda f, text: said.append((f, text)))
    assert [f for f, _ in said] == [0.2, 0.4, 0.6, 0.8, 1.0]
    last = training_rows(done.rows, "loss")[1]
    assert said[1][1].startswith(f"step 2 of 5, loss {last:.3f}, ")
    assert said[-1][1].endswith("0 s left")


@pytest.mark.parametrize(("seconds", "words"), [
    (0.4, "0 s"), (89, "89 s"), (91, "2 min"), (1500, "25 min"), (4800, "80 min"),
    (7260, "2 h 1 min")])
def test_a_time_in_words(seconds: float, words: str) -> None:
    assert in_words(seconds) == words


# What cannot be

@pytest.mark.parametrize(("setting", "value", "said"), [
    ("steps", 0, "steps is 0: give a whole number from 1"),
    ("batch", 2.5, "batch is 2.5: give a whole number from 1"),
    ("learning_rate", 0, "learning_rate is 0: give a number above 0"),
    ("learning_rate", float("nan"), "learning_rate is nan: give a number above 0"),
    ("bare", 1.5, "bare is 1.5: give a number from 0 to 1"),
    ("validation", 1.0, "validation is 1.0: give a number from 0 to 0.9"),
    ("labelled_by", "hearts", "labelled_by is 'hearts': choose from patients, slices, pixels"),
    ("precision", "half", "precision is 'half': choose from float32, bfloat16, float64"),
])
def test_settings_refuse_what_cannot_be(setting: str, value: object, said: str) -> None:
    with pytest.raises(InputError, match=said):
        TrainingSettings(**{setting: value})


def test_an_objective_of_nothing_is_refused() -> None:
    with pytest.raises(InputError, match="nothing to learn"):
        TrainingSettings(likelihood_weight=0, label_weight=0, teacher_weight=0)


def test_settings_survive_json() -> None:
    settings = small(labelled_by="pixels", precision="float64", seed=7)
    assert TrainingSettings.from_dict(json.loads(json.dumps(settings.as_dict()))) == settings
    with pytest.raises(InputError, match="no setting of a training is called sped"):
        TrainingSettings.from_dict({"sped": 1})


def test_a_loss_that_is_no_number_ends_the_training(tmp_path: Path) -> None:
    with pytest.raises(ComputationError, match="not a number from step .* lower --learning-rate"):
        trained(tmp_path, small(learning_rate=1e30, clip=1e30, steps=50))


def test_what_the_cpu_cannot_do_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="bfloat16 is for CUDA"):
        trained(tmp_path, small(precision="bfloat16"))


@pytest.mark.parametrize("package", ["lightning_fabric", "tensorboardX", "monai"])
def test_without_the_extra_the_packages_are_named(tmp_path, monkeypatch, package: str) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InputError, match="-m pip install 'monai.*' 'lightning-fabric.*' 'tensorb"):
        trained(tmp_path, small())
