"""`deepgmm brain`: CSF, grey and white matter of brain MRI; its commands, under one name."""

from __future__ import annotations

import typer

from deepgmm.cli.brain_learning import table, train

brain = typer.Typer(rich_markup_mode=None)


@brain.callback(invoke_without_command=True)
def about(context: typer.Context) -> None:
    """Brain MRI: CSF, grey and white matter, with an atlas or without.

    Commands: segment one brain, make an atlas of labelled cases, train a network, run the tables
    of the brain paper, and a demo on a synthetic brain.

    Example:

        deepgmm brain segment T1.nii.gz --mask brain.nii.gz --atlas mni -o tissues.nii.gz
    """
    if context.invoked_subcommand is None:
        print(context.get_help())


brain.command("train")(train)
brain.command("table")(table)
