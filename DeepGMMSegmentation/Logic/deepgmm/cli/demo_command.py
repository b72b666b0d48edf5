"""`deepgmm demo`: the whole way on a phantom patient, from files to files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deepgmm.cli import options
from deepgmm.cli.common import existing, make_folder, table, written
from deepgmm.settings import Device, Method, Settings

if TYPE_CHECKING:
    from deepgmm.result import Result


def demo(
    output: options.OutFolder = Path("demo-output"),
    patient: Annotated[int, typer.Option(help="Which phantom patient, 0 or more.")] = 1,
    method: Annotated[Method, typer.Option(help="How tissues are found.")] = Method.AUTO,
    device: Annotated[Device, typer.Option(help="Where networks are fitted.")] = Device.AUTO,
    quiet: options.Quiet = False,
    log: options.Log = None,
) -> None:
    """Segment a phantom patient, from files to files.

    What is done is what `deepgmm segment` does. The phantom's truth is written beside the
    images and compared with the result at the end; the segmentation never sees it.

    Example:

        deepgmm demo --output demo-output
    """
    from deepgmm.cli.segment_command import Job, run
    from deepgmm.phantom import make_patient, write_patient

    outputs: dict[str, Path | None] = {
        "segmentation": output / "segmentation.seg.nrrd",
        "labelmap": output / "labelmap.nii.gz",
        "montage": output / "montage.png",
        "report": output / "report.json",
    }
    places = {"input": output / "input", **outputs}
    older = existing(places)
    make_folder(output / "input", "output")
    paths = write_patient(make_patient(patient), output / "input")
    result = run(Job(
        inputs={name: paths[name] for name in ("bssfp", "lge", "t2", "mask")}, outputs=outputs,
        settings=Settings(method=method, device=device)), quiet=quiet)
    if not quiet:
        print(f"{_comparison(result, paths['truth'])}\n\n{written(places, older)}")


def _comparison(result: Result, truth: Path) -> str:
    from deepgmm.reading.masks.labelmap import read_labels
    from deepgmm.review.metrics import evaluate

    scores = evaluate(result.labels, read_labels(truth, "truth").values, result.study.geometry,
                      result.tissues)
    rows = [("tissue", "ml", "true ml", "Dice")]
    for tissue, score in scores.tissues.items():
        dice = "-" if score.dice is None else f"{score.dice:.2f}"
        rows.append((tissue.title, f"{score.volume:.1f}", f"{score.true_volume:.1f}", dice))
    return table(rows)
