"""`pretrained`: one forward pass of a network trained on many studies, read through a mixture."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from deepgmm.acting import rounds_asked
from deepgmm.files import sha256
from deepgmm.identify.absence import NETWORK_LEAST
from deepgmm.identify.anatomy import anchored_options
from deepgmm.identify.islands import SPOKEN_OF, Islands, Thresholds, judged
from deepgmm.methods.anchored import (
    TEMPERATURE,
    Absent,
    absence_note,
    judged_diseases,
    tempered,
)
from deepgmm.methods.network_input import answer_of, images_of
from deepgmm.methods.problem import Case, Problem, found_contrast
from deepgmm.methods.untold import edema_held_back, held_back
from deepgmm.model.anchored import fit_anchored
from deepgmm.model.architecture import INPUTS
from deepgmm.model.devices import few_threads
from deepgmm.model.endocardium import NEVER
from deepgmm.model.fit import Fit
from deepgmm.model.images import Images, Reading, read
from deepgmm.model.mixture import Mixture, pixel_weights
from deepgmm.outdated import MORE_SCAR, NO_SCAR
from deepgmm.progress import Progress
from deepgmm.study.study import case_key
from deepgmm.study.words import FOUR_TISSUES, Role, Tissue, named_slices

if TYPE_CHECKING:
    from deepgmm.weights.card import Card

#: How many standard deviations from the training studies' mean a study may lie before an alarm.
STRANGE = 4.0
THRESHOLDS = Thresholds()
_STRANGE_IN = {"nll": "intensities fit its mixture worse",
               "contrast": "contrasts lie farther from the prior"}


def fit_pretrained(problem: Problem, progress: Progress, *, thresholds: Thresholds = THRESHOLDS,
                   known: tuple[Tissue, ...] = (), logits: Tensor | None = None) -> Fit:
    """Pi from the network, one M-step, and the posterior; then `adapt` rounds of anchored EM.

    A disease of which the network finds too little in a study is taken out, but for those that are
    `known` to be there. Of a network that sees what lies around the mask, scar that is not known
    is judged by its islands instead, see `identify/islands.py`. `logits` (S, K, H, W) stand for
    its answer.
    """
    network, card, shipped = loaded(problem)
    with few_threads(problem.batch.valid.numel()):
        images = Images.joined([images_of(case) for case in problem.cases])
        if logits is None:
            logits = answers(network, problem, images, inputs=card.architecture.inputs)
        logits = _with_wall(problem, logits)
        progress(0.5, "network")
        temperature = card.temperature_of(sequences_key(problem.roles))
        reading = read(images, logits, temperature=temperature)
        said = alarms(problem, images, reading, card)
        by_islands = card.architecture.sees_around and _has_wall(problem)
        absent = _absent(problem, _packed(problem, reading.log_posterior.exp()),
                         spared=(*known, Tissue.SCAR) if by_islands else known)
        for case, found in absent.items():
            rows = problem.slices_of([case])
            for tissue, why in found.items():
                images.sought[rows, FOUR_TISSUES.index(tissue)] = 0
                said.setdefault(case, []).append(absence_note(tissue, *why))
        if absent:
            reading = read(images, logits, temperature=temperature)
        posterior = _packed(problem, reading.log_posterior.exp())
        mixed, rounds = posterior, torch.zeros(len(images), dtype=torch.long)
        wanted = rounds_asked(problem.settings)
        if wanted:
            mixed, rounds = adapted(problem, posterior, absent, wanted, progress)
        judge = by_islands and Tissue.SCAR not in known
        posterior = _by_islands(problem, posterior, mixed, said, thresholds) if judge else mixed
        if Tissue.EDEMA not in known:
            posterior = edema_held_back(problem, posterior, said)
        return replace(_fit(problem, reading, posterior, rounds, said),
                       network=_told(card, shipped))


def _told(card: Card, shipped: bool) -> dict[str, Any]:
    """What a report says of the network."""
    return {"name": card.name, "shipped": shipped, "title": card.title,
            "learning": card.learning.value, "labelled_cases": vars(card.labelled_cases),
            "sha256": card.sha256}


def _fit(problem: Problem, reading: Reading, posterior: Tensor, rounds: Tensor,
         said: dict[int, list[str]]) -> Fit:
    tissues = [FOUR_TISSUES.index(t) for t in problem.tissues]
    roles = [list(Role).index(role) for role in problem.roles]
    weights = _packed(problem, reading.log_weights.exp())
    mixture = Mixture(pixel_weights(weights),
                      *(values[:, tissues][:, :, roles].to(problem.dtype) for values in
                        (reading.mixture.means, reading.mixture.covariances)))
    nll = reading.nll.to(problem.dtype)
    return Fit(mixture, posterior, nll, [[value] for value in nll.tolist()], rounds,
               torch.ones_like(rounds, dtype=torch.bool), responsibilities=weights, of_study=said)


def loaded(problem: Problem) -> tuple[nn.Module, Card, bool]:
    """The network that the settings name, its card, and whether it came with the library."""
    from deepgmm.weights.shelf import SHIPPED, find

    place = find(problem.settings.model)
    inside = place.iterdir() if place.is_dir() else (place,)
    changed = tuple(sorted((file.name, file.stat().st_mtime_ns) for file in inside))
    shipped = SHIPPED.resolve() in place.resolve().parents
    return (*_kept(place.resolve(), changed, problem.device), shipped)


@lru_cache(maxsize=2)
def _kept(place: Path, changed: object, device: torch.device) -> tuple[nn.Module, Card]:
    """A network from its files, read again when they have `changed`."""
    from deepgmm.weights.folder import load_network

    network, card = load_network(place)
    return network.to(device, memory_format=torch.channels_last), card


def forget_networks() -> None:
    """Let go of the networks that are kept, and of the memory they take."""
    _kept.cache_clear()


def _with_wall(problem: Problem, logits: Tensor) -> Tensor:
    """(S, K, H, W) logits that keep to the wall, where the user gave it."""
    wall = problem.ventricle.wall
    if wall is None:
        return logits
    in_wall = problem.batch.grid(wall[..., None])[:, 0] > 0.5
    kept = logits.clone()
    kept[:, 0].masked_fill_(in_wall, NEVER)
    kept[:, 1:].masked_fill_(~in_wall[:, None], NEVER)
    return kept


def answers(network: nn.Module, problem: Problem, images: Images, *,
            inputs: int = INPUTS) -> Tensor:
    """(S, K, H, W) what the network says, study by study."""
    parts = []
    with torch.no_grad():
        for index, case in enumerate(problem.cases):
            rows = problem.slices_of([index])
            parts.append(answer_of(network, inputs, case, images.select(rows)))
    return torch.cat(parts)


def _packed(problem: Problem, values: Tensor) -> Tensor:
    """(S, P, K sought) of (S, H * W, 4) on the canvas of the batch."""
    batch = problem.batch
    grid = values.transpose(1, 2).unflatten(2, batch.shape)
    columns = [FOUR_TISSUES.index(t) for t in problem.tissues]
    return batch.pack(grid[:, columns].to(problem.dtype))


def _has_wall(problem: Problem) -> bool:
    """Whether blood and healthy wall are sought."""
    return problem.tissues[:2] == (Tissue.BLOOD, Tissue.MYOCARDIUM)


def _by_islands(problem: Problem, network: Tensor, mixed: Tensor,
                said: dict[int, list[str]], thresholds: Thresholds = THRESHOLDS) -> Tensor:
    """(S, P, K) the mixed posterior with scar judged by the network's islands; what is to be said
    of them is added.

    The ring of the ventricle draws pool and wall better than the network does, and scar is the
    network's to judge: it keeps the share of the wall that the network gave it, less where that
    saw blood.
    """
    if Tissue.SCAR not in problem.tissues:
        return mixed
    batch, scar = problem.batch, problem.tissues.index(Tissue.SCAR)
    seen = 1 - network[..., 0]
    share = network[..., scar] / seen.clamp_min(1e-9) * (2 * seen).clamp_max(1.0)
    wall = 1 - mixed[..., 0]
    grids = batch.grid(torch.stack([share, wall * batch.valid], -1)).cpu().numpy()
    result = mixed.clone()
    for index, case in enumerate(problem.cases):
        rows = problem.slices_of([index])
        own = grids[rows.cpu().numpy()]
        found = judged(own[:, 0], own[:, 1] > 0.5, likely=thresholds.likely,
                       sure=thresholds.sure)
        said.setdefault(index, []).extend(_said_of(found, case))
        judged_share = batch.select(rows).pack(
            torch.as_tensor(found.scar[:, None], dtype=mixed.dtype, device=mixed.device))[..., 0]
        new = judged_share * wall[rows]
        others = wall[rows] - mixed[rows][..., scar]
        kept = (wall[rows] - new).clamp_min(0) / others.clamp_min(1e-9)
        part = mixed[rows] * torch.cat([torch.ones_like(kept)[..., None],
                                        kept[..., None].expand(-1, -1, mixed.shape[2] - 1)], 2)
        part[..., scar] = new
        # where the mixture was all scar, what is not the network's scar is healthy wall
        part[..., 1] += (1 - part.sum(2)).clamp_min(0) * batch.valid[rows]
        # less than half of the wall's tissues may still be the most of three
        result[rows] = held_back(part / part.sum(2, keepdim=True).clamp_min(1e-9), scar,
                                 judged_share <= 0.5)
    return result


def _said_of(found: Islands, case: Case) -> list[str]:
    """What a user is told of scar that may be there and is not drawn."""
    share = float(found.unsure.sum())
    where = named_slices([case.slices[i] for i in np.flatnonzero(found.unsure > 0)])
    if not found.drawn:
        seen = f"; {share:.1%} of the wall may be scar, on {where}" if share else ""
        why = (f"what the network is sure of is a speck, {found.speck:.2%} of the wall"
               if found.speck else "nowhere is the network sure of it")
        return [f"{NO_SCAR}: {why}{seen}"]
    if share < SPOKEN_OF:
        return []
    return [f"{MORE_SCAR}: another {share:.1%} of the wall, on {where}, looks like it without "
            "being sure anywhere; look at the probabilities"]


def _absent(problem: Problem, posterior: Tensor,
            spared: tuple[Tissue, ...] = ()) -> dict[int, Absent]:
    """The diseases of each case, but for those spared, of which the network finds too little."""
    absent: dict[int, Absent] = {}
    if Tissue.MYOCARDIUM not in problem.tissues:
        return absent
    for case in range(len(problem.cases)):
        for tissue, found in judged_diseases(problem, posterior, case).items():
            if tissue not in spared and not found.suffices(NETWORK_LEAST):
                absent.setdefault(case, {})[tissue] = (found, NETWORK_LEAST)
    return absent


def adapted(problem: Problem, posterior: Tensor, absent: dict[int, Absent], rounds_at_most: int,
            progress: Progress) -> tuple[Tensor, Tensor]:
    """(S, P, K) the mean of the network's posterior and that of the anchored EM started from it,
    and (S,) the rounds that EM took.

    The contrast prior is moved to where the network finds this patient's blood and healthy wall;
    EM then runs so many rounds of `map`'s objective at most, for the tissues found.
    """
    if not _has_wall(problem):
        return posterior, torch.zeros(len(posterior), dtype=torch.long)
    mixed, rounds = posterior.clone(), torch.zeros(len(posterior), dtype=torch.long)
    for index in range(len(problem.cases)):
        rows = problem.slices_of([index])
        sought = tuple(t for t in problem.tissues if t not in absent.get(index, {}))
        columns = [problem.tissues.index(t) for t in sought]
        one = problem.select([index]).for_tissues(sought)
        prior = found_contrast(one, posterior[rows][..., columns])
        options = anchored_options(sought, problem.roles, problem.device, problem.dtype)
        options.iterations = rounds_at_most
        fit = fit_anchored(one.batch, one.ventricle, one.penalty([prior]), options)
        own = torch.zeros_like(mixed[rows])
        own[..., columns] = tempered(fit.posterior, TEMPERATURE)
        mixed[rows] = (posterior[rows] + own) / 2
        rounds[rows.cpu()] = fit.iterations.cpu()
        progress(0.5 + 0.5 * (index + 1) / len(problem.cases), "adapting")
    return mixed, rounds


@dataclass(frozen=True)
class Strangeness:
    """How a study looks to a network's mixture: what a card keeps of the training studies.

    Attributes
    ----------
    nll : NLL_V per mask pixel and sequence, normalised units.
    contrast : mean distance of the tissues' means from the contrast prior, in standard
        deviations inside a tissue, on the sequence where it is largest.
    """

    nll: float
    contrast: float


def strangeness(images: Images, reading: Reading) -> Strangeness:
    """Of one study's slices."""
    share = (reading.log_weights.exp() * images.inside.flatten(1)[..., None]).mean(1)
    counted = images.present[:, None] * (share > 0.02 * share.sum(1, keepdim=True))[..., None]
    away = (reading.mixture.means - images.means).abs() / images.variances.sqrt()
    per_sequence = (away * counted).sum((0, 1)) / counted.sum((0, 1)).clamp_min(1)
    return Strangeness(float((reading.nll / images.present.sum(1)).mean()),
                       float(per_sequence.max()))


def sequences_key(roles: tuple[Role, ...]) -> str:
    """The sequences as a card's `familiar` names them."""
    return "+".join(role.value for role in roles)


def alarms(problem: Problem, images: Images, reading: Reading, card: Card) -> dict[int, list[str]]:
    """What must be said of studies that lie far from those the network was trained on, or that
    are among them."""
    said: dict[int, list[str]] = {}
    known = card.familiar.get(sequences_key(problem.roles))
    for index, case in enumerate(problem.cases):
        said[index] = _of_training(case, card)
        if known is None:
            given = ", ".join(role.title for role in problem.roles)
            said[index].append(f"the network '{card.name}' was not trained on {given} alone: check "
                               "the result, or use the method map")
            continue
        rows = problem.slices_of([index])
        found = strangeness(images.select(rows), _of(reading, rows))
        far = [words for name, words in _STRANGE_IN.items() if name in known
               and getattr(found, name) > known[name]["mean"] + STRANGE * known[name]["sd"]]
        if far:
            what = " and ".join(far)
            said[index].append(f"this study looks unlike those that the network '{card.name}' was "
                               f"trained on ({what}): check the result, or use the method map")
    return said


def _of_training(case: Case, card: Card) -> list[str]:
    """What its training has to do with this study."""
    said = []
    hashes, own = case.study.hashes, case.settings.priors
    if hashes and case_key(hashes) in card.learned_cases():
        said.append(f"the network '{card.name}' was trained on this study: its result here says "
                    "nothing of how it does on others")
    if card.priors != (f"sha256:{sha256(own)}" if own else "shipped"):
        same = ("leave the contrast priors out" if card.priors == "shipped"
                else "give the file that it was trained with")
        said.append(f"the network '{card.name}' was trained with other contrast priors: {same}")
    return said


def _of(reading: Reading, rows: Tensor) -> Reading:
    mixture = Mixture(*(getattr(reading.mixture, name)[rows]
                        for name in ("log_weights", "means", "covariances")))
    return replace(reading, log_weights=reading.log_weights[rows], mixture=mixture,
                   log_posterior=reading.log_posterior[rows], nll=reading.nll[rows])
