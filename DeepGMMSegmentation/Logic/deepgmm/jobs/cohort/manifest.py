"""A manifest: a CSV file that names the cases of a cohort, their files, kinds and subgroups."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path

from deepgmm.errors import InputError, shortened
from deepgmm.jobs.cohort.cases import FILES, TRUTH, Case, Sort, case_of, cases_of, check_output
from deepgmm.jobs.cohort.table import is_own
from deepgmm.reading.studies.case_folders import case_in, list_cases
from deepgmm.study.words import Role

CASE, FOLDER = "case", "folder"
KINDS = ("lge_kind", "t2_kind")

#: Bytes of a manifest that anybody reads.
_LARGEST = 50_000_000
#: From so many cases on, a column with more values than half the cases divides nothing.
_FEWEST = 3


def read_manifest(path: Path, folder: Path, subgroups: Sequence[str] = (),
                  out: Path | None = None) -> tuple[list[Case], list[str]]:
    """The cases that a manifest names.

    Parameters
    ----------
    folder : from where its paths are seen; a case that has a folder of its name there starts with
        what that holds.
    out : the output folder, which is no case where it lies in the folder.
    subgroups : the columns to divide the table by; others that are not known are passed over.

    Returns
    -------
    cases : each with what is wrong with it.
    notes : what is to be said of the manifest.

    Raises
    ------
    InputError
        No such file, one that cannot be read, without a column "case" or a line, a subgroup that
        is no column, or one that names cases or files or is a column of the table itself; the
        output folder is the folder or would lie in a case.
    """
    columns, rows = _rows(path)
    wanted = list(dict.fromkeys(name.strip().lower() for name in subgroups if name.strip()))
    for name in wanted:
        if name in (CASE, FOLDER, *FILES):
            raise InputError(f"--subgroups: the column {name} names cases or files, which the "
                             "table must not hold: leave it out")
        if is_own(name):
            raise InputError(f"--subgroups: the table has a column {name} of its own: give the "
                             "manifest's another name")
    lacking = [name for name in wanted if name not in columns]
    if lacking:
        raise InputError(f"--subgroups: the manifest has no column {lacking[0]}")
    known = {CASE, FOLDER, *FILES, *KINDS, *wanted}
    notes = []
    unknown = [name for name in columns if name not in known]
    if unknown:
        notes.append("the manifest's columns that are not known were passed over: "
                     + shortened(", ".join(unknown), 120))
    for name in list(wanted):
        given = [row[name].casefold() for row in rows if row.get(name)]
        values = len(set(given))
        if len(given) >= _FEWEST and values > len(given) / 2:
            notes.append(f"the manifest's column {name} has {values} values in {len(given)} cases: "
                         "it divides nothing and may identify, so it was left out")
            wanted.remove(name)
    root = Path(os.path.abspath(folder))
    found = _held(root, out)
    check_output(out, root, [root / (row.get(FOLDER) or row[CASE]) for row in rows
                             if row.get(FOLDER) or row.get(CASE) in found])
    cases = [_case(row, number, root, found, wanted) for number, row in enumerate(rows, start=2)]
    left = len(found) - len({case.name for case in cases} & found.keys())
    if left:
        notes.append(f"{left} case{'s' if left > 1 else ''} of the folder "
                     f"{'are' if left > 1 else 'is'} not in the manifest: left out")
    return cases, notes


def _rows(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    try:
        with path.open("rb") as stream:
            content = stream.read(_LARGEST + 1)
    except FileNotFoundError:
        raise InputError("the manifest does not exist: check the path that was given") from None
    except OSError as error:
        raise InputError(f"the manifest cannot be read ({error.strerror})") from error
    if len(content) > _LARGEST or b"\0" in content:
        raise InputError("the manifest is no CSV file: give a text with a line for each case")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("cp1252", "replace")  # as spreadsheets write it
    if "\r" in text and "\n" not in text:
        raise InputError("the manifest's lines end as those of old Macs (CR): save it again as CSV "
                         "with line ends of Unix or Windows")
    first = text.partition("\n")[0]
    mark = max(",;\t", key=first.count)
    longest = csv.field_size_limit(_LARGEST)  # a name that is too long fails by itself
    try:
        lines = [line for line in csv.reader(io.StringIO(text), delimiter=mark) if any(line)]
    except csv.Error as error:
        raise InputError(f"the manifest is no CSV file ({error})") from error
    finally:
        csv.field_size_limit(longest)
    names = [name.strip().lower() for name in lines[0]] if lines else []
    if CASE not in names:
        raise InputError("the manifest has no column called case: its first line names the columns")
    twice = next((name for name in names if name and names.count(name) > 1), None)
    if twice:
        raise InputError(f"the manifest has two columns called {twice}: keep one")
    if len(lines) < 2:
        raise InputError("the manifest names no case: give a line for each below the first")
    return ([name for name in names if name],
            [dict(zip(names, (value.strip() for value in line))) for line in lines[1:]])


def _held(root: Path, out: Path | None) -> dict[str, Case]:
    """The cases of the folder, as far as it is one of cases."""
    if not root.is_dir():
        raise InputError("the folder of cases does not exist: check the path that was given")
    try:
        return {case.name: case for case in cases_of(list_cases(root), root, out)}
    except InputError:
        return {}


def _case(row: Mapping[str, str], number: int, root: Path, found: Mapping[str, Case],
          groups: Sequence[str]) -> Case:
    name = row.get(CASE, "")
    if not name:
        return Case(f"line {number}", faults=["the manifest has a line without a case"])
    case = Case(name)
    if row.get(FOLDER):
        folder = root / row[FOLDER]
        if not _is_there(folder) or not folder.is_dir():
            return Case(name, faults=["the manifest names a folder that is not there"])
        case = case_of(case_in(folder))
    elif name in found:
        case = deepcopy(found[name])  # a name may come twice
    case.name = name
    case.groups = {group: shortened(row.get(group, ""), 60) for group in groups}
    given = {what: root / row[what] for what in FILES if row.get(what)}
    for what, path in given.items():
        if not _is_there(path):
            case.faults.append(f"the manifest names a file that is not there: {what}")
    if any(role.value in given for role in Role):  # then these are all its images
        if case.sort is not Sort.IMAGES:
            case.sort, case.folder = Sort.IMAGES, None
        case.files = {what: path for what, path in case.files.items() if what not in list(Role)}
        case.faults = [fault for fault in case.faults if fault.startswith("the manifest")]
    case.files |= given
    _say_kinds(case, row)
    if case.sort is Sort.IMAGES and not case.faults and not any(
            role.value in case.files for role in Role):
        case.faults.append("no image: the folder has no case of this name, and the manifest names "
                           "no bssfp, lge or t2")
    return case


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a name that is too long for any disk
        return False


def _say_kinds(case: Case, row: Mapping[str, str]) -> None:
    from deepgmm.study.kinds import parse_kind

    for column in KINDS:
        word = row.get(column)
        if not word:
            continue
        role = Role(column.removesuffix("_kind"))
        try:
            parse_kind(role, word)
        except InputError as error:
            case.faults.append(str(error))
        else:
            case.kinds[role.value] = word


def add_truths(cases: Sequence[Case], folder: Path) -> list[str]:
    """Give each case the truth of its name in a folder; returns what is to be said.

    Raises
    ------
    InputError : the folder holds no labels, two of one case, or none of a case's name.
    """
    from deepgmm.review.label_files import label_files

    if not folder.is_dir():
        raise InputError("the folder of truths does not exist: check the path that was given")
    truths = label_files(Path(os.path.abspath(folder)), "truth")
    with_truth = [case for case in cases if case.name in truths]
    if not with_truth:
        raise InputError(f"none of the {len(cases)} cases has the name of one of the {len(truths)} "
                         "truths: name the files or their folders alike")
    for case in with_truth:
        case.files[TRUTH] = truths[case.name]
    lacking = len(cases) - len(with_truth)
    who = "1 case has" if lacking == 1 else f"{lacking} cases have"
    return [f"{who} no truth of the same name"] if lacking else []
