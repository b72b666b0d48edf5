"""What workers do in tests of a cohort's engine: quick, and of known ends."""

from __future__ import annotations

import os
import time

from deepgmm.jobs.cohort.records import (
    RECORD,
    encoded,
    hashes_of,
    new_record,
    place_of,
    stamp_of,
)
from deepgmm.jobs.cohort.work import Batch, Outcome


def stub(batch: Batch) -> list[Outcome]:
    """Each case has a record at its end; names say what happens before that.

    "poison" ends the process; "hog" takes two gigabytes, a little at a time, and lives if nobody
    minds; "slow" takes half a second, others a hundredth. Beside the output
    every beginning of a case is counted.
    """
    outcomes = []
    for case in batch.cases:
        with (batch.out.parent / "begun.txt").open("a") as stream:
            stream.write(f"{case.name}\n")
        if "poison" in case.name:
            os._exit(9)
        if "hog" in case.name:
            held = []
            while len(held) < 40:
                held.append(b"x" * 50_000_000)
                time.sleep(0.05)
        time.sleep(0.5 if "slow" in case.name else 0.01)
        place = place_of(batch.out, case.pseudonym)
        place.mkdir(parents=True, exist_ok=True)
        (place / "made.txt").touch()
        record = new_record(case, batch.plan.key, batch.run, stamp=stamp_of(case),
                            inputs=hashes_of(case), files=["made.txt"], row={}, warnings=[],
                            look={"uncertainty": 0.0, "confidence": None}, agreement={},
                            worker=os.getpid(), alone=len(batch.cases) == 1)
        (place / RECORD).write_bytes(encoded(record))
        outcomes.append(Outcome(case.pseudonym))
    return outcomes
