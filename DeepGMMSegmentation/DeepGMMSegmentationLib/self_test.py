"""What a real Slicer must do with the module: the sample, from button to saved scene."""

import os
import tempfile
import time

import numpy as np
import slicer

from DeepGMMSegmentationLib import dependencies

#: The environment variable that says that nothing may be skipped: our own workflow sets it. A
#: Slicer that is built and tested with the extension has no torch.
STRICT = "DEEPGMM_STRICT_TEST"

#: Seconds that any one wait may take; a worker that starts cold imports torch first.
PATIENCE = 300
#: Seconds for what is done at once, on a machine that is busy with something else.
SOON = 60
#: The least Dice against the phantom's truth: what the sample gave when this was written, less
#: a margin for other versions of the packages.
LEAST_DICE = {"Blood": 0.92, "Myocardium": 0.88, "Edema": 0.75, "Scar": 0.68}


class SelfTest:
    """The module's test, step after step as a user would go.

    Parameters
    ----------
    test : the `ScriptedLoadableModuleTest` whose assertions are used.
    """

    def __init__(self, test) -> None:
        self.test = test
        self.ui = self.panel = None
        self.bssfp = self.lge = self.t2 = self.mask = self.points = None

    def run(self) -> None:
        """All of it; the first step that fails ends it."""
        self.load_sample()
        self.open_panel()
        self.choose_nodes()
        missing = dependencies.missing()
        if missing and not os.environ.get(STRICT):
            self.test.skipTest(f"no fit without {', '.join(missing)}")
        self.press_apply()
        self.look_at_it()
        self.measure()
        self.undo_apply()
        self.cancel()
        self.refine_and_compare()
        self.use_from_a_script()
        self.save_and_reload()
        self.test.delayDisplay("DeepGMM: all steps passed")

    def load_sample(self) -> None:
        """By Slicer's own Sample Data module, as its button does."""
        import SampleData

        from DeepGMMSegmentationLib import sample, terms

        folder = os.path.dirname(slicer.util.modulePath("DeepGMMSegmentation"))
        sample.register(folder)
        terms.register(folder)
        self.test.delayDisplay("DeepGMM: the sample is loaded")
        nodes = SampleData.downloadSamples(sample.NAME)
        self.test.assertEqual(len(nodes), 5)
        self.bssfp, self.lge, self.t2, self.mask, self.points = nodes
        self.test.assertEqual(slicer.util.arrayFromVolume(self.lge).shape, (5, 134, 138))
        self.test.assertTrue(self.mask.IsA("vtkMRMLSegmentationNode"))
        self.test.assertEqual(self.mask.GetSegmentation().GetNumberOfSegments(), 1)
        self.test.assertEqual(self.points.GetNumberOfControlPoints(), 2)

    def open_panel(self) -> None:
        """With or without a main window; torch stays out of this process."""
        import sys

        before = "torch" in sys.modules
        widget = self.enter()
        self.ui, self.panel = widget.ui, widget.panel
        self.test.assertEqual("torch" in sys.modules, before)

    def choose_nodes(self) -> None:
        """Apply stays off, and says what is missing, until all is chosen."""
        self.test.delayDisplay("DeepGMM: the nodes are chosen")
        for selector in (self.ui.bssfpSelector, self.ui.lgeSelector, self.ui.t2Selector,
                         self.ui.maskSelector, self.ui.insertionSelector):
            selector.setCurrentNode(None)
        self.wait(lambda: not self.ui.applyButton.enabled, "Apply is off without inputs")
        self.ui.bssfpSelector.setCurrentNode(self.bssfp)
        self.ui.lgeSelector.setCurrentNode(self.lge)
        self.ui.t2Selector.setCurrentNode(self.t2)
        self.ui.maskSelector.setCurrentNode(self.mask)
        self.ui.insertionSelector.setCurrentNode(self.points)
        self.wait(lambda: self.ui.applyButton.enabled, "Apply is on with all inputs")

    def press_apply(self) -> None:
        """Four tissues, all of the mask, near the truth."""
        self.test.delayDisplay("DeepGMM: Apply")
        labels = self.labels_after_apply()
        mask = slicer.util.arrayFromSegmentBinaryLabelmap(
            self.mask, self.mask.GetSegmentation().GetNthSegmentID(0), self.lge)
        self.test.assertTrue(np.array_equal(labels > 0, mask > 0))
        self.compare(labels)
        self.wait(lambda: self.ui.numbersTable.rowCount > 0, "the numbers are shown", SOON)
        self.wait(lambda: self.ui.ahaTable.rowCount == 16, "AHA segments are shown", SOON)
        self.test.assertEqual(self.ui.sliceTable.rowCount, 5)
        self.picture("panel")

    def look_at_it(self) -> None:
        """The review layout comes and goes; the user's own is there again."""
        layouts = slicer.app.layoutManager()
        if layouts is None:
            return
        self.test.delayDisplay("DeepGMM: review layout")
        before = layouts.layout
        self.ui.reviewLayoutButton.click()
        self.wait(lambda: layouts.layout != before, "the review layout is shown", SOON)
        self.ui.nextUncertainButton.click()
        self.picture("review")
        self.ui.reviewLayoutButton.click()
        self.wait(lambda: layouts.layout == before, "the user's layout is back", SOON)

    def measure(self) -> None:
        """Numbers, the bull's-eye and the reference methods, while the section is open."""
        self.test.delayDisplay("DeepGMM: numbers")
        self.ui.numbersCollapsibleButton.collapsed = False
        self.wait(lambda: self.ui.massTable.rowCount >= 5, "masses are shown", SOON)
        self.wait(lambda: self.ui.segmentLabel.text == "", "RV insertions are given", SOON)
        self.wait(lambda: self.ui.methodsTable.rowCount >= 8, "reference methods are shown")
        self.picture("numbers")
        self.ui.numbersCollapsibleButton.collapsed = True

    def undo_apply(self) -> None:
        """Everything that Apply made goes; Apply again makes the same."""
        self.test.delayDisplay("DeepGMM: Undo Apply")
        first = self.labels(self.panel.state.output)
        self.ui.undoButton.click()
        self.wait(lambda: self.panel.state.output is None, "Undo Apply takes the new result back")
        self.test.assertEqual(self.segmentations(), 1)
        self.test.assertTrue(np.array_equal(self.labels_after_apply(), first))

    def cancel(self) -> None:
        """A long fit is stopped, the scene stays, and the next one runs."""
        self.test.delayDisplay("DeepGMM: Cancel")
        state = self.panel.state
        before = self.labels(state.output)
        method, preset = state.method, state.preset
        state.method, state.preset = "deepg", "accurate"
        self.press()
        self.wait(lambda: self.panel.run.fraction > 0, "the fit shows progress")
        began = time.monotonic()
        self.ui.applyButton.click()
        self.wait(lambda: not self.panel.run.busy, "Cancel stops the fit", SOON)
        self.test.delayDisplay(f"DeepGMM: cancelled in {time.monotonic() - began:.2f} s")
        state.method, state.preset = method, preset
        self.test.assertEqual(self.segmentations(), 2)
        self.test.assertTrue(np.array_equal(self.labels(state.output), before))

    def refine_and_compare(self) -> None:
        """A done slice stays, the table says what it taught, and two versions are compared."""
        self.test.delayDisplay("DeepGMM: Refine, and two versions compared")
        ui, output = self.ui, self.panel.state.output
        before = self.labels(output)
        self.panel.state.slicesOf, self.panel.state.locked = self.lge, [2]
        self.wait(lambda: ui.refineButton.enabled, "Refine is on once a slice is done", SOON)
        ui.refineButton.click()
        self.wait(lambda: not self.panel.run.busy, "Refine comes to its end")
        self.test.assertTrue(np.array_equal(self.labels(output)[2], before[2]))
        self.wait(lambda: ui.correctionsTable.rowCount > 0 and ui.compareButton.enabled,
                  "the table says what was learned, and Compare is on", SOON)
        ui.compareButton.click()
        self.test.assertEqual(self.segmentations(), 3)
        self.picture("compared")
        ui.compareButton.click()
        self.test.assertEqual(self.segmentations(), 2)

    def use_from_a_script(self) -> None:
        """Into an existing segmentation, whose own segments stay."""
        self.test.delayDisplay("DeepGMM: from a script")
        logic = slicer.util.getModuleLogic("DeepGMMSegmentation")
        output = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Mine")
        output.SetReferenceImageGeometryParameterFromVolumeNode(self.lge)
        mine = output.GetSegmentation().AddEmptySegment("mine", "My own")
        written = logic.segment(output=output, bssfp=self.bssfp, lge=self.lge, t2=self.t2,
                                mask=self.mask)
        self.test.assertIs(written.segmentation, output)
        self.test.assertEqual(output.GetSegmentation().GetSegment(mine).GetName(), "My own")
        self.compare(self.labels(output))
        slicer.mrmlScene.RemoveNode(output)

    def save_and_reload(self) -> None:
        """The panel is as it was: nodes, choices, numbers, every voxel."""
        self.test.delayDisplay("DeepGMM: the scene is saved and loaded")
        state = self.panel.state
        labels, name = self.labels(state.output), state.output.GetName()
        state.seed = 7
        state.excluded[4] = "a test"
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "scene.mrb")
            self.test.assertTrue(slicer.util.saveScene(path))
            slicer.mrmlScene.Clear()
            self.wait(lambda: not self.ui.applyButton.enabled, "an empty scene has no inputs")
            slicer.util.loadScene(path)
            self.enter()
            self.wait(lambda: self.panel.state is not None and self.panel.state.output is not None,
                      "the saved scene brings the result back")
        state = self.panel.state
        self.lge = state.lge
        self.test.assertEqual(state.output.GetName(), name)
        self.test.assertEqual((state.seed, dict(state.excluded)), (7, {4: "a test"}))
        self.test.assertTrue(np.array_equal(self.labels(state.output), labels))
        self.wait(lambda: self.ui.numbersTable.rowCount > 0, "the numbers are shown again", SOON)

    # What the steps are made of

    def enter(self):
        """Come to the module; the module's widget."""
        if slicer.util.mainWindow() is not None:
            slicer.util.selectModule("DeepGMMSegmentation")
        widget = slicer.util.getModuleWidget("DeepGMMSegmentation")
        if slicer.util.mainWindow() is None:
            widget.enter()
        return widget

    def picture(self, name: str) -> None:
        """The whole window into the folder that DEEPGMM_SCREENSHOTS names, where there are both."""
        folder, window = os.environ.get("DEEPGMM_SCREENSHOTS"), slicer.util.mainWindow()
        if folder and window is not None:
            slicer.app.processEvents()
            slicer.util.forceRenderAllViews()
            window.grab().save(os.path.join(folder, f"{name}.png"))

    def wait(self, condition, what: str, seconds: float = PATIENCE) -> None:
        """Let Slicer go on until something is so; fail where it takes too long."""
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                self.test.fail(f"{what}: not within {seconds} s. The panel says: "
                               f"{self.ui.statusLabel.text} {self.ui.applyButton.toolTip}")
            slicer.app.processEvents()
            time.sleep(0.02)

    def press(self) -> None:
        """Press Apply; it must start."""
        self.wait(lambda: self.ui.applyButton.enabled, "Apply is on")
        self.ui.applyButton.click()
        self.test.assertTrue(self.panel.run.busy, self.ui.statusLabel.text)

    def labels_after_apply(self):
        """Press Apply, wait, and give the labels."""
        self.press()
        self.wait(lambda: not self.panel.run.busy, "the fit ends")
        self.test.assertIsNotNone(self.panel.state.output, self.ui.statusLabel.text)
        return self.labels(self.panel.state.output)

    def labels(self, output):
        """(slices, rows, columns) on the grid of LGE: 1 to 4 in the order of `LEAST_DICE`."""
        segmentation = output.GetSegmentation()
        labels = np.zeros(slicer.util.arrayFromVolume(self.lge).shape, np.uint8)
        for value, name in enumerate(LEAST_DICE, 1):
            segment = segmentation.GetSegmentIdBySegmentName(name)
            self.test.assertTrue(segment, f"no segment {name}")
            self.test.assertTrue(segmentation.GetSegment(segment).GetTerminology())
            voxels = slicer.util.arrayFromSegmentBinaryLabelmap(output, segment, self.lge) > 0
            self.test.assertTrue(voxels.any() and not labels[voxels].any(), name)
            labels[voxels] = value
        return labels

    def compare(self, labels) -> None:
        """Hold labels to the truth, which the phantom makes again."""
        from deepgmm.phantom import make_patient

        truth = make_patient(1).truth
        for value, (name, least) in enumerate(LEAST_DICE.items(), 1):
            ours, true = labels == value, truth == value
            dice = 2 * np.sum(ours & true) / (ours.sum() + true.sum())
            self.test.assertGreater(dice, least, f"{name}: Dice {dice:.3f}")

    def segmentations(self) -> int:
        """How many there are: the mask is one."""
        return slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode")
