"""Which files the cases of a folder have, in each layout that we know; no image is opened.

- MyoPS 2020: `train25` and `train25_myops_gd` (`deepgmm.reading.studies.myops_layout`);
- a folder a case, as `deepgmm phantom` writes them: bssfp, lge, t2, mask, and truth or labels;
- a study folder a case, as `deepgmm import` writes them, with a mask, and labels, put in it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from deepgmm.errors import InputError
from deepgmm.files import IMAGE_SUFFIXES, read_json, suffix_of
from deepgmm.reading.studies.myops_layout import FOLDERS, KINDS, SEQUENCE_NAMES, case_files
from deepgmm.reading.studies.study_folder import NAME, is_study_folder, read_description
from deepgmm.study.words import Kind, Role

MASK, LABELS = "mask", "labels"

#: What files are called, whatever their format, to what they hold.
_CALLED = {**{role.value: role.value for role in Role}, MASK: MASK, LABELS: LABELS, "truth": LABELS}
#: What may stand beside an image under its name.
_NO_IMAGES = (".json", ".txt", ".md", ".csv")
#: The layout of MyoPS 2020 is known by this folder; these are all of its own.
_MYOPS, _MYOPS_FOLDERS = FOLDERS[0], (*FOLDERS, "test20", "test20_myops_gd")
#: How a phantom says how it was made.
PHANTOM = "phantom.json"

#: What is wrong with a case, alike for every case with the same fault, and its own detail.
Fault = tuple[str, str]


class Layout(Enum):
    """How a case's files lie."""

    MYOPS = "MyoPS 2020"
    FILES = "files in a folder"
    STUDY = "a study folder"


@dataclass
class CaseFiles:
    """One case as it lies on the disk.

    Attributes
    ----------
    name : its folder's, or its number in MyoPS 2020.
    folder : None in MyoPS 2020, whose cases share folders.
    files : "bssfp", "lge", "t2", "mask" and "labels" to the file, as far as there is one.
    kinds : as its files say them; the others are guessed when it is read.
    faults : what is wrong already.
    """

    name: str
    layout: Layout
    folder: Path | None = None
    files: dict[str, Path] = field(default_factory=dict)
    kinds: dict[Role, Kind] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)


def list_cases(folder: str | Path) -> list[CaseFiles]:
    """Every case of a folder, sorted by name, with what is wrong with it so far.

    Every folder in it is taken for a case, unless its name begins with a dot.

    Raises
    ------
    InputError
        No such folder, one that cannot be read or is a case itself, or no case in it.
    """
    root = Path(folder)
    try:
        folders = sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))
        single, myops = _is_case(root), root / _MYOPS in folders
        if myops:  # what else lies beside it need not be a case
            folders = [f for f in folders if f.name not in _MYOPS_FOLDERS and _is_case(f)]
    except (FileNotFoundError, NotADirectoryError):
        raise InputError("the folder of cases does not exist: check the path that was "
                         "given") from None
    except OSError as error:
        raise InputError(f"the folder of cases cannot be read ({error.strerror}): check its "
                         "permissions") from None
    if single:
        raise InputError("the folder is itself a case: give one that holds a folder for each case, "
                         "and no image beside them")
    if not folders and not myops:
        raise InputError("the folder holds no case: give one with a folder for each case, or one "
                         f"that holds MyoPS 2020's {_MYOPS}")
    return [*(_myops(root) if myops else ()), *(case_in(f) for f in folders)]


def _is_case(folder: Path) -> bool:
    return is_study_folder(folder) or any(
        path.is_file() and suffix_of(path) in IMAGE_SUFFIXES and _called(path) in list(Role)
        for path in folder.iterdir())


def _myops(root: Path) -> list[CaseFiles]:
    found = []
    for name, files in case_files(root).items():
        case = CaseFiles(name, Layout.MYOPS, kinds=dict(KINDS))
        for role in (*SEQUENCE_NAMES, None):
            title = "truth" if role is None else role.title
            paths = files.get(role, [])
            if paths:
                case.files[LABELS if role is None else role.value] = paths[0]
            else:
                case.faults.append(("lacks a file", title) if role is not None else
                                   ("lacks the truth, and so an LV mask", ""))
            if len(paths) > 1:
                case.faults.append(("has two files for one thing: keep one", title))
        found.append(case)
    return found


def case_in(folder: Path) -> CaseFiles:
    """One folder as a case, with what is wrong with it so far."""
    case = CaseFiles(folder.name, Layout.FILES, folder)
    try:
        held = _collect(case, folder)
        if is_study_folder(folder):
            case.layout = Layout.STUDY
            _described(case, folder)
        elif (folder / PHANTOM).is_file():
            _made(case, folder / PHANTOM)
    except OSError as error:
        case.faults.append((f"cannot be read ({error.strerror}): check the permissions", ""))
        return case
    if not any(role.value in case.files for role in Role) and not case.faults:
        case.faults.append(("no file called bssfp, lge or t2: give the folder that holds the "
                            "cases' folders, and nothing else in it", ""))
    elif MASK not in held:
        case.faults.append(("no LV mask, a file called mask", ""))
    return case


def _collect(case: CaseFiles, folder: Path) -> set[str]:
    """The files by their names; two for one thing, and formats that are none of ours, are said.

    Returns what there is, in whatever format.
    """
    there: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir()):
        what = _CALLED.get(_called(path))
        if what and path.is_symlink() and not path.exists():
            case.faults.append(("has a link that leads to nothing: see whether its disk is there",
                                path.name))
        if what and path.is_file() and suffix_of(path) not in _NO_IMAGES:
            there.setdefault(what, []).append(path)
    for what, paths in there.items():
        wanted = (*IMAGE_SUFFIXES, ".seg.nrrd") if what in (MASK, LABELS) else IMAGE_SUFFIXES
        known = [p for p in paths if suffix_of(p) in wanted]
        if known:
            case.files[what] = known[0]
        else:
            case.faults.append((f"has a file in a format that is not read here: give "
                                f"{', '.join(wanted)}", paths[0].name))
        if len(known) > 1:
            case.faults.append(("has two files for one thing: keep one",
                                " and ".join(p.name for p in known)))
    return set(there)


def _called(path: Path) -> str:
    """A file's name without its suffix, lower case."""
    return path.name.lower().removesuffix(suffix_of(path))


def _described(case: CaseFiles, folder: Path) -> None:
    """The sequences of a study folder are those that its study.json names."""
    try:
        said = read_description(folder)["sequences"]
        named = {role: str(said[role.value].get("file") or said[role.value]["cine"])
                 for role in Role if role.value in said}
    except InputError as error:
        case.faults.append((str(error), ""))
        return
    except (AttributeError, KeyError, TypeError):
        case.faults.append((f"the study folder's {NAME} is damaged: import the examination again",
                            ""))
        return
    for role in Role:
        case.files.pop(role.value, None)
        if role in named:
            case.files[role.value] = folder / named[role]
            _expect(case, role, NAME)


def _made(case: CaseFiles, path: Path) -> None:
    """The kinds that a phantom was made with, and whether all of its sequences are there."""
    try:
        said: dict[str, Any] = read_json(path)["kinds"]
        case.kinds = {Role(role): Kind(kind) for role, kind in said.items()}
        if any(kind.role is not role for role, kind in case.kinds.items()):
            raise ValueError
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        case.faults.append((f"its {PHANTOM} is damaged: make the phantom again, or take that file "
                            "away", ""))
    for role in case.kinds:
        _expect(case, role, PHANTOM)


def _expect(case: CaseFiles, role: Role, file: str) -> None:
    path = case.files.get(role.value)
    if path is None or not path.is_file():
        case.files.pop(role.value, None)
        case.faults.append((f"lacks a file that its {file} names", role.title))
