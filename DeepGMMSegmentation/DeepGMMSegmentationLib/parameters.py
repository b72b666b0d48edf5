"""What the panel remembers, in the scene: inputs, choices, slices left out or done."""

from typing import Annotated, Union

import slicer
from slicer.parameterNodeWrapper import Default, Minimum, WithinRange, parameterNodeWrapper

from deepgmm.settings import Settings
from deepgmm.study.words import Align

_DEFAULTS = Settings()


@parameterNodeWrapper
class PanelState:
    """The state of one panel; every field is kept in the module's parameter node.

    Fields of the same name as those of `deepgmm.settings.Settings`, in camel case, mean the same
    and have its defaults. Kinds are words of `deepgmm.study.words.Kind`; empty means guessed.
    """

    bssfp: slicer.vtkMRMLScalarVolumeNode
    lge: slicer.vtkMRMLScalarVolumeNode
    t2: slicer.vtkMRMLScalarVolumeNode
    # Slicer's wrapper knows unions of nodes only in this form, and empty ones only with None.
    mask: Union[slicer.vtkMRMLSegmentationNode, slicer.vtkMRMLLabelMapVolumeNode,  # noqa: UP007
                None]
    maskSegmentIDs: list[str]
    insertionPoints: slicer.vtkMRMLMarkupsFiducialNode
    output: slicer.vtkMRMLSegmentationNode
    matchFrame: Annotated[bool, Default(True)]
    lgeKind: str
    t2Kind: str

    method: Annotated[str, Default(_DEFAULTS.method.value)]
    preset: Annotated[str, Default(_DEFAULTS.preset.value)]
    model: Annotated[str, Default(_DEFAULTS.model)]
    device: Annotated[str, Default(_DEFAULTS.device.value)]
    covariance: Annotated[str, Default(_DEFAULTS.covariance.value)]
    papillary: Annotated[str, Default(_DEFAULTS.papillary.value)]
    priors: Annotated[str, Default(_DEFAULTS.priors)]
    adapt: Annotated[int, WithinRange(0, 1000), Default(_DEFAULTS.adapt)]
    seed: Annotated[int, WithinRange(0, 2**31 - 1), Default(_DEFAULTS.seed)]
    restarts: Annotated[int, WithinRange(1, 1000), Default(_DEFAULTS.restarts)]
    biasDegree: Annotated[int, WithinRange(0, 4), Default(_DEFAULTS.bias_degree)]
    degrees: Annotated[float, WithinRange(0, 1000), Default(_DEFAULTS.degrees)]
    outlier: Annotated[float, WithinRange(0, 0.5), Default(_DEFAULTS.outlier)]
    meanWeight: Annotated[float, Minimum(0), Default(_DEFAULTS.mean_weight)]
    totalVariation: Annotated[float, Minimum(0), Default(_DEFAULTS.total_variation)]
    align: Annotated[str, Default(Align.CHECK.value)]
    keepMvo: Annotated[bool, Default(_DEFAULTS.keep_mvo)]
    uncertainty: Annotated[bool, Default(True)]
    probabilities: Annotated[bool, Default(False)]

    #: Slices of the grid that the user left out, and why; slices that are done, under the
    #: name that older scenes have.
    excluded: dict[int, str]
    locked: list[int]
    #: Slices on which the border of pool and wall is right.
    borders: list[int]
    #: The volume that these slices are of; on another grid they mean nothing (`slices_chosen`).
    slicesOf: slicer.vtkMRMLScalarVolumeNode
    opacity: Annotated[float, WithinRange(0, 1), Default(0.5)]

    #: What the bull's-eye shows, by key of a number, and of how many AHA segments it is.
    bullseye: Annotated[str, Default("infarct_percent")]
    segmentModel: Annotated[str, Default("16")]


#: Fields of the state that a node selector shows.
NODES = ("bssfp", "lge", "t2", "mask", "insertionPoints", "output")

#: Field of the state to field of `Settings`, where the two are the same choice.
SETTINGS = {
    "method": "method", "preset": "preset", "model": "model", "device": "device",
    "covariance": "covariance", "papillary": "papillary", "priors": "priors", "adapt": "adapt",
    "seed": "seed", "restarts": "restarts", "biasDegree": "bias_degree", "degrees": "degrees",
    "outlier": "outlier", "meanWeight": "mean_weight", "totalVariation": "total_variation",
    "keepMvo": "keep_mvo",
}


def slices_chosen(state: PanelState, reference) -> tuple[dict[int, str], list[int]]:
    """The slices of a volume's grid that the user left out, and why, and those that are
    done."""
    if reference is None or reference.GetImageData() is None or state.slicesOf is not reference:
        return {}, []
    count = reference.GetImageData().GetDimensions()[2]
    return ({index: why for index, why in state.excluded.items() if index < count},
            [index for index in state.locked if index < count])


def borders_ticked(state: PanelState, reference) -> list[int]:
    """The slices of a volume's grid on which the border of pool and wall is ticked as right."""
    if reference is None or reference.GetImageData() is None or state.slicesOf is not reference:
        return []
    return [i for i in state.borders if i < reference.GetImageData().GetDimensions()[2]]


def tick(state: PanelState, done: list[int], borders: list[int]) -> None:
    """Have these slices, and no others, ticked under Done and under Border."""
    with slicer.util.NodeModify(state.parameterNode):
        state.locked, state.borders = done, borders


def settings_of(state: PanelState) -> Settings:
    """The settings that a state asks for.

    Raises
    ------
    deepgmm.errors.InputError
        A value that no fit could take.
    """
    return Settings(**{name: getattr(state, field) for field, name in SETTINGS.items()})
