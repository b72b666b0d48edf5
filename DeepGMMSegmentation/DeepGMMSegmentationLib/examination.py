"""An examination into the selectors: a folder of DICOM, one of Slicer's DICOM browser, or what the
scene holds."""

import json
import os
import re
import subprocess
import tempfile

import qt
import slicer
from slicer.i18n import tr as _

from deepgmm.errors import InputError
from deepgmm.study.levels import Numbering
from deepgmm.study.words import Role, grid_role
from DeepGMMSegmentationLib import dicom_browser, installing
from DeepGMMSegmentationLib.chosen import is_there
from DeepGMMSegmentationLib.panel import Panel, Section, named_here, scene

#: Words of names and descriptions by which scanners and people call a sequence; LGE before T2, and
#: both before bSSFP, whose words are the most common.
_NAMED = (
    (Role.LGE, r"\blge\b|late|delayed|psir|\bde[-_ ]|enhance|viab"),
    (Role.T2, r"\bt2|stir|spair|edema|oedema"),
    (Role.BSSFP, r"ssfp|cine|trufi|fiesta|\bffe\b|function"),
)
_NOT_SHORT_AXIS = r"4ch|2ch|3ch|chamber|lax|scout|locali|\bt1|rest|stress|perf"

#: A short-axis stack has so many slices, at least so many times as thick as a pixel is wide.
_SLICES, _THICK = range(3, 41), 2.0


def guessed(nodes: list) -> dict[Role, object]:
    """The volumes that look and are called like bSSFP, LGE and T2 short-axis stacks.

    Parameters
    ----------
    nodes : volume nodes; of several that fit, the first by how they look, then in this order.
    """
    found: dict[Role, object] = {}
    for node in sorted((one for one in nodes if one.GetImageData() is not None),
                       key=lambda one: not _looks_like_a_stack(one)):
        role = _role_of(_words_of(node))
        if role is not None and role not in found and _may_be_used(node):
            found[role] = node
    return found


def dicom_of(volume, panel: Panel) -> dict | None:
    """Where the DICOM of a volume lies, as `deepgmm.review.dicom.sources_in` takes it: of one that
    was loaded here in this session, or by Slicer's DICOM module. None where that is not known."""
    if volume.GetID() in panel.dicom_folders:
        return panel.dicom_folders[volume.GetID()]
    return dicom_browser.source_of_volume(volume)


def _may_be_used(node) -> bool:
    return (not node.IsA("vtkMRMLLabelMapVolumeNode")
            and node.GetImageData().GetNumberOfScalarComponents() == 1
            and not node.GetName().startswith(("LV uncertainty", "LV probability")))


def _looks_like_a_stack(node) -> bool:
    spacing = node.GetSpacing()
    return (node.GetImageData().GetDimensions()[2] in _SLICES
            and spacing[2] >= _THICK * max(spacing[:2]))


def _words_of(node) -> str:
    """Name and what the DICOM database says, lower case; used here, told to nobody."""
    return f"{node.GetName() or ''} {dicom_browser.words_of(node)}".lower().replace("_", " ")


def _role_of(words: str) -> Role | None:
    if re.search(_NOT_SHORT_AXIS, words):
        return None
    return next((role for role, pattern in _NAMED if re.search(pattern, words)), None)


class ExaminationSection(Section):
    """Load examination, From DICOM browser, and Choose from scene."""

    def __init__(self, ui, panel: Panel) -> None:
        super().__init__(ui, panel)
        self._busy = False
        panel.observers.add(scene(), scene().NodeAddedEvent, panel.refresh)
        ui.loadExaminationButton.connect("clicked()", self._on_load)
        self._menu = qt.QMenu(ui.fromBrowserButton)
        ui.fromBrowserButton.setMenu(self._menu)
        self._menu.connect("aboutToShow()", self._on_browser)
        ui.chooseFromSceneButton.connect("clicked()", self._on_choose)

    def close(self) -> None:
        self.panel.dicom_folders.clear()

    def refresh(self) -> None:
        free = self.state is not None and not self._busy
        self.ui.loadExaminationButton.enabled = free
        self.ui.fromBrowserButton.enabled = free
        self.ui.chooseFromSceneButton.enabled = self.state is not None and bool(
            scene().GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode"))

    def cleanup(self) -> None:
        self.ui.loadExaminationButton.disconnect("clicked()", self._on_load)
        self._menu.disconnect("aboutToShow()", self._on_browser)
        self.ui.chooseFromSceneButton.disconnect("clicked()", self._on_choose)

    def _on_choose(self) -> None:
        state = self.state
        found = guessed(list(slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")))
        with slicer.util.NodeModify(state.parameterNode):
            for role, node in found.items():
                setattr(state, role.value, node)
            if not is_there(state.mask):
                state.mask = _only("vtkMRMLSegmentationNode", state.output)
            if not is_there(state.insertionPoints):
                state.insertionPoints = _only("vtkMRMLMarkupsFiducialNode")
        self.panel.tell(_("Chosen from the scene: {what}. See whether that is right.").format(
            what=", ".join(f"{role.title} - {node.GetName()}" for role, node in found.items()))
            if found else _("No volume in the scene is called like LGE, bSSFP or T2: choose them "
                            "in the list."))
        self.panel.refresh()

    def _on_load(self) -> None:
        folder = qt.QFileDialog.getExistingDirectory(
            self.ui.loadExaminationButton, _("Folder with the DICOM files of one examination"))
        if folder and not self._busy:
            self._load(lambda: self._import(folder, lambda series: {
                "folder": folder, "series": series}))

    def _on_browser(self) -> None:
        """What there is now, as the menu opens."""
        self._menu.clear()
        for study in dicom_browser.studies():
            action = self._menu.addAction(
                _("{examination} (in the scene)").format(examination=study.title)
                if study.in_scene else study.title)
            action.connect("triggered()", lambda uid=study.uid: self._on_study(uid))
        if self._menu.isEmpty():
            self._menu.addAction(_("The DICOM browser holds no examination")).enabled = False

    def _on_study(self, uid: str) -> None:
        if not self._busy:
            self._load(lambda: self._import_study(uid))

    def _import_study(self, uid: str) -> str:
        with dicom_browser.in_one_folder(dicom_browser.files_of(uid)) as folder:
            return self._import(folder, lambda series: dicom_browser.source_of(uid, series))

    def _load(self, load) -> None:
        self._busy = True
        self.panel.refresh_now()
        try:
            said = load()
        except InputError as error:
            self.panel.tell_of(error)
        else:
            self.panel.tell(said)
        finally:
            self._busy = False
            self.panel.refresh_now()

    def _import(self, folder: str, source_of) -> str:
        """Our own import, in a process of its own; what it took and what it left, in words.

        Parameters
        ----------
        source_of : numbers of series to where they lie (`dicom_of`), or None.

        Raises
        ------
        deepgmm.errors.InputError
        """
        state = self.state
        with tempfile.TemporaryDirectory(prefix="deepgmm-") as place:
            study = os.path.join(place, "study")
            lines: list[str] = []
            try:
                installing.run_module("deepgmm", ["import", folder, "-o", study, "--quiet"],
                                      _("The examination is being read."), lines.append)
            except subprocess.CalledProcessError as error:
                raise InputError(_why(lines)) from error
            with open(os.path.join(study, "study.json"), encoding="utf-8") as file:
                said = json.load(file)
            if state is not self.state:  # the scene was closed meanwhile
                raise InputError(_("the scene was closed while the examination was read"))
            nodes = {Role(name): _volume(study, name, own)
                     for name, own in said["sequences"].items()}
        for role, node in nodes.items():
            source = source_of(said["sequences"][role.value].get("series", []))
            if source is not None:
                self.panel.dicom_folders[node.GetID()] = source
        with slicer.util.NodeModify(state.parameterNode):
            for role in Role:
                setattr(state, role.value, nodes.get(role))
                if role is not Role.BSSFP:
                    kind = said["sequences"].get(role.value, {}).get("kind", "")
                    setattr(state, f"{role.value}Kind", "" if kind == "unknown" else kind)
        if slicer.app.layoutManager() is not None and nodes:
            shown = nodes[grid_role(nodes)]
            slicer.util.setSliceViewerLayers(background=shown, fit=True)
        return "\n".join(_listed(said))


def _only(kind: str, *but):
    """The node of a class, where there is one only."""
    found = [node for node in slicer.util.getNodesByClass(kind)
             if node not in but and not node.GetHideFromEditors()]
    return found[0] if len(found) == 1 else None


def _volume(study: str, name: str, own: dict):
    """A sequence that was imported, as a new volume: of a cine the frame that the import chose,
    or the first where nothing told which."""
    import SimpleITK as sitk

    from deepgmm.scene.places import RAS_TO_LPS

    image = sitk.ReadImage(os.path.join(study, own.get("file") or own.get("cine")
                                        or f"{name}.nii.gz"))
    if image.GetDimension() == 4:
        image = image[:, :, :, 0]
    matrix = slicer.util.vtkMatrixFromArray(RAS_TO_LPS @ _index_to_lps(image))
    title = Role(name).title
    return slicer.util.addVolumeFromArray(sitk.GetArrayFromImage(image), matrix,
                                          scene().GenerateUniqueName(title))


def _index_to_lps(image):
    import numpy as np

    matrix = np.eye(4)
    matrix[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * np.array(image.GetSpacing())
    matrix[:3, 3] = image.GetOrigin()
    return matrix


def _listed(said: dict) -> list[str]:
    """What was taken, and what was left and why, as a technologist would say it."""
    def series(one: dict) -> str:
        numbers = one.get("series", [])
        return _("series {numbers}").format(numbers=", ".join(map(str, numbers)))

    lines = [_("{role}: {what}, {series}, {count} slices.").format(
        role=Role(name).title, what=one["is"], series=series(one), count=len(one["slices"]))
        for name, one in said["sequences"].items()]
    lines += [_("{role}: of the cine the first frame was taken, for nothing tells which belongs to "
                "the others.").format(role=Role(name).title)
              for name, one in said["sequences"].items() if one.get("cine") and not one.get("file")]
    left = [f"{one['is']} ({series(one)})" for one in said.get("left", said.get("others", []))]
    if left:
        lines.append(_("Not used: {what}.").format(what="; ".join(left)))
    return [*lines, *(named_here(Numbering().in_words(one)) for one in said.get("warnings", ()))]


def _why(lines: list[str]) -> str:
    """The one-line message with which the import ended."""
    last = next((line for line in reversed(lines) if line.strip()), "")
    return re.sub(r"^(deepgmm: )?(error: )", "", last, flags=re.IGNORECASE) or _(
        "the examination could not be read")
