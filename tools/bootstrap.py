"""Make `.venv` and fill it for one purpose, `demo` or `test`; do nothing where that is done.

Standard library only, and run by whichever Python the Makefile found. No package index is
named here: pip and uv use those that the machine is set up for.
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
EXTRAS = {"demo": ("cli",), "test": ("cli", "scene", "cohort", "test")}
OLDEST_TORCH = (2, 2)
# A torch older than this was built for numpy 1 and cannot hand arrays to numpy 2.
OLDEST_TORCH_FOR_NUMPY_2 = (2, 3)

LARGE_BUILD = """\
No CPU build of torch could be had: neither the package indexes that pip is set up for nor uv
offers one for this Python. The build on offer brings gigabytes of CUDA libraries, so it is
not taken unasked. Choose one:
  make {purpose} TORCH=torch          take the large build all the same
  make {purpose} TORCH=/path/to.whl   install this file (any words that pip understands)
  install torch for {python} yourself, then: make {purpose}"""


class SetupError(Exception):
    """What went wrong and what to do, for a person."""


def main(purpose: str) -> None:
    base = digest(repr((sys.version, sys.prefix, str(ROOT), os.environ.get("TORCH", ""))).encode())
    key = digest(base.encode(), (ROOT / "pyproject.toml").read_bytes())
    serving = [p for p, extras in EXTRAS.items() if set(EXTRAS[purpose]) <= set(extras)]
    # A Python that was removed since leaves a link to nothing, which does not exist().
    if PYTHON.exists() and any(said(stamp(p)) == key for p in serving):
        return
    make_venv(base)
    for outdated in (p for p in EXTRAS if said(stamp(p)) != key):
        stamp(outdated).unlink(missing_ok=True)
    install_project(purpose, torch_version() or install_torch(purpose))
    stamp(purpose).write_text(key)
    say("ready")


def digest(*parts: bytes) -> str:
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def stamp(purpose: str) -> Path:
    return VENV / f".ready-for-{purpose}"


def said(file: Path) -> str:
    return file.read_text() if file.is_file() else ""


def make_venv(base: str) -> None:
    """Make a new environment, unless the one that is there was made from the same base."""
    made = VENV / ".base"
    if PYTHON.exists() and said(made) == base:
        return
    version = ".".join(map(str, sys.version_info[:3]))
    say(f"making .venv with Python {version}")
    if VENV.is_symlink():
        VENV.unlink()
    elif VENV.exists():
        shutil.rmtree(VENV)
    if _importable("ensurepip"):
        call([sys.executable, "-m", "venv", VENV], "making .venv failed")
    else:  # Debian keeps ensurepip in a package of its own
        call([sys.executable, "-m", "venv", "--without-pip", VENV], "making .venv failed")
        call(
            [sys.executable, "-m", "pip", "--python", PYTHON, "install", "-q", "pip"],
            "putting pip into .venv failed; install python3-venv (or your system's name for it)",
        )
    made.write_text(base)


def install_torch(purpose: str) -> str:
    """Bring a torch that suits the machine, and never CUDA packages where there is no GPU."""
    wanted = shlex.split(os.environ.get("TORCH", ""))
    if wanted:
        say(f"installing {' '.join(wanted)}, as asked for")
        pip("install", *wanted)
    elif borrow_torch():
        say(f"using the torch {torch_version()} that is here already")
    elif sys.platform != "linux":
        say("installing torch")
        pip("install", _oldest())
    elif has_nvidia_gpu():
        say("installing torch for the NVIDIA GPU; this takes minutes")
        pip("install", _oldest())
    else:
        install_cpu_torch(purpose)
    version = torch_version()
    if not version:
        raise SetupError(f"torch is installed but broken; see {PYTHON} -c 'import torch'")
    return version


def install_cpu_torch(purpose: str) -> None:
    version = newest_cpu_build()
    if version:
        say(f"installing torch {version}")
        pip("install", f"torch=={version}")
        return
    say("pip knows no CPU build of torch; asking uv")
    uv = [PYTHON, "-m", "uv", "pip", "install", "--python", PYTHON, "--torch-backend=cpu"]
    if pip("install", "uv", must=False) and call([*uv, _oldest()], None):
        return
    raise SetupError(LARGE_BUILD.format(purpose=purpose, python=sys.executable))


def newest_cpu_build() -> str:
    """The newest version labelled `+cpu` among those pip can see; empty where there is none."""
    seen = subprocess.run(
        [PYTHON, "-m", "pip", "index", "versions", "torch", "--disable-pip-version-check"],
        stdin=subprocess.DEVNULL, capture_output=True, text=True,
    )  # fmt: skip
    versions = re.findall(r"\b\d+(?:\.\d+)+\+cpu\b", seen.stdout)
    versions = [v for v in versions if numbers(v) >= OLDEST_TORCH]
    return max(versions, key=numbers, default="")


def borrow_torch() -> bool:
    """Let the environment see the packages of the Python that runs this, if torch is there.

    A `.pth` file serves where `--system-site-packages` does not: inside another environment,
    and for packages of the user. What `.venv` installs itself comes first.
    """
    if not _importable("torch"):
        return False
    folders = [p for p in sys.path if Path(p).name in ("site-packages", "dist-packages")]
    lib = subprocess.run(
        [PYTHON, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True, text=True, check=True,
    ).stdout.strip()  # fmt: skip
    link = Path(lib, "packages-of-the-base-python.pth")
    link.write_text("".join(f"{p}\n" for p in folders), encoding="utf-8")
    if numbers(torch_version()) >= OLDEST_TORCH:
        return True
    link.unlink()
    return False


def torch_version() -> str:
    """Version of the torch that works in the environment, as pip knows it; else empty."""
    code = "import torch; from importlib.metadata import version as v; print(v('torch'))"
    done = subprocess.run([PYTHON, "-c", code], capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else ""


def has_nvidia_gpu() -> bool:
    try:
        done = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0 and "GPU" in done.stdout


def install_project(purpose: str, torch: str) -> None:
    """Install the project, editable, with the extras of the purpose and the torch held fast."""
    held = [f"torch=={torch}"]
    if numbers(torch) < OLDEST_TORCH_FOR_NUMPY_2:
        held.append("numpy<2")
    constraints = VENV / "constraints.txt"
    constraints.write_text("\n".join(held) + "\n")
    # Later calls of this environment's pip, by hand too, must not replace torch either.
    config = VENV / ("pip.ini" if os.name == "nt" else "pip.conf")
    config.write_text(f"[install]\nconstraint = {constraints.as_uri()}\n")
    extras = EXTRAS[purpose]
    if "scene" in extras and sys.version_info >= (3, 14):
        say("slicer-core has no build for this Python (3.10 to 3.13 only): scene tests will skip")
    say(f"installing deepgmm[{','.join(extras)}]; this takes a minute or two")
    pip("install", "-c", constraints, "--editable", f"{ROOT}[{','.join(extras)}]")


def pip(*words: object, must: bool = True) -> bool:
    """Run the environment's pip; bytecode is left to the first import, which is much quicker."""
    command, *rest = words
    line = [PYTHON, "-m", "pip", "--disable-pip-version-check", command, "-q", "--no-input"]
    line += ["--no-compile", *rest]
    failure = "pip could not install this (see above); is the network there?"
    return call(line, failure if must else None)


def call(line: list[object], failure: str | None) -> bool:
    done = subprocess.run([str(word) for word in line], cwd=ROOT, stdin=subprocess.DEVNULL)
    if done.returncode and failure:
        raise SetupError(failure)
    return done.returncode == 0


def numbers(version: str) -> tuple[int, ...]:
    return tuple(int(n) for n in re.findall(r"\d+", version.partition("+")[0])[:3])


def _oldest() -> str:
    return "torch>=" + ".".join(map(str, OLDEST_TORCH))


def _importable(name: str) -> bool:
    """Asked of another process, so that a broken package cannot end this one."""
    line = [sys.executable, "-c", f"import {name}"]
    return subprocess.run(line, capture_output=True).returncode == 0


def say(text: str) -> None:
    print(f"[setup] {text}", flush=True)


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in EXTRAS:
        sys.exit(f"usage: {Path(sys.argv[0]).name} {'|'.join(EXTRAS)}")
    try:
        main(sys.argv[1])
    except SetupError as error:
        sys.exit(f"[setup] {error}")
    except KeyboardInterrupt:
        sys.exit(130)
