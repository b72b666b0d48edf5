"""What a fit gives back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from deepgmm.given import Corrections
from deepgmm.study.study import Study
from deepgmm.study.words import Tissue

#: How many pixels of a tissue err together, and how far the border of pool and wall as a whole
#: may lie off (standard deviation, mm: partial volume, trabeculae); fitted on phantom patients of
#: seeds 100 to 120.
PIXELS_TOGETHER = {Tissue.BLOOD: 20.0, Tissue.MYOCARDIUM: 60.0, Tissue.EDEMA: 60.0,
                   Tissue.SCAR: 25.0}
BORDER_MM = 0.28
#: The same of an outline that was proposed: added of the pool's border for blood, of the epicardium
#: for myocardium; scar's interval holds without. Chosen on 29 real patients on LGE alone: the
#: medians of what five folds choose.
OUTLINE_MM = {Tissue.BLOOD: 0.45, Tissue.MYOCARDIUM: 1.05}
#: How far experts' scar strays from the scar found, in shares of it (standard deviation), by
#: whether the wall was found or given and with other sequences beside LGE: where to draw a scar's
#: border is
#: itself uncertain, and all of its pixels err together. And scar that readers see and the image
#: hardly shows, or that they do not: a share of the wall. `several` was chosen on phantom
#: patients of two
#: makes; the others hold where a result does not say its method.
SCAR_APART = {"found": 0.45, "given": 0.3, "several": 0.15}
SCAR_MISSED = 0.015
#: The same on LGE alone by the method that found the scar, over the root of scar times wall: as if
#: scars came in pieces of one size. Chosen on 29 real patients, where five folds choose .12 and .14
#: of the network; half as wide again was what a share of the scar asked for.
SCAR_PIECES = {"pretrained": 0.14, "map": 0.18}
PIECES_MISSED = 0.005
#: Under which the provenance of a refined result has the warnings of the automatic one.
BEFORE = "warnings_before"


@dataclass
class SliceFit:
    """The fitted mixture of one slice, in the units of the image files.

    Attributes
    ----------
    index : slice index in the study.
    weights : (tissues,) mixing weights.
    means : (tissues, sequences).
    covariances : (tissues, sequences, sequences).
    nll : raw negative log-likelihood per mask pixel, nats.
    trace : objective after each iteration, normalised units.
    iterations, converged : as they say.
    agreement : share of the slice's pixels that the other starts label as the start kept does;
        NaN where there was one start.
    """

    index: int
    weights: npt.NDArray[np.float64]
    means: npt.NDArray[np.float64]
    covariances: npt.NDArray[np.float64]
    nll: float
    trace: list[float]
    iterations: int
    converged: bool
    agreement: float = float("nan")


@dataclass
class Result:
    """A segmentation with its uncertainty, parameters, warnings and provenance.

    Attributes
    ----------
    tissues : the tissues sought, in the order of the posterior's axis.
    labels : (slices, rows, columns) uint8, values of `Tissue`; 0 outside the mask and in
        excluded slices.
    posterior : (slices, tissues, rows, columns) float32, sums to 1 over the tissues inside
        the fitted mask and is 0 elsewhere.
    fits : one per fitted slice.
    warnings : what a user must see, input's first.
    provenance : settings, versions, seed, device, input hashes, times; JSON values only.
    corrections : what a person said of its voxels, where `refine` made it; None of an automatic
        result.
    automatic : the posterior before any of them, of a refined result.
    """

    study: Study
    tissues: tuple[Tissue, ...]
    labels: npt.NDArray[np.uint8]
    posterior: npt.NDArray[np.float32]
    fits: list[SliceFit] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    provenance: dict[str, Any] = field(default_factory=dict)
    corrections: Corrections | None = None
    automatic: npt.NDArray[np.float32] | None = None

    @property
    def present_tissues(self) -> tuple[Tissue, ...]:
        """The tissues sought and whatever else is in the labels, in the order of their labels."""
        found = {Tissue(int(value)) for value in np.unique(self.labels) if value}
        return tuple(sorted(found | set(self.tissues)))

    @property
    def settled(self) -> tuple[int, ...]:
        """The slices in which a person called everything right, or corrected every voxel."""
        if self.corrections is None:
            return ()
        left = self.study.mask & ~self.corrections.fixed
        return tuple(i for i, inside in enumerate(self.study.mask)
                     if i in self.corrections.done or (inside.any() and not left[i].any()))

    @property
    def outline(self) -> npt.NDArray[np.bool_]:
        """(slices, rows, columns) what is inside: the LV mask, as a person corrected it."""
        mask = self.study.mask
        return mask if self.corrections is None else self.corrections.outlined(mask)

    def volume(self, tissue: Tissue | str) -> float:
        """Volume of one tissue, ml."""
        tissue = Tissue.named(tissue)
        return float((self.labels == tissue).sum()) * self.study.geometry.voxel_volume

    def volume_interval(self, tissue: Tissue | str) -> tuple[float, float]:
        """90 % interval of one tissue's volume, ml.

        About the expected volume, with the variance of as many independent pixels as the errors
        of phantom patients suggest (`PIXELS_TOGETHER`) and of a border of pool and wall that lies
        off as a whole (`BORDER_MM`), for scar also of a border that is a matter of opinion, by the
        method that found it (`SCAR_PIECES`, `SCAR_APART`), for blood and myocardium of an outline
        that was proposed (`OUTLINE_MM`), widened where needed to hold the volume reported. It knows
        what the image leaves open, not what the model gets wrong otherwise. NaN where there is
        none: for methods whose posterior is not calibrated, for a tissue reported
        absent, for microvascular obstruction told apart from scar, where the wall was given for
        what that alone decides, and where slices were locked, whose labels a user vouches for.
        Of a refined result, corrected voxels are as the user has them: what is open is counted
        over the others.
        """
        tissue, none = Tissue.named(tissue), (float("nan"), float("nan"))
        if tissue not in self.tissues or not self.provenance.get("calibrated", False):
            return none
        if (self.labels == Tissue.MVO).any() and tissue is Tissue.SCAR:
            return none
        if self.provenance.get("locked_slices") or self._is_given(tissue):
            return none
        p = self.posterior[:, self.tissues.index(tissue)].astype(np.float64)
        expected = p.sum()
        if expected == 0:
            return none
        free = np.ones(p.shape, bool) if self.corrections is None else ~self.corrections.fixed
        border = BORDER_MM * self._border(tissue) / self.study.geometry.pixel_area
        apart = self._scar_apart(p, free) if tissue is Tissue.SCAR else 0.0
        outline = OUTLINE_MM.get(tissue, 0.0) * self.proposed_border(tissue)
        half = 1.645 * np.sqrt(PIXELS_TOGETHER[tissue] * (p * (1 - p)).sum() + border**2
                               + apart**2 + (outline / self.study.geometry.pixel_area)**2)
        count = int((self.labels == tissue).sum())
        low, high = max(min(expected - half, count), 0.0), max(expected + half, count)
        voxel = self.study.geometry.voxel_volume
        return (float(low * voxel), float(high * voxel))

    def _is_given(self, tissue: Tissue) -> bool:
        """Whether the wall was given, and is all that decides on a tissue."""
        alone = {*self.tissues} <= {Tissue.BLOOD, tissue}
        return self.study.wall is not None and (tissue is Tissue.BLOOD or alone)

    def _scar_apart(self, p: npt.NDArray[np.float64], free: npt.NDArray[np.bool_]) -> float:
        """Standard deviation, pixels, of what readers and images disagree on."""
        scar, wall = p[free].sum(), self._wall(free)
        alone = len(self.study.sequences) == 1
        pieces = SCAR_PIECES.get(self.provenance.get("method", "")) if alone else None
        if pieces is not None:
            return float(np.hypot(pieces * np.sqrt(scar * wall), PIECES_MISSED * wall))
        seen = "several" if not alone else "found" if self.study.wall is None else "given"
        return float(np.hypot(SCAR_APART[seen] * scar, SCAR_MISSED * wall))

    def _wall(self, where: npt.NDArray[np.bool_]) -> float:
        """Expected pixels of the wall, among some."""
        wall = [k for k, t in enumerate(self.tissues) if t is not Tissue.BLOOD]
        return float(self.posterior[:, wall].sum(1)[where].sum())

    def proposed_border(self, tissue: Tissue) -> float:
        """Length, mm, of the epicardium, of blood of the pool's border, on slices whose outline was
        proposed, and neither drawn since nor accepted: a slice that is done is right as it is."""
        said = self.provenance.get("mask_proposal", {})
        if not said.get("proposed") or not {Tissue.BLOOD, tissue} <= {*self.tissues} \
                or self.study.wall is not None:
            return 0.0
        open_ = np.ones(len(self.labels), bool)
        open_[[i for i in said.get("fixed", ()) if i < len(open_)]] = False
        if self.corrections is not None:
            open_[list(self.corrections.done)] = False
        blood = self.posterior[:, self.tissues.index(Tissue.BLOOD)] * open_[:, None, None]
        inside = self.posterior.sum(1) * open_[:, None, None]
        if tissue is Tissue.BLOOD:
            return self._length(blood, inside - blood)
        return self._length(inside, 1.0 - inside)

    def _border(self, tissue: Tissue) -> float:
        """Expected length, mm, of the border between the pool and the tissue, or the whole wall
        for blood; 0 where the wall was given."""
        if Tissue.BLOOD not in self.tissues or self.study.wall is not None:
            return 0.0
        blood = self.posterior[:, self.tissues.index(Tissue.BLOOD)]
        other = (self.posterior.sum(1) - blood if tissue is Tissue.BLOOD
                 else self.posterior[:, self.tissues.index(tissue)])
        if self.corrections is not None:  # a border between two that were corrected is known
            known = self.corrections.fixed
            blood, other = np.where(known, 0, blood), np.where(known, 0, other)
        return self._length(blood, other)

    def _length(self, one: npt.NDArray[Any], other: npt.NDArray[Any]) -> float:
        """Expected length, mm, of the border in the plane between two of which the probabilities
        are given."""
        width, height = self.study.geometry.spacing[:2]
        down = (one[:, 1:] * other[:, :-1] + one[:, :-1] * other[:, 1:]).sum()
        along = (one[:, :, 1:] * other[:, :, :-1] + one[:, :, :-1] * other[:, :, 1:]).sum()
        # a round border crosses 4 / pi times as many sides of pixels as it is long
        return float(down * width + along * height) * np.pi / 4

    def entropy(self) -> npt.NDArray[np.float32]:
        """(slices, rows, columns) entropy of the posterior over its maximum, 0 to 1."""
        inside = self.posterior.any(axis=1)  # a small part of large images
        p = self.posterior.transpose(0, 2, 3, 1)[inside]
        entropy = np.zeros(inside.shape, np.float32)
        entropy[inside] = (-(p * np.log(np.clip(p, 1e-12, 1.0))).sum(axis=1)
                           / np.log(max(len(self.tissues), 2)))
        return entropy
