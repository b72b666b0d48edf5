"""All numbers of the output, measured by the worker: for the panel, or into a file."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from slicer.i18n import tr as _

from deepgmm.errors import InputError
from DeepGMMSegmentationLib import inputs
from DeepGMMSegmentationLib.chosen import is_there, volumes
from DeepGMMSegmentationLib.drawn import drawn_labels, when_drawn
from DeepGMMSegmentationLib.job import Job, grid_of
from DeepGMMSegmentationLib.parameters import PanelState

TASK = "measure"


def _nothing(*_ignored) -> None:
    pass


@dataclass
class MeasureJob(Job):
    """Numbers asked for.

    Attributes
    ----------
    segmentation : what is measured.
    said : the report of the run that made it.
    model : of 16 AHA segments, or 17.
    points : (slices, 2, 2) RV insertions, or None.
    files, dicom : as `deepgmm.jobs.measuring.measure_request` takes them.
    rows, said_of_it, points_came : what came back: numbers, warnings, how the points came.
    """

    task: str = TASK
    segmentation: Any = None
    said: dict = field(default_factory=dict)
    model: int = 16
    points: Any = None
    files: dict[str, str] = field(default_factory=dict)
    dicom: dict | None = None
    state: PanelState | None = None
    rows: list = field(default_factory=list)
    said_of_it: list[str] = field(default_factory=list)
    points_came: str = ""
    on_done: Callable[[Any], None] | None = _nothing

    def read(self) -> None:
        from deepgmm.jobs.measuring import measure_request
        from deepgmm.scene.inputs import guess_of

        labels = drawn_labels.of(self.segmentation, self.reference)
        self.study = self._study()
        self.study.insertion_points = self.points
        self.slices, self.grid = len(labels), grid_of(self.reference)
        self.drawn = when_drawn(self.segmentation)
        self.message = measure_request(
            self.study, labels, tissues=_sought(self.said), said=self.said, model=self.model,
            guess=guess_of(self.study, inputs.arguments(self.state).get("kinds")),
            entropy=self._entropy() if "html" in self.files else None, files=self.files,
            dicom=self.dicom if "seg" in self.files else None)

    def _study(self):
        """With the LV mask where that can be used; else what is labelled is the ventricle."""
        from deepgmm.scene.inputs import images_from_nodes, study_from_nodes

        given = inputs.arguments(self.state) | {"insertions": None}
        if is_there(self.state.mask):
            try:
                return study_from_nodes(check=False, **given)
            except InputError:  # what is wrong with the mask is said beside it
                pass
        study = images_from_nodes(**{role.value: node
                                     for role, node in volumes(self.state).items()})
        for role, kind in given["kinds"].items():
            if role in study.sequences:
                from deepgmm.study.kinds import parse_kind

                study.sequences[role].kind = parse_kind(role, kind) or study.sequences[role].kind
        return study

    def _entropy(self):
        import slicer

        from deepgmm.scene.read_back import belonging

        volume = belonging(self.segmentation, "Uncertainty")
        return None if not is_there(volume) else slicer.util.arrayFromVolume(volume)

    def check_scene(self) -> None:
        """Numbers are of what was there when they were asked for: of nothing else."""
        for node in (self.reference, self.segmentation):
            if node.GetScene() is not self.scene:
                raise InputError(_("the segmentation was deleted while it was measured"))
        if grid_of(self.reference) != self.grid:
            raise InputError(_("the images were moved or changed while it was measured"))

    @property
    def is_true(self) -> bool:
        """Whether nothing was drawn since."""
        return when_drawn(self.segmentation) == self.drawn

    def write(self, header: dict, arrays: dict):
        from deepgmm.jobs.measuring import measured
        from deepgmm.scene.measured import write_numbers

        self.rows, self.said_of_it, self.points_came = measured(header)
        if self.is_true:
            write_numbers(self.segmentation, self.rows, self.reference)
        return self


def _sought(said: dict) -> list:
    from deepgmm.study.words import Tissue

    return [Tissue(value) for value in said.get("labels", {}).values()]
