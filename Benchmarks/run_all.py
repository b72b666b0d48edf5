"""Run every benchmark, one after the other, and write `Docs/measurements.md`.

    python Benchmarks/run_all.py                  (`make benchmarks`)
    python Benchmarks/run_all.py --quick          a small setting of each, to see that all run
    python Benchmarks/run_all.py --only sunnybrook em_speed --output some.md
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from common import BARS, LIBRARY, ROOT, run, table


@dataclass(frozen=True)
class Command:
    """A benchmark: its file, its title in the document, and its words."""

    name: str
    title: str
    words: tuple[str, ...] = ()
    quick: tuple[str, ...] = ()

    def line(self, quick: bool) -> list[str]:
        return [f"Benchmarks/{self.name}.py", *(self.quick if quick else self.words)]


COMMANDS = (
    Command("real_lge", "Accuracy on real LGE", words=("--methods", "auto,pretrained,map"),
            quick=("--patients", "1", "--methods", "auto")),
    Command("real_lge_folds", "What was chosen on real patients, scored on others",
            words=("--threads", "1"),
            quick=("--patients", "6", "--short")),
    Command("real_lge_training", "What a site's own labels add on real LGE",
            words=("--threads", "1", "--steps", "200"),
            quick=("--threads", "1", "--steps", "2", "--folds", "1")),
    Command("real_lge_place", "Free mixtures with place on real LGE",
            words=("--threads", "1"), quick=("--patients", "1", "--rows", "gmm")),
    Command("reference_methods", "Reference methods on real LGE", quick=("--patients", "2")),
    Command("numbers_speed", "Numbers and reports: how exact, how quick",
            quick=("--runs", "1", "--places", "1")),
    Command("calibrate_lge", "Is the phantom's LGE like real LGE?", quick=("--patients", "2")),
    Command("segment_command", "The command: time and memory", quick=("--runs", "1")),
    Command("import_speed", "Importing an examination",
            quick=("--runs", "1", "--files", "600", "--listed", "600")),
    Command("scaling", "From 5 slices to 500",
            quick=("--slices", "5", "--repeats", "1")),
    Command("phantom_accuracy", "Accuracy on the phantom", quick=("--patients", "2")),
    Command("phantom_makes", "Phantoms of three makes", words=("--methods", "auto"),
            quick=("--patients", "1", "--sets", "typical", "--makes", "own")),
    Command("ablation", "What each term brings",
            quick=("--patients", "1", "--small", "1")),
    Command("absence", "When a disease is reported absent", quick=("--patients", "1")),
    Command("sequences", "Any set of sequences", quick=("--patients", "1")),
    Command("uncertainty", "Uncertainty", quick=("--patients", "1")),
    Command("refine", "Corrections that teach the model",
            words=("--threads", "1", "--methods", "auto", "--patients", "20", "--makes",
                   "own,second,third", "--brief"),
            quick=("--patients", "1", "--makes", "own", "--sets", "typical", "--methods", "map",
                   "--real", "0", "--brief", "--no-doors")),
    Command("refine", "Corrections that teach `map`",
            words=("--threads", "1", "--methods", "map", "--patients", "5", "--makes",
                   "own,second,third", "--brief", "--no-doors"),
            quick=("--patients", "1", "--makes", "own", "--sets", "healthy", "--methods", "map",
                   "--real", "0", "--brief", "--no-doors")),
    Command("refine_bound", "What a done slice can foretell",
            words=("--threads", "1", "--makes="),
            quick=("--patients", "2", "--makes", "own", "--sets", "typical", "--real", "0")),
    Command("where_next", "Where to look next", words=("--threads", "1"),
            quick=("--patients", "1", "--makes", "own", "--sets", "typical", "--method", "map",
                   "--real", "0")),
    Command("alignment", "Alignment", quick=("--patients", "1")),
    Command("sunnybrook", "Accuracy on real bSSFP", quick=("--patients", "1")),
    Command("mask_proposal", "The LV mask proposed",
            words=("--threads", "1", "--phantoms", "8", "--chests", "24", "--places", "50",
                   "--beyond", "50"),
            quick=("--phantoms", "1", "--chests", "1", "--emidec", "none")),
    Command("outline_sweeps", "The LV mask proposed: turned, brighter, coarser, shaded",
            words=("--threads", "1", "--rows", "turned,brightness,pixels,slices,shading"),
            quick=("--emidec", "none", "--chests", "0", "--rows", "slices")),
    Command("outline_sweeps", "The LV mask proposed: cut, noisy, at other phases, and no heart",
            words=("--threads", "1", "--rows", "noise,cut,phase,nothing", "--empty", "4"),
            quick=("--emidec", "none", "--chests", "0", "--rows", "nothing", "--empty", "1")),
    Command("proposal_across", "The LV mask proposed across breath-holds",
            words=("--threads", "1"), quick=("--patients", "1")),
    Command("outline_worth", "What an outline is worth", quick=("--rows", "0,proposed")),
    Command("pretrained_speed", "The shipped network: times", quick=("--runs", "1")),
    Command("worker_speed", "The background process: times", quick=("--runs", "1")),
    Command("cohort", "Cohorts: time, memory, deaths",
            words=("--cases", "160", "--many", "300", "--kills", "20"),
            quick=("--cases", "4", "--many", "10")),
    Command("panel_speed", "The Slicer panel: times", quick=("--runs", "1", "--patients", "3")),
    Command("learning", "Networks trained on many studies",
            quick=("--patients", "1", "--seeds", "1", "--steps", "3", "--cohort", "2",
                   "--home-steps", "3")),
    Command("partial_labels", "What the mixture loss adds to few labels",
            quick=("--patients", "1", "--seeds", "1", "--steps", "3")),
    Command("brain", "Brains of IBSR18", words=("--threads", "1", "--ibsr", "IBSR18")),
    Command("brain_networks", "Brains of IBSR18: an atlas deformed in one pass",
            words=("--threads", "1", "--ibsr", "IBSR18", "--only", "atlas"),
            quick=("--cases", "2", "--spacing", "5", "--steps", "2", "--only", "atlas")),
    Command("brain_networks", "Brains of IBSR18: networks of slices",
            words=("--threads", "1", "--ibsr", "IBSR18", "--only", "slices"),
            quick=("--cases", "2", "--spacing", "5", "--steps", "2", "--only", "slices",
                   "--tables", "0.5", "--table-steps", "2")),
    Command("deep_presets", "deepsvg: `fast` against `paper`",
            quick=("--slices", "1", "--seeds", "1", "--without-deepg")),
    Command("batched_networks", "One network a slice: ways of batching",
            quick=("--slices", "1", "--repeats", "1")),
    Command("em_speed", "EM against scikit-learn", quick=("--slices", "2", "--repeats", "1")),
    Command("calibrate_brain_phantom", "Is the brain phantom as hard as IBSR18?",
            quick=("--seeds", "1", "--spacing", "3")),
    Command("calibrate_phantom", "Is the phantom as hard as patients?",
            words=("--first-seed", "1000", "--network"),
            quick=("--patients", "2")),
)


#: Libraries that were measured before automatic was a network of lifelike patients.
BEFORE_LIFELIKE = ("5355d00c5dc8", "4f7fe6b7ed88", "f47407bff44c", "d95f170242e9", "8f80b0ccb69a",
                   "c073acfec5d0", "ec799bd861fc")
EARLIER = ("**Measured on an earlier library: default and `auto` are `map` as it was, and the "
           "shipped network is the one before.**\n\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a small setting of each")
    parser.add_argument("--only", nargs="+", choices=[c.name for c in COMMANDS],
                        help="these alone; the document's other sections stay")
    parser.add_argument("--output", type=Path, default=ROOT / "Docs" / "measurements.md")
    options = parser.parse_args()
    chosen = [c for c in COMMANDS if not options.only or c.name in options.only]
    sections = {} if options.quick else kept(options.output)
    failed = []
    for command in chosen:
        line = command.line(options.quick)
        absent = [line[at + 1] for at, word in enumerate(line[:-1])
                  if word == "--ibsr" and not (ROOT / line[at + 1]).is_dir()]
        if absent and command.title in sections:
            print(f"{command.name}: no folder {absent[0]}; its section stays as it was",
                  file=sys.stderr)
            continue
        print(f"{' '.join(line)} ...", file=sys.stderr, flush=True)
        began = time.perf_counter()
        said, error = printed(line)
        if error:
            failed.append(command.name)
            print(error, file=sys.stderr)
            said += "\n**Did not finish.**"
        sections[command.title] = (
            f"`python {' '.join(line)}`\n\n{said.strip()}\n\n"
            f"Took {time.perf_counter() - began:.0f} s, on sources of digest `{digest()}`.\n")
        # written after each, so that a run that is stopped keeps what it has
        write(options.output, document(sections, options.quick))
    print(f"wrote {options.output.name}" + (f"; failed: {', '.join(failed)}" if failed else ""),
          file=sys.stderr)
    if failed:
        raise SystemExit(1)


def kept(path: Path) -> dict[str, str]:
    """The sections of a document made before, by title."""
    if not path.is_file():
        return {}
    known = {c.title for c in COMMANDS}
    parts = path.read_text(encoding="utf-8").split("\n## ")[1:]
    sections = dict(part.split("\n", 1) for part in parts)
    return {title: text for title, text in sections.items() if title in known}


def printed(line: list[str]) -> tuple[str, str]:
    """What a command prints, and its traceback where it did not come to its end."""
    environment = {k: v for k, v in os.environ.items() if k != "OMP_NUM_THREADS"}
    environment["PYTHONPATH"] = str(LIBRARY)
    done = subprocess.run([sys.executable, *line], cwd=ROOT, env=environment,
                          capture_output=True, text=True)
    # the calibration's status 1 is a verdict, as its table says
    crashed = done.returncode not in (0, 1) or "Traceback" in done.stderr or not done.stdout
    return done.stdout, (done.stderr or f"exit status {done.returncode}") if crashed else ""


def bars_in(text: str) -> list[list[str]]:
    """The rows of every table of bars in a command's output."""
    rows, inside = [], False
    for line in text.splitlines():
        cells = [c.strip() for c in line.strip("| ").split("|")]
        if tuple(cells) == BARS:
            inside = True
        elif not line.startswith("|"):
            inside = False
        elif inside and set(cells[0]) != {"-"}:
            rows.append(cells)
    return rows


def dated(sections: dict[str, str]) -> dict[str, str]:
    """The sections, with a line above those of an earlier default."""
    found = {}
    for title, text in sections.items():
        text = text.replace(EARLIER, "")
        old = any(f"digest `{one}`" in text for one in BEFORE_LIFELIKE)
        found[title] = (EARLIER if old else "") + text
    return found


def document(sections: dict[str, str], quick: bool) -> str:
    sections = dated(sections)
    small = "**A small setting, to see that all commands run: no figure to quote.**\n\n"
    titles = [c.title for c in COMMANDS if c.title in sections]
    checks = [[row[0] + (" (earlier default)" if sections[title].startswith(EARLIER) else ""),
               *row[1:]] for title in titles for row in bars_in(sections[title])]
    return ("# Measurements\n"
            "Made by `make benchmarks`; not edited by hand. What each command measures, and how "
            "long it takes, is in `Benchmarks/README.md`. Figures are of one machine; each section "
            "names the library it measured by the SHA-256 digest of its sources.\n\n"
            + (small if quick else "") + "## Bars\n" + table(BARS, checks)
            + "".join(f"\n## {title}\n{sections[title]}" for title in titles))


def digest() -> str:
    """Of the library's sources and priors, so that a reader sees what was measured."""
    total = hashlib.sha256()
    for file in sorted((LIBRARY / "deepgmm").rglob("*")):
        if file.suffix in (".py", ".json"):
            total.update(file.relative_to(LIBRARY).as_posix().encode() + file.read_bytes())
    return total.hexdigest()[:12]


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".part")
    beside.write_text(text, encoding="utf-8")
    os.replace(beside, path)


if __name__ == "__main__":
    run(main)
