"""A combo box bound to a word of the state, both ways."""

from collections.abc import Sequence

from DeepGMMSegmentationLib.panel import Panel, Section


class Choice(Section):
    """What of a few things the state says, shown and chosen in a combo box.

    It is a section of the panel itself, so that it follows the state without being told. A value
    of the state that is not offered (a scene of another version) shows as an empty box and is
    kept until the user chooses.
    """

    def __init__(self, combo, panel: Panel, field: str,
                 choices: Sequence[tuple[str, str]]) -> None:
        super().__init__(panel.ui, panel)
        self._combo = combo
        self._field = field
        self._values: list[str] = []
        self.offer(choices)
        combo.connect("currentIndexChanged(int)", self._on_chosen)

    def offer(self, choices: Sequence[tuple[str, str]]) -> None:
        """Offer these labels and values, and no others."""
        self._values = [value for _label, value in choices]
        blocked = self._combo.blockSignals(True)
        self._combo.clear()
        for label, _value in choices:
            self._combo.addItem(label)
        self._combo.blockSignals(blocked)
        self.refresh()

    def refresh(self) -> None:
        if self.state is None:
            return
        value = getattr(self.state, self._field)
        index = self._values.index(value) if value in self._values else -1
        if self._combo.currentIndex != index:
            blocked = self._combo.blockSignals(True)
            self._combo.currentIndex = index
            self._combo.blockSignals(blocked)

    def cleanup(self) -> None:
        self._combo.disconnect("currentIndexChanged(int)", self._on_chosen)

    def _on_chosen(self, index: int) -> None:
        if self.state is not None and 0 <= index < len(self._values):
            setattr(self.state, self._field, self._values[index])


def bind_choice(combo, panel: Panel, field: str, choices: Sequence[tuple[str, str]]) -> Choice:
    """Bind a `QComboBox` to a text field of the state.

    Parameters
    ----------
    combo : the `QComboBox`; its entries are replaced.
    panel : the panel, whose refresh then keeps the box up to date.
    field : name of the field of `PanelState`.
    choices : labels, as the user reads them, and values, as the state keeps them.
    """
    choice = Choice(combo, panel, field, choices)
    panel.sections.append(choice)
    return choice
