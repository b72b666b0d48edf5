"""What Slicer's build makes of the lists in CMakeLists.txt, and the Pythons of this machine."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MODULE = ROOT / "DeepGMMSegmentation"


def listed(name: str) -> list[str]:
    """The files of one of the two lists."""
    text = (MODULE / "CMakeLists.txt").read_text(encoding="utf-8")
    found = re.search(rf"set\({name}\n((?:  \S+\n)*)  \)", text)
    assert found, f"no list {name}"
    return found[1].split()


def lay_out(folder: Path) -> Path:
    """Copy what is listed as Slicer's build does; the folder that then is on `sys.path`."""
    modules = folder / "lib/Slicer-5.12/qt-scripted-modules"
    for name in ("MODULE_PYTHON_SCRIPTS", "MODULE_PYTHON_RESOURCES"):
        for file in listed(name):
            source = MODULE / file
            if name == "MODULE_PYTHON_SCRIPTS" and "py" not in source.suffix:
                source = source.with_name(source.name + ".py")
            target = modules / source.relative_to(MODULE)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
    return modules


@cache
def pythons() -> dict[str, str]:
    """Interpreters from 3.10 to 3.13 that work, by version; wherever this machine keeps them."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    found = {}
    for minor in range(10, 14):
        candidates = [*map(str, sorted(pyenv.glob(f"versions/3.{minor}.*/bin/python"))),
                      shutil.which(f"python3.{minor}"), shutil.which("python3")]
        for one in filter(None, candidates):
            asked = subprocess.run([one, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"],
                                   capture_output=True, text=True)
            if asked.stdout.strip() == f"3.{minor}":
                found[f"3.{minor}"] = one
                break
    return found
