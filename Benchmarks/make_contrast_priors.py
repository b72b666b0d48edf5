"""Make the shipped contrast priors: what tissues look like on ten labelled phantom patients.

    python Benchmarks/make_contrast_priors.py                   prints the tables
    python Benchmarks/make_contrast_priors.py --write           and rewrites deepgmm/data/priors
    python Benchmarks/make_contrast_priors.py --write FOLDER    or writes the files elsewhere

The numbers are `deepgmm.identify.estimate`'s, as `deepgmm priors` makes them from labelled cases.
On magnitude and PSIR LGE the pool and the scar of real patients lie as measured on two real
examinations, in the same units: blood +0.2 to +0.45, scar +0.4, healthy wall -0.35 to -0.5; the
phantom's numbers are averaged with those. The `unknown` files join all kinds of a role.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import common  # noqa: F401  finds the library
import numpy as np

from deepgmm.identify.contrast import SHIPPED
from deepgmm.identify.estimate import Contrast, contrasts, entry, rounded, summary
from deepgmm.phantom import make_patient
from deepgmm.study.words import FOUR_TISSUES, Kind, Role, Tissue

SEEDS = range(9000, 9010)
REAL_LGE = {Tissue.BLOOD: 0.32, Tissue.MYOCARDIUM: -0.43, Tissue.EDEMA: -0.35, Tissue.SCAR: 0.40}
Seen = list[dict[Tissue, Contrast]]


def measured(kind: Kind) -> Seen:
    """What every patient's tissues look like on this kind."""
    assert kind.role is not None
    patients = (make_patient(seed, kinds={kind.role: kind}) for seed in SEEDS)
    return [contrasts(patient.study, patient.truth)[kind.value] for patient in patients]


def content_of(name: str, seen: Seen, real: dict[Tissue, float] | None) -> dict[str, Any]:
    """One prior file."""
    source = f"{len(SEEDS)} phantom patients with their labels, spread between patients widened"
    rows = {}
    for tissue in FOUR_TISSUES:
        mean, spread, stray = summary(tissue, [found[tissue] for found in seen if tissue in found])
        if real is not None:
            stray = float(np.hypot(stray, (mean - real[tissue]) / 2))
            mean = (mean + real[tissue]) / 2
        rows[tissue] = rounded((mean, spread, stray))
    if real is not None:
        source += "; averaged with two real LGE examinations"
    return entry(name, source, rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", nargs="?", type=Path, const=SHIPPED, metavar="FOLDER",
                        help="write the files: the shipped ones, or into another folder")
    folder = parser.parse_args().write
    by_role: dict[Role, Seen] = {role: [] for role in Role}
    contents = []
    for kind in Kind:
        if kind.role is None:
            continue
        seen = measured(kind)
        by_role[kind.role] += seen
        real = REAL_LGE if kind in (Kind.LGE_MAGNITUDE, Kind.LGE_PSIR) else None
        contents.append(content_of(kind.value, seen, real))
    contents += [content_of(f"{role.value}-unknown", seen, None) for role, seen in by_role.items()]
    for content in contents:
        print(f"\n{content['kind']} ({content['source']})\n\n| tissue | mean | sd | mean_sd |\n"
              "| --- | --- | --- | --- |")
        for name, row in content["tissues"].items():
            print(f"| {name} | {row['mean']} | {row['sd']} | {row['mean_sd']} |")
        if folder is not None:
            path = folder / f"{content['kind']}.json"
            path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
