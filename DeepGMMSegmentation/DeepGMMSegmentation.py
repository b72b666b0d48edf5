"""DeepGMM in 3D Slicer: left ventricle to blood, myocardium, edema and scar, without labels."""

import os
import sys

_FOLDER = os.path.dirname(os.path.abspath(__file__))
# The library lies below Logic/, in the source tree and installed alike; this one goes first.
_LOGIC = os.path.join(_FOLDER, "Logic")
if _LOGIC in sys.path:
    sys.path.remove(_LOGIC)
sys.path.insert(0, _LOGIC)

import slicer  # noqa: E402
import vtk  # noqa: E402
from slicer.i18n import tr as _  # noqa: E402
from slicer.i18n import translate  # noqa: E402
from slicer.ScriptedLoadableModule import (  # noqa: E402
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)

#: Slicer 5.8 has Python 3.9, which the library cannot be read by: that is said on the panel.
_TOO_OLD = sys.version_info < (3, 10)


class DeepGMMSegmentation(ScriptedLoadableModule):
    """What Slicer shows of the module before it is opened."""

    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = _("DeepGMM Segmentation")
        parent.categories = [translate("qSlicerAbstractCoreModule", "Cardiac"),
                             translate("qSlicerAbstractCoreModule", "Segmentation")]
        # The embedded editor lives on it: loaded before this module, it is unloaded after it.
        parent.dependencies = ["Segmentations"]
        parent.contributors = ["The DeepGMM developers"]
        parent.helpText = _(
            "Splits the left ventricle on short-axis bSSFP, LGE and T2 into blood, myocardium, "
            "edema and scar, without training labels. Research software: not for diagnosis.")
        parent.acknowledgementText = _(
            "Built on the mixtures and networks of the deepG and deepSVG papers.")
        slicer.app.connect("startupCompleted()", register_resources)


def register_resources():
    """Offer our own terms, and the sample patient in Sample Data; neither needs the network.
    Scenes that were saved in the review layout can be opened."""
    if _TOO_OLD:
        return
    from DeepGMMSegmentationLib import review_layout, sample, terms

    terms.register(_FOLDER)
    sample.register(_FOLDER)
    review_layout.register()


class DeepGMMSegmentationWidget(ScriptedLoadableModuleWidget):
    """The panel: sections of `DeepGMMSegmentationLib` on the widgets of the `.ui`."""

    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        self.logic = None
        self.panel = None
        self._observers = None
        self._held = False

    def setup(self):
        """Build the panel; nothing third-party is imported and no process is started here."""
        ScriptedLoadableModuleWidget.setup(self)
        if _TOO_OLD:
            self._say_too_old()
            return
        from DeepGMMSegmentationLib.observing import Observers
        from DeepGMMSegmentationLib.sections import make_panel, widgets_of

        register_resources()  # this module may have been loaded after Slicer's start
        path = self.resourcePath("UI/DeepGMMSegmentation.ui")
        widget = slicer.util.loadUI(path)
        self.layout.addWidget(widget)
        self.ui = widgets_of(widget, path)
        widget.setMRMLScene(slicer.mrmlScene)
        self.logic = DeepGMMSegmentationLogic()
        self.panel = make_panel(self.ui)
        self._observers = Observers()
        scene, observe = slicer.mrmlScene, self._observers.add
        observe(scene, scene.StartCloseEvent, self._on_scene_closing)
        observe(scene, scene.EndCloseEvent, self._on_scene_closed)
        observe(scene, scene.NodeAboutToBeRemovedEvent, self._on_node_leaving)
        observe(scene, scene.StartImportEvent, self._on_import_starting)
        observe(scene, scene.EndImportEvent, self._on_imported)
        self._take_state()

    def cleanup(self):
        """The panel ends: the worker stops, nothing stays connected."""
        if self._observers is not None:
            self._observers.clear()
        if self.panel is not None:
            self.panel.cleanup()

    def enter(self):
        """The user comes to the module."""
        if self.panel is not None:
            self._take_state()
            self.panel.each("enter")

    def exit(self):
        """The user leaves the module: his layout and the keyboard are given back."""
        if self.panel is not None:  # there is none where `setup` failed
            self.panel.each("exit")

    def onReload(self):
        """Developers' reload: the library is read again too, and the worker is a new one."""
        for name in [n for n in sys.modules
                     if n.split(".")[0] in ("deepgmm", "DeepGMMSegmentationLib")]:
            del sys.modules[name]
        ScriptedLoadableModuleWidget.onReload(self)
        slicer.util.getModuleWidget(self.moduleName).enter()  # Slicer itself does not say so again

    def _on_scene_closing(self, caller, event):
        self.panel.close()

    def _on_scene_closed(self, caller, event):
        if self.parent.isEntered:
            self._take_state()

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _on_node_leaving(self, caller, event, node):
        self.panel.forget(node)

    def _on_import_starting(self, caller, event):
        """At the end Slicer fills the node selectors anew, and they would say that None was
        chosen: they must not be heard meanwhile."""
        self._held = self.panel.state is not None
        self.panel.take(None)

    def _on_imported(self, caller, event):
        if self._held or self.parent.isEntered:
            self._take_state()

    def _say_too_old(self):
        import qt

        label = qt.QLabel(_("DeepGMM needs Slicer 5.10 or newer: this Slicer has Python "
                            "{version}. Get a newer one from download.slicer.org.").format(
                                version=".".join(map(str, sys.version_info[:2]))))
        label.setWordWrap(True)
        label.objectName = "tooOldLabel"
        self.layout.addWidget(label)

    def _take_state(self):
        self.panel.take(self.logic.getParameterNode())


class DeepGMMSegmentationLogic(ScriptedLoadableModuleLogic):
    """The module without its panel, for scripts.

    Examples
    --------
    >>> logic = DeepGMMSegmentationLogic()                                  # doctest: +SKIP
    >>> written = logic.segment(lge=lge, t2=t2, mask=outline)               # doctest: +SKIP
    """

    def segment(self, settings=None, *, output=None, probabilities=False, uncertainty=True,
                align="check", **inputs):
        """Segment volumes of the scene and wait for it.

        Parameters
        ----------
        settings : `deepgmm.Settings`.
        output : a segmentation node to write into; by default a new one.
        probabilities, uncertainty : whether to make these volumes.
        align : "check", "shift", "rigid" or "off": what is done where bSSFP and T2 do not lie on
            LGE.
        inputs : as `deepgmm.scene.inputs.study_from_nodes` takes them.

        Returns
        -------
        deepgmm.scene.outputs.Written

        Raises
        ------
        deepgmm.errors.InputError, deepgmm.errors.ComputationError
        """
        from DeepGMMSegmentationLib.run import segment_and_wait

        return segment_and_wait(settings, output=output, probabilities=probabilities,
                                uncertainty=uncertainty, align=align, **inputs)


class DeepGMMSegmentationTest(ScriptedLoadableModuleTest):
    """Runs in a real Slicer only; see Testing/slicer."""

    def setUp(self):
        slicer.mrmlScene.Clear()

    def runTest(self):
        from DeepGMMSegmentationLib.self_test import SelfTest

        self.setUp()
        SelfTest(self).run()
