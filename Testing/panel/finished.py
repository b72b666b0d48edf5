"""A run that has finished, without one: the phantom's truth as the result."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import slicer
from panels import MODULE, Panel, Patient
from standins.session import settle

from deepgmm.result import Result
from deepgmm.review.locked import keep_locked
from deepgmm.review.report import report
from deepgmm.review.slices import slice_rows
from deepgmm.scene.inputs import study_from_nodes
from deepgmm.scene.labels import labels_of
from deepgmm.scene.outputs import write_result

if str(MODULE.parent) not in sys.path:  # as Slicer has it, for tests of parts of the panel
    sys.path.insert(0, str(MODULE.parent))

#: How sure the result is of its label, slice by slice: least of slice 3, then of slice 1.
SURE = (0.95, 0.7, 0.9, 0.6, 0.97)


def truth_of(panel: Panel, patient: Patient, warnings: tuple[str, ...] = ()) -> Result:
    """What a faultless fit would make of the panel's inputs, sure of it as `SURE` says."""
    from DeepGMMSegmentationLib.chosen import reference
    from DeepGMMSegmentationLib.inputs import arguments
    from DeepGMMSegmentationLib.parameters import slices_chosen

    state = panel.state
    study = study_from_nodes(**arguments(state))
    labels = patient.phantom.truth * study.mask
    labels[list(study.excluded)] = 0
    sure = np.array(SURE[:len(labels)])[:, None, None, None]
    one_hot = labels[:, None] == np.array(study.tissues)[:, None, None]
    posterior = np.where(one_hot, sure, (1 - sure) / (len(study.tissues) - 1))
    posterior = posterior * (labels > 0)[:, None]
    result = Result(study, study.tissues, labels, posterior.astype(np.float32), [],
                    [*study.warnings, *warnings],
                    study.provenance | {"method": "map", "calibrated": True})
    locked = slices_chosen(state, reference(state))[1] if state.output is not None else []
    return keep_locked(result, labels_of(state.output, reference(state)), locked) if locked \
        else result


def open_again(path: str) -> None:
    """Close the scene and open a saved one, as File, Add Data does with a bundle."""
    cache = slicer.vtkMRMLRemoteIOLogic()
    cache.GetCacheManager().SetRemoteCacheDirectory(str(Path(path).parent))
    slicer.mrmlScene.Clear(0)
    settle()
    cache.SetMRMLScene(slicer.mrmlScene)
    cache.AddDataIOToScene()
    manager = slicer.vtkDataIOManagerLogic()
    manager.SetMRMLApplicationLogic(slicer.app.applicationLogic())
    manager.SetAndObserveDataIOManager(cache.GetDataIOManager())
    assert slicer.mrmlScene.ReadFromMRB(path, False, None)
    settle()


def finish(panel: Panel, patient: Patient, warnings: tuple[str, ...] = (),
           into: Any = None) -> Result:
    """Put it into the scene and tell the panel, as a run does when it is done.

    Parameters
    ----------
    into : the segmentation to write into; by default the output, or a new one where there is none.
    """
    from DeepGMMSegmentationLib.chosen import reference
    from DeepGMMSegmentationLib.run import Outcome

    result = truth_of(panel, patient, warnings)
    run, said, rows = panel.widget.panel.run, report(result), slice_rows(result)
    output = into or panel.state.output
    if output is not None:
        run.before_writing(output)
    written = write_result(result, slicer.mrmlScene, reference=reference(panel.state),
                           segmentation=output, said=said, rows=rows)
    run.last = Outcome(written, said["warnings"], 1.0)
    run.on_done(run.last)
    panel.settle()
    return result
