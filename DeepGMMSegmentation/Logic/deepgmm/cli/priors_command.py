"""`deepgmm priors`: contrast priors (mu_data) from labelled cases, as a small file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from deepgmm.cli import options
from deepgmm.cli.common import check_places, hushed, kinds_said, progress_bar, table, warn
from deepgmm.progress import share_of


def priors(
    folder: Annotated[Path, typer.Argument(
        metavar="FOLDER", help="Cases with labels: a folder for each with bssfp, lge, t2, mask and "
        "labels or truth; study folders with mask and labels; or MyoPS 2020.")],
    output: Annotated[Path, typer.Option(
        "--output", "-o", metavar="FILE.json", help="Where the priors go.")],
    cases: Annotated[str, typer.Option(
        metavar="N|LIST", help="How many cases to draw, or which: names of their folders, with "
        "commas. By default all with labels.")] = "",
    seed: Annotated[int, typer.Option(min=0, help="Of the drawing.")] = 0,
    lge_kind: Annotated[str, typer.Option(
        metavar="KIND", help="Of all cases: auto, magnitude, psir, dark-blood or "
        "unknown.")] = "auto",
    t2_kind: Annotated[str, typer.Option(
        metavar="KIND", help="Of all cases: auto, dark-blood (STIR, SPAIR), prepared, map (ms) or "
        "unknown.")] = "auto",
    labels: options.LabelsOf = None,
    identified: Annotated[bool, typer.Option(
        "--identified", help="Put the cases' names into the file, beside their keys.")] = False,
    quiet: options.Quiet = False,
    log: options.Log = None,
) -> None:
    """Estimate contrast priors (mu_data) from labelled cases.

    For segment --priors. Give training cases only: the file lists those that it is made from, and
    they must not be used to measure anything that uses it.

    Example:

        deepgmm priors train -o mu_data.json --cases 10
    """
    from deepgmm.identify.estimate import priors_of_cases, write_priors
    from deepgmm.reading.studies.labelled import (
        choose_labelled,
        described,
        find_labelled,
        label_warnings,
    )

    kinds = kinds_said(lge_kind, t2_kind)
    check_places({"contrast priors": output}, _descriptions(folder, output))
    with progress_bar(quiet) as progress:
        found = find_labelled(
            folder, kinds=kinds, labels=labels, around=hushed, progress=share_of(progress, 0, 0.6))
        chosen = choose_labelled(found, cases, seed)
        content, remarks = priors_of_cases(
            chosen, identified=identified, progress=share_of(progress, 0.6, 0.4))
    older = output.exists()
    write_priors(content, output)
    if not quiet:
        print(described(found))
        print(shown(content))
        print(f"contrast priors of {len(chosen)} labelled cases: {output}"
              f"{' (replaced)' if older else ''}")
    warn([*label_warnings(chosen, labels), *remarks])


def _descriptions(folder: Path, output: Path) -> dict[str, Path | None]:
    """What the output must not take the place of: a case's study.json or phantom.json."""
    if not output.is_file() or not folder.is_dir():
        return {}
    return {f"case's {path.name}": path for path in folder.glob("*/*.json")
            if path.name in ("study.json", "phantom.json") and path.samefile(output)}


def shown(content: dict[str, Any]) -> str:
    """The tables of a file of priors, as text."""
    rows = [("", "mean", "sd", "between", "cases", "pixels")]
    for kind, own in content["kinds"].items():
        rows += [(f"{kind}, {tissue}", f"{row['mean']:.2f}", f"{row['sd']:.2f}",
                  f"{row['mean_sd']:.2f}", str(row["cases"] or "shipped"), str(row["pixels"]))
                 for tissue, row in own["tissues"].items()]
    return table(rows)
