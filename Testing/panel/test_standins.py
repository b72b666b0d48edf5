"""The stand-ins refuse what the true ones refuse, and have nothing that those have not."""

from __future__ import annotations

import inspect

import ctk
import numpy as np
import pytest
import qt
import slicer
import widget_facts
from desk import voxels_at
from standins import dialogs, loader, packages, pythonqt
from standins.session import raised, settle
from standins.slice_views import blended_image

needs_facts = pytest.mark.skipif(not widget_facts.PATH.is_file(),
                                 reason="needs ../shared/slicer_widgets.json")


@needs_facts
@pytest.mark.parametrize("kind", sorted(loader.WIDGETS))
def test_a_stand_in_has_no_member_that_the_true_one_lacks(kind: str) -> None:
    assert widget_facts.is_class(kind)
    members = {name: value for base in loader.WIDGETS[kind].__mro__
               if base.__module__.startswith("standins") for name, value in vars(base).items()
               if not name.startswith("_") and name != "staticMetaObject"}
    for name, value in members.items():
        true = widget_facts.member(kind, name)
        overridden = widget_facts.qt_member(widget_facts.chain(kind)[1], name)
        assert true is not None, f"{kind} has no {name}"
        if isinstance(value, (property, pythonqt.Property)):
            assert true in ("property", "read only"), f"{kind}.{name} is a {true}"
        elif isinstance(value, pythonqt.Signal):
            for signature in value.signatures:
                assert widget_facts.has_signal(kind, signature), f"{kind} has no {signature}"
        elif callable(value):
            assert "method" in (true, overridden), f"{kind}.{name} is a {true}"


@needs_facts
def test_modules_of_python_have_the_true_names_and_signatures() -> None:
    said = widget_facts.facts()["python"]
    for name in ("i18n", "packaging"):
        for function in widget_facts.public(getattr(slicer, name)):
            assert function in said[name]["functions"], f"slicer.{name} has no {function}"
    for function, true in said["packaging"]["functions"].items():
        own = getattr(slicer.packaging, function, None)
        if own is not None:
            assert list(inspect.signature(own).parameters) == widget_facts.parameters(true)
    true = widget_facts.parameter_names()
    assert set(widget_facts.public(slicer.parameterNodeWrapper)) <= true
    classes = said["ScriptedLoadableModule"]["classes"]
    for name in widget_facts.public(slicer.ScriptedLoadableModule):
        kind = getattr(slicer.ScriptedLoadableModule, name)
        own = {one for one in vars(kind) if not one.startswith("_")} - {"messageDelay"}
        assert own <= set(classes[name]["methods"]), name


@pytest.mark.parametrize("wrong", [
    lambda: ctk.ctkCollapsibleButton().setCollapsed(True),
    lambda: ctk.ctkSliderWidget().value(),
    lambda: ctk.ctkSliderWidget().setRange(0, 1),
    lambda: ctk.ctkSliderWidget().setMaximum(1),
    lambda: slicer.qMRMLNodeComboBox().setNodeTypes(["vtkMRMLVolumeNode"]),
    lambda: slicer.qMRMLNodeComboBox().noneEnabled(),
    lambda: slicer.qMRMLSegmentSelectorWidget().currentNodeID.upper(),
    lambda: qt.QSpinBox().value(),
    lambda: qt.QLabel("a").text(),
    lambda: qt.QTableWidget(2, 2).rowCount(),
    lambda: qt.QComboBox().currentIndex(),
], ids=range(11))
def test_an_accessor_is_no_method(wrong) -> None:
    with pytest.raises((AttributeError, TypeError)):
        wrong()


def test_properties_are_attributes() -> None:
    button, spin = ctk.ctkCollapsibleButton(), qt.QDoubleSpinBox()
    button.text, button.collapsed, button.toolTip = "Inputs", True, "what goes in"
    spin.maximum, spin.value = 3, 2.5
    assert (button.text, button.collapsed, button.toolTip, spin.value) == (
        "Inputs", True, "what goes in", 2.5)
    button.name = "inputs"
    assert button.objectName == "inputs" and button.className() == "ctkCollapsibleButton"
    assert button.isEnabled() and button.enabled


@pytest.mark.parametrize("make", [qt.QPushButton, ctk.ctkCollapsibleButton,
                                  slicer.qMRMLNodeComboBox, qt.QTimer])
def test_a_wrapper_takes_no_new_attribute_and_no_signal_that_is_not(make) -> None:
    one = make()
    with pytest.raises(AttributeError):
        one.mine = 3
    with pytest.raises(AttributeError):
        one.missing  # noqa: B018
    with pytest.raises(AttributeError):
        one.connect("mine(int)", print)
    with pytest.raises(AttributeError):
        one.deleteLater = None


def test_a_users_own_class_takes_attributes() -> None:
    class Mine(qt.QWidget):
        pass

    one = Mine()
    one.mine = 3
    assert one.mine == 3


def test_a_dynamic_property_can_be_read_as_an_attribute() -> None:
    one = qt.QLabel()
    one.setProperty("SlicerParameterName", "lge")
    assert one.SlicerParameterName == one.property("SlicerParameterName") == "lge"


def test_signals_connect_by_signature_and_by_name() -> None:
    heard = []
    button, fold = qt.QPushButton("x"), ctk.ctkCollapsibleButton()
    button.connect("clicked()", lambda: heard.append("plain"))
    button.connect("clicked(bool)", lambda on: heard.append(on))
    fold.contentsCollapsed.connect(lambda folded: heard.append(folded))
    fold.connect("contentsCollapsed(bool)", lambda: heard.append("fewer"))
    button.click()
    fold.collapsed = True
    assert heard == ["plain", False, True, "fewer"]
    with pytest.raises(AttributeError):
        fold.connect("contentsCollapsed()", print)


def test_a_disconnected_slot_is_not_called() -> None:
    heard = []
    fold = ctk.ctkCollapsibleButton()
    hear = heard.append
    fold.connect("contentsCollapsed(bool)", hear)
    fold.disconnect("contentsCollapsed(bool)", hear)
    fold.collapsed = True
    assert heard == []


def test_what_a_slot_raises_is_not_lost(a_scene) -> None:
    fold = ctk.ctkCollapsibleButton()
    fold.contentsCollapsed.connect(lambda: 1 / 0)
    fold.collapsed = True
    (said,) = raised()
    assert "ZeroDivisionError" in said


def test_what_is_folded_is_hidden() -> None:
    fold = ctk.ctkCollapsibleButton()
    shown, hidden = qt.QLabel("a", fold), qt.QLabel("b", fold)
    hidden.hide()
    fold.show()
    fold.collapsed = True
    assert not shown.visible
    fold.collapsed = False
    assert shown.visible and not hidden.visible


class TestNodeComboBox:
    @pytest.fixture
    def box(self, a_scene):
        box = slicer.qMRMLNodeComboBox()
        box.nodeTypes = ["vtkMRMLScalarVolumeNode"]
        box.noneEnabled = True
        return box

    def test_it_is_empty_without_a_scene(self, box, a_patient_in_the_scene) -> None:
        assert box.nodeCount() == 0
        box.setMRMLScene(slicer.mrmlScene)
        assert [box.nodeFromIndex(i).GetName() for i in range(box.nodeCount())] == [
            "BSSFP", "LGE", "T2"]

    def test_what_is_chosen_is_told_to_both_forms_of_the_signal(
            self, box, a_patient_in_the_scene) -> None:
        heard = []
        box.setMRMLScene(slicer.mrmlScene)
        box.connect("currentNodeChanged(vtkMRMLNode*)", heard.append)
        box.connect("currentNodeChanged(bool)", heard.append)
        box.setCurrentNode(a_patient_in_the_scene.lge)
        assert heard == [a_patient_in_the_scene.lge, True]
        assert box.currentNodeID == a_patient_in_the_scene.lge.GetID()
        box.setCurrentNode(None)
        assert box.currentNode() is None and heard[2:] == [None, False]

    def test_where_the_chosen_node_goes_the_entry_before_is_chosen(
            self, box, a_patient_in_the_scene) -> None:
        """As in the real one, which is Qt's."""
        box.setMRMLScene(slicer.mrmlScene)
        box.setCurrentNode(a_patient_in_the_scene.lge)
        before = box.nodeFromIndex([box.nodeFromIndex(i) for i in range(box.nodeCount())].index(
            a_patient_in_the_scene.lge) - 1)
        slicer.mrmlScene.RemoveNode(a_patient_in_the_scene.lge)
        assert box.currentNode() is before

    def test_labelmaps_are_shown_among_volumes_unless_child_types_are_not(self, box) -> None:
        box.setMRMLScene(slicer.mrmlScene)
        slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode")
        assert box.nodeCount() == 1
        box.showChildNodeTypes = False
        assert box.nodeCount() == 0

    def test_one_is_chosen_where_none_is_no_choice(self, box) -> None:
        box.noneEnabled = False
        box.setMRMLScene(slicer.mrmlScene)
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
        assert box.currentNode() is node

    def test_it_makes_a_node(self, box) -> None:
        heard = []
        box.setMRMLScene(slicer.mrmlScene)
        box.connect("nodeAddedByUserAction(vtkMRMLNode*)", heard.append)
        node = box.addNode()
        assert box.currentNode() is node and heard == [node]


def test_segments_are_chosen_together(a_scene, a_patient_in_the_scene) -> None:
    selector, heard = slicer.qMRMLSegmentSelectorWidget(), []
    selector.multiSelection = True
    selector.setMRMLScene(slicer.mrmlScene)
    selector.connect("segmentSelectionChanged(QStringList)", heard.append)
    mask = a_patient_in_the_scene.mask
    mask.GetSegmentation().AddEmptySegment("other", "Other")
    selector.setCurrentNode(mask)
    assert selector.selectedSegmentIDs() == ()
    selector.setSelectedSegmentIDs(["other", "Segment_LV", "nothing"])
    assert selector.selectedSegmentIDs() == ("Segment_LV", "other")
    mask.GetSegmentation().RemoveSegment("other")
    assert heard == [("Segment_LV", "other"), ("Segment_LV",)]


class TestSegmentEditor:
    @pytest.fixture
    def editor(self, a_scene, a_patient_in_the_scene):
        editor = slicer.qMRMLSegmentEditorWidget()
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentEditorNode")
        editor.setMRMLSegmentEditorNode(node)
        editor.setMRMLScene(slicer.mrmlScene)
        return editor

    def test_effects_need_a_segmentation_and_a_volume(self, editor,
                                                      a_patient_in_the_scene) -> None:
        editor.setActiveEffectByName("Draw")
        assert editor.activeEffect() is None
        editor.setSegmentationNode(a_patient_in_the_scene.mask)
        editor.setSourceVolumeNode(a_patient_in_the_scene.lge)
        editor.setActiveEffectByName("Draw")
        assert editor.activeEffect().name == "Draw"
        editor.setActiveEffectByName("Dance")
        assert editor.activeEffect() is None

    def test_undo_brings_a_segment_back(self, editor, a_patient_in_the_scene) -> None:
        mask = a_patient_in_the_scene.mask
        editor.setSegmentationNode(mask)
        editor.saveStateForUndo()
        mask.GetSegmentation().RemoveAllSegments()
        editor.undo()
        assert mask.GetSegmentation().GetNumberOfSegments() == 1

    def test_the_node_comes_first(self, a_scene, a_patient_in_the_scene) -> None:
        editor = slicer.qMRMLSegmentEditorWidget()
        with pytest.raises(AssertionError, match="comes before"):
            editor.setSegmentationNode(a_patient_in_the_scene.mask)
        with pytest.raises(AssertionError, match="comes before"):
            editor.setMRMLScene(slicer.mrmlScene)


class TestViews:
    def test_a_view_shows_the_volumes_own_voxels(self, a_scene, a_patient_in_the_scene) -> None:
        lge = a_patient_in_the_scene.lge
        slicer.util.setSliceViewerLayers(background=lge, fit=True, rotateToVolumePlane=True)
        widget = slicer.app.layoutManager().sliceWidget("Red")
        widget.resize(300, 260)
        widget.grab()
        settle()
        node, shown = widget.mrmlSliceNode(), blended_image(widget.sliceLogic())
        middle = voxels_at(lge, node, shown.shape)
        assert np.corrcoef(middle.ravel(), shown[..., 0].ravel())[0, 1] > 0.95

    def test_the_crosshair_knows_where_the_cursor_is(self, a_scene, a_patient_in_the_scene) -> None:
        from deepgmm.scene.views import point_on, show_slice, slice_at, turn_to

        lge, told, point = a_patient_in_the_scene.lge, [], [0.0, 0.0, 0.0]
        view = slicer.app.layoutManager().sliceWidget("Red").sliceView()
        turn_to(view.mrmlSliceNode(), lge)
        show_slice(slicer.mrmlScene, point_on(lge, 3))
        crosshair = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLCrosshairNode")
        crosshair.AddObserver(crosshair.CursorPositionModifiedEvent, lambda *_: told.append(1))
        at = qt.QPointF(150, 130)
        view.mouseMoveEvent(qt.QMouseEvent(qt.QEvent.MouseMove, at, at, qt.Qt.NoButton,
                                           qt.Qt.NoButton, qt.Qt.NoModifier))
        assert told and crosshair.GetCursorPositionRAS(point)
        assert crosshair.GetCursorPositionXYZ([0.0, 0.0, 0.0]) is view.mrmlSliceNode()
        assert slice_at(lge, point) == 3
        view.leaveEvent(qt.QEvent(qt.QEvent.Leave))
        assert len(told) == 2 and not crosshair.GetCursorPositionRAS(point)

    def test_segments_are_laid_over_it(self, a_scene, a_patient_in_the_scene) -> None:
        from standins.slice_overlay import overlay_of

        slicer.util.setSliceViewerLayers(background=a_patient_in_the_scene.lge, fit=True,
                                         rotateToVolumePlane=True)
        widget = slicer.app.layoutManager().sliceWidget("Red")
        widget.resize(300, 260)
        widget.grab()
        node = widget.mrmlSliceNode()
        size = node.GetDimensions()[1::-1]
        mask = a_patient_in_the_scene.mask
        colours, cover = overlay_of(node, size)
        assert 0.01 < (cover > 0).mean() < 0.5
        assert np.ptp(colours[cover > 0], axis=0).max() == 0
        mask.GetDisplayNode().SetOpacity2DFill(0)
        fewer = overlay_of(node, size)[1]
        assert 0 < (fewer > 0).sum() < (cover > 0).sum() / 4, "the outline alone is left"
        mask.GetDisplayNode().SetVisibility(False)
        assert overlay_of(node, size)[1].max() == 0

    def test_a_layout_of_ones_own_makes_its_views(self, a_scene) -> None:
        layouts = slicer.app.layoutManager()
        heard: list[int] = []
        layouts.connect("layoutChanged(int)", heard.append)
        views = "".join(
            f'<item><view class="vtkMRMLSliceNode" singletontag="{name}">'
            f'<property name="orientation" action="default">Axial</property>'
            f'<property name="viewlabel" action="default">{name[0]}</property></view></item>'
            for name in ("Mine", "Yours"))
        node = layouts.layoutLogic().GetLayoutNode()
        assert node.AddLayoutDescription(777, f'<layout type="horizontal">{views}</layout>')
        layouts.setLayout(777)
        assert heard == [777] and layouts.layout == 777
        assert layouts.sliceWidget("Mine").mrmlSliceNode().GetLayoutName() == "Mine"
        assert {"Mine", "Yours", "Red"} <= set(layouts.sliceViewNames())
        assert layouts.sliceWidget("Nobody") is None


def test_choosing_another_module_leaves_the_panel(a_panel) -> None:
    a_panel.window()
    assert slicer.util.selectedModule() == "DeepGMMSegmentation" and a_panel.inside.isEntered
    slicer.util.selectModule("SegmentEditor")
    assert not a_panel.inside.isEntered
    slicer.util.selectModule("DeepGMMSegmentation")
    assert a_panel.inside.isEntered


class TestDialogs:
    @pytest.fixture(autouse=True)
    def nothing_asked(self, a_scene) -> None:
        dialogs.forget()

    def test_a_question_is_answered_as_the_test_says(self) -> None:
        dialogs.answer("Ok")
        assert slicer.util.confirmOkCancelDisplay("Overwrite?") is True
        assert slicer.util.confirmOkCancelDisplay("Overwrite?") is False
        assert [one.answer for one in dialogs.asked] == ["Ok", "Cancel"]
        assert dialogs.asked[0].buttons == ("Ok", "Cancel")

    def test_a_button_that_is_not_there_cannot_be_pressed(self) -> None:
        dialogs.answer("Yes")
        with pytest.raises(AssertionError, match="no button Yes"):
            slicer.util.confirmOkCancelDisplay("Overwrite?")

    def test_messages_need_a_window_as_the_true_ones_do(self) -> None:
        slicer.util.errorDisplay("It went wrong")
        assert dialogs.asked == []


class TestPackages:
    @pytest.fixture(autouse=True)
    def forgotten(self, a_scene) -> None:
        packages.forget()

    def test_what_is_there_is_not_installed(self) -> None:
        assert slicer.packaging.pip_ensure(["numpy"], requester="me") is None
        assert packages.calls == [] and dialogs.asked == []

    def test_a_missing_one_is_asked_for_and_then_there(self) -> None:
        packages.will("succeed", installed={"numpy": "2.0"})
        assert not slicer.packaging.pip_check("numpy<2")
        slicer.packaging.pip_ensure(["scikit-learn>=1.3"], requester="me")
        assert slicer.packaging.pip_check("scikit-learn")
        assert packages.calls[0]["requirements"] == ["scikit-learn>=1.3"]

    @pytest.mark.parametrize(("do", "error"), [("decline", "RuntimeError"),
                                               ("fail", "CalledProcessError")])
    def test_it_can_go_wrong(self, do: str, error: str) -> None:
        packages.will(do, installed={})
        with pytest.raises(Exception) as caught:
            slicer.packaging.pip_ensure(["scikit-learn"])
        assert caught.type.__name__ == error
        assert not slicer.packaging.pip_check("scikit-learn")
