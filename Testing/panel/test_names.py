"""Every widget class, property, signal and method that the `.ui` and the module use exists."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
import widget_facts
from name_faults import name_faults
from panels import MODULE
from ui_faults import ui_faults, widgets_of

pytestmark = pytest.mark.skipif(not widget_facts.PATH.is_file(),
                                reason="needs ../shared/slicer_widgets.json")

UI = MODULE.parent / "Resources/UI/DeepGMMSegmentation.ui"
FILES = [MODULE, *sorted((MODULE.parent / "DeepGMMSegmentationLib").glob("*.py"))]

A_UI = """<ui version="4.0"><widget class="qMRMLWidget" name="top">
<layout class="QVBoxLayout" name="column"><item>
<widget class="{kind}" name="one">{properties}</widget></item></layout></widget>
<customwidgets>
<customwidget><class>qMRMLWidget</class><extends>QWidget</extends><header>qMRMLWidget.h</header>
</customwidget>
<customwidget><class>qMRMLNodeComboBox</class><extends>QWidget</extends><header>q.h</header>
</customwidget></customwidgets>
<connections>{connections}</connections></ui>"""


def widgets() -> dict[str, str]:
    return widgets_of(ElementTree.fromstring(UI.read_text(encoding="utf-8")))


def test_the_ui_names_what_there_is() -> None:
    from DeepGMMSegmentationLib.parameters import PanelState

    text = UI.read_text(encoding="utf-8")
    assert list(ui_faults(text, bindable=PanelState.allParameters)) == []
    assert len(widgets()) > 50


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_module_names_what_there_is(path: Path) -> None:
    from DeepGMMSegmentationLib.parameters import PanelState

    assert list(name_faults(path.read_text(encoding="utf-8"), widgets(), PanelState)) == []


def test_a_wrong_import_is_found() -> None:
    source = ("from slicer.util import VTKObservationMixin, VTKMixin\n"
              "from slicer.parameterNodeWrapper import IsNone\nfrom slicer.utils import x\n")
    assert list(name_faults(source, SOME)) == [
        "1: slicer.util has no VTKMixin", "2: slicer.parameterNodeWrapper has no IsNone",
        "3: slicer.utils has no x"]


def test_a_field_that_the_state_lacks_is_found() -> None:
    from DeepGMMSegmentationLib.parameters import PanelState

    source = "def f(state):\n    state.lgee\n    state.lge.GetVoxels()\n    state.lge.GetID()\n"
    assert list(name_faults(source, SOME, PanelState)) == [
        "2: the state has no lgee", "3: vtkMRMLScalarVolumeNode has no GetVoxels"]


def a_ui(kind: str = "qMRMLNodeComboBox", properties: str = "", signal: str = "",
         slot: str = "setMRMLScene(vtkMRMLScene*)", receiver: str = "one") -> str:
    made = (f"<connection><sender>top</sender><signal>{signal}</signal><receiver>{receiver}"
            f"</receiver><slot>{slot}</slot></connection>") if signal else ""
    return A_UI.format(kind=kind, properties=properties, connections=made)


def a_property(name: str, attributes: str = "", value: str = "") -> str:
    return f'<property name="{name}" {attributes}><string>{value}</string></property>'


@pytest.mark.parametrize(("ui", "said"), [
    (a_ui("qMRMLNodeChooser"), "one: no class qMRMLNodeChooser"),
    (a_ui("qMRMLSegmentSelectorWidget"),
     "qMRMLSegmentSelectorWidget is not among the custom widgets"),
    (a_ui(properties=a_property("noneText")),
     "one: qMRMLNodeComboBox has no property noneText that may be set"),
    (a_ui("QComboBox", a_property("count")), "one: QComboBox has no property count that may be "
                                             "set"),
    (a_ui(properties=a_property("SlicerParameterName", 'stdset="0"', "lgee")),
     "one: no field lgee"),
    (a_ui("QTableWidget", a_property("SlicerParameterName", 'stdset="0"', "lge")),
     "one: QTableWidget cannot be bound to a field"),
    (a_ui(signal="mrmlSceneChanged(vtkMRMLScene)"),
     "top: qMRMLWidget has no signal mrmlSceneChanged(vtkMRMLScene)"),
    (a_ui(signal="mrmlSceneChanged(vtkMRMLScene*)", slot="setScene(vtkMRMLScene*)"),
     "one: qMRMLNodeComboBox has no slot setScene(vtkMRMLScene*)"),
    (a_ui(signal="mrmlSceneChanged(vtkMRMLScene*)", receiver="two"),
     "a connection of two, which is no widget"),
])
def test_a_wrong_name_in_a_ui_is_found(ui: str, said: str) -> None:
    assert list(ui_faults(ui, bindable={"lge"})) == [said]


def test_a_right_ui_passes() -> None:
    ui = a_ui(properties=a_property("noneDisplay"), signal="mrmlSceneChanged(vtkMRMLScene*)")
    assert list(ui_faults(ui)) == []


SOME = {"box": "qMRMLNodeComboBox", "fold": "ctkCollapsibleButton", "spin": "QSpinBox",
        "slide": "ctkSliderWidget", "editor": "qMRMLSegmentEditorWidget", "button": "QPushButton"}


@pytest.mark.parametrize(("line", "said"), [
    ("self.ui.bocks.enabled = True", "the .ui has no widget bocks"),
    ("self.ui.fold.setCollapsed(True)", "ctkCollapsibleButton has no setCollapsed"),
    ("self.ui.fold.closed = True", "ctkCollapsibleButton has no closed"),
    ("self.ui.slide.value()", "ctkSliderWidget.value is a property and cannot be called"),
    ("self.ui.slide.setRange(0, 1)", "ctkSliderWidget has no setRange"),
    ("self.ui.spin.value()", "QSpinBox.value is a property and cannot be called"),
    ("self.ui.box.currentNode = 3", "qMRMLNodeComboBox.currentNode cannot be set"),
    ("ui.box.connect('currentNodeChanged(vtkMRMLNode)', f)",
     "qMRMLNodeComboBox has no signal currentNodeChanged(vtkMRMLNode)"),
    ("self.ui.button.connect('pressed(bool)', f)", "QPushButton has no signal pressed(bool)"),
    ("f(x).connect('klicked()', f)", "no widget of the .ui has a signal klicked()"),
    ("qt.QLabell()", "qt has no QLabell"),
    ("qt.QMessageBox.Perhaps", "qt.QMessageBox has no Perhaps"),
    ("qt.Qt.Chequed", "qt.Qt has no Chequed"),
    ("ctk.ctkButton()", "ctk has no ctkButton"),
    ("slicer.qMRMLNodeBox", "slicer has no qMRMLNodeBox"),
    ("slicer.vtkMRMLHeartNode()", "slicer has no vtkMRMLHeartNode"),
    ("slicer.util.confirmDisplay('x')", "slicer.util has no confirmDisplay"),
    ("slicer.app.quitNow()", "qSlicerApplication has no quitNow"),
    ("slicer.app.layoutManager().sliceView('Red')", "qSlicerLayoutManager has no sliceView"),
    ("slicer.app.layoutManager().sliceWidget('Red').sliceLogic().Fit()",
     "vtkMRMLSliceLogic has no Fit"),
    ("slicer.mrmlScene.GetNodeByName('x')", "vtkMRMLScene has no GetNodeByName"),
    ("self.ui.editor.activeEffect().setParam('a', 1)",
     "qSlicerSegmentEditorAbstractEffect has no setParam"),
])
def test_a_wrong_name_in_a_file_is_found(line: str, said: str) -> None:
    source = f"class Section:\n    def refresh(self, ui, f, x):\n        {line}\n"
    assert list(name_faults(source, SOME)) == [f"3: {said}"]


@pytest.mark.parametrize("source", [
    "def f(ui):\n    box = ui.box\n    box.chosen\n",
    "class S:\n    def a(self):\n        self._box = self.ui.box\n    def b(self):\n"
    "        self._box.chosen\n",
    "def f(ui):\n    for one in (ui.box, ui.fold):\n        one.chosen\n",
    "def f(ui):\n    a, b = ui.box, ui.fold\n    b.chosen\n",
    "def f():\n    timer = qt.QTimer()\n    timer.chosen\n",
    "def f(table):\n    table.verticalHeader().chosen\n",
])
def test_a_name_is_followed(source: str) -> None:
    (fault,) = name_faults(source, SOME)
    assert fault.endswith(" has no chosen")


@pytest.mark.parametrize("line", [
    "self.ui.fold.collapsed = not self.ui.fold.collapsed",
    "self.ui.box.connect('currentNodeChanged(vtkMRMLNode*)', self.ui.box.setCurrentNode)",
    "self.ui.editor.setActiveEffect(None)",
    "self.ui.spin.setRange(0, 3); self.ui.spin.value = 2; self.ui.spin.blockSignals(True)",
    "slicer.app.layoutManager().layout = 3",
    "qt.QTimer.singleShot(0, self.f)",
    "slicer.app.connect('aboutToQuit()', self.f)",
])
def test_right_names_pass(line: str) -> None:
    source = f"class Section:\n    def refresh(self):\n        {line}\n"
    assert list(name_faults(source, SOME)) == []
