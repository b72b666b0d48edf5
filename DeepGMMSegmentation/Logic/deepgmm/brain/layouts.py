"""Folders of brains: IBSR18's layout and MRBrainS18's, recognised by the files that are there.

IBSR18 is a folder a case, in folders of sets or in any other::

    Training_Set/IBSR_01/IBSR_01.nii.gz        T1, skull-stripped
    Training_Set/IBSR_01/IBSR_01_seg.nii.gz    1 CSF, 2 grey, 3 white; sulcal CSF is grey

MRBrainS18 is a folder a case with three contrasts and eleven labels::

    1/pre/reg_T1.nii.gz  1/pre/FLAIR.nii.gz  1/pre/reg_IR.nii.gz
    1/segm.nii.gz

Both come under their own terms; users bring their own copies. Cases are matched by folder and
file name, never by order.

Source of layouts and codes: the data sets' own pages (IBSR at NITRC; mrbrains18.isi.uu.nl, whose
predecessor MRBrainS13 says which labels make up grey matter, white matter and CSF).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from deepgmm.brain.tissues import UNLABELLED, BrainTissue
from deepgmm.brain.volumes import BrainVolume, read_volume
from deepgmm.errors import InputError

IBSR, MRBRAINS = "IBSR18", "MRBrainS18"

#: Eleven labels to three. Cerebellum, brain stem, infarctions and what is "other" are brain and
#: are segmented, but MRBrainS scores them as no tissue.
MRBRAINS_CODES: dict[int, int] = {
    0: 0,
    1: BrainTissue.GM,    # cortical grey matter
    2: BrainTissue.GM,    # basal ganglia
    3: BrainTissue.WM,    # white matter
    4: BrainTissue.WM,    # white matter lesions
    5: BrainTissue.CSF,   # in the extracerebral space
    6: BrainTissue.CSF,   # ventricles
    7: UNLABELLED,        # cerebellum
    8: UNLABELLED,        # brain stem
    9: UNLABELLED,        # infarction
    10: UNLABELLED,       # other
}

#: MRBrainS18's files of each contrast, in `pre`.
CONTRASTS = {"T1": ("reg_T1", "T1"), "FLAIR": ("FLAIR", "reg_FLAIR"), "IR": ("reg_IR", "IR")}

_SUFFIXES = (".nii.gz", ".nii")
_SETS = re.compile(r"^(train|valid|test)", re.IGNORECASE)

_NUMBER, _READ_AS = re.compile(r"\d+(\.\d+)?"), "read as "

#: How deep below the folder given a case may lie.
_DEEPEST = 3


@dataclass(frozen=True)
class BrainCase:
    """One case of a folder, as files.

    Attributes
    ----------
    name : of the case, the same in every table.
    image : of the contrast asked for.
    labels : None where the case has none.
    layout : `IBSR` or `MRBRAINS`.
    group : "training", "validation", "test", or "" where no folder says so.
    """

    name: str
    image: Path
    labels: Path | None
    layout: str
    group: str = ""


def brain_cases(folder: str | os.PathLike[str], *, contrast: str = "T1",
                labelled: bool | None = None) -> list[BrainCase]:
    """The cases of a folder, in the order of their names.

    Parameters
    ----------
    folder : the data set, one of its sets, one case, or any folder that holds cases.
    contrast : which of MRBrainS18's; IBSR18 has T1 alone.
    labelled : only the cases with labels, only those without, or all.

    Raises
    ------
    InputError : no such folder, no case in it, two layouts, or two cases of one name.

    Examples
    --------
    >>> [c.name for c in brain_cases("IBSR18", labelled=True)]             # doctest: +SKIP
    ['IBSR_01', 'IBSR_03']
    """
    root = Path(folder)
    if contrast not in CONTRASTS:
        raise InputError(f"no contrast is called {contrast!r}: choose from "
                         + ", ".join(CONTRASTS))
    if not root.is_dir():
        raise InputError("the folder of cases does not exist: check the path that was given")
    found = sorted(_found(root, contrast), key=lambda case: _natural(case.name))
    layouts = {case.layout for case in found}
    if len(layouts) > 1:
        raise InputError(f"the folder holds cases of {IBSR} and of {MRBRAINS}: give one data set")
    names = [case.name for case in found]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise _of_case(twice[0], f"two cases are called {twice[0]}: give one set of the data set, "
                       "or name them apart")
    wanted = [c for c in found if labelled is None or labelled is (c.labels is not None)]
    if not wanted:
        what = {None: "", True: " with labels", False: " without labels"}[labelled]
        raise InputError(f"no case{what} there: wanted CASE/CASE.nii.gz with CASE_seg.nii.gz "
                         f"({IBSR}), or CASE/pre/reg_T1.nii.gz with CASE/segm.nii.gz ({MRBRAINS})")
    return wanted


def read_case(case: BrainCase) -> BrainVolume:
    """A case as a volume; its brain mask is where it has labels.

    Raises
    ------
    InputError : as `deepgmm.brain.volumes.read_volume`; the message names the case.
    """
    try:
        volume = read_volume(case.image, labels=case.labels, name=case.name,
                             codes=MRBRAINS_CODES if case.layout == MRBRAINS else None)
    except InputError as error:
        raise _of_case(case.name, f"case {case.name}: {error}") from error
    volume.warnings.append(described([case]))
    return volume


def described(cases: Iterable[BrainCase]) -> str:
    """How a folder was read, in words."""
    layout = next(iter(cases)).layout
    if layout == IBSR:
        return (f"{_READ_AS}{IBSR}: labels 1 CSF, 2 grey, 3 white; its graders drew CSF in the "
                "ventricles alone, and what lies in the sulci is grey matter")
    return (f"{_READ_AS}{MRBRAINS}: of its labels 1 and 2 are grey matter, 3 and 4 white, 5 and 6 "
            "CSF; 7 to 10 (cerebellum, brain stem, infarction, other) are segmented and not scored")


def said_of(volumes: Sequence[BrainVolume]) -> list[str]:
    """The warnings of volumes read together, each once, with how many cases it is of.

    Texts that differ in their numbers alone are one; the first stands for all.
    """
    texts: dict[str, list[str]] = {}
    for volume in volumes:
        own = {_NUMBER.sub("#", text): text for text in volume.warnings}
        for kind, text in own.items():
            texts.setdefault(kind, []).append(text)
    return [same[0] if same[0].startswith(_READ_AS) else
            f"{len(same)} of {len(volumes)} cases{', as' if len(set(same)) > 1 else ''}: {same[0]}"
            for same in texts.values()]


def _of_case(name: str, text: str) -> InputError:
    """An error that names a case, which the log must not."""
    error = InputError(text)
    error.private = (name,)
    return error


def _found(root: Path, contrast: str) -> Iterator[BrainCase]:
    for folder in _folders(root):
        group = _group(folder, root)
        image = _mrbrains_image(folder, contrast)
        labels = _first(folder / "segm", folder / "pre" / "segm")
        if image is not None:
            yield BrainCase(folder.name, image, labels, MRBRAINS, group)
            continue
        if labels is not None:
            raise _of_case(folder.name, f"case {folder.name} has no image of {contrast} in its "
                           "folder 'pre': unpack the data set as it came")
        yield from _ibsr(folder, group)


def _ibsr(folder: Path, group: str) -> Iterator[BrainCase]:
    stems = {_stem(p): p for p in sorted(folder.iterdir()) if p.is_file() and _stem(p)}
    for stem, path in stems.items():
        if stem.endswith("_seg"):
            if stem[:-4] not in stems:
                raise _of_case(stem[:-4], f"case {stem[:-4]} has labels and no image of that name "
                               "beside them: unpack the data set as it came")
            continue
        labels = stems.get(stem + "_seg")
        if labels is not None or stem == folder.name:
            yield BrainCase(stem, path, labels, IBSR, group)


def _folders(root: Path, depth: int = 0) -> Iterator[Path]:
    yield root
    if depth == _DEEPEST:
        return
    for child in sorted(root.iterdir()):
        if child.is_dir() and not child.name.startswith(".") and child.name not in ("pre", "orig"):
            yield from _folders(child, depth + 1)


def _mrbrains_image(folder: Path, contrast: str) -> Path | None:
    return _first(*(folder / "pre" / name for name in CONTRASTS[contrast]))


def _first(*stems: Path) -> Path | None:
    for stem in stems:
        for suffix in _SUFFIXES:
            path = stem.with_name(stem.name + suffix)
            if path.is_file():
                return path
    return None


def _stem(path: Path) -> str:
    for suffix in _SUFFIXES:
        if path.name.lower().endswith(suffix):
            return path.name[: -len(suffix)]
    return ""


def _group(folder: Path, root: Path) -> str:
    above = [root.name, *folder.relative_to(root).parts]
    words = {"train": "training", "valid": "validation", "test": "test"}
    for part in reversed(above):
        if match := _SETS.match(part):
            return words[match[1].lower()]
    return ""


def _natural(name: str) -> list[tuple[int, str]]:
    return [(int(p), "") if p.isdigit() else (-1, p.lower()) for p in re.split(r"(\d+)", name)]
