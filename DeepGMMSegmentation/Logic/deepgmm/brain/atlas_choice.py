"""Which atlas a user means, and what is to be said of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from deepgmm.brain.atlas import mni_atlas
from deepgmm.brain.held_atlas import Atlas
from deepgmm.errors import InputError, shortened

#: What an atlas' grid may measure along each axis, mm.
HEAD = (40.0, 600.0)
#: The word for the published one.
MNI = "mni"


def chosen_atlas(word: str) -> Atlas:
    """The atlas of a word or a file.

    Parameters
    ----------
    word : "mni", or the path of a file made by `deepgmm brain atlas`.

    Raises
    ------
    InputError : as `mni_atlas` or `Atlas.load`.
    """
    if word.lower() == MNI and not Path(word).is_file():
        return mni_atlas()
    atlas = Atlas.load(word)
    _check_place(atlas)
    return atlas


def _check_place(atlas: Atlas) -> None:
    """Refuse an atlas whose grid is none of a head, as that of a damaged file."""
    edges = np.linalg.norm(atlas.affine[:3, :3], axis=0)
    if (not np.allclose(atlas.affine[3], (0, 0, 0, 1)) or np.linalg.det(atlas.affine[:3, :3]) <= 0
            or not all(HEAD[0] <= n * e <= HEAD[1]
                       for n, e in zip(atlas.ventricles.shape, edges))):
        raise InputError("the file given as atlas lies where no head can lie: make one with "
                         "`deepgmm brain atlas`")


def fingerprint(atlas: Atlas) -> str:
    """SHA-256 of what an atlas says, wherever it was read from."""
    return atlas.digest


def described(atlas: Atlas) -> dict[str, Any]:
    """Plain values for a report; it names none of the cases."""
    title = shortened(" ".join(atlas.title.split()), 80)
    return {"title": title, "sha256": fingerprint(atlas), "labelled_cases": atlas.labelled,
            "csf_of_the_sulci_is_grey": atlas.sulci_are_grey}
