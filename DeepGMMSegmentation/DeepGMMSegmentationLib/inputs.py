"""What is segmented: sequences and their kinds, the LV mask, RV insertion points."""

import itertools

import slicer
import vtk
from slicer.i18n import tr as _

from deepgmm.study.words import TISSUES_BY_ROLES, Role, Tissue
from DeepGMMSegmentationLib.chosen import is_there, reference, volumes
from DeepGMMSegmentationLib.drawn import masked
from DeepGMMSegmentationLib.kinds import KindSection
from DeepGMMSegmentationLib.mask_segments import MaskSegments
from DeepGMMSegmentationLib.panel import Panel, Section, scene
from DeepGMMSegmentationLib.parameters import PanelState, slices_chosen


def arguments(state: PanelState) -> dict:
    """What `deepgmm.scene.inputs.study_from_nodes` is to be called with."""
    found = {role.value: node for role, node in volumes(state).items()}
    cine = _cine_shown(state) if state.matchFrame else None
    if cine is not None:
        found |= {"bssfp": cine[0], "phase": "match"}
    kinds = {Role.LGE: state.lgeKind, Role.T2: state.t2Kind}
    return found | {
        "mask": state.mask, "segments": list(state.maskSegmentIDs),
        "kinds": {role: kind for role, kind in kinds.items() if kind},
        "excluded": slices_chosen(state, reference(state))[0],
        "insertions": state.insertionPoints if is_there(state.insertionPoints) else None,
    }


def _cine_shown(state: PanelState):
    """The sequence of which bSSFP shows a frame, and which; None where it shows none."""
    if not is_there(state.bssfp):
        return None
    from deepgmm.scene.stacks import shown_frame

    return shown_frame(state.bssfp)


def missing(state: PanelState) -> list[str]:
    """Everything that is missing or wrong before a run, in words; of voxels only where the mask
    is, and that once after every change."""
    nodes = volumes(state)
    if not nodes:
        found = [_("Choose at least one of bSSFP, LGE and T2.")]
    else:
        found = wrong_volumes(nodes)
    found += wrong_mask(state)
    return (found or _wrong_slices(state)) + _wrong_insertions(state)


def _wrong_slices(state: PanelState) -> list[str]:
    volume = reference(state)
    excluded = slices_chosen(state, volume)[0]
    if not excluded or masked.of(state.mask, list(state.maskSegmentIDs), volume) - excluded.keys():
        return []
    return [_("Every slice is left out: tick Use on at least one.")]


def wrong_volumes(nodes: dict) -> list[str]:
    """What is wrong with the volumes that are chosen, by role; no voxel is read."""
    found = []
    for one, other in itertools.combinations(nodes, 2):
        if nodes[one] is nodes[other]:
            found.append(_("{one} and {other} are the same volume: choose another for one of them."
                           ).format(one=one.title, other=other.title))
    for role, node in nodes.items():
        image = node.GetImageData()
        if node.IsA("vtkMRMLLabelMapVolumeNode"):
            found.append(_("{role} is a labelmap: choose the image itself.").format(
                role=role.title))
        elif image is None or image.GetPointData().GetScalars() is None:
            found.append(_("{role} is a volume without voxels: load or choose another.").format(
                role=role.title))
        elif image.GetNumberOfScalarComponents() != 1:
            found.append(_("{role} has {number} values a voxel (colour or vectors): choose a "
                           "volume of grey values.").format(
                               role=role.title, number=image.GetNumberOfScalarComponents()))
    return found


def wrong_mask(state: PanelState) -> list[str]:
    """What is missing or wrong about the LV mask."""
    mask = state.mask
    if not is_there(mask):
        return [_("Choose the LV mask, or begin one with Propose or Create LV mask.")]
    if not mask.IsA("vtkMRMLSegmentationNode"):
        image = mask.GetImageData()
        return [] if image is not None and image.GetPointData().GetScalars() is not None else [
            _("The LV mask is a labelmap without voxels: load or choose another.")]
    segmentation = mask.GetSegmentation()
    count = segmentation.GetNumberOfSegments()
    if not count:
        return [_("The LV mask has no segment: draw the left ventricle, blood and wall together.")]
    chosen = list(state.maskSegmentIDs) or (
        [segmentation.GetNthSegmentID(0)] if count == 1 else [])
    if not chosen:
        return [_("Choose the segments that together are the left ventricle.")]
    segments = [segmentation.GetSegment(one) for one in chosen]
    if None in segments:
        return [_("A segment chosen for the LV mask is no longer there: choose again.")]
    if mask_is_empty(state):
        return [_("The LV mask is empty: draw the left ventricle, blood and wall together.")]
    return _wrong_output(state, chosen)


def mask_is_empty(state: PanelState) -> bool:
    """Whether there is an LV mask, and nothing is drawn in it yet."""
    if not is_there(state.mask) or not state.mask.IsA("vtkMRMLSegmentationNode"):
        return False
    content = state.mask.GetSegmentation()
    chosen = list(state.maskSegmentIDs) or list(content.GetSegmentIDs())
    segments = [content.GetSegment(one) for one in chosen]
    return bool(segments) and None not in segments and all(map(_is_empty, segments))


def _wrong_output(state: PanelState, chosen: list[str]) -> list[str]:
    """The result would take the place of the mask that it was made with."""
    if state.output is not state.mask:
        return []
    from deepgmm.scene.segments import our_segments

    if set(chosen).isdisjoint(our_segments(state.mask).values()):
        return []
    return [_("The LV mask is the output's own result: choose another output or mask.")]


def _is_empty(segment) -> bool:
    """Whether nothing was drawn yet, as far as that shows without looking at voxels."""
    labelmap = segment.GetRepresentation("Binary labelmap")
    return labelmap is not None and labelmap.IsEmpty()


def _wrong_insertions(state: PanelState) -> list[str]:
    if not is_there(state.insertionPoints):
        return []
    from deepgmm.scene.insertions import count_points

    count = count_points(state.insertionPoints)
    if not count:
        return [_("There is no RV insertion point yet: place the anterior one, then the inferior "
                  "one, or choose None.")]
    if count == 1:
        return [_("There is one RV insertion point, and every slice needs two: the anterior one, "
                  "then the inferior one.")]
    return [_("There are {count} RV insertion points, and every slice needs two: the anterior one, "
              "then the inferior one.").format(count=count)] if count % 2 else []


def will_be_found(roles: list[Role]) -> str:
    """Which tissues these sequences can tell apart, and which others would add."""
    names = {Tissue.BLOOD: _("blood"), Tissue.MYOCARDIUM: _("myocardium"),
             Tissue.EDEMA: _("edema"), Tissue.SCAR: _("scar")}
    found = TISSUES_BY_ROLES[frozenset(roles)]
    *most, last = (names[tissue] for tissue in found)
    text = [_("{most} and {last} will be found.").format(most=", ".join(most), last=last)]
    text[0] = text[0][:1].upper() + text[0][1:]
    for role in (r for r in Role if r not in roles):
        more = [names[t] for t in TISSUES_BY_ROLES[frozenset({*roles, role})] if t not in found]
        text += [_("With {role} also {tissues}.").format(
            role=role.title, tissues=", ".join(more))] if more else []
    return " ".join(text)


class InputsSection(Section):
    """Sequences, LV mask and insertion points; what is wrong with them is said at once."""

    def __init__(self, ui, panel: Panel) -> None:
        super().__init__(ui, panel)
        self._observed: list = []
        self._placing = None
        panel.observers.add(scene(), scene().NodeRemovedEvent, panel.refresh)
        panel.sections += [KindSection(ui, panel, Role.LGE), KindSection(ui, panel, Role.T2),
                           MaskSegments(ui, panel)]
        ui.placeInsertionsButton.connect("clicked()", self._on_place)

    def refresh(self) -> None:
        state = self.state
        if state is None:
            self._observe([])
            return
        self._observe([node for node in (*volumes(state).values(), state.mask,
                                         state.insertionPoints) if is_there(node)])
        self._show_cine(state)
        self._show_tissues(state)
        self.ui.placeInsertionsButton.enabled = bool(volumes(state))

    def close(self) -> None:
        self._place_into(None)
        self._observe([])

    def cleanup(self) -> None:
        self._place_into(None)
        self._observe([])
        self.ui.placeInsertionsButton.disconnect("clicked()", self._on_place)

    def _observe(self, nodes: list) -> None:
        """Look again when an input changes; segmentations and points have events of their own."""
        nodes = list(dict.fromkeys(nodes))
        if nodes == self._observed:
            return
        for node, event in _events(self._observed):
            self.panel.observers.remove(node, event, self.panel.refresh)
        for node, event in _events(nodes):
            self.panel.observers.add(node, event, self.panel.refresh)
        self._observed = nodes

    def _show_cine(self, state: PanelState) -> None:
        self.ui.matchFrameCheckBox.enabled = _cine_shown(state) is not None

    def _show_tissues(self, state: PanelState) -> None:
        nodes = volumes(state)
        if not nodes:
            self.ui.tissuesLabel.text = _("Any of bSSFP, LGE and T2 may be left empty; together "
                                          "they tell edema and scar apart.")
            return
        found = wrong_volumes(nodes) or [will_be_found(list(nodes))]
        self.ui.tissuesLabel.text = "\n".join([*found, *_wrong_insertions(state)])

    def _on_place(self) -> None:
        state = self.state
        if not is_there(state.insertionPoints):
            state.insertionPoints = scene().AddNewNodeByClass(
                "vtkMRMLMarkupsFiducialNode", scene().GenerateUniqueName(_("RV insertion")))
            state.insertionPoints.CreateDefaultDisplayNodes()
        selection = scene().GetFirstNodeByClass("vtkMRMLSelectionNode")
        selection.SetReferenceActivePlaceNodeClassName("vtkMRMLMarkupsFiducialNode")
        selection.SetActivePlaceNodeID(state.insertionPoints.GetID())
        interaction = scene().GetFirstNodeByClass("vtkMRMLInteractionNode")
        interaction.SetPlaceModePersistence(True)
        interaction.SetCurrentInteractionMode(interaction.Place)
        self._place_into(state.insertionPoints)
        self.panel.tell(_("Click where the right ventricle's wall meets the left ventricle: the "
                          "anterior insertion, then the inferior one. For another slice press "
                          "Place again."))

    def _place_into(self, points) -> None:
        if self._placing is not None:
            self.panel.observers.remove(self._placing, self._placing.PointPositionDefinedEvent,
                                        self._on_placed)
        self._placing = points
        if points is not None:
            self.panel.observers.add(points, points.PointPositionDefinedEvent, self._on_placed)

    def _on_placed(self, points, event) -> None:
        """Two points are a pair: they are named, and placing ends."""
        from deepgmm.scene.insertions import count_points, name_points

        name_points(points)
        if count_points(points) % 2 == 0:
            self._place_into(None)
            interaction = scene().GetFirstNodeByClass("vtkMRMLInteractionNode")
            interaction.SetCurrentInteractionMode(interaction.ViewTransform)
            self.panel.tell(_("Both RV insertion points are placed; drag one to move it."))


def _events(nodes: list) -> list:
    """Of each node the events that may make something missing, wrong, or right again."""
    segments = slicer.vtkSegmentation
    found = []
    for node in nodes:
        if node.IsA("vtkMRMLSegmentationNode"):
            kinds = (segments.SegmentAdded, segments.SegmentRemoved, segments.SegmentModified,
                     segments.SourceRepresentationModified)
        elif node.IsA("vtkMRMLMarkupsNode"):
            kinds = (node.PointPositionDefinedEvent, node.PointRemovedEvent)
        else:
            kinds = (vtk.vtkCommand.ModifiedEvent,)
        found += [(node, kind) for kind in kinds]
    return found
