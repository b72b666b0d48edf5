"""`deepgmm phantom`: patients whose tissues are known, as files."""

from __future__ import annotations

import json as json_format
import os
import shutil
import tempfile
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deepgmm.cli import options
from deepgmm.cli.common import make_folder, progress_bar
from deepgmm.errors import InputError
from deepgmm.study.words import PatientSet

if TYPE_CHECKING:
    from deepgmm.phantom import PhantomPatient
    from deepgmm.study.words import Kind, Role


class Layout(str, Enum):
    """How phantom patients lie in their folder."""

    PLAIN = "plain"
    MYOPS = "myops"


def phantom(
    output: options.OutFolder,
    patients: Annotated[int, typer.Option(min=1, help="How many.")] = 1,
    seed: Annotated[int, typer.Option(
        min=0, help="Of the first patient; the others follow, one up each.")] = 0,
    patient_set: Annotated[PatientSet, typer.Option(
        "--set", help="One infarct, unusual lesions, or none.")] = PatientSet.TYPICAL,
    difficulty: Annotated[float, typer.Option(
        min=0.0, max=5.0, help="1 is as hard as patients; 0 is clean.")] = 1.0,
    slices: Annotated[int, typer.Option(min=1, max=12, help="Slices a patient.")] = 5,
    sequences: Annotated[str, typer.Option(
        metavar="LIST", help="Of bssfp,lge,t2.")] = "bssfp,lge,t2",
    lge_kind: Annotated[str, typer.Option(
        metavar="KIND", help="magnitude, psir or dark-blood.")] = "magnitude",
    t2_kind: Annotated[str, typer.Option(
        metavar="KIND", help="dark-blood, prepared or map.")] = "dark-blood",
    layout: Annotated[Layout, typer.Option(
        help="A folder a patient, or the folders of MyoPS 2020.")] = Layout.PLAIN,
    force: Annotated[bool, typer.Option(
        "--force", help="Write into a folder that holds something already; patients of the same "
        "seed are replaced.")] = False,
    quiet: options.Quiet = False,
    log: options.Log = None,
) -> None:
    """Write phantom patients, whose tissues are known.

    In the plain layout every patient has a folder with bssfp, lge, t2, mask, wall and truth
    (labels: 1 blood, 2 myocardium, 3 edema, 4 scar) and a phantom.json that says how it was
    made.

    Example:

        deepgmm phantom --patients 5 --seed 100 --lge-kind psir -o phantoms
    """
    kinds = _kinds(sequences, lge_kind, t2_kind)
    make_folder(output, "output")
    if not force:
        _refuse_to_mix(output)
    with progress_bar(quiet) as progress:
        from deepgmm.phantom import make_patient

        for number in range(patients):
            progress(number / patients, f"patient {number + 1} of {patients}")
            made = make_patient(seed + number, patient_set=patient_set,
                                difficulty=difficulty, slices=slices, kinds=kinds)
            _publish(made, output, layout)
    if not quiet:
        print(f"{patients} phantom patient{'s' if patients > 1 else ''}: {output}")


def _refuse_to_mix(output: Path) -> None:
    try:
        held = any(not path.name.startswith(".") for path in output.iterdir())
    except OSError as error:
        raise InputError(f"the output folder cannot be read ({error.strerror}): "
                         "choose another") from error
    if held:
        raise InputError("the output folder is not empty, and these patients would be mixed with "
                         "what it holds: choose another folder, or add --force")


def _kinds(sequences: str, lge_kind: str, t2_kind: str) -> dict[Role, Kind]:
    from deepgmm.phantom import DEFAULT_KINDS
    from deepgmm.study.kinds import parse_kind
    from deepgmm.study.words import Role

    said = {Role.LGE: lge_kind, Role.T2: t2_kind}
    kinds = {}
    for name in (n.strip().lower() for n in sequences.split(",")):
        if name not in [role.value for role in Role]:
            raise InputError(f"--sequences: '{name}' is none of bssfp, lge, t2")
        role = Role(name)
        kinds[role] = parse_kind(role, said.get(role)) or DEFAULT_KINDS[role]
    return kinds


def _publish(patient: PhantomPatient, output: Path, layout: Layout) -> None:
    """Write one patient elsewhere on the same disk, then move all its files into place."""
    try:
        beside = Path(tempfile.mkdtemp(prefix=".deepgmm-", dir=output))
    except OSError as error:
        raise InputError(f"the output folder cannot be written to ({error.strerror}): "
                         "choose another") from error
    try:
        if layout is Layout.MYOPS:
            from deepgmm.phantom.myops_files import write_patient as write_myops

            write_myops(patient, beside)
        else:
            from deepgmm.phantom import write_patient

            folder = beside / f"phantom-{patient.seed:04d}"
            write_patient(patient, folder)
            (folder / "phantom.json").write_text(_description(patient), encoding="utf-8")
        for file in sorted(p for p in beside.rglob("*") if p.is_file()):
            final = output / file.relative_to(beside)
            final.parent.mkdir(parents=True, exist_ok=True)
            os.replace(file, final)
        if layout is Layout.PLAIN:  # an older patient of this seed may have had more sequences
            for gone in {"bssfp", "lge", "t2"} - {role.value for role in patient.study.roles}:
                (output / f"phantom-{patient.seed:04d}" / f"{gone}.nii.gz").unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"the phantom cannot be written ({error.strerror}): see whether the "
                         "disk is full, or choose another folder") from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _description(patient: PhantomPatient) -> str:
    return json_format.dumps({
        "seed": patient.seed,
        "set": patient.patient_set.value,
        "pattern": patient.pattern,
        "difficulty": patient.difficulty,
        "kinds": {role.value: s.kind.value for role, s in patient.study.sequences.items()},
    }, indent=2) + "\n"
