"""What a cohort is made of: its cases, and what is done alike to each."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from deepgmm import __version__
from deepgmm.errors import InputError, shortened, without_paths
from deepgmm.files import sha256
from deepgmm.reading.conventions.codes import CONVENTIONS
from deepgmm.reading.studies.case_folders import LABELS, MASK, CaseFiles, Layout, list_cases
from deepgmm.settings import Settings
from deepgmm.study.words import Align, Role

TRUTH, EDITED, POINTS, WALL = "truth", "edited", "rv_points", "wall"

#: How a case's warning begins whose truth could not be compared.
NO_AGREEMENT = "no agreement with the truth: "

#: How the files of a case are called in a manifest.
FILES = (*(role.value for role in Role), MASK, WALL, TRUTH, EDITED, POINTS)


class Sort(Enum):
    """How the images of a case lie."""

    IMAGES = "images"
    STUDY = "a study folder"
    EXAMINATION = "an examination"


@dataclass(repr=False)
class Case:
    """One case of a cohort.

    Attributes
    ----------
    name : as its owner calls it; never written anywhere but into a key file.
    pseudonym : as all else calls it.
    folder : of a study folder or an examination.
    files : by the names of `FILES`.
    kinds : "lge" and "t2" to the kind, where one was said.
    groups : columns of the manifest by which the table is divided, to this case's values.
    faults : what is wrong already; a case with any is not begun.
    """

    name: str
    pseudonym: str = ""
    sort: Sort = Sort.IMAGES
    folder: Path | None = None
    files: dict[str, Path] = field(default_factory=dict)
    kinds: dict[str, str] = field(default_factory=dict)
    groups: dict[str, str] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    def __repr__(self) -> str:
        """What an engine writes into its log: no name and no path."""
        return f"Case({self.pseudonym})"

    @property
    def sources(self) -> dict[str, Path]:
        """Everything that is read for it, by role."""
        folder = {} if self.folder is None else {"folder": self.folder}
        return folder | self.files

    @property
    def like(self) -> tuple[str, ...]:
        """Cases of which this is equal may be fitted together."""
        roles = tuple(role.value for role in Role if role.value in self.files)
        return (self.sort.value, *roles, *(f"{k}={v}" for k, v in sorted(self.kinds.items())))

    @property
    def choices(self) -> str:
        """What was said of it beyond what its files hold, as a key."""
        return json.dumps([self.sort.value, sorted(self.files), sorted(self.kinds.items())])

    def scrubbed(self, text: str) -> str:
        """A message, as one line, without the case's own name and paths."""
        return shortened(self.scrubbed_lines(text))

    def scrubbed_lines(self, text: str) -> str:
        """A text without the case's own name and paths."""
        words = {self.name} | {part for path in self.sources.values()
                               for part in (str(path), path.name, path.parent.name,
                                            path.name.split(".")[0])}
        ours = {*FILES, "labels", "study", "study.json", "", *CONVENTIONS}
        text = without_paths(text)
        for word in sorted(words, key=len, reverse=True):
            if len(word) > 2 and word.split(".")[0].lower() not in ours:
                # a word by itself: a folder "out" is not what "outside" says
                text = re.sub(rf"(?<![^\W_]){re.escape(word)}(?![^\W_])", "<name>", text)
        return text


@dataclass(repr=False)
class Plan:
    """What is done to every case.

    Attributes
    ----------
    settings : of the segmentation.
    propose : a mask is proposed where a case has none.
    labels : what the values of truths mean, by the name of a convention.
    segments : of the AHA model.
    dicom : whether DICOM SEG and a structured report are written too, of nobody.
    """

    settings: Settings = field(default_factory=Settings)
    lge_kind: str = "auto"
    t2_kind: str = "auto"
    mask_labels: str | None = None
    phase: str | None = None
    align: Align = Align.CHECK
    propose: bool = True
    labels: str | None = None
    segments: int = 16
    dicom: bool = False

    def __repr__(self) -> str:
        """No path."""
        return f"Plan({self.key[:12]})"

    @property
    def key(self) -> str:
        """Of everything that decides a case's files but the case itself; SHA-256."""
        said: dict[str, Any] = {name: getattr(self, name) for name in (
            "lge_kind", "t2_kind", "mask_labels", "phase", "propose", "labels", "segments")}
        settings = self.settings.as_dict()
        for name in ("priors", "model"):
            path = Path(settings[name] or "/")
            if settings[name] and path.exists():
                settings[name] = sha256(path)
        said |= {"dicom": True} if self.dicom else {}
        said |= {"align": self.align.value, "settings": settings, "version": __version__}
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def find_cases(folder: Path, out: Path | None = None) -> list[Case]:
    """Every case of a folder: case folders, study folders and examinations, sorted by name.

    A link that leads to nothing is a case that is not there.

    Parameters
    ----------
    out : the output folder, which is no case where it lies among them.

    Raises
    ------
    InputError : as `list_cases`; the output folder is this one, or would lie in a case.
    """
    root = Path(os.path.abspath(folder))
    found = list_cases(root)
    check_output(out, root, [case.folder for case in found if case.folder is not None],
                 nested=not any(case.layout is Layout.MYOPS for case in found))
    return cases_of(found, root, out)


def cases_of(found: Sequence[CaseFiles], root: Path, out: Path | None) -> list[Case]:
    """What `list_cases` found in a folder, but for the output folder, and links to nothing."""
    ours = None if out is None else os.path.realpath(out)
    cases = [case_of(case) for case in found
             if case.folder is None or os.path.realpath(case.folder) != ours]
    if any(case.layout is Layout.MYOPS for case in found):  # what else lies there is no case
        return cases
    cases += [Case(path.name, faults=["is not there: the link leads to nothing; see whether its "
                                      "disk is there"])
              for path in root.iterdir() if not path.name.startswith(".")
              and path.is_symlink() and not path.exists()]
    return sorted(cases, key=lambda case: case.name)


def check_output(out: Path | None, root: Path, folders: Iterable[Path],
                 nested: bool = False) -> None:
    """See that an output folder is neither the folder of cases nor in a case.

    Parameters
    ----------
    folders : of cases.
    nested : every folder of the folder of cases is one, also one that is made only now.

    Raises
    ------
    InputError : it is.
    """
    if out is None:
        return
    ours = Path(os.path.realpath(out))
    if ours == Path(os.path.realpath(root)):
        raise InputError("the output folder is the folder of cases: give another, such as a new "
                         "one beside it")
    inside = ours.relative_to(os.path.realpath(root)).parts if ours.is_relative_to(
        os.path.realpath(root)) else ()
    if nested and len(inside) > 1 and not inside[0].startswith(".") or any(
            Path(os.path.realpath(folder)) in ours.parents for folder in folders):
        raise InputError("the output folder lies in the folder of a case: give another, such as a "
                         "new one beside the folder of cases")


def case_of(found: CaseFiles) -> Case:
    """What was found in one folder, as a case of a cohort."""
    files = {TRUTH if what == LABELS else what: path for what, path in found.files.items()}
    case = Case(found.name, folder=found.folder, files=files,
                kinds={role.value: kind.value.partition("-")[2]
                       for role, kind in found.kinds.items() if role is not Role.BSSFP})
    if found.layout is Layout.MYOPS and TRUTH in files:  # the LV mask is in nothing else there
        case.files[MASK] = files[TRUTH]
    if found.layout is Layout.STUDY:
        case.sort = Sort.STUDY
        case.files = {name: path for name, path in files.items() if name not in list(Role)}
    elif found.folder is not None and not any(role.value in files for role in Role):
        case.sort = Sort.EXAMINATION
    else:
        case.folder = None
    unmasked = "no LV mask, a file called mask"
    faults = [fault for fault in found.faults if fault[0] != unmasked
              and not (case.sort is Sort.EXAMINATION
                       and fault[0].startswith("no file called bssfp"))]
    for text in dict.fromkeys(text for text, _ in faults):
        details = ", ".join(detail for said, detail in faults if said == text and detail)
        case.faults.append(f"{text}: {details}" if details else text)
    if case.sort is Sort.EXAMINATION and not case.faults and not _holds_a_file(found.folder):
        case.faults = ["the folder is empty"]
    return case


def _holds_a_file(folder: Path | None) -> bool:
    return folder is not None and any(path.is_file() for path in folder.rglob("*"))


def batches(cases: Iterable[Case], most: int) -> list[list[Case]]:
    """Cases of like sequences together, at most so many; examinations each alone, as nobody knows
    what is in them."""
    groups: dict[tuple[str, ...], list[Case]] = {}
    for case in cases:
        groups.setdefault(case.like, []).append(case)
    found = []
    for members in groups.values():
        size = 1 if members[0].sort is Sort.EXAMINATION else most
        found += [members[i:i + size] for i in range(0, len(members), size)]
    return found


def check_names(cases: Iterable[Case]) -> list[Case]:
    """The cases, each name once; one that comes again, or is no UTF-8, gets a fault.

    Names that differ in nothing but their letters' case are one on many disks.
    """
    seen: set[str] = set()
    kept = []
    for case in cases:
        name = case.name.casefold()
        if name in seen:
            case.faults = ["a case of this name came before: give each its own"]
        seen.add(name)
        odd = _odd(case)
        if odd:
            case.faults = [f"its name or path holds characters that are no UTF-8 ({odd}): rename "
                           "it"]
        kept.append(case)
    return kept


def _odd(case: Case) -> str:
    """What in a case's name and paths is no UTF-8: readers of images would end the process."""
    text = "".join([case.name, *map(str, case.sources.values())])
    odd = sorted({c for c in text if "\ud800" <= c <= "\udfff"})
    return " ".join(f"\\x{ord(c) - 0xdc00:02x}" if "\udc80" <= c <= "\udcff" else
                    f"\\u{ord(c):04x}" for c in odd)


def none_given() -> InputError:
    """The error of a cohort of nothing."""
    return InputError("the cohort holds no case: give a folder with a folder for each case, or a "
                      "manifest with a line for each")
