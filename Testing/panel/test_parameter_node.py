"""The stand-in for `parameterNodeWrapper` keeps and refuses what Slicer's does."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated, Any, Literal, Optional, Union

import ctk
import numpy as np
import pytest
import qt
import slicer
from slicer.parameterNodeWrapper import (
    Choice,
    Default,
    Maximum,
    Minimum,
    WithinRange,
    parameterNodeWrapper,
)
from standins.session import raised


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


@parameterNodeWrapper
class State:
    number: Annotated[int, WithinRange(0, 9), Default(4)]
    share: Annotated[float, Minimum(0), Maximum(1)]
    name: str = "heart"
    fine: bool
    colour: Colour
    path: Path
    perhaps: Optional[int]  # noqa: UP045
    node: slicer.vtkMRMLScalarVolumeNode
    mask: Union[slicer.vtkMRMLSegmentationNode, slicer.vtkMRMLLabelMapVolumeNode,  # noqa: UP007
                None]
    names: list[str]
    why: dict[int, str]
    pair: tuple[int, str]


@pytest.fixture
def a_node(a_scene) -> Any:
    return slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScriptedModuleNode")


@pytest.fixture
def a_state(a_node) -> Any:
    return State(a_node)


def test_it_begins_with_defaults(a_state) -> None:
    assert (a_state.number, a_state.share, a_state.name, a_state.fine) == (4, 0, "heart", False)
    assert a_state.colour is Colour.RED and a_state.path == Path() and a_state.perhaps is None
    assert a_state.node is None and a_state.mask is None
    assert a_state.names == [] and a_state.why == {} and a_state.pair == (0, "")


def test_everything_is_in_the_node(a_state, a_node, a_patient_in_the_scene) -> None:
    patient = a_patient_in_the_scene
    a_state.number, a_state.name, a_state.fine = 7, "é", True
    a_state.colour, a_state.path, a_state.perhaps = Colour.BLUE, Path("a/b"), 3
    a_state.node, a_state.mask = patient.lge, patient.mask
    a_state.names, a_state.why, a_state.pair = ["a", "b"], {3: "x"}, (1, "y")
    again = State(a_node)
    for name in State.allParameters:
        assert getattr(again, name) == getattr(a_state, name), name
    assert a_node.GetNodeReference("node") is patient.lge
    assert a_node.GetParameter("number") == "7"


def test_a_change_of_a_list_or_dict_is_written(a_state, a_node) -> None:
    a_state.names.append("a")
    a_state.why[3] = "x"
    a_state.why[1] = "y"
    del a_state.why[3]
    a_state.names += ["b"]
    again = State(a_node)
    assert list(again.names) == ["a", "b"] and dict(again.why) == {1: "y"}
    a_state.why.clear()
    assert dict(State(a_node).why) == {}


@pytest.mark.parametrize(("name", "value", "error"), [
    ("number", 10, ValueError), ("number", 2.5, TypeError), ("number", None, ValueError),
    ("number", np.int64(3), TypeError), ("share", 1.5, ValueError), ("share", "1", TypeError),
    ("name", 3, TypeError), ("fine", 1, TypeError), ("colour", "RED", TypeError),
    ("path", "a", TypeError), ("names", [3], TypeError), ("why", {"3": "x"}, TypeError),
    ("pair", (1, "a", 2), ValueError), ("node", "lge", TypeError),
])
def test_a_wrong_value_is_refused_and_nothing_changes(a_state, name, value, error) -> None:
    before = getattr(a_state, name)
    with pytest.raises(error):
        setattr(a_state, name, value)
    assert getattr(a_state, name) == before


def test_a_node_of_another_class_is_refused(a_state, a_patient_in_the_scene) -> None:
    with pytest.raises(TypeError):
        a_state.mask = a_patient_in_the_scene.lge
    with pytest.raises(TypeError):
        a_state.node = a_patient_in_the_scene.mask


def test_lists_and_dicts_lack_what_the_true_ones_lack(a_state) -> None:
    with pytest.raises(TypeError):
        a_state.why.get(3, "")
    with pytest.raises(TypeError):
        a_state.why.pop(3, "")
    with pytest.raises(NotImplementedError):
        a_state.names + ["a"]


@pytest.mark.parametrize("kind", [
    Literal["a", "b"], set[str], list, tuple[int, ...], complex, int | None, slicer.vtkSegment,
    np.ndarray])
def test_an_unsupported_type_is_refused(kind) -> None:
    with pytest.raises(Exception, match="Unable to create serializer"):
        parameterNodeWrapper(type("Wrong", (), {"__annotations__": {"field": kind}}))


def test_a_union_of_nodes_without_none_cannot_begin(a_node) -> None:
    kind = Union[slicer.vtkMRMLModelNode, slicer.vtkMRMLTextNode]  # noqa: UP007
    wrapped = parameterNodeWrapper(type("Wrong", (), {"__annotations__": {"field": kind}}))
    with pytest.raises(TypeError):
        wrapped(a_node)


def test_a_name_that_the_wrapper_needs_is_refused() -> None:
    with pytest.raises(ValueError, match="reserved"):
        parameterNodeWrapper(type("Wrong", (), {"__annotations__": {"default": int}}))


class Ui:
    """Named widgets, as `childWidgetVariables` gives them."""

    def __init__(self, **widgets: Any) -> None:
        self.__dict__.update(widgets)
        for name, widget in widgets.items():
            widget.setProperty("SlicerParameterName", name)


def test_widgets_and_state_follow_each_other(a_state, a_patient_in_the_scene) -> None:
    box = slicer.qMRMLNodeComboBox()
    box.noneEnabled = True
    box.setMRMLScene(slicer.mrmlScene)
    ui = Ui(number=qt.QSpinBox(), share=ctk.ctkSliderWidget(), name=qt.QLineEdit(),
            fine=qt.QCheckBox(), colour=qt.QComboBox(), node=box, path=ctk.ctkPathLineEdit())
    tag = a_state.connectGui(ui)
    assert (ui.number.value, ui.number.maximum, ui.name.text) == (4, 9, "heart")
    assert box.nodeTypes == ("vtkMRMLScalarVolumeNode",)
    assert [ui.colour.itemText(i) for i in range(ui.colour.count)] == ["RED", "BLUE"]
    ui.number.value, ui.share.value, ui.name.text, ui.fine.checked = 6, 0.25, "x", True
    ui.colour.currentIndex, ui.path.currentPath = 1, "a/b"
    box.setCurrentNode(a_patient_in_the_scene.lge)
    assert (a_state.number, a_state.share, a_state.name, a_state.fine) == (6, 0.25, "x", True)
    assert a_state.colour is Colour.BLUE and a_state.path == Path("a/b")
    assert a_state.node is a_patient_in_the_scene.lge
    a_state.number = 2
    assert ui.number.value == 2
    a_state.disconnectGui(tag)
    a_state.number = 3
    assert ui.number.value == 2


@pytest.mark.parametrize(("widget", "name"), [
    (lambda: type("Mine", (qt.QSpinBox,), {})(), "number"), (qt.QTableWidget, "names"),
    (slicer.qMRMLSegmentSelectorWidget, "mask"), (qt.QSpinBox, "share"), (qt.QComboBox, "name"),
    (ctk.ctkPathLineEdit, "name"),
])
def test_a_pair_without_a_connector_is_refused(a_state, widget, name) -> None:
    with pytest.raises(RuntimeError):
        a_state.connectGui(Ui(**{name: widget()}))


def test_a_field_that_is_not_there_is_refused(a_state) -> None:
    with pytest.raises(ValueError, match="Cannot find a param"):
        a_state.connectGui(Ui(numbre=qt.QSpinBox()))


def test_a_slider_needs_bounds(a_node) -> None:
    wrapped = parameterNodeWrapper(type("Wide", (), {"__annotations__": {"field": float}}))
    with pytest.raises(RuntimeError, match="unbounded"):
        wrapped(a_node).connectGui(Ui(field=ctk.ctkSliderWidget()))


def test_a_choice_fills_a_combo_box(a_node) -> None:
    kind = Annotated[str, Choice(["a", "b"]), Default("a")]
    state = parameterNodeWrapper(type("Of", (), {"__annotations__": {"field": kind}}))(a_node)
    box = qt.QComboBox()
    state.connectGui(Ui(field=box))
    box.currentIndex = 1
    assert state.field == "b"
    with pytest.raises(ValueError):
        state.field = "c"


def test_a_removed_node_leaves_its_reference_until_the_node_is_modified(
        a_state, a_node, a_patient_in_the_scene) -> None:
    lge = a_patient_in_the_scene.lge
    a_state.node = lge
    slicer.mrmlScene.RemoveNode(lge)
    a_node.Modified()
    assert a_state.node is None
    assert raised() == []
