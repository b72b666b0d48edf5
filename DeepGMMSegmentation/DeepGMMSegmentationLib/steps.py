"""The next step in one line, and sections that fold away once they were used."""

from slicer.i18n import tr as _

from DeepGMMSegmentationLib import inputs
from DeepGMMSegmentationLib.chosen import is_there, volumes
from DeepGMMSegmentationLib.panel import Panel, Section
from DeepGMMSegmentationLib.proposing import proposed_unseen


class StepsSection(Section):
    """Says what comes next, and shows of the panel what that needs.

    A section is folded or opened when the step changes, never while the user works in it.
    """

    #: Step to the sections that are open in it; the user may open others.
    _OPEN = {"load": ("inputs",), "mask": ("inputs", "mask"), "draw": ("mask",), "look": ("mask",),
             "apply": ("inputs",), "review": ("slices", "results")}
    _FOLDED = ("inputs", "mask", "segmentation", "slices", "results")

    def __init__(self, ui, panel: Panel) -> None:
        super().__init__(ui, panel)
        self._step = ""

    def refresh(self) -> None:
        step, said = self._next()
        if self.ui.nextStepLabel.text != said:
            self.ui.nextStepLabel.text = said
        if step and step != self._step:
            self._step = step
            self._fold(step)

    def close(self) -> None:
        self._step = ""

    def _next(self) -> tuple[str, str]:
        state = self.state
        if state is None:
            return "", ""
        if self.panel.run.busy:
            return "", _("Next: wait for the result, or go on working; Cancel stops it.")
        if is_there(state.output) and self._has_numbers(state.output):
            return "review", _("Next: look at every slice, the most uncertain first (key N); "
                               "correct in the Segment editor, press Refine; save the numbers.")
        if not volumes(state):
            return "load", _("Next: load an examination, or choose LGE, bSSFP and T2.")
        missing = inputs.missing(state)
        if inputs.mask_is_empty(state):
            return "draw", _("Next: outline the left ventricle on three slices or more, then press "
                             "Fill between slices.")
        if not is_there(state.mask) or inputs.wrong_mask(state):
            return "mask", _("Next: outline the left ventricle under LV mask: Propose, and look.")
        if proposed_unseen(state):
            return "look", _("Next: look at the proposed LV mask on every slice, correct it, and "
                             "say so under LV mask; then press Apply.")
        return "apply", _("Next: see the line beside Apply; something is to be mended.") \
            if missing else _("Next: press Apply.")

    def _has_numbers(self, output) -> bool:
        from deepgmm.scene.read_back import provenance_of

        return "volumes_ml" in provenance_of(output)

    def _fold(self, step: str) -> None:
        for name in self._FOLDED:
            button = getattr(self.ui, f"{name}CollapsibleButton")
            wanted = name not in self._OPEN[step]
            if bool(button.collapsed) != wanted:
                button.collapsed = wanted
