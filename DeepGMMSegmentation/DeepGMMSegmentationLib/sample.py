"""The sample patient in Slicer's Sample Data module: from this folder, never from the network."""

import json
import logging
from pathlib import Path

#: What to ask the Sample Data module for: `SampleData.downloadSamples(NAME)`.
NAME = "DeepGMM heart"
CATEGORY = "DeepGMM"


def register(folder) -> None:
    """Offer the sample patient; nothing happens where it is offered already.

    The addresses are those of files beside this module, and Slicer's own code copies, checks and
    loads them: the button and `SampleData.downloadSamples` need neither network nor packages.

    Parameters
    ----------
    folder : the module's, which holds `Resources`.
    """
    try:
        import SampleData
    except ImportError:
        logging.info("DeepGMM: this application has no Sample Data module, so no sample either")
        return

    resources = Path(folder).resolve() / "Resources"
    entries = json.loads((resources / "SampleData/sample.json").read_text(encoding="utf-8"))
    SampleData.SampleDataLogic.registerCustomSampleDataSource(
        category=CATEGORY,
        sampleName=NAME,
        uris=[(resources / "SampleData" / entry["file"]).as_uri() for entry in entries],
        fileNames=[entry["file"] for entry in entries],
        nodeNames=[entry["node"] for entry in entries],
        loadFileType=[entry["type"] for entry in entries],
        checksums=["SHA256:" + entry["sha256"] for entry in entries],
        thumbnailFileName=str(resources / "Icons/DeepGMMSample.png"),
    )
