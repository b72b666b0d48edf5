"""What a fit needs beyond Slicer's own packages: looked for without importing it, asked about once,
installed on Apply."""

import contextlib
import importlib
import importlib.machinery
import importlib.metadata
import importlib.util
import io
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import slicer
from slicer.i18n import tr as _

import deepgmm
from deepgmm.errors import InputError
from DeepGMMSegmentationLib import installing

REQUIREMENTS = Path(__file__).resolve().parent.parent / "Resources" / "requirements.txt"

#: Wanted for DICOM segmentations alone.
FOR_DICOM = ("pydicom>=2.4", "highdicom>=0.28")

#: Comes through the PyTorch extension only, which knows the build that suits the computer.
TORCH = "torch>=2.2"

#: What the PyTorch extension installs torch with.
_LIGHT_THE_TORCH = "light-the-torch>=0.5"

#: An installation never replaces these where they are there: Slicer and other extensions use them.
KEPT = ("numpy", "scipy", "SimpleITK", "pillow", "torch")


def missing() -> list[str]:
    """The requirements that are not met, PyTorch first. Nothing of them is imported."""
    importlib.invalidate_caches()
    torch = importlib.util.find_spec("torch")
    there = torch is not None and torch.origin is not None and _met(TORCH, unknown=True)
    return [*([] if there else [TORCH]), *(name for name in _required() if not _met(name))]


def ensure() -> None:
    """See that all is there; what is not is installed, after asking once.

    Raises
    ------
    deepgmm.errors.InputError
        It is still not there; the message says why and what to do.
    """
    check_library()
    wanted = missing()
    if not wanted:
        return
    names = ", ".join(wanted)
    if slicer.app.testingEnabled():
        raise InputError(_("{names} are missing, and Slicer installs nothing while it runs in "
                           "testing mode: install them before the test").format(names=names))
    if TORCH in wanted:
        _check_torch()
    if not slicer.util.confirmOkCancelDisplay(_question(wanted), _("DeepGMM - Install packages")):
        raise InputError(_("Nothing was installed. DeepGMM cannot segment without {names}: press "
                           "Apply to be asked again").format(names=names))
    if TORCH in wanted:
        _install("PyTorch", _install_torch)
    others = [name for name in wanted if name != TORCH]
    if others:
        _install(", ".join(others), lambda: _install_others(others))
    still = missing()
    if still:
        raise InputError(_("The installation ended, but {names} cannot be found: restart Slicer "
                           "and press Apply again").format(names=", ".join(still)))


def ensure_dicom() -> None:
    """See that DICOM segmentations can be written; what that needs is installed, after asking.

    Raises
    ------
    deepgmm.errors.InputError
        It is still not there; the message says why and what to do.
    """
    importlib.invalidate_caches()
    wanted = [name for name in FOR_DICOM if not _met(name)]
    if not wanted:
        return
    names = ", ".join(wanted)
    if slicer.app.testingEnabled() or not slicer.util.confirmOkCancelDisplay(
            _question(wanted), _("DeepGMM - Install packages")):
        raise InputError(_("Nothing was installed. A DICOM segmentation cannot be written without "
                           "{names}: press the button again to be asked again").format(names=names))
    _install(names, lambda: _install_others(wanted))


def check_library() -> None:
    """See that the `deepgmm` in this process is the module's own.

    Raises
    ------
    deepgmm.errors.InputError
    """
    if Path(deepgmm.__file__).resolve().parent != _own_folder():
        raise InputError(_("Another DeepGMM, version {version}, was loaded before this module: "
                           "remove it in the Python console with slicer.util.pip_uninstall("
                           "'deepgmm'), then restart Slicer").format(version=deepgmm.__version__))


def other_version() -> str:
    """The version of another `deepgmm` that lies on Python's path; empty where there is none, or
    the same. The module and its worker use their own all the same."""
    logic = _own_folder().parent
    elsewhere = [p for p in sys.path if p and Path(p).resolve() != logic]
    spec = importlib.machinery.PathFinder.find_spec("deepgmm", elsewhere)
    if spec is None or not spec.origin or Path(spec.origin).resolve().parent == _own_folder():
        return ""
    with contextlib.suppress(OSError):
        said = re.search(r'^__version__ = "([^"]+)"',
                         Path(spec.origin).read_text(encoding="utf-8"), re.MULTILINE)
        version = said.group(1) if said else _("unknown")
        return "" if version == deepgmm.__version__ else version
    return ""


def _own_folder() -> Path:
    return Path(__file__).resolve().parent.parent / "Logic" / "deepgmm"


def _required() -> list[str]:
    lines = (line.strip() for line in REQUIREMENTS.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def _met(requirement: str, unknown: bool = False) -> bool:
    """Whether a package is there in a version that will do.

    Parameters
    ----------
    unknown : the answer where the package does not say which version it is.
    """
    from packaging.requirements import Requirement

    wanted = Requirement(requirement)
    try:
        version = importlib.metadata.version(wanted.name)
    except importlib.metadata.PackageNotFoundError:
        return unknown
    return wanted.specifier.contains(version, prereleases=True)


def _check_torch() -> None:
    """See that PyTorch can be installed; `import PyTorchUtils` imports no torch."""
    try:
        import PyTorchUtils  # noqa: F401
    except ImportError:
        raise InputError(_("PyTorch is missing: install the PyTorch extension from the Extensions "
                           "Manager, restart Slicer, and press Apply again")) from None
    try:
        version = importlib.metadata.version("torch")
    except importlib.metadata.PackageNotFoundError:
        return
    raise InputError(_("PyTorch {version} is too old, DeepGMM needs {wanted}: in the PyTorch Utils "
                       "module press Uninstall, restart Slicer, and press Apply again").format(
                           version=version, wanted=TORCH))


def _question(wanted: list[str]) -> str:
    lines = [_("DeepGMM needs these Python packages, which Slicer does not have yet:")]
    lines += [f"- {name}" for name in wanted]
    if TORCH in wanted:
        lines += ["", _("PyTorch is large (0.2 to 3 GB); installing it takes some minutes, and "
                        "can be stopped.")]
    return "\n".join([*lines, "", _("They are put into Slicer's own Python, and nothing that is "
                                    "there is replaced. Install them now?")])


def _install(names: str, install) -> None:
    """Install something; what pip says tells why it failed."""
    heard = _Heard(sys.stdout)
    try:
        with contextlib.redirect_stdout(heard):
            install()
    except (subprocess.CalledProcessError, RuntimeError, OSError, ImportError, ValueError) as error:
        why = _why(f"{heard.text} {error}")
        raise InputError(_("{names} could not be installed: {why}").format(
            names=names, why=why)) from error


def _install_torch() -> None:
    """As the PyTorch extension does, by light-the-torch, which finds the build that suits the
    computer; but without torchvision, with everything else held where it is, and without torch in
    this process, where it would stay."""
    doing = _("PyTorch is being installed; this takes some minutes.")
    with _constraints() as constraints:
        if importlib.util.find_spec("light_the_torch") is None:
            installing.run_module("pip", ["install", _LIGHT_THE_TORCH, "--constraint", constraints],
                                  doing)
        installing.run_module("light_the_torch", ["install", TORCH, "--constraint", constraints],
                              doing)


def _install_others(names: list[str]) -> None:
    with _constraints() as constraints:
        try:
            from slicer.packaging import pip_ensure
        except ImportError:  # before 5.11
            with slicer.util.WaitCursor():
                slicer.util.pip_install([*names, "--constraint", constraints])
        else:
            pip_ensure(names, constraints=constraints, prompt_install=False, requester="DeepGMM")


@contextlib.contextmanager
def _constraints():
    """A file that pins what must stay as it is."""
    handle, path = tempfile.mkstemp(prefix="deepgmm-", suffix=".txt")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            for name in KEPT:
                with contextlib.suppress(importlib.metadata.PackageNotFoundError):
                    file.write(f"{name}=={importlib.metadata.version(name)}\n")
        yield path
    finally:
        os.unlink(path)


class _Heard(io.TextIOBase):
    """What is printed goes on to where it went, and is kept."""

    def __init__(self, onward) -> None:
        self._onward = onward
        self.text = ""

    def write(self, text: str) -> int:
        self.text += text
        self._onward.write(text)
        return len(text)

    def flush(self) -> None:
        self._onward.flush()


#: What pip says, in any of these words, and what that means.
_CAUSES = (
    (r"name resolution|getaddrinfo|NewConnectionError|Network is unreachable|ConnectTimeout|"
     r"Failed to establish a new connection|Connection refused|ProxyError",
     lambda: _("this computer could not reach the internet. Connect it and press Apply again, or "
               "install the packages from files: the manual says how")),
    (r"CERTIFICATE_VERIFY_FAILED|SSLError",
     lambda: _("the network's certificate is not trusted. Ask who looks after the network, or use "
               "another one")),
    (r"No space left|Errno 28|not enough space",
     lambda: _("the disk is full. Make room and press Apply again")),
    (r"Permission denied|Access is denied|Errno 13",
     lambda: _("Slicer's folder cannot be written to. Close other windows of Slicer; if that does "
               "not help, start it as the user who installed it")),
    (r"declined",
     lambda: _("the installation was declined. Press Apply to be asked again")),
    (r"ResolutionImpossible|conflicting dependencies",
     lambda: _("they do not go together with packages of another extension. The Python console "
               "(Ctrl+3) names these; nothing was changed")),
)


def _why(said: str) -> str:
    for pattern, cause in _CAUSES:
        if re.search(pattern, said, re.IGNORECASE):
            return cause()
    return _("the Python console (Ctrl+3) shows why; nothing else was changed")
