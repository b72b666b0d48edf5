"""Runs the module's test in the Slicer that runs this, and ends Slicer with its outcome.

    Slicer --testing --no-splash \\
        --additional-module-paths $PWD/DeepGMMSegmentation \\
        --python-script $PWD/Testing/slicer/run_in_slicer.py

Exit status 0 means that every step passed; 1 that one failed, or that the module did not load.
"""

import traceback
import unittest

import slicer


def main() -> int:
    try:
        import DeepGMMSegmentation

        suite = unittest.TestLoader().loadTestsFromTestCase(
            DeepGMMSegmentation.DeepGMMSegmentationTest)
        result = unittest.TextTestRunner(verbosity=2).run(suite)
        passed = result.wasSuccessful() and result.testsRun == 1 and not result.skipped
    except Exception:
        traceback.print_exc()
        passed = False
    print("DeepGMM self test:", "passed" if passed else "FAILED", flush=True)
    return 0 if passed else 1


slicer.util.exit(main())
