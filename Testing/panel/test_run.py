"""The scene to the worker and back: all of a result comes into the scene, or nothing does."""

from __future__ import annotations

import numpy as np
import pytest
import slicer
from DeepGMMSegmentationLib.run import Job, Run, segment_and_wait
from worker_by_hand import WorkerByHand

from deepgmm.errors import InputError
from deepgmm.scene.labels import labels_of
from deepgmm.scene.read_back import provenance_of, slices_of
from deepgmm.scene.segments import our_segments
from deepgmm.settings import Settings


class Told:
    """What a run told whoever listens."""

    def __init__(self, run: Run) -> None:
        self.done, self.failed, self.written_into = [], [], []
        run.on_done = self.done.append
        run.on_failed = lambda kind, message: self.failed.append((kind, message))
        run.before_writing = self.written_into.append


@pytest.fixture
def a_run(a_panel) -> tuple[Run, WorkerByHand, Told]:
    worker = WorkerByHand()
    run = Run(worker)
    return run, worker, Told(run)


def a_job(patient, **how) -> Job:
    inputs = {"bssfp": patient.bssfp, "lge": patient.lge, "t2": patient.t2, "mask": patient.mask}
    return Job(Settings(), inputs, patient.lge, how.pop("output", None), **how)


def ids() -> set[str]:
    scene = slicer.mrmlScene
    return {scene.GetNthNode(i).GetID() for i in range(scene.GetNumberOfNodes())}


def test_a_result_comes_into_the_scene(a_run, a_patient_in_the_scene) -> None:
    run, worker, told = a_run
    run.begin(a_job(a_patient_in_the_scene))
    assert run.busy and run.slices == 5
    worker.reports(0.5, "anchored EM", 3.0)
    run.look()
    assert (run.fraction, run.stage, run.seconds_left) == (0.5, "anchored EM", 3.0)
    worker.answers()
    run.look()
    assert not run.busy and not told.failed
    outcome, = told.done
    assert outcome is run.last
    assert len(our_segments(outcome.written.segmentation)) == 4
    assert [row["index"] for row in slices_of(outcome.written.segmentation)] == list(range(5))
    assert "Uncertainty" in outcome.written.belongings
    assert "Probability.scar" not in outcome.written.belongings


def test_a_second_start_is_refused_and_the_first_goes_on(a_run, a_patient_in_the_scene) -> None:
    run, worker, told = a_run
    run.begin(a_job(a_patient_in_the_scene))
    with pytest.raises(InputError, match="a segmentation is running"):
        run.begin(a_job(a_patient_in_the_scene))
    worker.answers()
    run.look()
    assert len(told.done) == 1 and len(worker.orders) == 1


def test_inputs_at_fault_start_nothing(a_run, a_patient_in_the_scene) -> None:
    run, worker, _told = a_run
    with pytest.raises(InputError, match="no LV mask"):
        run.begin(Job(Settings(), {"lge": a_patient_in_the_scene.lge}, None, None))
    assert not run.busy and not worker.orders


def test_what_is_cancelled_never_comes_into_the_scene(a_run, a_patient_in_the_scene) -> None:
    run, worker, told = a_run
    before = ids()
    run.begin(a_job(a_patient_in_the_scene))
    worker.answers()  # it is under way already
    run.cancel()
    assert run.busy and run.cancelling
    run.look()
    assert not run.busy and not told.done and ids() == before
    assert told.failed == [("cancelled", "Cancelled: nothing was changed")]


@pytest.mark.parametrize("kind", ["input", "computation", "memory", "dependencies", "crash"])
def test_a_failure_is_passed_on_and_the_scene_is_as_it_was(
        a_run, a_patient_in_the_scene, kind: str) -> None:
    run, worker, told = a_run
    before = ids()
    run.begin(a_job(a_patient_in_the_scene))
    worker.fails(kind, "why, and what to do")
    run.look()
    assert told.failed == [(kind, "why, and what to do")]
    assert not run.busy and run.last is None and ids() == before


def test_an_existing_output_is_kept_for_undo_before_it_changes(
        a_run, a_patient_in_the_scene) -> None:
    run, worker, told = a_run
    output = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "mine")
    output.CreateDefaultDisplayNodes()
    output.GetSegmentation().AddEmptySegment("by hand", "by hand")
    then = []
    run.before_writing = lambda node: then.append(node.GetSegmentation().GetNumberOfSegments())
    run.begin(a_job(a_patient_in_the_scene, output=output))
    worker.answers()
    run.look()
    assert then == [1]
    assert told.done[0].written.segmentation is output
    assert output.GetSegmentation().GetNumberOfSegments() == 5


@pytest.mark.parametrize("what, said", [
    ("output", "the output segmentation was deleted"),
    ("reference", "LGE was deleted while the segmentation ran: choose it again and press Apply")])
def test_what_is_deleted_meanwhile_is_said(a_run, a_patient_in_the_scene, what, said) -> None:
    run, worker, told = a_run
    output = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "mine")
    run.begin(a_job(a_patient_in_the_scene, output=output))
    slicer.mrmlScene.RemoveNode({"output": output, "reference": a_patient_in_the_scene.lge}[what])
    before = ids()
    worker.answers()
    run.look()
    (kind, message), = told.failed
    assert kind == "input" and message.startswith(said)
    assert ids() == before and not told.done and not told.written_into


def test_a_volume_moved_meanwhile_takes_no_result(a_run, a_patient_in_the_scene) -> None:
    run, worker, told = a_run
    run.begin(a_job(a_patient_in_the_scene))
    a_patient_in_the_scene.lge.SetSpacing(2.0, 2.0, 8.0)
    before = ids()
    worker.answers()
    run.look()
    assert told.failed[0][0] == "input" and "moved or changed" in told.failed[0][1]
    assert ids() == before


def test_a_writing_that_fails_leaves_the_scene_and_is_said(
        a_run, a_patient_in_the_scene, monkeypatch: pytest.MonkeyPatch) -> None:
    from deepgmm.scene import outputs

    def broken(*_ignored, **_too):
        raise RuntimeError("no such thing")

    monkeypatch.setattr(outputs, "file_beside", broken)
    run, worker, told = a_run
    before = ids()
    run.begin(a_job(a_patient_in_the_scene))
    worker.answers()
    run.look()
    assert told.failed[0][0] == "computation" and "Python console" in told.failed[0][1]
    assert ids() == before


def test_locked_slices_keep_what_is_in_the_output(a_run, a_patient_in_the_scene) -> None:
    run, worker, told = a_run
    run.begin(a_job(a_patient_in_the_scene))
    worker.answers()
    run.look()
    output, lge = told.done[0].written.segmentation, a_patient_in_the_scene.lge
    first = labels_of(output, lge)
    corrected = first.copy()
    corrected[2][first[2] == 2] = 4
    _paint(output, lge, corrected)
    run.begin(a_job(a_patient_in_the_scene, output=output, locked=[2], locked_in=output))
    worker.answers()
    run.look()
    second = labels_of(output, lge)
    assert np.array_equal(second[2], corrected[2])
    assert np.array_equal(second[[0, 1, 3, 4]], first[[0, 1, 3, 4]])
    assert provenance_of(told.done[1].written.segmentation)["locked_slices"] == [2]


def _paint(segmentation, volume, labels) -> None:
    for tissue, segment_id in our_segments(segmentation).items():
        slicer.util.updateSegmentBinaryLabelmapFromArray(
            (labels == tissue).astype(np.uint8), segmentation, segment_id, volume)


def test_a_worker_that_ends_for_good_is_not_started_ahead_again(
        a_run, a_patient_in_the_scene) -> None:
    run, worker, _told = a_run
    run.warm()
    worker.ends_for_good()
    run.look()
    assert not run.cold
    run.begin(a_job(a_patient_in_the_scene))  # but Apply tries again
    assert worker.started == 2


def test_closing_ends_the_worker_and_forgets_the_job(a_run, a_patient_in_the_scene) -> None:
    run, worker, told = a_run
    run.begin(a_job(a_patient_in_the_scene))
    run.close()
    assert worker.closed == 1 and not run.busy and run.machine is None
    assert not run.cold


def test_scripts_wait_for_a_true_worker(a_panel, a_patient_in_the_scene) -> None:
    patient = a_patient_in_the_scene
    written = segment_and_wait(lge=patient.lge, t2=patient.t2, mask=patient.mask)
    assert len(our_segments(written.segmentation)) == 4
    with pytest.raises(InputError, match="no LV mask"):
        segment_and_wait(lge=patient.lge)


def test_of_the_mask_the_outline_stays_and_undo_fills_it_again(a_scene, a_patient_in_the_scene):
    from DeepGMMSegmentationLib.job import Outcome, outline_only

    mask = a_patient_in_the_scene.mask
    display = mask.GetDisplayNode()
    assert outline_only(mask, mask) is None and display.GetVisibility2DFill()

    outcome = Outcome(None, [], 1.0, outline_only(mask, None))

    assert display.GetVisibility() and display.GetVisibility2DOutline()
    assert not display.GetVisibility2DFill()
    assert outline_only(mask, None) is None  # the user's own choice is not undone later
    outcome.fill_again()
    assert display.GetVisibility2DFill()


def test_t2_beside_lge_is_said_and_moved_where_the_user_wants_it(
    a_panel, a_patient_in_the_scene
) -> None:
    from DeepGMMSegmentationLib.run import Job
    from standins.session import settle

    patient, run = a_patient_in_the_scene, a_panel.widget.panel.run
    patient.choose(a_panel)
    origin = patient.t2.GetOrigin()
    patient.t2.SetOrigin(origin[0], origin[1] + 6.0, origin[2] + 6.0)
    before = slicer.util.arrayFromVolume(patient.t2).copy()
    done: list = []
    run.on_done = done.append

    for align in ("check", "shift"):
        a_panel.state.align = align
        job = run.prepare(a_panel.state, Settings())
        assert isinstance(job, Job) and job.align == align
        run.begin(job)
        a_panel.wait_until(lambda: not run.busy, 120)
        settle()

    checked, shifted = (provenance_of(outcome.written.segmentation) for outcome in done)
    assert any("T2 lies up to" in warning for warning in checked["warnings"])
    assert "alignment" in shifted
    assert np.array_equal(slicer.util.arrayFromVolume(patient.t2), before)
