"""What every way of segmenting a brain gives back: labels, probabilities, and how they came."""

from __future__ import annotations

from dataclasses import dataclass, replace
from dataclasses import field as made
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from deepgmm.brain.atlas_choice import described
from deepgmm.brain.held_atlas import Atlas
from deepgmm.brain.scores import (
    MEASURES,
    Convention,
    agreement,
    in_dispute,
    trivial,
    under,
)
from deepgmm.brain.tissues import TISSUES, BrainTissue
from deepgmm.brain.volumes import BrainVolume

if TYPE_CHECKING:
    from deepgmm.brain.network_card import BrainCard
    from deepgmm.brain.scene import BrainSegmentation, BrainSettings

#: Grey and white matter are each more than this share of a brain, of a newborn and of an old one.
LEAST_SHARE = 0.15

#: Errors of neighbouring voxels go together, as one in so many mm^3, and borders lie off as a
#: whole by so many mm (standard deviation). Chosen on phantom brains, whose volumes they hold; of
#: grey and white matter they are wider than those need, since graders differ by more.
TOGETHER_MM3 = 60.0
BORDER_MM = {BrainTissue.CSF: 0.3, BrainTissue.GM: 0.1, BrainTissue.WM: 0.1}


@dataclass
class BrainResult:
    """Tissues of one brain.

    Attributes
    ----------
    volume : what was segmented.
    labels : (slices, rows, columns) uint8, values of `BrainTissue`, 0 outside the mask.
    posterior : (3, slices, rows, columns) float32 in the order of `TISSUES`; sums to one in the
        mask, 0 outside.
    components : of the mixture: "tissue", "mean" and "deviation" in the image's units, the field
        taken out, and "share" of its tissue where it is known.
    as_labelled : (slices, rows, columns) uint8, CSF of the sulci counted as grey matter; None
        where nothing tells it from the ventricles'.
    ventricles : likewise bool.
    field : (slices, rows, columns) float32 b, 1 outside the mask; None where none was fitted.
    atlas : what it was: "title", "sha256", "labelled_cases"; empty without one.
    deformation : "smallest_jacobian", "folded_share", "largest_mm", "lambda"; empty without one.
    supervision : which labels entered where, in words.
    warnings : what a user must know, those of the volume apart.
    provenance : settings, seconds, what else a report should say: JSON values.
    """

    volume: BrainVolume
    labels: npt.NDArray[np.uint8]
    posterior: npt.NDArray[np.float32]
    components: list[dict[str, Any]]
    as_labelled: npt.NDArray[np.uint8] | None = None
    ventricles: npt.NDArray[np.bool_] | None = None
    field: npt.NDArray[np.float32] | None = None
    atlas: dict[str, Any] = made(default_factory=dict)
    deformation: dict[str, Any] = made(default_factory=dict)
    supervision: str = "no label entered"
    warnings: list[str] = made(default_factory=list)
    provenance: dict[str, Any] = made(default_factory=dict)

    @classmethod
    def of(cls, volume: BrainVolume, found: BrainSegmentation, settings: BrainSettings,
           atlas: Atlas | None) -> BrainResult:
        """Of a fit, with an atlas or none."""
        deformation = {}
        if found.displacement is not None and atlas is not None:
            deformation = _deformation(found) | {
                "lambda": (atlas.trust.smoothness if settings.smoothness is None
                           else settings.smoothness)}
        return cls(volume, found.labels, found.posteriors, _components(found), found.as_labelled,
                   found.ventricles, _where_it_varies(found, volume),
                   {} if atlas is None else described(atlas), deformation, found.supervised,
                   list(found.warnings), {"method": found.method, "settings": settings.as_dict(),
                                          "seconds": dict(found.seconds)})

    @classmethod
    def by_network(cls, volume: BrainVolume, found: BrainSegmentation, card: BrainCard,
                   atlas: Atlas | None) -> BrainResult:
        """Of a network's answer."""
        deformation = {}
        if found.displacement is not None:
            deformation = _deformation(found) | {
                "lambda": card.training["settings"]["smoothness"]}
        return cls(volume, found.labels, found.posteriors, _components(found), found.as_labelled,
                   found.ventricles, _where_it_varies(found, volume),
                   {} if atlas is None else described(atlas), deformation, found.supervised,
                   list(found.warnings),
                   {"method": found.method, "seconds": dict(found.seconds),
                    "network": {"name": card.name, "title": card.title, "kind": card.kind.value,
                                "learning": card.learning.value, "sha256": card.sha256}})

    def __post_init__(self) -> None:
        inside = max(int((self.labels > 0).sum()), 1)
        for tissue in (BrainTissue.GM, BrainTissue.WM):
            share = float((self.labels == tissue).sum()) / inside
            start = f"{tissue.title.lower()} is "
            if share < LEAST_SHARE and not any(w.startswith(start) for w in self.warnings):
                self.warnings.append(
                    f"{start}{100 * share:.0f} % of what was segmented, less than in any whole "
                    "brain: a lesion or skull, brighter or darker than the brain, may have taken "
                    "its place; look at the montage, and leave it out of the mask")

    def with_grey_sulci(self) -> BrainResult:
        """The same with CSF outside the ventricles counted as grey matter, as IBSR has it."""
        if self.as_labelled is None or self.ventricles is None:
            return self
        posterior = self.posterior.copy()
        csf, grey = TISSUES.index(BrainTissue.CSF), TISSUES.index(BrainTissue.GM)
        sulcal = np.where(self.ventricles, np.float32(0), posterior[csf])
        posterior[csf] -= sulcal
        posterior[grey] += sulcal
        return replace(self, labels=self.as_labelled, posterior=posterior)

    @property
    def corrected(self) -> npt.NDArray[np.float32] | None:
        """The image less its field."""
        if self.field is None:
            return None
        return np.asarray(self.volume.image / np.maximum(self.field, 1e-3), np.float32)

    def ml(self, tissue: BrainTissue) -> float:
        """Volume of a tissue's voxels."""
        return float((self.labels == tissue).sum()) * self.volume.voxel_volume

    def interval(self, tissue: BrainTissue) -> tuple[float, float]:
        """90 % interval of a tissue's volume, ml.

        About the volume of the labels, from what the probabilities leave open and from borders
        that lie off together; on the side of the volume that the probabilities expect also from
        how far that is off, as neither is nearer to people's. It knows nothing of a convention
        about the sulci, nor of an atlas that does not fit.
        """
        p = self.posterior[TISSUES.index(tissue)].astype(np.float64)
        edges = np.array(self.volume.spacing)
        here = self.labels == tissue
        area = sum(np.prod(edges) / edges[axis]
                   * float(((here ^ np.roll(here, 1, axis)) & inner).sum())
                   for axis, inner in enumerate(_inner(self.volume.mask)))
        together = TOGETHER_MM3 * np.prod(edges) * (p * (1 - p)).sum()
        held, brain = self.ml(tissue), float(self.volume.mask.sum()) * self.volume.voxel_volume
        apart = 1000 * (p.sum() * self.volume.voxel_volume - held)
        spread = together + (BORDER_MM[tissue] * area) ** 2
        below, above = (1.645 * np.sqrt(spread + max(side, 0.0) ** 2) / 1000
                        for side in (-apart, apart))
        return float(max(held - below, 0.0)), float(min(held + above, brain))


def scores_of(result: BrainResult, truth: BrainVolume
              ) -> dict[str, dict[str, dict[str, float]]]:
    """Agreement with somebody's labels, by convention and tissue; the trivial row last.

    Parameters
    ----------
    truth : the same volume with labels.
    """
    assert truth.labels is not None
    labels, region = truth.labels, truth.mask
    missing = [t.title.lower() for t in TISSUES if not (labels == t).any()]
    if missing:
        result.warnings.append(f"the truth has no {' and no '.join(missing)}: see whether it is "
                               "labels (1 CSF, 2 grey, 3 white) and not a mask")
    rows = {Convention.PHYSICAL.value: agreement(result.labels, labels, region)}
    if result.as_labelled is not None:
        rows[Convention.AS_LABELLED.value] = agreement(result.as_labelled, labels, region)
    rows[Convention.LEFT_OUT.value] = under(
        Convention.LEFT_OUT, result.labels, labels, region=region,
        disputed=in_dispute(truth.image, labels))
    rows["trivial: all CSF as grey"] = agreement(trivial(result.labels), labels, region)
    return {name: {t.title: {m: getattr(found[t], m) for m in MEASURES} for t in TISSUES}
            for name, found in rows.items()}


def _where_it_varies(found: BrainSegmentation, volume: BrainVolume
                     ) -> npt.NDArray[np.float32] | None:
    """The field, None where none was fitted."""
    return found.field if np.ptp(found.field[volume.mask]) else None


def _deformation(found: BrainSegmentation) -> dict[str, Any]:
    assert found.displacement is not None and found.displacement_affine is not None
    edges = np.linalg.norm(found.displacement_affine[:3, :3], axis=0)
    away = np.sqrt(((found.displacement * edges[:, None, None, None]) ** 2).sum(0))
    return {"smallest_jacobian": found.least_jacobian, "folded_share": found.folded,
            "largest_mm": float(away.max())}


def _components(found: BrainSegmentation) -> list[dict[str, Any]]:
    return [{"tissue": c["tissue"], "mean": c["mean"], "deviation": c["sd"], "share": c["share"]}
            for c in found.components]


def _inner(mask: npt.NDArray[np.bool_]) -> list[npt.NDArray[np.bool_]]:
    """Faces between two voxels of the mask, along each axis."""
    return [mask & np.roll(mask, 1, axis) for axis in range(3)]
