"""Two versions compared: a table by tissue, and what changed laid over the images."""

from slicer.i18n import tr as _

from DeepGMMSegmentationLib import cells
from DeepGMMSegmentationLib.chosen import reference
from DeepGMMSegmentationLib.panel import Panel, Section
from DeepGMMSegmentationLib.refining import fitted_in
from DeepGMMSegmentationLib.versions import Kept, VersionsSection


class CompareSection(Section):
    """The button beside Go back; what it lays over the images is gone when it is off."""

    def __init__(self, ui, panel: Panel, versions: VersionsSection) -> None:
        super().__init__(ui, panel)
        self._versions = versions
        self._compared: tuple[Kept, Kept] | None = None
        self._over = None  # what lies over the images
        cells.prepare(ui.differencesTable, [_("Tissue"), "", "", _("Change"), _("Voxels"),
                                            _("By hand")])
        ui.versionsTable.connect("itemSelectionChanged()", self.refresh)
        ui.compareButton.connect("toggled(bool)", self._on_toggled)

    def refresh(self) -> None:
        pair, button = self._pair(), self.ui.compareButton
        if self._compared is not None and pair != self._compared:
            self._untick()
        button.enabled = pair is not None
        button.toolTip = _("What differs between versions {first} and {second}, in a table and "
                           "over the images. Choose one version to compare it with the one that "
                           "is shown, or two.").format(
            first=pair[0].number, second=pair[1].number) if pair else _(
                "There is nothing to compare with.")
        shown = self._compared is not None
        self.ui.differencesTable.visible = self.ui.differencesLabel.visible = shown

    def exit(self) -> None:
        self._untick()

    def close(self) -> None:
        self._untick()

    def cleanup(self) -> None:
        self._untick()
        self.ui.versionsTable.disconnect("itemSelectionChanged()", self.refresh)
        self.ui.compareButton.disconnect("toggled(bool)", self._on_toggled)

    def _pair(self) -> tuple[Kept, Kept] | None:
        """The two versions whose rows are chosen; of one, it and the one that is shown; else that
        and the one before it."""
        here, fitted = self._versions.here(), fitted_in(self.panel)
        shown = next((n for n, one in enumerate(here) if one.made_by() is fitted), None)
        if fitted is None or shown is None or len(here) < 2 or self.panel.run.busy:
            return None
        rows = sorted({item.row() for item in self.ui.versionsTable.selectedItems()})
        if len(rows) > 2 or rows and rows[-1] >= len(here):
            return None
        if len(rows) < 2:
            one = rows[0] if rows and rows[0] != shown else (shown or 1) - 1
            rows = sorted((one, shown)) if one != shown else [0, 1]
        return here[rows[0]], here[rows[1]]

    def _on_toggled(self, wanted: bool) -> None:
        self._take_away()
        self._compared = self._pair() if wanted else None
        if self._compared is None:
            self.ui.compareButton.checked = False
        else:
            self._show(*self._compared)
        self.refresh()

    def _show(self, first: Kept, second: Kept) -> None:
        from deepgmm.review.versions import Versions, differences, hand_drawn
        from deepgmm.scene.changes import show_changes

        held = Versions(first.study, first.tissues, [first, second])
        found = differences(held, first.number, second.number)
        table = self.ui.differencesTable
        for column, number in ((1, first.number), (2, second.number)):
            table.horizontalHeaderItem(column).setText(_("{number}, ml").format(number=number))
        cells.fill(table, [[
            row["tissue"], f"{row['first_ml']:.1f}", f"{row['second_ml']:.1f}",
            f"{row['difference_ml']:+.1f}", str(row["changed_voxels"]), str(row["by_hand"])]
            for row in found["tissues"]])
        said = [(_("slice {number}: {count} ({hand} by hand)") if row["by_hand"] else
                 _("slice {number}: {count}")).format(
                     number=self.panel.numbering.of(row["index"]), count=row["changed_pixels"],
                     hand=row["by_hand"]) for row in found["slices"] if row["changed_pixels"]]
        self.ui.differencesLabel.text = _(
            "Over the images: white was drawn by hand, magenta followed. Voxels that changed: "
            "{slices}.").format(slices=", ".join(said) or _("none"))
        self._over = show_changes(first.labels() != second.labels(),
                                  hand_drawn(held, first.number, second.number),
                                  reference(self.state))

    def _take_away(self) -> None:
        from deepgmm.scene.changes import hide_changes

        over, self._over = self._over, None
        if over is not None:
            hide_changes(over)

    def _untick(self) -> None:
        self.ui.compareButton.checked = False
        self._compared = None
        self._take_away()
        self.ui.differencesTable.visible = self.ui.differencesLabel.visible = False
