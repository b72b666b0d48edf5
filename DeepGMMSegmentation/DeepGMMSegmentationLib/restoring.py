"""The last fit and its corrections, kept in the scene: after loading it Refine goes on."""

import logging

import numpy as np
import qt
from slicer.i18n import tr as _

from deepgmm.errors import DeepGMMError, InputError
from DeepGMMSegmentationLib.chosen import is_there, reference
from DeepGMMSegmentationLib.inputs import arguments
from DeepGMMSegmentationLib.job import Outcome
from DeepGMMSegmentationLib.panel import Panel, Section
from DeepGMMSegmentationLib.refining import fitted_in


class RestoringSection(Section):
    """Keeps what a run left, and takes it up again where there is a result and no run."""

    def __init__(self, ui, panel: Panel) -> None:
        super().__init__(ui, panel)
        self._kept: Outcome | None = None
        self._tried: tuple = ()
        self._timer = qt.QTimer()  # not in the slot that wrote the result, nor while a scene loads
        self._timer.setSingleShot(True)
        self._timer.setInterval(0)
        self._timer.timeout.connect(self._act)

    def refresh(self) -> None:
        if self._to_keep() is not None or self._to_try():
            self._timer.start()

    def close(self) -> None:
        self._kept, self._tried = None, ()

    def cleanup(self) -> None:
        self._timer.stop()
        self._timer.timeout.disconnect(self._act)

    def _to_keep(self) -> Outcome | None:
        fitted = fitted_in(self.panel)
        return None if fitted is self._kept else fitted

    def _to_try(self) -> tuple:
        """The output and the images of a result that no run of this session made, once."""
        from deepgmm.scene.kept_fit import has_kept_fit

        state, run = self.state, self.panel.run
        volume = None if state is None else reference(state)
        if volume is None or run.busy or not is_there(state.output) or not is_there(state.mask) \
                or not has_kept_fit(state.output) or fitted_in(self.panel) is not None:
            return ()
        key = (state.output.GetID(), volume.GetID(), state.mask.GetID())
        return () if key == self._tried else key

    def _act(self) -> None:
        fitted, key = self._to_keep(), self._to_try()
        try:
            if fitted is not None:
                self._kept = fitted
                self._keep(fitted)
            elif key:
                self._tried = key
                self._restore()
        except DeepGMMError:  # what is wrong with the inputs is said beside them
            logging.info("DeepGMM: the corrections kept in the scene were not taken up")
        except Exception:
            logging.exception("DeepGMM: a result could not be kept in the scene, or taken from it")

    def _keep(self, fitted: Outcome) -> None:
        from deepgmm.scene.kept_fit import keep_fit

        answer = fitted.answer
        keep_fit(self.state.output, answer.result, fitted.sent or answer.result.study, {
            "report": answer.report, "slices": answer.slices, "next": answer.next,
            "choices": fitted.choices,
            "curves": [[index, line.tolist()] for index, line in fitted.curves.items()]})

    def _name_priors(self, settings: dict) -> None:
        """Contrast priors of one's own are kept by their hash: they are those of the panel, or a
        refit says that they are not there."""
        from deepgmm.files import sha256

        file = self.state.priors
        try:
            if file and settings.get("priors") == f"sha256:{sha256(file)}":
                settings["priors"] = file
        except InputError:
            logging.info("DeepGMM: the contrast priors of the kept fit cannot be read")

    def _restore(self) -> None:
        from deepgmm.jobs.tasks import Segmented
        from deepgmm.scene.inputs import study_from_nodes
        from deepgmm.scene.kept_fit import kept_fit
        from deepgmm.scene.outputs import Written
        from deepgmm.scene.undo import belongings

        output = self.state.output
        study = study_from_nodes(check=False, **arguments(self.state))
        found = kept_fit(output, study)
        if found is None:
            self.panel.log(_("What the scene keeps of an earlier fit is not of these images and "
                             "this LV mask: press Apply before Refine."))
            return
        result, more = found
        self._name_priors(result.provenance.get("settings", {}))
        answer = Segmented(result, more["report"], more["slices"], "", more["next"])
        warm = Outcome(Written(output, belongings(output)), list(result.warnings), 0.0,
                       choices=more["choices"], chosen=output, answer=answer, sent=study,
                       curves={index: np.array(line) for index, line in more.get("curves", ())},
                       task="segment" if result.corrections is None else "refine")
        self._kept = self.panel.run.fitted = warm
        self.panel.log(_("The fit and its corrections were taken from the scene: Refine goes on "
                         "from there."))
        self.panel.refresh()
