"""The last layer of a network, moved by what a person corrected."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from small_phantoms import a_patient

from deepgmm import Result, Settings, segment
from deepgmm.given import Corrections
from deepgmm.methods import Case, last_layer
from deepgmm.methods.last_layer import HELD, _moved, _through, taught
from deepgmm.methods.network_input import answer_of, features_of, images_of
from deepgmm.methods.pretrained import loaded
from deepgmm.methods.problem import Problem
from deepgmm.refine import case_of
from deepgmm.review.corrections import corrections_of
from deepgmm.study.words import FOUR_TISSUES, Role


@cache
def fitted() -> tuple[Result, Case, np.ndarray]:
    patient = a_patient(101)
    sequences = {Role.LGE: patient.study.sequences[Role.LGE]}
    result = segment(replace(patient.study, sequences=sequences), Settings())
    known = np.where(np.isin(patient.truth, result.tissues), patient.truth, 2)
    return result, case_of(result), np.where(result.study.mask, known, 0).astype(np.uint8)


def finished(*slices: int) -> Corrections:
    result, _, truth = fitted()
    edited = result.labels.copy()
    edited[list(slices)] = truth[list(slices)]
    return corrections_of(result, edited, done=slices)


def layer_and_looks() -> tuple[torch.Tensor, list[torch.Tensor]]:
    case = fitted()[1]
    network, card, _ = loaded(Problem((case,)))
    with torch.no_grad():
        looks = [f.double() for f in features_of(network, card.architecture.inputs, case)]
        head = network.head
        return torch.cat([head.weight[:, :, 0, 0], head.bias[:, None]], 1).double(), looks


def test_the_old_layer_on_its_inputs_is_the_networks_answer() -> None:
    case = fitted()[1]
    network, card, _ = loaded(Problem((case,)))
    weights, looks = layer_and_looks()
    with torch.no_grad():
        wanted = answer_of(network, card.architecture.inputs, case, images_of(case))
    found = torch.stack([torch.softmax(_through(weights, one), 1) for one in looks]).mean(0).log()
    inside = case.batch.grid(case.batch.valid[..., None])[:, 0] > 0
    torch.testing.assert_close(found.permute(0, 2, 3, 1)[inside].float(),
                               wanted.permute(0, 2, 3, 1)[inside], atol=2e-3, rtol=1e-3)


def test_what_moves_the_layer_is_the_least_of_what_is_written_down() -> None:
    """The gradient of the objective, by torch, is zero there; and it is not so without moving."""
    _, case, truth = fitted()
    weights, looks = layer_and_looks()
    given = finished(0, 2)
    trust = np.where(given.fixed, 1.0, np.nan)
    trust[0][given.fixed[0]] = 0.5
    at = np.argwhere(given.fixed & np.isin(truth, case.tissues))
    row, column = (at[:, 1:] - case.batch.corner.numpy()[at[:, 0]]).T
    inputs = torch.cat([one[at[:, 0], :, row, column] for one in looks])
    width = inputs.std(0, correction=0) + 1e-6
    inputs = torch.cat([inputs / width, torch.ones(len(inputs), 1)], 1)
    width = torch.cat([width, torch.ones(1)])
    sought = [FOUR_TISSUES.index(t) for t in case.tissues]
    label = torch.tensor([case.tissues.index(t) for t in truth[tuple(at.T)]]).repeat(len(looks))
    share = torch.as_tensor(trust[tuple(at.T)]).repeat(len(looks))

    def slope(more: torch.Tensor) -> float:
        more = more.clone().requires_grad_()
        logits = inputs @ ((weights[sought] * width) + more).T
        each = torch.nn.functional.cross_entropy(logits, label, reduction="none")
        ((share * each).sum() / share.sum() + HELD * more.square().sum() / 2).backward()
        assert more.grad is not None
        return float(more.grad.abs().max())

    moved = (_moved(case, looks, weights, given, trust) * width)[sought]
    assert moved.abs().max() > 1e-3
    assert slope(moved) < 1e-3 < slope(torch.zeros_like(moved)) / 5


def test_one_slice_and_another_network_teach_the_layer_nothing() -> None:
    result, case, _ = fitted()
    sha = result.provenance["network"]["sha256"]
    for given, network in ((finished(1), sha), (finished(0, 2), "another")):
        trust = np.where(given.fixed, 1.0, np.nan)
        assert taught(case, result.posterior, given, trust, network) is result.posterior
    given = finished(0, 2)
    new = taught(case, result.posterior, given, np.where(given.fixed, 1.0, np.nan), sha)
    assert new.shape == result.posterior.shape and not np.allclose(new, result.posterior)


def test_the_network_is_looked_through_once_a_study(monkeypatch: pytest.MonkeyPatch) -> None:
    result, _, _ = fitted()
    sha, case, given = result.provenance["network"]["sha256"], case_of(result), finished(0, 2)
    trust = np.where(given.fixed, 1.0, np.nan)
    asked = []
    monkeypatch.setattr(last_layer, "features_of",
                        lambda *these: asked.append(these) or features_of(*these))
    first, again = (taught(case, result.posterior, given, trust, sha) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert len(asked) == 1
    monkeypatch.setattr(last_layer, "MOST_KEPT", 1000)  # bytes; too large to be kept
    large = case_of(result)
    for _ in range(2):
        np.testing.assert_array_equal(taught(large, result.posterior, given, trust, sha), first)
    assert len(asked) == 3 and not large.looks
