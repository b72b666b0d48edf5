"""The worker and its client: jobs, progress, cancelling, and starts that fail."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from processes import children_of, ends, needs_proc
from test_floors import heavy_packages_loaded_by
from workers import LIMIT, ODD, STARTED, do, polled, the, until, until_said

import deepgmm
from deepgmm.jobs import client
from deepgmm.jobs.client import Cancelled, Done, Failed, Progress, Ready, Said, State, Worker
from deepgmm.jobs.protocol import ProtocolError
from deepgmm.phantom import make_patient


@pytest.fixture(scope="module", params=STARTED)
def a_worker_shared(request: pytest.FixtureRequest) -> Iterator[Worker]:
    """One that loads nothing, direct and behind a launcher."""
    worker = Worker([*STARTED[request.param], "light"])
    worker.start()
    until(worker, Ready)
    yield worker
    worker.close()


@pytest.fixture
def a_worker(a_worker_shared: Worker) -> Worker:
    """The shared one, idle."""
    if a_worker_shared.state is State.STARTING:
        until(a_worker_shared, Ready)
    assert a_worker_shared.state is State.IDLE
    return a_worker_shared


@pytest.fixture
def a_starter() -> Iterator:
    """Makes workers of a test's own, and ends them."""
    made: list[Worker] = []

    def make(*command: str, **options) -> Worker:
        made.append(Worker(command or [sys.executable, ODD, "light"], **options))
        return made[-1]

    yield make
    for worker in made:
        worker.close()


def test_a_job_is_done(a_worker: Worker) -> None:
    arrays = {"a": np.arange(6, dtype=np.int16).reshape(2, 3), "b": np.ones(())}
    number = do(a_worker, "echo", {"word": "caf\u00e9", "n": float("inf")}, arrays)
    assert a_worker.state is State.BUSY
    done = until(a_worker, Done)
    assert a_worker.state is State.IDLE
    assert (done.job, done.header) == (number, {"word": "caf\u00e9", "n": float("inf")})
    assert {name: a.tolist() for name, a in done.arrays.items()} == {
        name: a.tolist() for name, a in arrays.items()}
    assert done.arrays["a"].dtype == np.int16


def test_one_job_at_a_time(a_worker: Worker) -> None:
    do(a_worker, "work", {"steps": 3})
    with pytest.raises(RuntimeError, match="a job in hand"):
        do(a_worker, "echo")
    until(a_worker, Done)
    assert do(a_worker, "echo") == until(a_worker, Done).job


def test_progress_comes_in_order_and_tells_the_time_left(a_starter) -> None:
    now = [0.0]
    worker = a_starter(clock=lambda: now[0])
    number = do(worker, "work", {"steps": 200})
    seen: list[Progress] = []
    while not seen or seen[-1].fraction < 0.5:
        seen.append(until(worker, Progress))
        now[0] += 4.0
    assert {p.job for p in seen} == {number} and seen[-1].stage == "working"
    assert [p.fraction for p in seen] == sorted(p.fraction for p in seen)
    assert seen[0].seconds_left is None
    last = seen[-1]
    assert last.seconds_left == pytest.approx(
        4.0 * (len(seen) - 1) * (1 - last.fraction) / last.fraction)


def test_what_libraries_print_is_for_the_log(a_worker: Worker) -> None:
    """It breaks nothing, is not taken for an answer, and names no file."""
    do(a_worker, "chatter", {}, {"a": np.arange(1000)})
    events = polled(a_worker, Done)
    done = the(Done, events)
    assert done.header == {"heard": ""}  # and nobody but us reads what comes in
    np.testing.assert_array_equal(done.arrays["a"], np.arange(1000))
    said = until_said(a_worker, "at last", events)
    assert "printed" in said and "written past Python" in said and "by a child" in said
    assert "cannot open <path>" in said and "Smith" not in said


def test_an_error_inside_is_one_plain_line_and_the_log_has_the_rest(a_worker: Worker) -> None:
    pid = a_worker.pid
    number = do(a_worker, "fail")
    events = polled(a_worker, Failed)
    assert the(Failed, events) == Failed(
        number, "computation",
        "the computation failed (ZeroDivisionError): please report it with the log")
    said = until_said(a_worker, "ZeroDivisionError: of", events)
    assert "Traceback" in said and "ZeroDivisionError: of <path>" in said
    assert str(Path(ODD).parents[1]) not in said and "standins/odd_worker.py" in said
    do(a_worker, "echo")
    until(a_worker, Done)
    assert a_worker.pid == pid


def test_cancelled_a_job_comes_to_nothing_and_the_worker_stays(a_worker: Worker) -> None:
    pid = a_worker.pid
    number = do(a_worker, "work")
    until(a_worker, Progress)
    a_worker.cancel()
    assert a_worker.state is State.CANCELLING
    a_worker.cancel()
    events = polled(a_worker, Cancelled)
    assert events == [Cancelled(number)]
    assert (a_worker.state, a_worker.pid) == (State.IDLE, pid)
    a_worker.cancel()
    do(a_worker, "echo")
    assert not any(isinstance(e, Cancelled) for e in polled(a_worker, Done))


def test_an_answer_that_crosses_the_cancel_is_dropped(a_worker: Worker) -> None:
    for _ in range(5):
        number = do(a_worker, "echo")
        a_worker.cancel()
        assert until(a_worker, Cancelled) == Cancelled(number)
    time.sleep(0.05)
    assert [e for e in a_worker.poll() if not isinstance(e, Said)] == []


@needs_proc
@pytest.mark.parametrize("started", STARTED)
def test_one_that_does_not_listen_is_killed_after_half_a_second(a_starter, started: str) -> None:
    now, others = [0.0], children_of(os.getpid())
    worker = a_starter(*STARTED[started], "light", clock=lambda: now[0])
    number = do(worker, "hang")
    until(worker, Progress)
    pid = worker.pid
    launchers = [child for child in children_of(os.getpid()) if child not in others]
    worker.cancel()
    now[0] = client.PATIENCE - 0.01
    for _ in range(20):
        assert worker.poll() == []
    now[0] = client.PATIENCE
    assert worker.poll()[0] == Cancelled(number)
    assert worker.state is State.STARTING  # a new one, ahead
    assert ends(pid) and all(map(ends, launchers))
    do(worker, "echo")
    until(worker, Done)
    assert worker.pid != pid


def test_a_job_given_while_it_starts_waits_for_nothing_but_the_start(a_starter) -> None:
    worker = a_starter(sys.executable, ODD, "slow")
    assert worker.state is State.STOPPED
    number = do(worker, "echo")
    assert worker.state is State.BUSY
    events = polled(worker, Done)
    assert [type(e) for e in events if not isinstance(e, Progress)] == [Ready, Done]
    assert the(Done, events).job == number


@needs_proc
def test_cancelled_before_the_process_has_come_up(a_starter) -> None:
    """It goes on coming up."""
    worker = a_starter()
    number = do(worker, "echo")
    worker.cancel()
    assert worker.state is State.STARTING and worker.poll() == [Cancelled(number)]
    others = children_of(os.getpid())
    do(worker, "echo")
    assert until(worker, Done).job == number + 1
    assert worker.pid in others


@needs_proc
def test_one_that_does_not_come_up_is_given_up(a_starter) -> None:
    now, others = [0.0], children_of(os.getpid())
    worker = a_starter(sys.executable, "-c", "import time; time.sleep(1000)",
                       clock=lambda: now[0])
    number = do(worker, "echo")
    (first,) = set(children_of(os.getpid())) - set(others)
    now[0] = client.START_LIMIT - 1
    assert worker.poll() == []
    now[0] = client.START_LIMIT
    failed = the(Failed, worker.poll())
    assert (failed.job, failed.kind) == (number, "crash")
    assert failed.message == ("the background process did not start in 3 minutes: try again; "
                              "the log says more")
    assert worker.state is State.STARTING and ends(first)


def test_cancelled_while_it_warms_the_worker_goes_on_warming(a_starter) -> None:
    worker = a_starter(sys.executable, ODD, "slow")
    worker.start()
    while worker.pid is None:
        worker.poll()
    pid = worker.pid
    number = do(worker, "echo")
    worker.cancel()
    events = polled(worker, Ready)
    assert [type(e) for e in events] == [Cancelled, Ready] and the(Cancelled, events).job == number
    assert [e for e in worker.poll() if not isinstance(e, Said)] == []
    assert (worker.pid, worker.state) == (pid, State.IDLE)


def test_one_that_ends_at_its_start_fails_the_job_and_is_not_started_for_ever(
        a_starter, tmp_path: Path) -> None:
    counted = tmp_path / "starts"
    line = f"open({str(counted)!r}, 'a').write('x'); raise SystemExit('why not')"
    worker = a_starter(sys.executable, "-c", line)
    number = do(worker, "echo")
    events = polled(worker, Failed)
    failed = the(Failed, events)
    assert (failed.job, failed.kind) == (number, "crash")
    assert failed.message == ("the background process ended before it was ready; try again; "
                              "the log says more")
    said = until_said(worker, "started again when", events)
    assert worker.state is State.STOPPED and counted.read_text() == "x" * client.MOST_DEATHS
    assert said.count("why not") == client.MOST_DEATHS
    assert worker.poll() == [] and worker.state is State.STOPPED
    do(worker, "echo")  # the user may want it all the same
    assert until(worker, Failed).kind == "crash"


def test_a_python_that_is_not_there_is_said(a_starter, tmp_path: Path) -> None:
    worker = a_starter(str(tmp_path / "no such python"))
    worker.start()
    assert worker.state is State.STOPPED
    assert [type(e) for e in worker.poll()] == [Said]
    number = do(worker, "echo")
    failed = until(worker, Failed)
    assert (failed.job, failed.kind) == (number, "crash")
    assert "could not be started" in failed.message and str(tmp_path) not in failed.message


def test_another_version_beside_this_one_is_said(a_starter) -> None:
    worker = a_starter(sys.executable, ODD, "light", "old")
    do(worker, "echo")
    failed = until(worker, Failed)
    assert failed.kind == "dependencies" and failed.message == (
        "another version of DeepGMM (0.0.1) was found beside this one "
        f"({deepgmm.__version__}): remove it")
    assert worker.state is State.STOPPED


def test_without_torch_a_job_says_so(a_starter) -> None:
    worker = a_starter(sys.executable, ODD, "bare")
    do(worker, "echo")
    events = polled(worker, Failed)
    failed = the(Failed, events)
    assert (failed.kind, failed.message) == (
        "dependencies", "torch is not installed: install it and try again")
    assert worker.machine["missing"] == failed.message and worker.machine["torch"] is None
    assert worker.machine["devices"][0]["id"] == "cpu"


def test_what_cannot_be_sent_is_refused_and_nothing_is_begun(a_worker: Worker) -> None:
    with pytest.raises(ProtocolError):
        do(a_worker, "echo", {"a": object()})
    assert a_worker.state is State.IDLE
    do(a_worker, "echo")
    until(a_worker, Done)


def test_closed_and_started_again(a_starter) -> None:
    worker = a_starter()
    do(worker, "work")
    until(worker, Progress)
    pid = worker.pid
    worker.close()
    assert worker.state is State.STOPPED and worker.poll() == [] and ends(pid)
    worker.close()
    do(worker, "echo")
    until(worker, Done)


@pytest.fixture
def a_window() -> Iterator[Callable]:
    """An event loop as Slicer's, which holds Python's lock while it waits: all others run while
    somebody polls, and at no other time."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1000.0)

    def turns_until(worker: Worker, wanted: type) -> tuple[int, object]:
        for turn in range(int(LIMIT / 0.03)):
            spun = time.perf_counter()
            while time.perf_counter() - spun < 0.03:
                pass
            for event in worker.poll():
                if isinstance(event, wanted):
                    return turn, event
        raise AssertionError(f"nothing of {wanted} came")

    yield turns_until
    sys.setswitchinterval(before)


def test_large_arrays_pass_where_only_polling_gives_up_pythons_lock(
        a_window: Callable, a_worker: Worker) -> None:
    values = np.random.default_rng(0).normal(size=(8, 512, 512))
    do(a_worker, "echo", {}, {"a": values})
    turns, done = a_window(a_worker, Done)
    np.testing.assert_array_equal(done.arrays["a"], values)
    assert turns < 200, "16 MB, twice"


def test_everything_works_where_only_polling_gives_up_pythons_lock(
        a_window: Callable, a_starter) -> None:
    worker = a_starter()
    number = do(worker, "chatter", {}, {"a": np.ones(1000)})
    assert a_window(worker, Done)[1].job == number
    do(worker, "work")
    a_window(worker, Progress)
    worker.cancel()
    assert a_window(worker, Cancelled)[1].job == number + 1
    do(worker, "hang")
    a_window(worker, Progress)
    worker.cancel()
    assert a_window(worker, Cancelled)[1].job == number + 2
    do(worker, "die", {"status": 1})
    assert a_window(worker, Failed)[1].job == number + 3
    a_window(worker, Ready)
    worker.close()


def test_no_thread_stays_behind(a_starter) -> None:
    before = threading.active_count()
    worker = a_starter()
    do(worker, "work")
    until(worker, Progress)
    assert threading.active_count() > before
    worker.close()
    began = time.monotonic()
    while threading.active_count() > before:
        assert time.monotonic() - began < LIMIT
        time.sleep(0.01)


def test_memory_is_given_back_after_a_while(a_starter) -> None:
    worker = a_starter(sys.executable, ODD, "idle")
    do(worker, "echo")
    until_said(worker, "memory given back", polled(worker, Done))
    do(worker, "echo")
    until(worker, Done)


def test_networks_are_let_go_with_the_memory() -> None:
    from deepgmm.jobs.machine import free_memory
    from deepgmm.methods.pretrained import _kept

    deepgmm.segment(make_patient(1001, slices=1).study, deepgmm.Settings(method="pretrained"))
    assert _kept.cache_info().currsize > 0
    free_memory()
    assert _kept.cache_info().currsize == 0


def test_whoever_speaks_to_a_worker_loads_nothing_heavy() -> None:
    assert heavy_packages_loaded_by("import deepgmm.jobs.client, deepgmm.jobs.tasks") == []
