"""The command `deepgmm`: one line of arguments in, an exit status out, never a traceback."""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from deepgmm import __version__
from deepgmm.cli.log import COMMANDS, PARTS, log_error, refusal_of
from deepgmm.errors import DeepGMMError, how_to_install, shortened, without_paths

DONE, INPUT_AT_FAULT, FAILED, INTERRUPTED = 0, 2, 3, 130
_STOPPED = "interrupted: no unfinished file was left"


def main(argv: list[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    argv : arguments without the program's name; by default those of the process.

    Returns
    -------
    status : 0 done, 2 the input is at fault, 3 the computation failed, 130 interrupted.

    Examples
    --------
    >>> main(["--version"])
    deepgmm 0.1.0
    0
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        command = _command()
    except KeyboardInterrupt:
        _say(_STOPPED)
        return INTERRUPTED
    except ModuleNotFoundError as missing:
        if (missing.name or "").split(".")[0] not in ("typer", "rich", "click"):
            raise
        _say("the command line needs typer and rich: "
             + how_to_install("typer>=0.12", "rich>=13"))
        return FAILED
    with _terminable(), warnings.catch_warnings():
        if not sys.warnoptions:  # libraries' remarks are not for users
            warnings.simplefilter("ignore")
        status = _guarded(lambda: command.main(
            args=arguments or ["--help"], prog_name="deepgmm", standalone_mode=False), arguments)
    if argv is None:
        # the process ends: to collect first what torch has loaded would take longer than a fit
        gc.freeze()
    return status


@cache
def _command() -> Any:
    """All commands; made once, since making their options takes longer than to refuse a file."""
    import typer

    from deepgmm.cli.brain_command import brain
    from deepgmm.cli.cohort_command import cohort
    from deepgmm.cli.demo_command import demo
    from deepgmm.cli.evaluate_command import evaluate
    from deepgmm.cli.import_command import import_folder
    from deepgmm.cli.models_command import models
    from deepgmm.cli.myops_command import myops
    from deepgmm.cli.phantom_command import phantom
    from deepgmm.cli.priors_command import priors
    from deepgmm.cli.propose_command import propose
    from deepgmm.cli.quantify_command import quantify
    from deepgmm.cli.refine_command import refine
    from deepgmm.cli.report_command import report
    from deepgmm.cli.segment_command import segment
    from deepgmm.cli.train_command import train
    from deepgmm.cli.versions_command import versions

    app = typer.Typer(
        help="Blood, myocardium, edema and scar from cardiac MRI and an LV mask, without "
             "training labels. Research software, not for diagnosis.",
        add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]})

    @app.callback()
    def common(version: bool = typer.Option(
            False, "--version", is_eager=True, callback=_show_version,
            help="Print the version and leave.")) -> None:
        pass

    for function in (segment, refine, versions, demo, phantom, evaluate, quantify, report,
                     cohort):
        app.command(function.__name__)(function)
    app.command("import")(import_folder)
    app.command("propose-mask")(propose)
    app.command("myops")(myops)
    app.command("priors")(priors)
    app.command("train")(train)
    app.add_typer(models, name="models")
    app.add_typer(brain, name="brain")
    return typer.main.get_command(app)


def _show_version(wanted: bool) -> None:
    import typer

    if wanted:
        print(f"deepgmm {__version__}")
        raise typer.Exit()


def _guarded(run: Callable[[], Any], arguments: list[str]) -> int:
    """Turn whatever happens into one line and an exit status."""
    import typer

    try:
        status = run()
        sys.stdout.flush()
        if status == INTERRUPTED:  # newer typers turn the interruption into this
            raise KeyboardInterrupt
        return int(status or DONE)
    except DeepGMMError as error:
        log_error(error, arguments)
        _say(in_words(error))
        return error.exit_status
    except OSError as error:
        reason = refusal_of(error, arguments)
        where = log_error(error, arguments)
        _say(reason or f"the system failed ({error.strerror or type(error).__name__}): please "
             f"report it with the log{where}")
        return INPUT_AT_FAULT if reason else FAILED
    except (KeyboardInterrupt, typer.Abort):
        _say(_STOPPED)
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has gone; nothing more can be said there.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except MemoryError as error:
        where = log_error(error, arguments)
        _say("not enough memory: take fewer slices with --slices, or close other programs"
             + where)
        return FAILED
    except Exception as error:
        # Typer may carry its own copy of click, so its errors are known by what they can do.
        if callable(getattr(error, "format_message", None)):
            log_error(error, arguments)
            said = shortened(without_paths(error.format_message()), 200)  # type: ignore[attr-defined]
            _say(f"{said} Try: {_help_of(arguments)}")
            return INPUT_AT_FAULT
        where = log_error(error, arguments)
        if "out of memory" in str(error).lower():
            _say("not enough memory on the device: try --device cpu, or fewer slices with "
                 f"--slices{where}")
        else:
            _say(f"the computation failed ({type(error).__name__}): please report it with the "
                 f"log{where}")
        return FAILED


def in_words(error: DeepGMMError) -> str:
    """An error's message with its slices as a person counts them."""
    from deepgmm.study.levels import Numbering

    said = (error.numbering or Numbering()).in_words(str(error))
    return str(said)


def _help_of(arguments: list[str]) -> str:
    named = [a for a in arguments[:1] if a in COMMANDS]
    parts = [a for a in arguments[1:2] if named and a in PARTS.get(named[0], ())]
    return " ".join(["deepgmm", *named, *parts, "--help"])


def _say(text: str) -> None:
    print(f"deepgmm: error: {' '.join(text.split())}", file=sys.stderr)


@contextmanager
def _terminable() -> Iterator[None]:
    """A polite request to end is an interruption, so that half-written files are removed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
