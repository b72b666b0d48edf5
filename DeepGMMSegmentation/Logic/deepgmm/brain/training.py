"""`deepgmm brain train`: from a folder of brains to a network in a folder of its own."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepgmm.brain.held_atlas import Atlas
from deepgmm.brain.layouts import brain_cases, read_case, said_of
from deepgmm.brain.network_card import (
    BrainCard,
    NetworkKind,
    network_that_deforms,
    save_brain_network,
)
from deepgmm.brain.unsupervised import UnsupervisedSettings
from deepgmm.brain.volumes import BrainVolume
from deepgmm.errors import InputError
from deepgmm.progress import Progress, share_of, silent
from deepgmm.weights.card import LabelledCases, Learning

if TYPE_CHECKING:
    from deepgmm.brain.amortised import AmortisedSettings

#: Of the progress: files are read, then the network learns.
_READING = 0.05


def train(folder: str | os.PathLike[str], output: str | os.PathLike[str], *,
          unsupervised: UnsupervisedSettings | None = None,
          amortised: AmortisedSettings | None = None, atlas: Atlas | None = None,
          name: str = "", force: bool = False, progress: Progress = silent) -> BrainCard:
    """Train one network on all cases of a folder and save it with its card.

    Parameters
    ----------
    folder : cases in IBSR18's or MRBrainS18's layout, labelled or not.
    output : of the network; its parent must be there.
    unsupervised, amortised : which of the two networks, by the settings that are given; the
        unsupervised one where neither is. An amortised one needs the `atlas`.
    name : of the network; by default the output's.
    force : replace a network that is there.

    Returns
    -------
    card : as written.

    Raises
    ------
    InputError : both settings, no atlas, no MONAI for the amortised network, a folder without
        cases, an output that is not empty, or what cannot be read or written.
    """
    if amortised is not None and unsupervised is not None:
        raise InputError("a training is of one network: give the settings of one")
    if (amortised is None) != (atlas is None):
        raise InputError("a network that deforms an atlas is trained with one: give an atlas"
                         if atlas is None else "an atlas was given, but the unsupervised network "
                         "uses none: leave it out, or train the amortised one")
    if amortised is not None:
        network_that_deforms()  # before all cases are read
    target = Path(output)
    _check(target, force)
    contrast = "T1" if unsupervised is None else unsupervised.contrast
    cases = brain_cases(folder, contrast=contrast)
    volumes: list[BrainVolume] = []
    for number, case in enumerate(cases):
        progress(_READING * number / len(cases), f"reading case {number + 1} of {len(cases)}")
        volumes.append(read_case(case))
    began = time.perf_counter()
    part = share_of(progress, _READING, 1 - _READING)
    common: dict[str, Any] = {"cases": sorted(volume.hashes["image"][:16] for volume in volumes),
                              "count": len(volumes), "layout": cases[0].layout,
                              "warnings": said_of(volumes)}
    if amortised is None:
        return _unsupervised(volumes, target, unsupervised or UnsupervisedSettings(),
                             name or _named(target), common, began, part)
    assert atlas is not None
    return _amortised(volumes, target, amortised, atlas, name or _named(target), common, began,
                      part)


def _unsupervised(volumes: Sequence[BrainVolume], target: Path, settings: UnsupervisedSettings,
                  name: str, common: dict[str, Any], began: float, progress: Progress
                  ) -> BrainCard:
    from deepgmm.brain.unsupervised import fit

    labelled = [v.labels is not None and settings.label_weight > 0 for v in volumes]
    count = sum(labelled)
    network = fit(volumes, settings, labelled=labelled, progress=progress)
    learning = (Learning.UNSUPERVISED if count == 0 else
                Learning.SUPERVISED if count == len(volumes) else Learning.PARTLY)
    field = "with a bias field" if settings.degree else "without a bias field"
    how = ("mixture loss alone, no label" if count == 0 else
           f"labels of {count} of {len(volumes)} cases and the mixture loss")
    card = BrainCard(
        name, f"brain, slice by slice, {field}; {how}", NetworkKind.UNSUPERVISED, learning,
        LabelledCases(loss=count), settings.architecture.as_dict(), settings.contrast, {},
        common | {"settings": settings.as_dict(), "seconds": time.perf_counter() - began},
        "of whoever may use the training images")
    return save_brain_network(target, network, card)


def _amortised(volumes: Sequence[BrainVolume], target: Path, settings: AmortisedSettings,
               atlas: Atlas, name: str, common: dict[str, Any], began: float,
               progress: Progress) -> BrainCard:
    from deepgmm.brain.amortised import CoarseAtlas, fit
    from deepgmm.brain.atlas_choice import fingerprint

    under = CoarseAtlas.of(atlas, settings.voxel)
    network = fit(volumes, under, settings, progress=progress)
    about = {"title": atlas.title, "sha256": fingerprint(atlas), "voxel": settings.voxel,
             "cases": sorted(digest[:16] for digest in atlas.hashes)}
    made_of = f"an atlas of {atlas.labelled} labelled cases" if atlas.labelled else "an atlas"
    card = BrainCard(
        name, f"brain, {made_of} deformed in one pass; no label in the loss",
        NetworkKind.AMORTISED, Learning.PRIORS, LabelledCases(atlas=atlas.labelled),
        {"tissues": network.tissues, "widths": list(network.widths)}, "T1", about,
        common | {"settings": settings.as_dict(), "seconds": time.perf_counter() - began},
        "of whoever may use the training images and the atlas")
    return save_brain_network(target, network, card)


def _check(target: Path, force: bool) -> None:
    """See to the output before an hour's work."""
    if not target.parent.is_dir():
        raise InputError("the network's folder cannot be made: the folder above it does not exist")
    if target.exists() and not target.is_dir():
        raise InputError("the network's folder cannot be made: a file has that name; choose "
                         "another")
    if target.is_dir() and any(target.iterdir()) and not force:
        raise InputError("the network's folder holds something already: replace it with --force, "
                         "or choose another")


def _named(target: Path) -> str:
    """A name that a network may have, from its folder's."""
    kept = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "-"
                   for c in target.resolve().name.lower())
    return kept.strip("-._")[:64] or "brain"
