"""A brain segmented by a trained network of either kind, as its card says."""

from __future__ import annotations

import time
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from deepgmm.brain.network_card import BrainCard, NetworkKind
from deepgmm.brain.tissues import TISSUES
from deepgmm.brain.volumes import BrainVolume
from deepgmm.errors import InputError

if TYPE_CHECKING:
    from torch import nn

    from deepgmm.brain.training import AtlasSource
    from deepgmm.model.amortised import AmortisedNet

#: Steps on the very image, where they are asked for without a number.
STEPS = 20


@dataclass(frozen=True)
class ByNetwork:
    """What a network says of one brain.

    Attributes
    ----------
    labels : (slices, rows, columns) uint8 of `BrainTissue`.
    probabilities : (3, slices, rows, columns) float32 in the order of `TISSUES`, 0 outside.
    field : (slices, rows, columns) float32 b, 1 outside the mask; None where none was fitted.
    report : plain values: the network, the tissues' levels, seconds, and of an amortised one the
        least Jacobian and the share of voxels at which the deformation folds.
    warnings : what a user must know.
    """

    labels: npt.NDArray[np.uint8]
    probabilities: npt.NDArray[np.float32]
    field: npt.NDArray[np.float32] | None
    report: dict[str, Any]
    warnings: list[str]


def segment_by_network(volume: BrainVolume, network: nn.Module, card: BrainCard, *,
                       atlas: AtlasSource | None = None, steps: int = 0) -> ByNetwork:
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
        found = _by_slices(volume, network, card)
    else:
        if atlas is None:
            raise InputError(f"the network '{card.name}' deforms an atlas: give the atlas that it "
                             f"was trained with ({str(card.atlas.get('title', ''))[:80]})")
        if atlas.sha256 != card.atlas.get("sha256"):
            raise InputError(f"the network '{card.name}' was trained with another atlas: give "
                             f"that one ({str(card.atlas.get('title', ''))[:80]}), or train anew")
        found = _by_atlas(volume, network, card, atlas, steps)
    key = volume.hashes.get("image", "")[:16]
    if key and key in card.learned_cases():
        found.warnings.append("the network, or its atlas, learned of this very image: scores on "
                              "it flatter")
    found.report["network"] = {"name": card.name, "title": card.title, "kind": card.kind.value,
                               "learning": card.learning.value, "sha256": card.sha256}
    found.report["seconds"] = time.perf_counter() - began
    return found


def _by_slices(volume: BrainVolume, network: nn.Module, card: BrainCard) -> ByNetwork:
    from deepgmm.brain.unsupervised import UnsupervisedSettings, segment

    settings = _settings(UnsupervisedSettings, card)
    result = segment(volume, network, settings)
    report = {"levels": _levels(result.means, result.deviations),
              "shares": dict(zip((t.name for t in TISSUES), result.weights.tolist()))}
    return ByNetwork(result.labels, result.probabilities, result.field, report, [])


def _by_atlas(volume: BrainVolume, network: AmortisedNet, card: BrainCard, atlas: AtlasSource,
              steps: int) -> ByNetwork:
    from deepgmm.brain.amortised import AmortisedSettings, finished, passed
    from deepgmm.model.warp import jacobian

    settings = _settings(AmortisedSettings, card)
    coarse = atlas.coarse(settings.voxel)
    laid, one = passed(volume, coarse, network, settings, steps=steps)
    under = finished(volume, atlas.probabilities, atlas.affine, coarse, laid, one.displacement)
    shares = np.zeros((len(TISSUES), int(volume.mask.sum())), np.float32)
    for index, tissue in enumerate(atlas.tissues):
        shares[TISSUES.index(tissue)] += under.probabilities[index].numpy()
    probabilities = np.zeros((len(TISSUES), *volume.image.shape), np.float32)
    probabilities[:, volume.mask] = shares
    codes = np.array([int(tissue) for tissue in TISSUES], np.uint8)
    labels = np.zeros(volume.image.shape, np.uint8)
    labels[volume.mask] = codes[shares.argmax(0)]
    field = np.ones(volume.image.shape, np.float32)
    field[volume.mask] = under.field.numpy()
    within = jacobian(one.displacement)[0][laid.scan.mask[0]]
    least, folds = float(within.min()), float((within <= 0).float().mean())
    warnings = []
    if folds > 0:
        warnings.append(f"the atlas folds at {100 * folds:.2f} % of the brain: deform it more "
                        "smoothly, or see whether the mask is a whole brain")
    report = {"levels": _levels(under.means, under.deviations, atlas.tissues),
              "steps": steps, "least_jacobian": least, "folded": folds,
              "farthest_mm": settings.voxel * float(one.displacement.abs().max())}
    return ByNetwork(labels, probabilities, field, report, warnings)


def _settings(kind: type, card: BrainCard) -> Any:
    """The settings on a card; what it does not hold, or holds wrongly, is refused."""
    said = card.training.get("settings")
    wanted = {f.name for f in fields(kind)}
    try:
        if not isinstance(said, dict) or set(said) != wanted:
            raise TypeError
        return kind(**{name: tuple(value) if isinstance(value, list) else value
                       for name, value in said.items()})
    except TypeError:
        raise InputError(f"the settings on the card of the network '{card.name}' are not those "
                         "that this version reads: train it again") from None


def _levels(means: npt.NDArray[Any], deviations: npt.NDArray[Any], tissues: Any = TISSUES
            ) -> list[dict[str, Any]]:
    return [{"tissue": t.name, "mean": float(m), "deviation": float(d)}
            for t, m, d in zip(tissues, means, deviations)]
