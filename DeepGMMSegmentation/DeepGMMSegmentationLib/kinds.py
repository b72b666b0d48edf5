"""How a sequence was acquired: as the user says, or guessed, and then what was guessed."""

import json

from slicer.i18n import tr as _

from deepgmm.study.words import Kind, Role
from DeepGMMSegmentationLib.choices import bind_choice
from DeepGMMSegmentationLib.chosen import reference
from DeepGMMSegmentationLib.panel import Panel, Section
from DeepGMMSegmentationLib.parameters import PanelState


def labels_of(role: Role) -> dict[str, str]:
    """What the kinds of a sequence are called on the panel, by value."""
    if role is Role.LGE:
        named = {Kind.LGE_MAGNITUDE: _("Magnitude"), Kind.LGE_PSIR: _("PSIR (signed)"),
                 Kind.LGE_DARK_BLOOD: _("Dark blood")}
    else:
        named = {Kind.T2_DARK_BLOOD: _("Dark blood (STIR, SPAIR)"),
                 Kind.T2_PREPARED: _("T2-prepared bSSFP"), Kind.T2_MAP: _("T2 map (ms)")}
    return {kind.value: label for kind, label in (named | {Kind.UNKNOWN: _("Other")}).items()}


class KindSection(Section):
    """The kind of LGE or of T2."""

    def __init__(self, ui, panel: Panel, role: Role) -> None:
        super().__init__(ui, panel)
        self._role = role
        self._labels = labels_of(role)
        self._combo = getattr(ui, f"{role.value}KindComboBox")
        self._label = getattr(ui, f"{role.value}KindGuessLabel")
        self._last: tuple[str, str] = ("", "")
        bind_choice(self._combo, panel, f"{role.value}Kind", [(_("Guess"), ""), *(
            (label, value) for value, label in self._labels.items())])
        ui.inputsCollapsibleButton.connect("contentsCollapsed(bool)", self._on_folded)

    def cleanup(self) -> None:
        self.ui.inputsCollapsibleButton.disconnect("contentsCollapsed(bool)", self._on_folded)

    def refresh(self) -> None:
        state = self.state
        node = None if state is None else getattr(state, self._role.value)
        self._combo.enabled = node is not None
        guessed = node is not None and not getattr(state, f"{self._role.value}Kind")
        self._label.text = self._guess(state, node) if guessed else ""
        if not self.ui.inputsCollapsibleButton.collapsed:  # or it would be seen there
            self._label.visible = bool(self._label.text)

    def _on_folded(self, folded: bool) -> None:
        self.panel.refresh()

    def _guess(self, state: PanelState, node) -> str:
        """What the name says now, or what the intensities said in the last run."""
        from deepgmm.study.kinds import kind_from_description

        named = kind_from_description(self._role, node.GetName() or "")
        if named is not None:
            return _("By its name: {kind}").format(kind=self._labels[named.value])
        last = self._of_last_run(state)
        return _("Last run: {kind}").format(kind=self._labels[last]) if last else ""

    def _of_last_run(self, state: PanelState) -> str:
        """What the sequence was taken for when the output was made; empty where nobody knows."""
        volume = reference(state)
        if state.output is None or volume is None:
            return ""
        from deepgmm.scene.read_back import PROVENANCE, is_of

        text = state.output.GetAttribute(PROVENANCE) or ""
        if text != self._last[0]:
            self._last = (text, self._kind_in(text))
        return self._last[1] if self._last[1] and is_of(state.output, volume) else ""

    def _kind_in(self, provenance: str) -> str:
        try:
            kinds = {one["role"]: one["kind"] for one in json.loads(provenance)["sequences"]}
        except (ValueError, KeyError, TypeError):  # of another version, or edited
            return ""
        kind = kinds.get(self._role.value, "")
        return kind if kind in self._labels else ""
