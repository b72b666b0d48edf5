"""Which atlas a user means, and what is to be said of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from deepgmm.brain.atlas import mni_atlas
from deepgmm.brain.held_atlas import Atlas

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
    return Atlas.load(word)


def fingerprint(atlas: Atlas) -> str:
    """SHA-256 of what an atlas says, wherever it was read from."""
    return atlas.digest


def described(atlas: Atlas) -> dict[str, Any]:
    """Plain values for a report; it names none of the cases."""
    return {"title": atlas.title, "sha256": fingerprint(atlas), "labelled_cases": atlas.labelled,
            "csf_of_the_sulci_is_grey": atlas.sulci_are_grey}
