"""Where the result goes: nothing that the user has is overwritten without a question."""

import ctk
import qt
import slicer
from slicer.i18n import tr as _


def ask_output(output):
    """Where to write, if the user wants to at all.

    Parameters
    ----------
    output : the segmentation that is chosen, or None.

    Returns
    -------
    tuple
        Whether to go on, and the segmentation to write into, None for a new one.

    Raises
    ------
    deepgmm.errors.InputError
        It cannot take the result.
    """
    if output is None or not output.GetSegmentation().GetNumberOfSegments():
        return True, output
    from deepgmm.scene.segments import check_writable, our_segments

    check_writable(output)
    ours = [tissue.title for tissue in sorted(our_segments(output))]
    answer = _ask(_replacing(output, ours) if ours else _adding(output),
                  _("Replace") if ours else _("Add"))
    return answer != qt.QMessageBox.Cancel, output if answer == qt.QMessageBox.Yes else None


def ask_again(output) -> tuple:
    """The same of an output that was drawn on while the run lasted."""
    answer = _ask(_("{name} was drawn on while the segmentation ran.\n\nReplace DeepGMM's segments "
                    "in it? Slices that are done stay as you drew them, and Undo Apply brings the "
                    "others back.").format(name=output.GetName()), _("Replace"))
    return answer != qt.QMessageBox.Cancel, output if answer == qt.QMessageBox.Yes else None


def _replacing(output, ours: list[str]) -> str:
    return _("{name} holds an earlier result: {tissues}.\n\nReplace these segments, with what "
             "you corrected in them? Its other segments stay, and Undo Apply brings these back."
             ).format(name=output.GetName(), tissues=", ".join(ours))


def _adding(output) -> str:
    count = output.GetSegmentation().GetNumberOfSegments()
    text = _("{name} holds a segment that DeepGMM did not make.\n\nAdd the tissues to it? "
             "It stays as it is.") if count == 1 else _(
        "{name} holds {count} segments that DeepGMM did not make.\n\nAdd the tissues to them? "
        "They stay as they are.")
    return text.format(name=output.GetName(), count=count)


def _ask(text: str, yes: str) -> int:
    """Yes, No for a new segmentation, or Cancel; where nobody can answer, a new one."""
    if slicer.app.testingEnabled():
        return qt.QMessageBox.No
    box = ctk.ctkMessageBox(slicer.util.mainWindow())
    box.windowTitle = _("DeepGMM - Output")
    box.icon = qt.QMessageBox.Question
    box.text = text
    box.standardButtons = qt.QMessageBox.Yes | qt.QMessageBox.No | qt.QMessageBox.Cancel
    box.button(qt.QMessageBox.Yes).text = yes
    box.button(qt.QMessageBox.No).text = _("New segmentation")
    box.deleteLater()
    return box.exec_()
