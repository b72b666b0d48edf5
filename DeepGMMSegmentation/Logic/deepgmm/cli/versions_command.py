"""`deepgmm versions`: what was done to a study, two versions compared, and the way back."""

from __future__ import annotations

import re
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deepgmm.cli import options
from deepgmm.cli.common import check_places, existing, table, written
from deepgmm.errors import InputError

if TYPE_CHECKING:
    from deepgmm.review.versions import Versions


def versions(
    state: Annotated[Path, typer.Argument(
        metavar="STATE.dgmm", help="What segment --state wrote.", show_default=False)],
    compare: Annotated[str | None, typer.Option(
        metavar="N,M", help="Two versions whose differences are to be shown.")] = None,
    picture: Annotated[Path | None, typer.Option(
        metavar="OUT.png", help="The two side by side, with what changed.")] = None,
    back: Annotated[int | None, typer.Option(
        min=1, metavar="N", help="Go back to a version: it becomes the newest, and none is "
        "lost.")] = None,
    version: Annotated[int | None, typer.Option(
        "--from-version", min=1, metavar="N", help="The version that -o writes; by default the "
        "newest.")] = None,
    output: Annotated[Path | None, typer.Option(
        "--output", "-o", metavar="OUT.seg.nrrd", help="Segmentation of a version.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
    log: options.Log = None,
) -> None:
    """List the versions of a study that segment --state and refine kept.

    Example:

        deepgmm versions heart.dgmm --compare 1,2 --picture changed.png
    """
    pair = _pair(compare)
    if picture is not None and pair is None:
        raise InputError("--picture shows two versions: name them with --compare N,M")
    if back is not None and version is not None:
        raise InputError("--back and --from-version were both given: give one")
    check_places({"picture": picture, "segmentation": output}, {"state": state})
    files = {"picture": picture, "segmentation": output,
             "state": state if back is not None else None}
    older = existing(files)
    from deepgmm.files import together
    from deepgmm.review.outputs import write_outputs
    from deepgmm.review.state import read_state, unchanged
    from deepgmm.review.versions import differences
    from deepgmm.review.versions_picture import versions_png

    held, digest = read_state(state)
    found = differences(held, *pair) if pair else None
    if back is not None:
        held.back(back)
    with unchanged(state, digest) if back is not None else nullcontext() as check:
        with together() as places:
            if picture is not None and pair:
                places.path(picture, "picture").write_bytes(versions_png(held, *pair))
            if back is not None or output is not None:
                write_outputs(held.result(version), segmentation=output, check=check,
                              state=state if back is not None else None, versions=held)
    if json:
        from json import dumps

        said = {"versions": held.rows()} | ({"differences": found} if found else {})
        sys.stdout.write(dumps(said, indent=2, ensure_ascii=False) + "\n")
    else:
        print(_lines(held))
        if found:
            print("\n" + _differences(found))
        if any(files.values()):
            print(written(files, older))


def _pair(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    match = re.fullmatch(r"\s*(\d{1,6})\s*,\s*(\d{1,6})\s*", text)
    if not match:
        raise InputError("--compare takes two versions: write for instance 1,2")
    return int(match[1]), int(match[2])


def _lines(held: Versions) -> str:
    titles = [t.title for t in held.tissues]
    heading = ("version", "when (UTC)", "what", "corrected", *(f"{t}, ml" for t in titles))
    rows = [heading]
    for v in held.line:
        ml = v.numbers["volumes_ml"]
        rows.append((str(v.number), v.when[:16].replace("T", " "), v.what,
                     str(v.numbers["corrected_voxels"]),
                     *(f"{ml[t]:.1f}" if t in ml else "-" for t in titles)))
    return table(rows)


def _differences(found: dict[str, Any]) -> str:
    first, second = found["first"], found["second"]

    def number(value: float | None) -> str:
        return "-" if value is None else f"{value:.3f}"
    tissues = [("tissue", f"{first}, ml", f"{second}, ml", "change", "Dice",
                "voxels changed", "by hand"), *(
        (row["tissue"], f"{row['first_ml']:.1f}", f"{row['second_ml']:.1f}",
         f"{row['difference_ml']:+.1f}", number(row["dice"]), str(row["changed_voxels"]),
         str(row["by_hand"])) for row in found["tissues"])]
    titles = [row["tissue"] for row in found["tissues"]]
    slices = [("slice", "pixels changed", "by hand", *(f"Dice {t}" for t in titles)), *(
        (str(row["number"]), str(row["changed_pixels"]), str(row["by_hand"]),
         *(number(row["dice"][t]) for t in titles)) for row in found["slices"])]
    return f"{table(tissues)}\n\n{table(slices)}"
