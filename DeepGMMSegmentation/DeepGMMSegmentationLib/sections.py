"""The panel put together from its sections."""

import types
import xml.etree.ElementTree as ElementTree

import slicer

from DeepGMMSegmentationLib.apply import ApplySection
from DeepGMMSegmentationLib.borders import BordersSection
from DeepGMMSegmentationLib.comparing import CompareSection
from DeepGMMSegmentationLib.edit_logging import EditLogSection
from DeepGMMSegmentationLib.editor import EditorSection
from DeepGMMSegmentationLib.examination import ExaminationSection
from DeepGMMSegmentationLib.followed import FollowedSection
from DeepGMMSegmentationLib.inputs import InputsSection
from DeepGMMSegmentationLib.mask import MaskSection
from DeepGMMSegmentationLib.method import MethodSection
from DeepGMMSegmentationLib.numbers import NumbersSection
from DeepGMMSegmentationLib.overlay import OverlaySection
from DeepGMMSegmentationLib.panel import Panel
from DeepGMMSegmentationLib.refining import RefineSection
from DeepGMMSegmentationLib.restoring import RestoringSection
from DeepGMMSegmentationLib.results import ResultsSection
from DeepGMMSegmentationLib.review_layout import ReviewLayoutSection
from DeepGMMSegmentationLib.run import Run
from DeepGMMSegmentationLib.slices import SlicesSection
from DeepGMMSegmentationLib.steps import StepsSection
from DeepGMMSegmentationLib.versions import VersionsSection


def widgets_of(widget, path: str) -> types.SimpleNamespace:
    """The widgets that a `.ui` names, by name, and none of those inside Slicer's own.

    Parameters
    ----------
    widget : what was loaded from it.
    path : of the `.ui`.
    """
    named = {one.get("name") for one in ElementTree.parse(path).getroot().iter("widget")}
    found = vars(slicer.util.childWidgetVariables(widget))
    return types.SimpleNamespace(**{name: one for name, one in found.items() if name in named})


def make_panel(ui) -> Panel:
    """A panel with all its sections on the widgets of the `.ui`."""
    panel = Panel(ui, Run())
    editor, versions = EditorSection(ui, panel), VersionsSection(ui, panel)
    panel.sections += [
        ExaminationSection(ui, panel), InputsSection(ui, panel),
        MaskSection(ui, panel, editor), MethodSection(ui, panel),
        ApplySection(ui, panel, editor), SlicesSection(ui, panel),
        BordersSection(ui, panel), RefineSection(ui, panel), FollowedSection(ui, panel),
        ResultsSection(ui, panel, editor), versions, CompareSection(ui, panel, versions),
        EditLogSection(ui, panel, editor, versions), RestoringSection(ui, panel),
        NumbersSection(ui, panel),
    ]
    if slicer.app.layoutManager() is not None:  # Slicer may run without a window
        panel.sections += [ReviewLayoutSection(ui, panel), OverlaySection(ui, panel)]
    panel.sections.append(StepsSection(ui, panel))
    panel.sections.append(editor)
    return panel
