"""Make the shipped contrast priors: what tissues look like on ten labelled phantom patients.

    python Benchmarks/make_contrast_priors.py            prints the tables
    python Benchmarks/make_contrast_priors.py --write    and rewrites deepgmm/data/priors

Each number is the median over the patients; spreads between patients are widened by half, since
a phantom varies less than scanners do, and never fall below 0.12 (0.3 for edema and scar, whose
contrast depends on the age of the infarct). On magnitude and PSIR LGE the
pool and the scar of real patients lie as measured on two real examinations, in the same units:
blood +0.2 to +0.45, scar +0.4, healthy wall -0.35 to -0.5; the phantom's numbers are averaged
with those. The `unknown` files join all kinds of a role.
"""

from __future__ import annotations

import argparse
import json

import numpy as np

from deepgmm.identify.contrast import SHIPPED
from deepgmm.study.normalisation import normalise
from deepgmm.study.phantom import make_patient
from deepgmm.study.words import Kind, Role, Tissue

SEEDS = range(9000, 9010)
TISSUES = (Tissue.BLOOD, Tissue.MYOCARDIUM, Tissue.EDEMA, Tissue.SCAR)
REAL_LGE = {Tissue.BLOOD: 0.32, Tissue.MYOCARDIUM: -0.43, Tissue.EDEMA: -0.35, Tissue.SCAR: 0.40}
UNITS = "normalised: -1 and 1 are the 2nd and 98th percentile inside the LV mask, per study"
Numbers = dict[Tissue, list[tuple[float, float]]]


def measured(kind: Kind) -> Numbers:
    """(mean, sd) of every tissue on this kind, patient by patient."""
    role = kind.role
    assert role is not None
    found: Numbers = {t: [] for t in TISSUES}
    for seed in SEEDS:
        patient = make_patient(seed, kinds={role: kind})
        slices = patient.study.slices
        images, _ = normalise(patient.study, slices)
        values = images[:, patient.study.roles.index(role)]
        truth = patient.truth[list(slices)]
        for tissue in TISSUES:
            # medians, since partial volume and papillary muscle lie between the tissues
            pixels = values[truth == tissue]
            if len(pixels) > 20:
                spread = np.subtract(*np.percentile(pixels, (75, 25))) / 1.349
                found[tissue].append((float(np.median(pixels)), float(spread)))
    return found


def entry(kind: str, numbers: Numbers, real: dict[Tissue, float] | None) -> dict:
    """One prior file."""
    source = f"{len(SEEDS)} phantom patients with their labels, spread between patients widened"
    tissues = {}
    for tissue in TISSUES:
        means, deviations = np.array(numbers[tissue]).T
        floor = 0.12 if tissue in (Tissue.BLOOD, Tissue.MYOCARDIUM) else 0.3
        mean, stray = float(np.median(means)), max(1.5 * float(np.std(means)), floor)
        if real is not None:
            stray = float(np.hypot(stray, (mean - real[tissue]) / 2))
            mean = (mean + real[tissue]) / 2
        tissues[tissue.name.lower()] = {
            "mean": round(mean, 2), "sd": round(max(float(np.median(deviations)), 0.15), 2),
            "mean_sd": round(stray, 2)}
    if real is not None:
        source += "; averaged with two real LGE examinations"
    return {"kind": kind, "units": UNITS, "source": source, "tissues": tissues}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="rewrite the shipped files")
    write = parser.parse_args().write
    by_role: dict[Role, Numbers] = {role: {t: [] for t in TISSUES} for role in Role}
    entries = []
    for kind in Kind:
        if kind.role is None:
            continue
        numbers = measured(kind)
        for tissue in TISSUES:
            by_role[kind.role][tissue] += numbers[tissue]
        real = REAL_LGE if kind in (Kind.LGE_MAGNITUDE, Kind.LGE_PSIR) else None
        entries.append(entry(kind.value, numbers, real))
    entries += [entry(f"{role.value}-unknown", numbers, None) for role, numbers in by_role.items()]
    for content in entries:
        print(f"\n{content['kind']} ({content['source']})\n\n| tissue | mean | sd | mean_sd |\n"
              "| --- | --- | --- | --- |")
        for name, row in content["tissues"].items():
            print(f"| {name} | {row['mean']} | {row['sd']} | {row['mean_sd']} |")
        if write:
            path = SHIPPED / f"{content['kind']}.json"
            path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
