"""What a worker finds to compute with."""

from __future__ import annotations

import gc
import os
import platform
import sys
from contextlib import suppress
from typing import Any


def machine() -> dict[str, Any]:
    """The devices and the torch of this process, as JSON values.

    Returns
    -------
    dict
        `torch`, its version, or None and then `missing`, the plain reason why; `threads`;
        `devices`, each with its `id` ("cpu", "cuda", "mps", as `Settings.device` names it),
        `name`, and `memory` in bytes, None where the system does not say.
    """
    found: dict[str, Any] = {"torch": None, "missing": missing(), "threads": threads(), "devices": [
        {"id": "cpu", "name": platform.processor() or platform.machine(), "memory": _memory()}]}
    if found["missing"]:
        return found
    import torch

    found |= {"torch": torch.__version__, "threads": torch.get_num_threads()}
    with suppress(RuntimeError):  # a driver that is there and does not work
        if torch.cuda.is_available():
            card = torch.cuda.get_device_properties(torch.cuda.current_device())
            found["devices"].append({"id": "cuda", "name": card.name, "memory": card.total_memory})
    if torch.backends.mps.is_available():
        found["devices"].append({"id": "mps", "name": "Apple GPU", "memory": _memory()})
    return found


def missing() -> str:
    """Why nothing can be computed here, in one line that says what to do; empty if it can."""
    for package in ("torch", "scipy"):
        try:
            __import__(package)
        except (ImportError, OSError) as error:
            return not_there(error, package)
    return ""


def not_there(error: ImportError | OSError, package: str) -> str:
    """Whether a package is missing or damaged, and what to do."""
    if isinstance(error, ModuleNotFoundError) and error.name == package:
        return f"{package} is not installed: install it and try again"
    return f"{package} is installed but cannot be loaded: install it anew and try again"


def threads() -> int:
    """As many as there are cores, less one for the window."""
    here = (len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity")
            else os.cpu_count() or 1)
    return max(1, here - 1)


def free_memory() -> None:
    """Give back what earlier work left, on the GPU too; networks are loaded again when needed."""
    from deepgmm.jobs import kept
    from deepgmm.methods.pretrained import forget_networks

    forget_networks()
    kept.rest()
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def _memory() -> int | None:
    """Bytes of main memory."""
    if sys.platform == "win32":
        import ctypes

        class Status(ctypes.Structure):
            _fields_ = [("length", ctypes.c_ulong), ("load", ctypes.c_ulong),
                        *((name, ctypes.c_ulonglong) for name in
                          ("total", "free", "page_total", "page_free", "virtual_total",
                           "virtual_free", "extended_free"))]

        status = Status(length=ctypes.sizeof(Status))
        known = ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status))
        return int(status.total) if known else None
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return None
