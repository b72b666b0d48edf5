"""A brain segmented by a trained network of either kind, as its card says."""

from __future__ import annotations

import time
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np

from deepgmm.brain.network_card import BrainCard, NetworkKind
from deepgmm.brain.result import BrainResult
from deepgmm.brain.tissues import TISSUES
from deepgmm.brain.volumes import BrainVolume
from deepgmm.errors import InputError

if TYPE_CHECKING:
    from torch import nn

    from deepgmm.brain.atlas import Atlas
    from deepgmm.model.amortised import AmortisedNet

#: Steps on the very image, where they are asked for without a number.
STEPS = 20


def segment_by_network(volume: BrainVolume, network: nn.Module, card: BrainCard, *,
                       atlas: Atlas | None = None, steps: int = 0) -> BrainResult:
    """Segment one brain.

    Parameters
    ----------
    network, card : as `load_brain_network` gives them.
    atlas : that an amortised network was trained with.
    steps : on this image after an amortised network's pass.

    Raises
    ------
    InputError : no atlas, or another than the network's; a card whose settings cannot be; an
        image without a positive voxel in its mask.
    """
    began = time.perf_counter()
    if card.kind is NetworkKind.UNSUPERVISED:
        if steps:
            raise InputError("steps on the very image are for a network that deforms an atlas: "
                             f"leave them out with '{card.name}'")
        found = _by_slices(volume, network, card)
    else:
        if atlas is None:
            raise InputError(f"the network '{card.name}' deforms an atlas: give the atlas that it "
                             f"was trained with ({str(card.atlas.get('title', ''))[:80]})")
        found = _by_atlas(volume, network, card, atlas, steps)
    key = volume.hashes.get("image", "")[:16]
    if key and key in card.learned_cases():
        found.warnings.append("the network, or its atlas, learned of this very image: scores on "
                              "it flatter")
    cases = card.labelled_cases
    entered = [f"{count} in the {where}" for where, count in
               (("atlas", cases.atlas), ("loss", cases.loss)) if count]
    found.supervision = ("labelled cases: " + ", ".join(entered)) if entered else \
        "no label entered"
    found.provenance |= {
        "network": {"name": card.name, "title": card.title, "kind": card.kind.value,
                    "learning": card.learning.value, "sha256": card.sha256},
        "seconds": time.perf_counter() - began}
    return found


def _by_slices(volume: BrainVolume, network: nn.Module, card: BrainCard) -> BrainResult:
    from deepgmm.brain.unsupervised import UnsupervisedSettings, segment

    result = segment(volume, network, _settings(UnsupervisedSettings, card))
    return BrainResult(volume, result.labels, result.probabilities, result.means,
                       result.deviations, result.weights, result.field)


def _by_atlas(volume: BrainVolume, network: AmortisedNet, card: BrainCard, atlas: Atlas,
              steps: int) -> BrainResult:
    from deepgmm.brain.amortised import AmortisedSettings, AtlasClasses, finished, passed
    from deepgmm.model.warp import jacobian

    settings = _settings(AmortisedSettings, card)
    classes = AtlasClasses.of(atlas)
    if classes.sha256 != card.atlas.get("sha256"):
        raise InputError(f"the network '{card.name}' was trained with another atlas: give that "
                         f"one ({str(card.atlas.get('title', ''))[:80]}), or train anew")
    if network.tissues != len(classes.tissues):
        raise InputError(f"the network '{card.name}' is of an atlas of {network.tissues} classes, "
                         f"and this has {len(classes.tissues)}: train anew")
    coarse = classes.coarse(settings.voxel)
    laid, one = passed(volume, coarse, network, settings, steps=steps)
    under = finished(volume, classes, coarse, laid, one.displacement)
    own = under.probabilities.numpy()
    # a tissue of two classes: their shares together, their levels weighted
    shares, means, deviations, weights = [], [], [], []
    for tissue in TISSUES:
        those = [k for k, name in enumerate(classes.tissues) if name is tissue]
        part = own[those]
        mass = part.mean(1)
        share = mass / max(float(mass.sum()), 1e-12)
        level = float(share @ under.means[those])
        square = share @ (under.deviations[those] ** 2 + (under.means[those] - level) ** 2)
        shares.append(part.sum(0))
        means.append(level)
        deviations.append(float(np.sqrt(square)))
        weights.append(float(mass.sum()))
    posterior = np.zeros((len(TISSUES), *volume.image.shape), np.float32)
    posterior[:, volume.mask] = shares
    labels = np.zeros(volume.image.shape, np.uint8)
    labels[volume.mask] = np.array(TISSUES, np.uint8)[np.argmax(shares, 0)]
    field = np.ones(volume.image.shape, np.float32)
    field[volume.mask] = under.field.numpy()
    within = jacobian(one.displacement)[0][laid.scan.mask[0]]
    least, folds = float(within.min()), float((within <= 0).float().mean())
    warnings = []
    if folds > 0:
        warnings.append(f"the atlas folds at {100 * folds:.2f} % of the brain: deform it more "
                        "smoothly, or see whether the mask is a whole brain")
    return BrainResult(
        volume, labels, posterior, np.array(means), np.array(deviations), np.array(weights), field,
        {"title": atlas.title, "sha256": classes.sha256, "labelled_cases": atlas.labelled},
        {"smallest_jacobian": least, "folded_share": folds, "lambda": settings.smoothness,
         "largest_mm": settings.voxel * float(one.displacement.abs().max())},
        warnings=warnings, provenance={"steps": steps})


def _settings(kind: type, card: BrainCard) -> Any:
    """The settings on a card; what it does not hold, or holds wrongly, is refused."""
    said = card.training.get("settings")
    try:
        if not isinstance(said, dict) or set(said) != {f.name for f in fields(kind)}:
            raise TypeError
        return kind(**{name: tuple(value) if isinstance(value, list) else value
                       for name, value in said.items()})
    except TypeError:
        raise InputError(f"the settings on the card of the network '{card.name}' are not those "
                         "that this version reads: train it again") from None
