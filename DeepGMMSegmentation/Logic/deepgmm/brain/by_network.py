"""A brain segmented by a trained network of either kind, as its card says."""

from __future__ import annotations

import time
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np

from deepgmm.brain.network_card import BrainCard, NetworkKind
from deepgmm.brain.scene import BrainSegmentation
from deepgmm.brain.scores import sulci_as_grey, ventricular
from deepgmm.brain.tissues import TISSUES
from deepgmm.brain.volumes import BrainVolume
from deepgmm.errors import InputError

if TYPE_CHECKING:
    from torch import nn

    from deepgmm.brain.amortised import AmortisedSettings, CoarseAtlas
    from deepgmm.brain.held_atlas import Atlas
    from deepgmm.model.amortised import AmortisedNet

#: Steps on the very image, where they are asked for without a number.
STEPS = 20


def segment_by_network(volume: BrainVolume, network: nn.Module, card: BrainCard, *,
                       atlas: Atlas | None = None, steps: int = 0) -> BrainSegmentation:
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
    entered = [f"{count} labelled cases in the {where}" for where, count in
               (("atlas", cases.atlas), ("loss", cases.loss)) if count]
    found.supervised = ", ".join(entered) or "no label entered"
    found.seconds["all"] = round(time.perf_counter() - began, 2)
    return found


def _by_slices(volume: BrainVolume, network: nn.Module, card: BrainCard) -> BrainSegmentation:
    from deepgmm.brain.unsupervised import UnsupervisedSettings, segment

    settings = _settings(UnsupervisedSettings, card)
    found = segment(volume, network, settings)
    ventricles = ventricular(found.labels, volume.mask, volume.spacing)
    field = np.ones(volume.image.shape, np.float32) if found.field is None else found.field
    components = [{"tissue": tissue.name, "mean": float(mean), "sd": float(sd), "share": 1.0}
                  for tissue, mean, sd in zip(TISSUES, found.means, found.deviations)]
    how = "with a field" if settings.degree else "without a field"
    return BrainSegmentation(
        found.labels, sulci_as_grey(found.labels, ventricles), ventricles, found.probabilities,
        field, components, f"network on slices, {how}", "")


def _by_atlas(volume: BrainVolume, network: AmortisedNet, card: BrainCard, atlas: Atlas,
              steps: int) -> BrainSegmentation:
    from deepgmm.brain.amortised import AmortisedSettings, CoarseAtlas
    from deepgmm.brain.atlas_choice import fingerprint

    settings = _settings(AmortisedSettings, card)
    coarse = CoarseAtlas.of(atlas, settings.voxel)
    if fingerprint(atlas) != card.atlas.get("sha256") or network.tissues != coarse.tissues:
        raise InputError(f"the network '{card.name}' was trained with another atlas: give that "
                         f"one ({str(card.atlas.get('title', ''))[:80]}), or train anew")
    return segment_in_one_pass(volume, network, atlas, coarse, settings, steps=steps)


def segment_in_one_pass(volume: BrainVolume, network: AmortisedNet, atlas: Atlas,
                        coarse: CoarseAtlas, settings: AmortisedSettings, *, steps: int = 0
                        ) -> BrainSegmentation:
    """The tissues under an atlas that a network deforms, with the seconds of each part.

    Parameters
    ----------
    coarse : the atlas on the grid of the network.
    steps : on this image after the pass.
    """
    from deepgmm.brain.amortised import Laid, passed
    from deepgmm.brain.segmenting import segment_deformed

    times = [time.perf_counter()]
    laid = Laid.of(volume, coarse)
    times.append(time.perf_counter())
    _, one = passed(volume, coarse, network, settings, steps=steps, laid=laid)
    times.append(time.perf_counter())
    found = segment_deformed(volume, atlas, laid.to_image, one.displacement, coarse.affine)
    parts = ("onto the atlas' grid", "pass and steps" if steps else "pass")
    found.seconds = {part: round(there - then, 2)
                     for part, then, there in zip(parts, times, times[1:])} | found.seconds
    if found.folded:
        found.warnings.append(f"the deformation of the atlas folds in {100 * found.folded:.2g} % "
                              "of its box: see whether the mask is a whole brain")
    after = f", {steps} steps on the image" if steps else ""
    found.method = f"atlas, deformed by a network in one pass{after}: {atlas.title}"
    return found


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
