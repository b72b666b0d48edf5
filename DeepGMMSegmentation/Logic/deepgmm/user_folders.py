"""Where each platform keeps what is a user's own, and our folder there."""

from __future__ import annotations

import os
import sys
from enum import Enum
from pathlib import Path


class Purpose(Enum):
    """What a folder is for: where on Linux (variable, else below home), and where on macOS."""

    DATA = "XDG_DATA_HOME", ".local/share", "Library/Application Support"
    LOGS = "XDG_STATE_HOME", ".local/state", "Library/Logs"


def user_folder(purpose: Purpose) -> Path:
    """Our folder among the user's; it need not be there."""
    variable, below_home, on_macos = purpose.value
    home = Path.home()
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = home / on_macos
    else:
        base = Path(os.environ.get(variable) or home / below_home)
    return base / "deepgmm"
