"""Puts PyTorch into the Slicer that runs this, the way a user's Slicer gets it.

Run twice, for an extension is there only after a restart:

    Slicer --no-splash --ignore-slicerrc --python-script Testing/slicer/install_pytorch.py extension
    Slicer --no-splash --ignore-slicerrc --python-script Testing/slicer/install_pytorch.py torch

The first brings the PyTorch extension, the second lets it choose and install the build of torch
that suits the machine. Exit status 0 means that it is there.
"""

import importlib.util
import sys
import time
import traceback

import slicer

#: Seconds for the extension's download.
PATIENCE = 600


def install_extension() -> bool:
    manager = slicer.app.extensionsManagerModel()
    manager.interactive = False
    manager.updateExtensionsMetadataFromServer(True, True)
    if not manager.downloadAndInstallExtensionByName("PyTorch", True, True):
        return False
    end = time.monotonic() + PATIENCE
    while not manager.isExtensionInstalled("PyTorch") and time.monotonic() < end:
        slicer.app.processEvents()
        time.sleep(0.1)
    return manager.isExtensionInstalled("PyTorch")


def install_torch() -> bool:
    import PyTorchUtils

    PyTorchUtils.PyTorchUtilsLogic().installTorch(askConfirmation=False)
    importlib.invalidate_caches()
    return importlib.util.find_spec("torch") is not None


def main() -> int:
    steps = {"extension": install_extension, "torch": install_torch}
    try:
        done = steps[sys.argv[-1]]()
    except Exception:
        traceback.print_exc()
        done = False
    print("PyTorch:", "installed" if done else "NOT INSTALLED", flush=True)
    return 0 if done else 1


slicer.util.exit(main())
