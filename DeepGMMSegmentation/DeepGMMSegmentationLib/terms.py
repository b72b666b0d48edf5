"""DeepGMM's own terms, made known to Slicer."""

import logging
from pathlib import Path

import slicer


def register(folder) -> None:
    """Load the terms that Slicer's lists lack: myocardium, obstruction, the ventricle as a whole.

    Segments show their names and colours without them; with them the term can be chosen in the
    segment editor, and is found when a segmentation is exported.

    Parameters
    ----------
    folder : the module's, below which the library lies.
    """
    module = getattr(slicer.modules, "terminologies", None)
    if module is None:
        logging.info("DeepGMM: this application has no Terminologies module")
        return
    path = Path(folder) / "Logic/deepgmm/data/terminology/DeepGMM.term.json"
    if not module.logic().LoadTerminologyFromFile(str(path)):
        logging.error("DeepGMM: Slicer could not load DeepGMM.term.json: install DeepGMM again")
