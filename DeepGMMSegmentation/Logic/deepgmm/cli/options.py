"""Options that several commands have, each said once; their defaults stand in the commands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any

import typer

from deepgmm.settings import Covariance, Device, Method, Papillary, Preset, Settings
from deepgmm.study.words import Align

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar, no summary.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the report to stdout as JSON.")]
Log = Annotated[Path | None, typer.Option(
    "--log", metavar="FILE", help="Where errors are logged with their tracebacks; by default in "
    "the user's state folder. Holds no paths of your files.")]

#: For commands that learn from labels.
LabelsOf = Annotated[str | None, typer.Option(
    "--labels", metavar="CONVENTION", help="What the labels' values mean, of all cases: deepgmm, "
    "emidec, acdc, mnms or myops. By default their values, shapes and images must tell.")]

OutFolder = Annotated[Path, typer.Option(
    "--output", "-o", metavar="FOLDER", help="Where the files go.")]
Labelmap = Annotated[Path | None, typer.Option(
    metavar="OUT.nii.gz", help="Labels: 0 background, 1 blood, 2 myocardium, 3 edema, 4 scar.")]
Probabilities = Annotated[Path | None, typer.Option(
    metavar="OUT.nii.gz", help="Probability of each tissue, 4D.")]
Montage = Annotated[Path | None, typer.Option(
    metavar="OUT.png", help="A picture of all slices.")]

#: How a study is read and fitted.
LgeKind = Annotated[str, typer.Option(
    metavar="KIND", help="auto, magnitude, psir, dark-blood or unknown.")]
T2Kind = Annotated[str, typer.Option(
    metavar="KIND", help="auto, dark-blood (STIR, SPAIR), prepared, map (ms) or unknown.")]
MaskLabels = Annotated[str | None, typer.Option(
    metavar="CONVENTION", help="What the mask's values mean, to use its wall too: deepgmm, emidec, "
    "acdc, mnms, myops; or plain, for the mask alone.")]
AlignHow = Annotated[Align, typer.Option(
    help="Whether the other images lie on LGE: off; check and warn; shift each slice in its plane; "
    "or rigid, with rotation.")]
MethodOf = Annotated[Method, typer.Option(help="How tissues are found.")]
PresetOf = Annotated[Preset, typer.Option(
    help="Of the networks: quick, careful, or as in the paper.")]
DeviceOf = Annotated[Device, typer.Option(help="Where networks are fitted.")]
CovarianceOf = Annotated[Covariance, typer.Option(help="Form of the tissues' covariances.")]
Seed = Annotated[int, typer.Option(help="Of all random numbers.")]
TissuesOf = Annotated[str | None, typer.Option(
    metavar="LIST", help="Tissues sought: blood,myocardium,edema,scar. By default those that the "
    "images can tell apart.")]
PapillaryOf = Annotated[Papillary, typer.Option(help="Count papillary muscles as pool or as wall.")]
KeepMvo = Annotated[bool, typer.Option(
    "--mvo", help="Label microvascular obstruction as 5 instead of counting it as scar.")]
PriorsFile = Annotated[Path | None, typer.Option(
    metavar="FILE.json", help="Your own contrast priors.")]
ModelOf = Annotated[str, typer.Option(
    metavar="NAME|FOLDER",
    help="Network of pretrained, see deepgmm models; by default the shipped one.")]
Adapt = Annotated[int, typer.Option(
    min=0, metavar="N", help="Rounds of map's EM, at most, from what pretrained found; the result "
    "is the mean of both.")]
Degrees = Annotated[float, typer.Option(
    min=0.0, help="Degrees of freedom of Student-t tissues in gmm and svgmm; 0 for Gaussians.")]
Outlier = Annotated[float, typer.Option(
    min=0.0, help="Share of an outlier class in gmm and svgmm, below 1.")]
Restarts = Annotated[int, typer.Option(
    min=1, help="Random starts of gmm and svgmm, of which the best is kept.")]
MeanWeight = Annotated[float, typer.Option(
    min=0.0, help="Hold on the tissues' means to their priors in deepg and deepsvg.")]
TotalVariation = Annotated[float, typer.Option(
    min=0.0, help="Smoothness in deepg and deepsvg; much of it erases thin edema.")]
BiasDegree = Annotated[int, typer.Option(
    min=0, help="Degree of the polynomials of a coil's shading to be taken out; 0 for none.")]


def settings_of(given: Mapping[str, Any]) -> Settings:
    """The settings among a command's options, which go by the settings' names but for --mvo.

    Raises
    ------
    InputError : a value that the settings refuse.
    """
    said = {field.name: given[field.name] for field in fields(Settings) if field.name in given}
    return Settings(**said | {"tissues": words_in(given["tissues"]), "keep_mvo": given["mvo"],
                              "priors": str(given["priors"] or "")})


def words_in(text: str | None) -> list[str]:
    """What stands between the commas of an option."""
    return [word.strip() for word in (text or "").split(",") if word.strip()]
