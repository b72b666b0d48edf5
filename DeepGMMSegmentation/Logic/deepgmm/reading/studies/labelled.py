"""Cases to learn from: a folder of studies, of which some, all or none have labels."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from deepgmm.errors import InputError
from deepgmm.files import suffix_of
from deepgmm.progress import Progress, silent
from deepgmm.reading.conventions import CONVENTIONS, parse_convention
from deepgmm.reading.images.grids import LEAST_KEPT, WELL_KEPT, difference, image_of, place
from deepgmm.reading.images.image import read_image
from deepgmm.reading.masks.frames import read_label_image
from deepgmm.reading.masks.labelmap import UNLABELLED, read_labels
from deepgmm.reading.studies.case_folders import LABELS, MASK, CaseFiles, Fault, Layout, list_cases
from deepgmm.reading.studies.from_files import read_study
from deepgmm.reading.studies.myops_layout import MyopsCase, read_case
from deepgmm.reading.studies.study_folder import read_study_folder
from deepgmm.reading.studies.whose_labels import by_contents, check_contents
from deepgmm.study.study import Study, case_key
from deepgmm.study.words import GRID_ORDER, Kind, Role, Tissue

if TYPE_CHECKING:
    import SimpleITK

Labels = npt.NDArray[np.uint8]

#: So many cases are named for one fault, and so many with details of their own.
_MOST_NAMED, _MOST_DETAILED = 40, 5


@dataclass(frozen=True)
class LabelledCase:
    """One case of a folder to learn from, checked; with labels or without.

    Attributes
    ----------
    name : its folder's, or its number in MyoPS 2020. It may name a patient: it goes into no file
        unless somebody asked for that.
    key : see `case_key`.
    layout : how its files lie.
    files : "bssfp", "lge", "t2", "mask" and "labels" to the file, as far as there is one; the
        mask of MyoPS 2020 is the truth's outline.
    kinds : of its sequences, as far as its files or the user say them.
    labels_as : the convention of its labels (`deepgmm.reading.conventions`), as the user says it
        or as it was found; empty where it has none, or its segments have names.
    """

    name: str
    key: str
    layout: Layout
    files: dict[str, Path] = field(repr=False)
    kinds: dict[Role, Kind] = field(default_factory=dict)
    folder: Path | None = field(default=None, repr=False)
    labels_as: str = ""

    @property
    def labelled(self) -> bool:
        return LABELS in self.files

    @property
    def roles(self) -> tuple[Role, ...]:
        return tuple(role for role in Role if role.value in self.files)

    def read(self) -> tuple[Study, Labels | None]:
        """The study, checked, and its labels.

        Returns
        -------
        study : as `read_study` gives it; a file called wall is not used,
            since it would give the truth's outline of the pool away.
        labels : (slices, rows, columns) uint8, or None where there are none: values of `Tissue`,
            obstruction counted as scar; 0 outside the LV mask; `UNLABELLED` inside it where
            nobody labelled. In a file, 0 inside the mask means that too.

        Raises
        ------
        InputError
            Files that cannot be used or do not belong together.
        """
        if self.layout is Layout.MYOPS:
            sequences = {role: self.files[role.value] for role in self.roles}
            study, truth = read_case(MyopsCase(self.name, sequences, self.files[LABELS]))
            for role in self.roles:
                study.sequences[role].kind = self.kinds[role]
            return study, truth
        kinds = {f"{role.value}_kind": kind for role, kind in self.kinds.items()}
        if self.layout is Layout.STUDY:
            assert self.folder is not None
            study = read_study_folder(self.folder, mask=self.files[MASK], **kinds)
        else:
            images = {role.value: self.files[role.value] for role in self.roles}
            study = read_study(**images, mask=self.files[MASK], **kinds)  # type: ignore[arg-type]
        return study, _labels(self.files[LABELS], study, self.labels_as) if self.labelled else None


def find_labelled(folder: str | Path, *, kinds: Mapping[Role, Kind] | None = None,
                  labels: str | None = None, progress: Progress = silent,
                  around: Callable[[], AbstractContextManager[None]] = nullcontext
                  ) -> list[LabelledCase]:
    """The cases of a folder, every one of them read and checked.

    Parameters
    ----------
    folder : MyoPS 2020 (`train25`, `train25_myops_gd`), or a folder for each case with bssfp, lge
        and t2 (one or more of them), mask, and labels or truth where there are labels, as
        `deepgmm phantom` writes it; or a study folder for each case, as `deepgmm import` writes
        it, with mask and labels put into it. Images are NIfTI, NRRD or MetaImage, mask and labels
        also `.seg.nrrd`.
    kinds : how sequences were acquired, where the user says so for all cases.
    labels : what the labels' values mean, where the user says so for all cases
        (`deepgmm.reading.conventions`); else their values, their shapes and what they hold on LGE
        must tell.
    progress : called with the share done and words.
    around : entered around the reading of each case; a door may keep off its terminal what image
        libraries print themselves on a bad file.

    Returns
    -------
    cases : sorted by name (numbers by their size in MyoPS 2020).

    Raises
    ------
    InputError
        All that is wrong with all cases, in one: files that are missing, double, damaged or on
        different grids; labels that are none or lie elsewhere; the same images in two cases. Its
        `private` holds the cases' names.

    Examples
    --------
    >>> cases = find_labelled("phantoms")                                  # doctest: +SKIP
    >>> study, labels = cases[0].read()                                    # doctest: +SKIP
    """
    said = parse_convention(labels) or ""
    if said and said not in CONVENTIONS:
        raise InputError(f"--labels {said} says nothing of tissues: name one of "
                         + ", ".join(CONVENTIONS))
    listed = list_cases(folder)
    faults: list[tuple[str, Fault]] = []
    cases: list[LabelledCase] = []
    seen: dict[tuple[Role, bytes], str] = {}
    for number, files in enumerate(listed):
        progress(number / len(listed), f"checking case {number + 1} of {len(listed)}")
        files.kinds |= {role: kind for role, kind in (kinds or {}).items()
                        if role.value in files.files}
        with around():
            case, study, wrong = _examined(files, said)
        if study is not None:
            cases.append(case)
            wrong = _repeated(case.name, study, seen)
        faults += [(case.name, fault) for fault in wrong]
    if faults:
        raise _told(faults, listed)
    return cases


def choose_labelled(cases: Sequence[LabelledCase], wanted: str = "",
                    seed: int = 0) -> list[LabelledCase]:
    """Some of the labelled cases, in the order given.

    Parameters
    ----------
    wanted : how many, drawn at random by their keys, so that names and order do not matter and
        more cases hold the fewer of the same seed; or names or keys, "101,105"; or all, "". A
        single whole number is always how many.

    Raises
    ------
    InputError
        More than there are, or a name that no labelled case has.
    """
    labelled = [case for case in cases if case.labelled]
    if not wanted.strip():
        return labelled
    if wanted.strip().isdecimal():
        count = int(wanted)
        if not 1 <= count <= len(labelled):
            raise InputError(f"{count} labelled cases were asked for, and {len(labelled)} are "
                             "there: ask for fewer, or label more")
        by_key = sorted(labelled, key=lambda case: case.key)
        drawn = np.random.default_rng(seed).permutation(len(by_key))[:count]
        keys = {by_key[i].key for i in drawn}
        return [case for case in labelled if case.key in keys]
    names = [name.strip() for name in wanted.split(",") if name.strip()]
    known = {word for case in labelled for word in (case.name, case.key)}
    strange = [name for name in names if name not in known]
    if strange:
        error = InputError(f"no labelled case is called {', '.join(strange)}: give the names of "
                           "the cases' folders, or how many cases to draw")
        error.private = tuple(strange)
        raise error
    return [case for case in labelled if {case.name, case.key} & set(names)]


def described(cases: Sequence[LabelledCase]) -> str:
    """How many cases have which sequences, and how many labels, in words."""
    by_roles: dict[tuple[Role, ...], int] = {}
    for case in cases:
        by_roles[case.roles] = by_roles.get(case.roles, 0) + 1
    have = "; ".join(f"{count} with {', '.join(role.title for role in roles)}"
                     for roles, count in sorted(by_roles.items(), key=lambda item: -item[1]))
    others = sorted({CONVENTIONS[case.labels_as].title for case in cases
                     if case.labels_as not in ("", "deepgmm")})
    return (f"{len(cases)} case{'s' if len(cases) != 1 else ''}: {have}; "
            f"{sum(case.labelled for case in cases)} labelled"
            + (f", as {' and '.join(others)} codes them" if others else ""))


def label_warnings(cases: Sequence[LabelledCase], said: str | None) -> list[str]:
    """What a user must know of labels that are somebody else's.

    Parameters
    ----------
    said : the convention that the user named for all cases, if any.
    """
    warnings = []
    used = {case.labels_as for case in cases if case.labels_as not in ("", "deepgmm")}
    for convention in (CONVENTIONS[name] for name in sorted(used)):
        count = sum(case.labels_as == convention.name for case in cases)
        if not parse_convention(said):
            warnings.append(f"the labels of {count} case{'s' if count != 1 else ''} were read as "
                            f"those of {convention.title}, by values and shapes: say --labels if "
                            "that is wrong")
        if convention.wall_is_whole:
            warnings.append(f"what {convention.title} calls myocardium is the whole wall: where it "
                            "holds scar or edema, these are learned as myocardium")
    return warnings


def _examined(files: CaseFiles, labels: str) -> tuple[LabelledCase, Study | None, list[Fault]]:
    """A case, its study where nothing is wrong with it, else everything that is."""
    labels = labels if LABELS in files.files else ""
    case = LabelledCase(files.name, "", files.layout, files.files, files.kinds, files.folder,
                        labels)
    wrong = list(files.faults)
    if files.layout is Layout.MYOPS and labels not in ("", "myops"):
        wrong.append((f"lies as MyoPS 2020 does, whose labels are not --labels {labels}: leave it "
                      "out", ""))
    if not wrong:
        try:
            study, _ = case.read()
            return replace(case, key=case_key(study.hashes),
                           labels_as=study.provenance.pop("labels_as", labels)), study, []
        except InputError as error:
            wrong = _file_faults(case) or [(str(error), "")]
            return case, None, wrong
    return case, None, wrong + _file_faults(case)


def _file_faults(case: LabelledCase) -> list[Fault]:
    """What is wrong with the files one by one, and with their grids against each other's."""
    faults: list[Fault] = []
    images: dict[str, SimpleITK.Image] = {}
    titles = {**{role.value: role.title for role in Role}, MASK: "LV mask", LABELS: "labelmap"}
    for what, path in case.files.items():
        try:
            images[what] = (read_label_image(path, titles[what])[0] if what in (MASK, LABELS)
                            else read_image(path, titles[what])[0])
            if what == LABELS:
                read_labels(path, titles[what], partly=True, convention=case.labels_as or None,
                            decide=lambda _, names: names[0])  # what they are is said elsewhere
        except InputError as error:
            faults.append((str(error), ""))
    # in a study folder each sequence keeps the scanner's grid
    grids = [role.value for role in GRID_ORDER if role.value in images]
    if case.layout is Layout.STUDY or not grids:
        return faults
    for what in sorted(images.keys() - {grids[0]}, key=list(titles).index):
        apart = _apart(images[grids[0]], images[what], case.files[what])
        if apart:
            faults.append((f"{titles[what]} and {titles[grids[0]]} lie on different grids", apart))
    return faults


def _apart(grid: SimpleITK.Image, image: SimpleITK.Image, path: Path) -> str:
    """What differs between two grids; Slicer saves a piece of one, and overlaps as layers."""
    if suffix_of(path) == ".seg.nrrd":
        if image.GetNumberOfComponentsPerPixel() > 1:
            return ""
        image = place(image, grid)
    return difference(grid, image)


def _labels(path: Path, study: Study, convention: str) -> Labels:
    """Labels on the study's grid, as `LabelledCase.read` gives them."""
    found = read_labels(path, "labelmap", partly=True, convention=convention or None,
                        decide=by_contents(study))
    study.provenance["labels_as"] = found.convention
    values = found.values
    what = difference(image_of(study.mask.astype(np.uint8), study.geometry),
                      image_of(values, found.geometry))
    if what and suffix_of(path) == ".seg.nrrd":
        values = found.on(study.geometry, study.mask.shape)  # type: ignore[arg-type]
    elif what:
        raise InputError(f"labelmap and LV mask lie on different grids ({what})")
    if not convention and found.convention:  # names of segments speak for themselves
        check_contents(study, values)
    known = (values > 0) & (values != UNLABELLED)
    if not known.any():
        raise InputError("the labels name no tissue: label some of it, or take the file away")
    kept = float((known & study.mask).sum() / known.sum())
    if kept < LEAST_KEPT:
        raise InputError("most labels or many of them lie outside the LV mask: see whether both "
                         "are of one patient")
    if kept < WELL_KEPT:
        study.warnings.append(f"{100 * (1 - kept):.0f} % of the labels lie outside the LV mask "
                              "and are not used")
    labels = np.where(values == Tissue.MVO, np.uint8(Tissue.SCAR), values)
    labels[labels == 0] = UNLABELLED
    labels[~study.mask] = 0
    return labels


def _repeated(name: str, study: Study, seen: dict[tuple[Role, bytes], str]) -> list[Fault]:
    """Whether an earlier case has the same pixels; a patient must not stand on both sides of a
    split, or count twice."""
    for role, sequence in study.sequences.items():
        pixels = (role, hashlib.sha256(sequence.values.tobytes()).digest())
        other = seen.setdefault(pixels, name)
        if other != name:
            return [("has the same image as another case: keep one of the two", f"as {other}")]
    return []


def _told(faults: list[tuple[str, Fault]], listed: list[CaseFiles]) -> InputError:
    """All faults in one line: each once, with the cases that have it."""
    groups: dict[str, list[tuple[str, str]]] = {}
    for name, (what, detail) in faults:
        groups.setdefault(what, []).append((name, detail))
    wrong = {name for name, _ in faults}
    parts = [f"({number}) {_names(group)}: {what}"
             for number, (what, group) in enumerate(groups.items(), 1)]
    error = InputError(f"{len(wrong)} of the folder's {len(listed)} cases cannot be used: "
                       + "; ".join(parts) + ". Mend them, or take them out of the folder",
                       longest=20_000)
    error.private = tuple(case.name for case in listed)
    return error


def _names(group: list[tuple[str, str]]) -> str:
    """Names of cases, with details where these are few or the same for all."""
    by_detail = {detail: [name for name, own in group if own == detail]
                 for detail in dict.fromkeys(detail for _, detail in group)}
    if len(by_detail) > _MOST_DETAILED:
        by_detail = {"": [name for name, _ in group]}
    named = [", ".join(names[:_MOST_NAMED])
             + (f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else "")
             + (f" ({detail})" if detail else "") for detail, names in by_detail.items()]
    return ", ".join(named)
