"""However a worker or its owner dies: a plain message, a new worker, no orphan, no half result."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from processes import alive, children_of, ends, needs_proc
from workers import LIMIT, ODD, STARTED, do, polled, the, until, until_said

from deepgmm import Settings, segment
from deepgmm.jobs.client import MOST_DEATHS, Cancelled, Done, Failed, Progress, Ready, State, Worker
from deepgmm.jobs.tasks import segment_request, segmented
from deepgmm.phantom import make_patient

pytestmark = needs_proc

#: Fits of some seconds; the first says often how far it is, the other seldom.
EM = Settings(method="svgmm", restarts=20)
LONG = Settings(method="deepg", preset="accurate")


@pytest.fixture(scope="module")
def a_study():
    return make_patient(1001, slices=1).study


@pytest.fixture(scope="module", params=STARTED)
def a_worker_shared(request: pytest.FixtureRequest) -> Iterator[Worker]:
    """A real one, direct and behind a launcher."""
    worker = Worker(STARTED[request.param])
    worker.start()
    yield worker
    pids = [worker.pid, *children_of(os.getpid())]
    worker.close()
    assert all(map(ends, pids))


@pytest.fixture
def a_worker(a_worker_shared: Worker) -> Worker:
    """The shared one, idle and warm."""
    if a_worker_shared.state is not State.IDLE:
        until(a_worker_shared, Ready)
    return a_worker_shared


@pytest.fixture
def a_light_worker(request: pytest.FixtureRequest) -> Iterator[Worker]:
    """One that loads nothing, to be killed."""
    worker = Worker([*STARTED[getattr(request, "param", "direct")], "light"])
    yield worker
    worker.close()


def amid_a_fit(worker: Worker, study) -> int:
    """The job, with EM or network at work."""
    number = worker.submit("segment", *segment_request(study, LONG))
    while until(worker, Progress).fraction == 0:
        pass
    return number


def assert_it_works(worker: Worker, study) -> None:
    """It gives what the library itself gives."""
    number = worker.submit("segment", *segment_request(study))
    done = until(worker, Done)
    answer = segmented(done.header, done.arrays, study)
    expected = segment(study)
    assert done.job == number
    np.testing.assert_array_equal(answer.result.labels, expected.labels)
    np.testing.assert_allclose(answer.result.posterior, expected.posterior, atol=1e-6)
    assert answer.result.study.sequences.keys() == study.sequences.keys()
    assert answer.result.volume_interval("scar") == pytest.approx(expected.volume_interval("scar"))


def test_apply_gives_what_the_library_gives(a_worker: Worker, a_study) -> None:
    assert_it_works(a_worker, a_study)
    machine = a_worker.machine
    assert machine["missing"] == "" and machine["torch"] and machine["threads"] >= 1
    assert machine["devices"][0]["id"] == "cpu" and machine["devices"][0]["memory"] > 2**30


def test_an_input_at_fault_is_said_as_it_is(a_worker: Worker, a_study) -> None:
    number = a_worker.submit("segment", *segment_request(
        a_study, Settings(device="mps" if sys.platform != "darwin" else "cuda")))
    failed = until(a_worker, Failed)
    assert (failed.job, failed.kind) == (number, "input") and "was found" in failed.message


def test_cancelled_at_any_moment_nothing_comes_of_it(a_worker: Worker, a_study) -> None:
    """Some of them perhaps while a new worker starts."""
    moments = random.Random(5)
    for turn in range(20):
        if a_worker.state is State.STARTING and turn % 5:
            until(a_worker, Ready)
        number = a_worker.submit("segment", *segment_request(a_study, EM if turn % 10 else LONG))
        moment, events = time.monotonic() + moments.uniform(0, 0.5), []
        while time.monotonic() < moment:
            events += a_worker.poll()
        if any(isinstance(event, Done) for event in events):
            continue
        pid = a_worker.pid
        a_worker.cancel()
        events += polled(a_worker, Cancelled)
        assert the(Cancelled, events).job == number
        assert not any(isinstance(event, (Done, Failed)) for event in events)
        assert a_worker.state in (State.IDLE, State.STARTING)
        assert pid in (None, a_worker.pid) or ends(pid)
    assert_it_works(a_worker, a_study)


def test_killed_amid_a_fit_a_new_one_takes_over(a_worker: Worker, a_study) -> None:
    others = children_of(os.getpid())
    number, pid = amid_a_fit(a_worker, a_study), a_worker.pid
    os.kill(pid, signal.SIGKILL)
    events = polled(a_worker, Failed)
    failed = the(Failed, events)
    assert (failed.job, failed.kind) == (number, "crash")
    assert failed.message == (
        "the background process ended; it was killed: perhaps memory ran out. Close other "
        "programs or leave slices out, and try again")
    assert a_worker.state is State.STARTING and not any(alive(p) for p in others if p == pid)
    assert "the worker ended, status" in until_said(a_worker, "status", events)
    assert_it_works(a_worker, a_study)
    assert a_worker.pid != pid


@pytest.mark.skipif(sys.platform != "linux", reason="a limit of address space is kept by Linux")
def test_where_memory_is_exhausted_it_says_so_and_stays(a_worker: Worker, a_study) -> None:
    header, arrays = segment_request(make_patient(1002, slices=12).study)
    number, pid = do(a_worker, "exhaust", header, arrays), a_worker.pid
    failed = until(a_worker, Failed)
    assert failed == Failed(number, "memory",
                            "not enough memory: close other programs, or leave slices out")
    assert_it_works(a_worker, a_study)
    assert a_worker.pid == pid


@pytest.mark.skipif(sys.platform != "linux", reason="a limit of address space is kept by Linux")
def test_a_study_too_large_to_be_taken_in_fails_plainly(a_light_worker: Worker) -> None:
    do(a_light_worker, "limit")
    until(a_light_worker, Done)
    number = do(a_light_worker, "echo", {}, {"a": np.zeros(1 << 28, np.uint8)})
    failed = until(a_light_worker, Failed)
    assert (failed.job, failed.kind) == (number, "memory")
    do(a_light_worker, "echo")
    until(a_light_worker, Done)


@pytest.mark.parametrize("started", STARTED)
@pytest.mark.parametrize("task", ["work", "deaf"])
def test_where_its_owner_is_killed_the_worker_ends(started: str, task: str) -> None:
    assert_it_follows([*STARTED[started], "light"], f"do(worker, {task!r})")


@pytest.mark.parametrize("started", STARTED)
def test_where_its_owner_is_killed_amid_a_fit_the_worker_ends(started: str) -> None:
    assert_it_follows(STARTED[started], """
from deepgmm.jobs.tasks import segment_request
from deepgmm.phantom import make_patient
from deepgmm import Settings
worker.submit("segment", *segment_request(make_patient(1001, slices=1).study,
                                          Settings(method="deepg", preset="accurate")))""")


def assert_it_follows(command: list[str], work: str) -> None:
    """Kill a process that has such a worker with a job; nothing that it started may stay."""
    program = f"""
import os, sys, time
sys.path.insert(0, {str(Path(__file__).parent)!r})
from workers import Worker, do, until
from deepgmm.jobs.client import Progress
worker = Worker({command!r})
{work}
until(worker, Progress)
print(worker.pid, flush=True)
while True:
    worker.poll()
"""
    owner = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    try:
        assert owner.stdout is not None
        pids = [int(owner.stdout.readline()), *children_of(owner.pid)]
        assert all(map(alive, pids))
    finally:
        owner.kill()
        owner.wait()
        owner.stdout.close()
    assert all(map(ends, pids))


@pytest.mark.parametrize("a_light_worker", STARTED, indirect=True)
def test_killed_in_any_way_the_job_fails_plainly(a_light_worker: Worker) -> None:
    worker = a_light_worker
    for task, header in (("die", {"status": 0}), ("die", {"status": 3}), ("fault", {}),
                         ("garbage", {})):
        number = do(worker, task, header)
        events = polled(worker, Failed)
        failed = the(Failed, events)
        assert (failed.job, failed.kind) == (number, "crash"), task
        assert failed.message == "the background process ended; try again; the log says more"
    do(worker, "echo")
    until(worker, Done)


def test_where_a_fault_of_memory_ended_it_the_log_says_where(a_light_worker: Worker) -> None:
    do(a_light_worker, "fault")
    said = until_said(a_light_worker, "the worker ended", polled(a_light_worker, Failed))
    assert "Segmentation fault" in said and 'standins/odd_worker.py", line' in said
    assert str(Path(ODD).parent) not in said


def test_killed_while_idle_a_new_one_comes_but_not_for_ever(a_light_worker: Worker) -> None:
    worker = a_light_worker
    worker.start()
    pids = []
    for _ in range(MOST_DEATHS):
        until(worker, Ready)
        pids.append(worker.pid)
        os.kill(worker.pid, signal.SIGKILL)
        began = time.monotonic()
        while worker.state is State.IDLE:
            assert time.monotonic() - began < LIMIT
            worker.poll()
    assert len(set(pids)) == MOST_DEATHS and worker.state is State.STOPPED
    do(worker, "echo")
    until(worker, Done)


@pytest.mark.parametrize("a_light_worker", ["by a launcher"], indirect=True)
def test_a_launcher_that_is_killed_takes_nothing_along(a_light_worker: Worker) -> None:
    """The worker's pipes are whole, so its job is done; the end comes as ever."""
    worker, others = a_light_worker, children_of(os.getpid())
    number = do(worker, "work", {"steps": 300})
    until(worker, Progress)
    pid = worker.pid
    (launcher,) = set(children_of(os.getpid())) - set(others)
    assert launcher != pid
    os.kill(launcher, signal.SIGKILL)
    assert until(worker, Done).job == number
    worker.close()
    assert ends(pid)
