"""Write the lists of files in `DeepGMMSegmentation/CMakeLists.txt` from what lies there.

Slicer's build copies and installs the files that are listed, and no other. Python files stand
under SCRIPTS, everything else under RESOURCES, wherever it lies: what is under SCRIPTS and does
not end in `.py` gets `.py` appended by the build.

    python tools/list_files.py            write the lists
    python tools/list_files.py --check    write nothing; end with 1 where they are out of date
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MODULE = ROOT / "DeepGMMSegmentation"
CMAKE = MODULE / "CMakeLists.txt"

#: CMake's variables, and whether a file belongs to it.
LISTS = {
    "MODULE_PYTHON_SCRIPTS": lambda path: path.suffix == ".py",
    "MODULE_PYTHON_RESOURCES": lambda path: path.suffix != ".py",
}
_LEFT_OUT = {"__pycache__", "Testing"}


def module_files(module: Path = MODULE) -> list[Path]:
    """What a user of the module needs: all files but caches, hidden ones and CMake's own."""
    found = []
    for path in sorted(module.rglob("*")):
        parts = path.relative_to(module).parts
        if any(p in _LEFT_OUT or p.startswith(".") or p.endswith(".egg-info") for p in parts):
            continue
        if path.is_file() and path.name != "CMakeLists.txt" and path.suffix != ".pyc":
            found.append(path)
    return found


def with_lists(text: str, module: Path = MODULE) -> str:
    """The text of a module's CMakeLists.txt with its lists brought up to date.

    Raises
    ------
    ValueError : the text has no such list, or more than one.
    """
    files = module_files(module)
    for name, belongs in LISTS.items():
        lines = [f"  {path.relative_to(module).as_posix()}\n" for path in files if belongs(path)]
        written = "".join([f"set({name}\n", *lines, "  )"])
        text, count = re.subn(rf"set\({name}\n(?:  \S.*\n)*  \)", written, text)
        if count != 1:
            raise ValueError(f"{count} lists called {name}, wanted one")
    return text


def main(words: list[str]) -> int:
    if words not in ([], ["--check"]):
        print(__doc__, file=sys.stderr)
        return 2
    present = CMAKE.read_text(encoding="utf-8")
    wanted = with_lists(present)
    if present == wanted:
        return 0
    if words:
        print(f"{CMAKE.relative_to(ROOT)} is out of date: run python tools/list_files.py",
              file=sys.stderr)
        return 1
    CMAKE.write_text(wanted, encoding="utf-8", newline="\n")
    print(f"wrote {CMAKE.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
