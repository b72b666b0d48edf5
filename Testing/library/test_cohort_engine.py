"""The engine of a cohort on real Dask: workers that die, schedulers of others, Slurm, restarts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest

pytest.importorskip("distributed")
pytest.importorskip("cryptography")

from cohort_work import stub  # noqa: E402
from distributed.utils import LoopRunner  # noqa: E402
from processes import alive, children_of, ends, needs_proc  # noqa: E402

from deepgmm.errors import InputError  # noqa: E402
from deepgmm.jobs.cohort import clusters  # noqa: E402
from deepgmm.jobs.cohort.cases import Case  # noqa: E402
from deepgmm.jobs.cohort.clusters import connected  # noqa: E402
from deepgmm.jobs.cohort.engine import POISON  # noqa: E402
from deepgmm.jobs.cohort.records import record_of  # noqa: E402
from deepgmm.jobs.cohort.run import cohort  # noqa: E402
from deepgmm.jobs.cohort.where import Where, started  # noqa: E402

pytestmark = [needs_proc, pytest.mark.usefixtures("a_user")]
HERE = Path(__file__).parent


@pytest.fixture
def a_user(tmp_path, monkeypatch):
    """Whose salt is no real user's."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")

    def too_long(*_):
        raise AssertionError("it hangs")

    before = signal.signal(signal.SIGALRM, too_long)
    signal.alarm(180)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def begun(out: Path) -> Counter[str]:
    """How often work on each case has begun."""
    return Counter((out.parent / "begun.txt").read_text().split())


def some_cases(*names: str) -> list[Case]:
    return [Case(name) for name in names]


def test_deaths_of_workers(out):
    """A case that ends its worker is a failure after two deaths alone, and takes no other along;
    a worker that somebody kills costs nothing but time. One that takes more memory than it may is
    ended before it has all."""
    names = [f"c{i}" for i in range(8)] + ["slow", "poison", "d0", "d1", "hog"]
    ended = []

    def tell(event):
        if event["event"] != "case":
            return
        ended.append(event)
        if len(ended) == 5:  # one of two workers, whatever it has in its hands
            before = workers_of_ours()
            os.kill(worker_of(record_of(out, ended[-1]["case"])), signal.SIGKILL)
            threading.Thread(target=kill_the_next, args=(before,)).start()

    def kill_the_next(before):
        """Who comes in a dead worker's place dies as it starts."""
        while not (young := workers_of_ours() - before):
            time.sleep(0.01)
        os.kill(young.pop(), signal.SIGKILL)

    found = cohort(some_cases(*names), out, where=Where(workers=2, memory="500MB"), work=stub,
                   tell=tell)
    assert [e["case"] for e in ended] and len({e["case"] for e in ended}) == len(ended) == 13
    assert found.done == 11 and list(found.failures.values()) == [POISON, POISON]
    times = begun(out)
    assert times["poison"] == 3  # with others, and twice alone
    assert times["hog"] in (1, 2)  # alone from the first; the other death may be of the killing
    assert max(n for name, n in times.items() if name != "poison") <= 2
    records = [record_of(out, e["case"]) for e in ended if e["status"] == "done"]
    assert len({r["worker"] for r in records}) >= 2
    assert record_of(out, next(iter(found.failures))) is None
    assert not workers_of_ours()


def workers_of_ours() -> set[int]:
    found = set()
    for pid in children_of(os.getpid()):
        with suppress(FileNotFoundError):  # it has just gone
            if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.add(pid)
    return found


def worker_of(record) -> int:
    return int(record["worker"])


def test_strangers_are_refused(out, tmp_path):
    """A cluster that is started here has credentials, and listens on the loopback alone."""
    from distributed import Client
    from distributed.security import Security

    with connected(Where(workers=1), tmp_path) as connection:
        client = connection.client
        address = client.scheduler.address
        assert address.startswith("tls://127.0.0.1:")
        for stranger in (address.replace("tls", "tcp"), address):
            given = {} if stranger[:3] == "tcp" else {"security": Security.temporary()}
            with pytest.raises((OSError, TimeoutError)):
                Client(stranger, timeout=2, set_as_default=False, **given)
        client.wait_for_workers(1, timeout=60)
        processes = [os.getpid(), *children_of(os.getpid())]
        assert listening(processes) and set(listening(processes)) == {"0100007F"}
        assert client.submit(sum, [1, 2]).result(timeout=60) == 3
        # freed memory given back at once, and a look at the stack every 10 ms, cost a third
        assert client.submit(os.getenv, "MALLOC_TRIM_THRESHOLD_").result(timeout=60) is None
        assert client.submit(os.getenv, "OMP_NUM_THREADS").result(timeout=60) == "1"
        assert client.submit(profiled).result(timeout=60) is False


def test_one_process_a_gpu(tmp_path, monkeypatch):
    """Each worker sees one device, and no two the same."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,3")
    with connected(Where(), tmp_path) as connection:
        connection.client.wait_for_workers(2, timeout=60)
        seen = connection.client.run(os.getenv, "CUDA_VISIBLE_DEVICES")
    assert sorted(seen.values()) == ["3", "5"]


def profiled() -> bool:
    """Whether the worker that asks looks at its own stack all the time."""
    from distributed import get_worker

    return "profile" in get_worker().periodic_callbacks


def listening(processes: list[int]) -> list[str]:
    """Addresses, in hexadecimal, on which processes wait for connections."""
    sockets = set()
    for pid in processes:
        for link in Path(f"/proc/{pid}/fd").iterdir():
            try:
                sockets.add(os.readlink(link))
            except OSError:
                continue
    found = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == "0A" and f"socket:[{words[9]}]" in sockets:
                found.append(words[1].partition(":")[0])
    return found


@pytest.fixture
def credentials(tmp_path) -> dict[str, Path]:
    """Certificate and key of a cluster, as files."""
    from distributed.security import Security

    made = Security.temporary()
    parts = {"ca-file": made.tls_ca_file, "cert": made.tls_scheduler_cert,
             "key": made.tls_scheduler_key}
    files = {}
    for name, text in parts.items():
        files[name] = tmp_path / f"{name}.pem"
        files[name].write_text(text)
    return files


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """Start Dask's own programs; all are ended with the test."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(p for p in (str(HERE), *sys.path) if p))
    started = []

    def start(*line: object) -> subprocess.Popen:
        command = [sys.executable, "-m", *map(str, line)]
        with (tmp_path / f"said-{len(started)}.txt").open("wb") as said:
            started.append(subprocess.Popen(command, stdout=said, stderr=said, cwd=tmp_path))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def test_a_scheduler_of_others(out, tmp_path, programs, credentials, monkeypatch):
    """Scheduler and workers are programs of their own, with TLS; a worker is killed, and names
    reach no log of theirs."""
    monkeypatch.setattr(clusters, "PATIENCE", 3)
    about = tmp_path / "scheduler.json"
    tls = [word for name, file in credentials.items() for word in (f"--tls-{name}", file)]
    boss = programs("distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", 0,
                    "--protocol", "tls", "--scheduler-file", about, "--no-dashboard",
                    "--dashboard-address", "127.0.0.1:0", *tls)
    workers = [programs("distributed.cli.dask_worker", "--scheduler-file", about, "--host",
                        "127.0.0.1", "--no-nanny", "--nthreads", 1, "--no-dashboard", *tls)
               for _ in range(2)]
    began = time.monotonic()
    while not about.is_file():
        assert time.monotonic() - began < 180
        time.sleep(0.05)
    given = {"tls_ca_file": credentials["ca-file"], "tls_cert": credentials["cert"],
             "tls_key": credentials["key"]}
    ended = []

    def tell(event):
        if event["event"] == "case":
            ended.append(event)
            if len(ended) == 2:
                workers[0].kill()

    names = [f"Mustermann-slow-{i}" for i in range(6)]
    found = cohort(some_cases(*names), out, where=Where(scheduler_file=about, **given), work=stub,
                   tell=tell, batch=2)
    assert found.done == 6 and not found.failures and len(ended) == 6
    said = "".join(file.read_text() for file in tmp_path.glob("said-*.txt"))
    assert "distributed" in said and "Mustermann" not in said and str(out) not in said
    with pytest.raises(InputError, match="with credentials for tls:"):
        cohort(some_cases("c"), out, where=Where(scheduler_file=about), work=stub, force=True)
    with monkeypatch.context() as later:
        later.setattr("distributed.__version__", "2020.1")
        with pytest.raises(InputError, match=r"runs distributed 20.* and this is 2020\.1"):
            cohort(some_cases("c"), out, where=Where(scheduler_file=about, **given), work=stub)
    with pytest.raises(InputError, match="the scheduler has gone"):
        cohort(some_cases("e", "slow", "f"), out, where=Where(scheduler_file=about, **given),
               work=stub, batch=1, tell=lambda event: event["event"] == "case" and boss.kill())


def test_no_scheduler(out, monkeypatch):
    monkeypatch.setattr(clusters, "PATIENCE", 1)
    with pytest.raises(InputError, match="does not answer"):
        cohort(some_cases("c"), out, where=Where(scheduler="tcp://127.0.0.1:9"), work=stub)
    with pytest.raises(InputError, match="address or file cannot be used"):
        cohort(some_cases("c"), out, where=Where(scheduler="nonsense://x"), work=stub)


#: Of a queue: submits a job by starting it, and cancels it by killing it.
_SUBMIT = """\
#!/bin/sh
cp "$1" "$QUEUE/job.sh"
grep '^#[SP]B' "$1" > "$QUEUE/asked.txt"
setsid sh "$QUEUE/job.sh" > "$QUEUE/said.txt" 2>&1 &
echo $! > "$QUEUE/pid"
"""
_CANCEL = """\
#!/bin/sh
echo "$1" > "$QUEUE/cancelled.txt"
kill -9 -"$(cat "$QUEUE/pid")"
"""


def test_a_loop_that_a_busy_machine_did_not_start_in_time_is_started_again():
    tries = []

    def cluster(late):
        tries.append(late)
        assert len(tries) > late
        return "up"
    assert started(lambda: cluster(2)) == "up" and len(tries) == 3
    tries.clear()
    with pytest.raises(AssertionError):
        started(lambda: cluster(3))


@pytest.mark.parametrize(("queue", "programs_of_it", "answer", "words", "asked_for"), [
    ("slurm", ("sbatch", "scancel"), "Submitted batch job 17", "--gres=gpu:1",
     ("-p long", "-t 01:00:00", "--gres=gpu:1", "--mem=2G", "-J deepgmm-cohort")),
    ("pbs", ("qsub", "qdel"), "17.server", "--account=heart",
     ("-q long", "-l walltime=01:00:00", "--account=heart", "ncpus=1:mem=1908MB",
      "-N deepgmm-cohort"))])
def test_queues(out, tmp_path, monkeypatch, queue, programs_of_it, answer, words, asked_for):
    """Jobs are handed to the queue, whose workers do the cohort, and are taken back at the end."""
    pytest.importorskip("dask_jobqueue")
    start, late = LoopRunner._start_unlocked, iter((True,))

    def start_of_a_busy_machine(runner):
        assert not next(late, False)  # as it is when ten seconds were not enough
        return start(runner)
    monkeypatch.setattr(LoopRunner, "_start_unlocked", start_of_a_busy_machine)
    for name, text in zip(programs_of_it, (f"{_SUBMIT}echo {answer}\n", _CANCEL), strict=True):
        program = tmp_path / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(text)
        program.chmod(0o755)
    monkeypatch.setenv("QUEUE", str(tmp_path))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(p for p in (str(HERE), *sys.path) if p))
    words = f"cores=1 memory=2GB walltime=01:00:00 queue=long host=127.0.0.1 {words}"
    found = cohort(some_cases("a", "b", "c"), out, where=Where(**{queue: words}), work=stub)
    assert found.done == 3 and not found.failures
    asked = (tmp_path / "asked.txt").read_text()
    for word in asked_for:
        assert word in asked
    job = (tmp_path / "job.sh").read_text()
    assert "tls://127.0.0.1" in job and "--tls-key" in job
    assert (tmp_path / "cancelled.txt").read_text() == f"{answer.split()[-1].split('.')[0]}\n"
    assert ends(int((tmp_path / "pid").read_text()))
    assert not list(out.glob(".deepgmm-*"))  # credentials least of all


_RUN = """\
import sys
from pathlib import Path
from cohort_work import stub
from deepgmm.jobs.cohort.cases import Case
from deepgmm.jobs.cohort.where import Where
from deepgmm.jobs.cohort.run import cohort

if __name__ == "__main__":
    try:
        cohort([Case(f"slow{i}") for i in range(40)], Path(sys.argv[1]), where=Where(workers=2),
               work=stub, batch=2)
    except KeyboardInterrupt:
        sys.exit(130)
"""


def test_stopped_killed_and_gone_on_with(out, tmp_path, programs):
    """Ctrl-C ends all without doing the rest, SIGKILL of everything loses only what was under
    way, and the next run does the rest."""
    (tmp_path / "run_it.py").write_text(textwrap.dedent(_RUN))
    first = programs("run_it", out)
    wait_for_records(out, 2)
    first.send_signal(signal.SIGINT)
    assert first.wait(timeout=120) == 130
    assert len(records(out)) < 20  # of 40
    assert (out / "table.csv").is_file() and not list(out.rglob(".deepgmm-*"))

    second = programs("run_it", out)
    wait_for_records(out, len(records(out)) + 3)
    processes = [second.pid, *children_of(second.pid)]
    for pid in processes:
        os.kill(pid, signal.SIGKILL)
    second.wait()
    assert not [pid for pid in processes if alive(pid) and not ends(pid)]
    done = len(records(out))

    names = [f"slow{i}" for i in range(done + 4)]  # those that are left take their time
    again = cohort(some_cases(*names), out, where=Where(workers=1), work=stub)
    assert again.done + again.skipped == len(names)
    assert again.skipped >= done - 4
    times = begun(out)
    assert sum(n - 1 for n in times.values()) <= 2 * 2 * 2  # two stops, two workers, two cases
    assert cohort(some_cases(*names), out, work=stub).skipped == len(names)


def records(out: Path) -> list[Path]:
    return list(out.glob("cases/*/record.json"))


def wait_for_records(out: Path, count: int) -> None:
    began = time.monotonic()
    while len(records(out)) < count:
        assert time.monotonic() - began < 180
        time.sleep(0.02)
