"""The panel put together from its sections."""

import slicer

from DeepGMMSegmentationLib.apply import ApplySection
from DeepGMMSegmentationLib.editor import EditorSection
from DeepGMMSegmentationLib.inputs import InputsSection
from DeepGMMSegmentationLib.mask import MaskSection
from DeepGMMSegmentationLib.method import MethodSection
from DeepGMMSegmentationLib.panel import Panel
from DeepGMMSegmentationLib.results import ResultsSection
from DeepGMMSegmentationLib.review_layout import ReviewLayoutSection
from DeepGMMSegmentationLib.run import Run
from DeepGMMSegmentationLib.slices import SlicesSection


def make_panel(ui) -> Panel:
    """A panel with all its sections on the widgets of the `.ui`."""
    panel = Panel(ui, Run())
    editor = EditorSection(ui, panel)
    panel.sections += [
        InputsSection(ui, panel), MaskSection(ui, panel, editor), MethodSection(ui, panel),
        ApplySection(ui, panel, editor), SlicesSection(ui, panel),
        ResultsSection(ui, panel, editor),
    ]
    if slicer.app.layoutManager() is not None:  # Slicer may run without a window
        panel.sections.append(ReviewLayoutSection(ui, panel))
    panel.sections.append(editor)
    return panel
