"""The tissues of a brain and their labels."""

from __future__ import annotations

from enum import IntEnum


class BrainTissue(IntEnum):
    """Tissues; the value is the label in every labelmap of a brain, as in IBSR."""

    BACKGROUND = 0
    CSF = 1
    GM = 2
    WM = 3

    @property
    def title(self) -> str:
        return {0: "Background", 1: "CSF", 2: "Grey matter", 3: "White matter"}[self.value]


#: The tissues in the order of every channel, mean and row.
TISSUES = (BrainTissue.CSF, BrainTissue.GM, BrainTissue.WM)

#: In labels to score by or learn from: nobody says what this voxel is.
UNLABELLED = 255

#: Overlay colours (red, green, blue; 0 to 255).
COLOURS: dict[BrainTissue, tuple[int, int, int]] = {
    BrainTissue.BACKGROUND: (0, 0, 0),
    BrainTissue.CSF: (74, 144, 226),
    BrainTissue.GM: (222, 110, 84),
    BrainTissue.WM: (244, 226, 168),
}
