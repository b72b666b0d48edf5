"""What the application asked the user, and what the user answers. Stand-in for the user.

>>> dialogs.answer("Ok")       # doctest: +SKIP
>>> panel.ui.applyButton.click()
>>> dialogs.asked[-1].text
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from PySide6.QtWidgets import QMessageBox


@dataclass
class Asked:
    """One question or message: its text, its buttons, the answer it got."""

    text: str
    title: str
    buttons: tuple[str, ...]
    answer: str


#: Every question and message since `forget`, in order.
asked: list[Asked] = []

_answers: list[str] = []
#: Where a test has said nothing, a question is answered so: that is what pressing Escape does.
_ESCAPE = ("Cancel", "No", "Close", "Abort", "Ok")


def answer(*buttons: str) -> None:
    """Answer the next questions so, by the names of buttons: "Ok", "Cancel", "Yes", "No"."""
    _answers.extend(buttons)


def forget() -> None:
    """Forget what was asked and what was to be answered."""
    asked.clear()
    _answers.clear()


def ask(box: Any) -> int:
    """Answer a message box without showing it."""
    chosen = box.standardButtons
    buttons = tuple(one.name for one in QMessageBox.StandardButton
                    if one.name not in ("NoButton", "YesAll", "NoAll") and one.value
                    and chosen & one) or ("Ok",)
    is_question = len(buttons) > 1
    given = _answers.pop(0) if is_question and _answers else next(
        one for one in _ESCAPE if one in buttons)
    if given not in buttons:
        raise AssertionError(f"no button {given} to answer: {box.text!r} has {buttons}")
    asked.append(Asked(box.text, box.windowTitle, buttons, given))
    return QMessageBox.StandardButton[given]
