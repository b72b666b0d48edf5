"""An atlas of a brain: what each place of a common space may hold, and how far it is believed."""

from __future__ import annotations

import hashlib
import io
import json
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from deepgmm.brain.intensities import LocalIntensities
from deepgmm.brain.tissues import TISSUES
from deepgmm.brain.volumes import BrainVolume
from deepgmm.errors import InputError
from deepgmm.files import write_whole

Array = npt.NDArray[np.float32]
Matrix = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Trust:
    """How far an atlas of a kind is believed of another brain. Chosen on IBSR18's training cases.

    Attributes
    ----------
    smoothness : lambda of its deformation.
    blur : mm (standard deviation) by which it is blurred, as folds differ between people; while it
        is deformed, `sharp`.
    power : its probabilities are raised to this, as neighbours err together.
    sulci : what of its CSF outside the ventricles lies in a close brain mask.
    """

    smoothness: float
    sharp: float
    blur: float
    power: float
    sulci: float


#: Of a sharp published average, whose brains have their CSF around them; and of cases whose masks
#: and conventions are those of the brain at hand.
_PUBLISHED, _OWN = Trust(4.0, 2.0, 3.0, 0.5, 0.3), Trust(4.0, 0.0, 1.0, 0.75, 1.0)


@dataclass(frozen=True)
class Atlas:
    """What each place of a common space may hold.

    Attributes
    ----------
    probabilities : (3, D, H, W) float32 of CSF, grey and white matter; what is missing to one is
        background.
    ventricles : (D, H, W) float32, which share of a place's CSF is the ventricles'.
    affine : 4 x 4, index to (z, y, x, 1) in mm: up, back, left.
    title : what it is.
    cases : names of the labelled cases that it was made of, none for one that is published.
    hashes : SHA-256 of their image files, by which they are known again under another name.
    sulci_are_grey : the graders counted the CSF of the sulci as grey matter.
    intensities : which of them each tissue has where, in the cases; None where nobody counted.
    settled : (2, D, H, W) what is grey or white matter whatever its intensity; None where the
        probabilities say it all, as they do where cases are labelled.
    """

    probabilities: Array
    ventricles: Array
    affine: Matrix
    title: str
    cases: tuple[str, ...] = ()
    hashes: tuple[str, ...] = ()
    sulci_are_grey: bool = False
    intensities: LocalIntensities | None = None
    settled: Array | None = None

    @property
    def labelled(self) -> int:
        """How many labelled cases it was made of."""
        return len(self.cases)

    @property
    def classes(self) -> Array:
        """(4, D, H, W): CSF of the ventricles, other CSF, grey, white matter.

        Where the sulci are grey the second is empty: their CSF is a kind of grey matter.
        """
        csf, grey, white = self.probabilities
        return np.stack([csf * self.ventricles, csf * (1 - self.ventricles), grey, white])

    @property
    def trust(self) -> Trust:
        """How far it is believed."""
        return _OWN if self.cases else _PUBLISHED

    def blurred(self, blur: float, sulci: float = 1.0) -> Array:
        """What lies under a brain: `classes`, or the tissues where the sulci are grey.

        Parameters
        ----------
        blur : mm, standard deviation; the brain's border stays where it is.
        sulci : what is left of CSF outside the ventricles.
        """
        from scipy.ndimage import gaussian_filter

        maps = self.probabilities if self.sulci_are_grey else self.classes
        if blur > 0:
            voxels = blur / np.linalg.norm(self.affine[:3, :3], axis=0)
            brain = maps.sum(0)
            inside = brain / np.maximum(gaussian_filter(brain, voxels), 0.05)
            maps = np.stack([gaussian_filter(m, voxels) for m in maps]) * inside
        if not self.sulci_are_grey:
            maps = maps * np.array([1, sulci, 1, 1])[:, None, None, None]
        return np.asarray(maps, np.float32)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of what it says, wherever it was read from."""
        digest = hashlib.sha256()
        for array in (self.probabilities, self.ventricles):
            digest.update(np.ascontiguousarray(array, np.float16).tobytes())
        digest.update(np.round(self.affine, 6).tobytes())
        if self.settled is not None:
            digest.update(np.ascontiguousarray(self.settled, np.float16).tobytes())
        if self.intensities is not None:
            digest.update(np.ascontiguousarray(self.intensities.stored).tobytes())
        return digest.hexdigest()

    @cached_property
    def laid(self) -> Array:
        """`blurred` as far as it is trusted under another brain."""
        return self.blurred(self.trust.blur, self.trust.sulci)

    @property
    def whole(self) -> Array:
        """(4, D, H, W): CSF, grey, white matter and background; they sum to one."""
        rest = np.clip(1 - self.probabilities.sum(0, keepdims=True), 0, 1)
        return np.concatenate([self.probabilities, rest]).astype(np.float32)

    def knows(self, volume: BrainVolume) -> bool:
        """Whether it was made of this case, by name or by content."""
        return ((bool(volume.name) and volume.name in self.cases)
                or volume.hashes.get("image") in self.hashes)

    def may_score(self, volume: BrainVolume) -> None:
        """Refuse to be scored on what it was made of.

        Raises
        ------
        InputError : it was made of this case too.
        """
        if self.knows(volume):
            which = f"case {volume.name}" if volume.name else "this case"
            raise InputError(f"the atlas was made of {which} too, so a score on it says nothing: "
                             "make one without it, or score other cases")

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it as one `.npz` file, whole or not at all."""
        about = {"title": self.title, "cases": list(self.cases), "hashes": list(self.hashes),
                 "sulci_are_grey": self.sulci_are_grey}
        content = io.BytesIO()
        more: dict[str, Any] = {}
        if self.intensities is not None:
            more = {"intensities": self.intensities.stored, "cells": self.intensities.affine}
        if self.settled is not None:
            more["settled"] = self.settled.astype(np.float16)
        np.savez_compressed(content, **more, probabilities=self.probabilities.astype(np.float16),
                            ventricles=self.ventricles.astype(np.float16),
                            affine=self.affine, about=np.array(json.dumps(about)))
        write_whole(path, content.getvalue(), "the atlas")

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Atlas:
        """Read what `save` wrote.

        Raises
        ------
        InputError : no such file, or not an atlas.
        """
        if not Path(path).is_file():
            raise InputError("the atlas does not exist: check the path that was given")
        try:
            with np.load(path, allow_pickle=False) as stored:
                about = json.loads(str(stored["about"]))
                atlas = cls(stored["probabilities"].astype(np.float32),
                            stored["ventricles"].astype(np.float32),
                            stored["affine"].astype(np.float64), str(about["title"]),
                            tuple(map(str, about["cases"])), tuple(map(str, about["hashes"])),
                            bool(about["sulci_are_grey"]), None if "cells" not in stored else
                            LocalIntensities(stored["intensities"].astype(np.float32),
                                             stored["cells"].astype(np.float64)),
                        stored["settled"].astype(np.float32) if "settled" in stored else None)
        except Exception as error:  # a zip of anything else fails in many ways
            raise InputError("the file given as atlas is none: make one with `deepgmm brain "
                             "atlas`") from error
        if (atlas.probabilities.ndim != 4 or len(atlas.probabilities) != len(TISSUES)
                or atlas.ventricles.shape != atlas.probabilities.shape[1:]
                or atlas.affine.shape != (4, 4)
                or not all(np.isfinite(a).all()
                           for a in (atlas.probabilities, atlas.ventricles, atlas.affine))
                or np.linalg.matrix_rank(atlas.affine[:3, :3]) < 3
                or min(atlas.probabilities.min(), atlas.ventricles.min()) < -0.01
                or max(atlas.probabilities.sum(0).max(), atlas.ventricles.max()) > 1.01
                or np.ptp(atlas.probabilities.sum(0)) < 0.5
                or (atlas.intensities is not None and not atlas.intensities.sound)
                or (atlas.settled is not None
                    and (atlas.settled.shape != (2, *atlas.probabilities.shape[1:])
                         or not np.isfinite(atlas.settled).all()
                         or atlas.settled.min() < 0 or atlas.settled.max() > 1.01))):
            raise InputError("the file given as atlas holds other arrays than an atlas: make one "
                             "with `deepgmm brain atlas`")
        return atlas
