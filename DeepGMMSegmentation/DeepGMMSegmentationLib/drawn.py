"""Where and when something was drawn in a mask or a segmentation."""

from deepgmm.errors import InputError


def when_drawn(node) -> tuple:
    """What changes with every stroke in a segmentation or labelmap; no voxel is read.

    The segmentation itself says nothing of voxels: its labelmaps do.
    """
    if node.IsA("vtkMRMLVolumeNode"):
        image = node.GetImageData()
        return (node.GetMTime(), 0 if image is None else image.GetMTime())
    content = node.GetSegmentation()
    segments = tuple(content.GetNthSegmentID(i) for i in range(content.GetNumberOfSegments()))
    layers = (content.GetLayerDataObject(i) for i in range(content.GetNumberOfLayers()))
    return (segments, *(layer.GetMTime() for layer in layers))


class MaskedSlices:
    """The slices of a volume with LV mask, looked at again only when something was changed."""

    def __init__(self) -> None:
        self._key: tuple = ()
        self._found: set[int] = set()
        #: Of the mask that was looked at last, by the areas; empty where they do not tell.
        self.levels: dict[int, str] = {}

    def of(self, mask, segments: list[str], volume) -> set[int]:
        """All of the volume's slices where there is no mask, or one that cannot be used."""
        every = set(range(volume.GetImageData().GetDimensions()[2]))
        if mask is None or (mask.IsA("vtkMRMLVolumeNode") and mask.GetImageData() is None):
            self._key, self.levels = (), {}
            return every
        key = (mask.GetID(), mask.GetMTime(), *segments, when_drawn(mask), volume.GetID(),
               volume.GetMTime())
        if key != self._key:
            from deepgmm.scene.labels import mask_areas
            from deepgmm.study.levels import levels_of

            try:
                areas = mask_areas(mask, segments, volume)
                found = {index for index, area in enumerate(areas) if area}
                self.levels = levels_of(areas)
            except InputError:  # what is wrong with the mask is said beside it
                found, self.levels = every, {}
            self._key, self._found = key, found
        return self._found


class DrawnLabels:
    """What the segments of a result hold on a volume's grid, read again only after a stroke."""

    def __init__(self) -> None:
        self._key: tuple = ()
        self._labels = None

    def of(self, segmentation, volume):
        """(slices, rows, columns), as `deepgmm.scene.labels.labels_of`, and its errors."""
        key = (segmentation.GetID(), segmentation.GetMTime(), when_drawn(segmentation),
               volume.GetID(), volume.GetMTime())
        if key != self._key:
            from deepgmm.scene.labels import labels_of

            self._labels, self._key = labels_of(segmentation, volume), key
        return self._labels


#: Likewise for all who want the result's labels after the same stroke.
drawn_labels = DrawnLabels()

#: One for the whole panel: the mask is the same in all its sections.
masked = MaskedSlices()


def curves_drawn(state, volume) -> tuple[dict, list[str]]:
    """The border curves of the output on the slices of a volume, but the one that is being placed:
    slice to its line, and what is wrong with others, as `deepgmm.scene.borders.lines_on`."""
    from deepgmm.scene.borders import curves_of, lines_on

    if state.output is None:
        return {}, []
    being_placed = _being_placed(state.output.GetScene())
    return lines_on([one for one in curves_of(state.output) if one is not being_placed], volume)


def _being_placed(scene):
    """The markup that the next click in a view adds a point to, or None."""
    interaction = scene.GetFirstNodeByClass("vtkMRMLInteractionNode")
    if interaction is None or interaction.GetCurrentInteractionMode() != interaction.Place:
        return None
    selection = scene.GetFirstNodeByClass("vtkMRMLSelectionNode")
    return scene.GetNodeByID(selection.GetActivePlaceNodeID() or "")
