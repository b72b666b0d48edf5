"""How the tissues are found: method, preset, network, device, and what else the method reads."""

from pathlib import Path

import qt
from slicer.i18n import tr as _

from deepgmm.acting import settings_read
from deepgmm.errors import InputError
from deepgmm.settings import Covariance, Device, Method, Papillary, Preset, Settings
from deepgmm.study.words import Align
from DeepGMMSegmentationLib.choices import Choice, bind_choice
from DeepGMMSegmentationLib.panel import Panel, Section
from DeepGMMSegmentationLib.parameters import SETTINGS, PanelState, settings_of
from DeepGMMSegmentationLib.warming import Warming

_NETWORK_PER_SLICE = (Method.DEEPG, Method.DEEPSVG)


def fields_read(method: str, preset: str) -> set[str]:
    """The fields of the state that a method reads, of those that not every method does.

    Automatic takes no network here: one is chosen with the method Pretrained network.
    """
    read = settings_read(Settings(method=method, preset=preset))
    return {field for field, name in SETTINGS.items() if name in read}


#: Widgets of the fields that not every method reads.
_WIDGETS = {
    "preset": "presetComboBox", "model": "modelComboBox", "adapt": "adaptSpinBox",
    "seed": "seedSpinBox", "restarts": "restartsSpinBox", "covariance": "covarianceComboBox",
    "papillary": "papillaryComboBox", "degrees": "degreesSpinBox", "outlier": "outlierSpinBox",
    "meanWeight": "meanWeightSpinBox", "totalVariation": "totalVariationSpinBox",
    "keepMvo": "keepMvoCheckBox",
}


def chosen_settings(state: PanelState) -> Settings:
    """The settings to fit with. What the method does not read is left at its default, so that
    a network chosen earlier neither takes part nor stands in the report.

    Raises
    ------
    deepgmm.errors.InputError
        A value that no fit could take.
    """
    settings, default = settings_of(state), Settings()
    for field in _WIDGETS.keys() - fields_read(state.method, state.preset):
        setattr(settings, SETTINGS[field], getattr(default, SETTINGS[field]))
    return settings


def _methods() -> list[tuple[str, str, str]]:
    """Label, value and description of each method, the ones to use first."""
    return [
        (_("Automatic"), Method.AUTO.value,
         _("The default: the pretrained network where there is LGE or bSSFP alone, else the "
           "mixture with geometry. No GPU is needed.")),
        (_("Mixture with geometry (MAP)"), Method.MAP.value,
         _("A mixture held by contrast priors and by the heart's geometry. It learned from no "
           "patient: what Automatic takes for T2 without LGE, or with your own priors.")),
        (_("Pretrained network"), Method.PRETRAINED.value,
         _("One pass of a network that learned from many hearts. The one that comes with DeepGMM "
           "learned from synthetic patients only.")),
        (_("Gaussian mixture (GMM)"), Method.GMM.value,
         _("A mixture of intensities alone. For comparison only: its scar is often several times "
           "too large.")),
        (_("Spatially variant mixture (SVGMM)"), Method.SVGMM.value,
         _("A mixture with weights for every pixel. For comparison only: its scar is often several "
           "times too large.")),
        (_("deepG"), Method.DEEPG.value,
         _("The paper's network with weights for a whole slice, fitted to this patient. For "
           "comparison only: its scar is often several times too large. Slow without a GPU.")),
        (_("deepSVG"), Method.DEEPSVG.value,
         _("The paper's network with weights for every pixel, fitted to this patient. For "
           "comparison only: its scar is often several times too large. Slow without a GPU.")),
    ]


def _presets() -> list[tuple[str, str, str]]:
    return [
        (_("Fast"), Preset.FAST.value, _("Small networks and few steps.")),
        (_("Accurate"), Preset.ACCURATE.value, _("Larger networks and more steps.")),
        (_("As in the paper"), Preset.PAPER.value,
         _("As the paper's authors ran it, from one random start: for comparison only.")),
    ]


def _covariances() -> list[tuple[str, str, str]]:
    return [
        (_("Diagonal"), Covariance.DIAGONAL.value,
         _("Within a tissue, the sequences vary independently.")),
        (_("Full"), Covariance.FULL.value, _("Within a tissue, the sequences may vary together.")),
    ]


def _papillaries() -> list[tuple[str, str, str]]:
    return [
        (_("Blood pool"), Papillary.POOL.value,
         _("Papillary muscles and trabeculae count as blood: the usual convention for volumes.")),
        (_("Myocardium"), Papillary.WALL.value,
         _("Papillary muscles and trabeculae count as wall.")),
    ]


def _alignments() -> list[tuple[str, str, str]]:
    return [
        (_("Check"), Align.CHECK.value,
         _("bSSFP and T2 are compared with LGE, and more than 3 mm is warned of.")),
        (_("Shift"), Align.SHIFT.value,
         _("Slices that can be moved with confidence are shifted onto LGE before the fit. The "
           "volumes in the scene stay where they are.")),
        (_("Shift and turn"), Align.RIGID.value,
         _("As Shift, with a rotation in the plane. The volumes in the scene stay where they "
           "are.")),
        (_("Off"), Align.OFF.value, _("Nothing is compared or moved.")),
    ]


class MethodSection(Section):
    """Choices of the fit, each with its explanation; what the method does not read is grey."""

    def __init__(self, ui, panel: Panel) -> None:
        super().__init__(ui, panel)
        self._looked = False
        self._explained: list = []
        self._about = {value: text for _label, value, text in _methods()}
        for combo, field, choices in (
                (ui.methodComboBox, "method", _methods()),
                (ui.presetComboBox, "preset", _presets()),
                (ui.covarianceComboBox, "covariance", _covariances()),
                (ui.papillaryComboBox, "papillary", _papillaries()),
                (ui.alignComboBox, "align", _alignments())):
            bind_choice(combo, panel, field, [choice[:2] for choice in choices])
            explain(combo, [choice[2] for choice in choices])
            self._explained.append(combo)
        self._model = ModelChoice(ui.modelComboBox, panel)
        self._device = DeviceChoice(ui.deviceComboBox, panel)
        panel.sections += [self._model, self._device]
        ui.priorsPathLineEdit.connect("currentPathChanged(QString)", self._on_priors)

    def refresh(self) -> None:
        state = self.state
        if state is None:
            return
        self.ui.methodLabel.text = self._about.get(state.method, "")
        for combo in self._explained:
            combo.toolTip = combo.itemData(combo.currentIndex, qt.Qt.ToolTipRole) or ""
        read = fields_read(state.method, state.preset)
        for field, name in _WIDGETS.items():
            getattr(self.ui, name).enabled = field in read
            label = getattr(self.ui, name + "Label", None)
            if label is not None:
                label.enabled = field in read
        if Warming.done and not self._looked:
            self._looked = True
            self._model.look()
        if self.ui.priorsPathLineEdit.currentPath != state.priors:
            self.ui.priorsPathLineEdit.currentPath = state.priors
        self.ui.deviceLabel.text = about_device(state, self.panel.run.machine)

    def enter(self) -> None:
        self._looked = False

    def cleanup(self) -> None:
        self.ui.priorsPathLineEdit.disconnect("currentPathChanged(QString)", self._on_priors)

    def _on_priors(self, path: str) -> None:
        if self.state is not None and self.state.priors != path:
            self.state.priors = path


def explain(combo, texts: list[str]) -> None:
    """A tooltip for each entry of a combo box."""
    for index, text in enumerate(texts):
        combo.setItemData(index, text, qt.Qt.ToolTipRole)


class ModelChoice(Choice):
    """The networks on the shelf, and whatever other folder the user names."""

    _OTHER = "?"

    def __init__(self, combo, panel: Panel) -> None:
        self._shelf: list = []
        super().__init__(combo, panel, "model", [])
        self._offer_shelf()

    def look(self) -> None:
        """Look at what is on the shelf now; cards are read, weights are not."""
        from deepgmm.weights.shelf import listed

        try:
            self._shelf = listed()
        except InputError as error:
            self.panel.tell(str(error))
            return
        self._offer_shelf()

    def refresh(self) -> None:
        if self.state is not None and self.state.model not in self._values:
            self._offer_shelf()
        super().refresh()

    def _offer_shelf(self) -> None:
        """The shipped network is the empty name, so that a later version may ship a better one."""
        choices, texts = [(_("Comes with DeepGMM"), "")], [""]
        for one in self._shelf:
            about = one.problem or f"{one.card.title}. {one.card.learning.value}"
            if one.shipped:
                texts[0] = about
            else:
                choices.append((one.name if not one.problem else
                                _("{name} (cannot be used)").format(name=one.name), one.name))
                texts.append(about)
        now = "" if self.state is None else self.state.model
        if now not in [value for _label, value in choices]:
            choices.append((Path(now).name, now))
            texts.append(now)
        self.offer([*choices, (_("Other folder..."), self._OTHER)])
        explain(self._combo, texts)

    def _on_chosen(self, index: int) -> None:
        if not 0 <= index < len(self._values) or self._values[index] != self._OTHER:
            super()._on_chosen(index)
            return
        folder = qt.QFileDialog.getExistingDirectory(
            self._combo, _("Folder of a network (card.json and its weights)"))
        if folder and self.state is not None and self._is_network(folder):
            self.state.model = folder
        self._offer_shelf()

    def _is_network(self, folder: str) -> bool:
        from deepgmm.weights.card import NAME, read_card

        try:
            read_card(Path(folder) / NAME)
        except InputError as error:
            self.panel.tell(str(error))
            return False
        return True


class DeviceChoice(Choice):
    """Automatic, the CPU, and what GPU the worker has found."""

    def __init__(self, combo, panel: Panel) -> None:
        self._offered: tuple = ()
        super().__init__(combo, panel, "device", [])

    def refresh(self) -> None:
        now = "" if self.state is None else self.state.device
        found = tuple((one["id"], one["name"]) for one in gpus(self.panel.run.machine))
        if self._offered != (now, found):
            self._offered = (now, found)
            choices = {Device.AUTO.value: _("Automatic"), Device.CPU.value: _("CPU")}
            choices |= dict(found)
            if now not in choices and now in [device.value for device in Device]:
                choices[now] = _("{name} (not found here)").format(name=now.upper())
            self.offer([(label, value) for value, label in choices.items()])
        super().refresh()


def gpus(machine: dict | None) -> list[dict]:
    """The GPUs that the worker has found; none before it has looked."""
    return [one for one in (machine or {}).get("devices", []) if one["id"] != Device.CPU.value]


def about_device(state: PanelState, machine: dict | None) -> str:
    """What the worker has found, and a warning where the method will be slow on it."""
    if machine is None:
        return ""
    if machine["missing"]:
        return machine["missing"]
    found = {one["id"]: one for one in machine["devices"]}
    wanted = state.device
    if wanted == Device.AUTO:  # as `choose_device` takes it: never an Apple GPU
        wanted = Device.CUDA.value if Device.CUDA.value in found else Device.CPU.value
    if wanted not in found:
        return _("{name} was not found on this computer: choose another device").format(
            name=wanted.upper())
    name, memory = found[wanted]["name"], found[wanted]["memory"]
    if wanted == Device.CPU:
        name = _("the CPU (threads: {count})").format(count=machine["threads"])
    lines = [_("Runs on {name}, {memory:.0f} GB of memory.").format(
        name=name, memory=memory / 2**30) if memory else _("Runs on {name}.").format(name=name)]
    if wanted == Device.CPU and state.method in _NETWORK_PER_SLICE:
        lines.append(_("This method is slow on a CPU, and with the paper's preset it takes "
                       "minutes."))
    return "\n".join(lines)
