"""A training that is interrupted, at any moment and in any way, goes on as if it had not been."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from small_trainings import small, some_examples, trained
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from deepgmm.errors import Cancelled, InputError
from deepgmm.model.learning import Examples
from deepgmm.training import checkpoints
from deepgmm.training.checkpoints import Checkpoint
from deepgmm.training.loop import Trained

HERE = Path(__file__).resolve().parent


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Bit for bit is promised on one."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def settings(**other: object):
    """12 steps of 4 of 7 slices: steps 5 and 10, with checkpoints, lie amid an epoch."""
    return small(checkpoint_every=5, validate_every=3, **other)


def brightened(examples: Examples, seeds: Sequence[int]) -> Examples:
    """Each slice by its own seed."""
    gains = [torch.rand(1, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    return replace(examples, values=examples.values * (0.8 + torch.stack(gains)[..., None, None]))


def run(folder: Path, **more: object) -> Trained:
    return trained(folder, settings(), validation=some_examples(3, seed=1), augment=brightened,
                   **more)


def resumed(folder: Path, said: list[str] | None = None) -> Trained:
    return run(folder, resume=checkpoints.newest(folder, (said if said is not None else []).append))


@pytest.fixture(scope="module")
def the_whole(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A training that nothing interrupted."""
    torch.set_num_threads(1)
    return run(tmp_path_factory.mktemp("whole"))


def assert_same(one: Trained, other: Trained, folder: Path) -> None:
    """Bit for bit."""
    assert one.rows == other.rows
    assert [json.loads(line) for line in (folder / "trace.jsonl").read_text().splitlines()] \
        == other.rows
    assert (one.step, one.scores) == (other.step, other.scores)
    for name, value in other.network.state_dict().items():
        assert torch.equal(one.network.state_dict()[name], value), name


def steps_in(folder: Path) -> set[str]:
    return {path.name for path in (folder / "checkpoints").iterdir()}


class Stopped(Exception):
    pass


def stop_at(step: int, how) -> object:
    """A progress that does something once a step is done."""
    def progress(fraction: float, stage: str) -> None:
        if stage.startswith(f"step {step} of"):
            how()
    return progress


def crash(folder: Path, step: int) -> None:
    """End a training as a crash of the program would."""
    def raise_it() -> None:
        raise Stopped
    with pytest.raises(Stopped):
        run(folder, progress=stop_at(step, raise_it))


def test_after_a_kill_it_goes_on_bit_for_bit(tmp_path: Path, the_whole: Trained) -> None:
    program = f"""
import os, signal, sys
sys.path.insert(0, {str(HERE)!r})
import torch
torch.set_num_threads(1)
from pathlib import Path
from test_training_interrupted import run, stop_at
run(Path(sys.argv[1]), progress=stop_at(8, lambda: os.kill(os.getpid(), signal.SIGKILL)))
"""
    folder = tmp_path / "model"
    killed = subprocess.run([sys.executable, "-c", program, str(folder)], capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert steps_in(folder) == {"step-0000005.json", "step-0000005.safetensors"}
    lines = (folder / "trace.jsonl").read_text().splitlines()
    assert json.loads(lines[-1])["step"] == 8
    with (folder / "trace.jsonl").open("a") as trace:
        trace.write('{"step": 9, "trai')  # what a kill amid a line leaves
    assert_same(resumed(folder), the_whole, folder)
    assert steps_in(folder) == {f"step-00000{step}.{end}" for step in (10, 12)
                                for end in ("json", "safetensors")}


def test_the_best_network_and_patience_outlive_an_interruption(tmp_path: Path) -> None:
    """Slices whose labels say the contrary, so that the best network comes early."""
    contrary = some_examples(3, seed=1)
    contrary.labels = torch.where(contrary.labels >= 0, 3 - contrary.labels, -1)
    asked = settings(teacher_weight=0.0, likelihood_weight=0.0, bare=1.0, steps=100, patience=4,
                     learning_rate=5e-2)
    whole = trained(tmp_path / "whole", asked, validation=contrary)
    last = whole.rows[-1]["step"]
    assert last == whole.step + 12 < 100
    with pytest.raises(Cancelled):
        trained(tmp_path / "net", asked, validation=contrary, progress=stop_at(
            last - 1, lambda: os.kill(os.getpid(), signal.SIGINT)))
    assert_same(trained(tmp_path / "net", asked, validation=contrary, resume=checkpoints.newest(
        tmp_path / "net", print)), whole, tmp_path / "net")


def test_tensorboard_sees_one_training(tmp_path: Path, the_whole: Trained) -> None:
    crash(tmp_path, 8)
    resumed(tmp_path)
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    scalars = events.Scalars("training/loss")
    assert [s.step for s in scalars] == list(range(1, 13))
    assert [s.value for s in scalars] == pytest.approx(
        [row["training"]["loss"] for row in the_whole.rows if "training" in row])


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_leaves_a_checkpoint_and_says_how_to_go_on(
        tmp_path: Path, the_whole: Trained, signal_number: int) -> None:
    handler = signal.getsignal(signal_number)
    with pytest.raises(Cancelled, match="interrupted at step 7 of 12; .* --resume .* step 7"):
        run(tmp_path, progress=stop_at(7, lambda: os.kill(os.getpid(), signal_number)))
    assert signal.getsignal(signal_number) is handler
    assert_same(resumed(tmp_path), the_whole, tmp_path)


def test_whoever_shows_the_progress_may_stop_it(tmp_path: Path, the_whole: Trained) -> None:
    def cancel() -> None:
        raise Cancelled("stopped")

    with pytest.raises(Cancelled, match="goes on from step 6"):
        run(tmp_path, progress=stop_at(6, cancel))
    assert_same(resumed(tmp_path), the_whole, tmp_path)


def test_a_second_ctrl_c_ends_it_at_once(tmp_path: Path) -> None:
    def twice() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, progress=stop_at(7, twice))


def flip_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-10] ^= 1
    path.write_bytes(content)


DAMAGE = {
    "one bit of the tensors": lambda place: flip_a_byte(place / "step-0000010.safetensors"),
    "tensors cut short": lambda place: (place / "step-0000010.safetensors").write_bytes(b"123"),
    "no tensors": lambda place: (place / "step-0000010.safetensors").unlink(),
    "words cut short": lambda place: (place / "step-0000010.json").write_text('{"version": 1'),
    "other words": lambda place: (place / "step-0000010.json").write_text("[1, 2]"),
    "a number of the words": lambda place: (place / "step-0000010.json").write_text(
        (place / "step-0000010.json").read_text().replace('"waited": ', '"waited": 1')),
}


@pytest.fixture(scope="module")
def a_crashed_training(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training with checkpoints of steps 5 and 10."""
    folder = tmp_path_factory.mktemp("crashed")
    torch.set_num_threads(1)
    crash(folder, 11)
    return folder


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_of_a_damaged_checkpoint_the_one_before_is_used(
        tmp_path: Path, a_crashed_training: Path, damage) -> None:
    copied(a_crashed_training, tmp_path)
    damage(tmp_path / "checkpoints")
    said: list[str] = []
    found = checkpoints.newest(tmp_path, said.append)
    assert found is not None and found.step == 5
    assert said == ["the checkpoint of step 10 is damaged: that of step 5 is used"]


def test_from_the_one_before_it_goes_on_the_same_way(
        tmp_path: Path, a_crashed_training: Path, the_whole: Trained) -> None:
    copied(a_crashed_training, tmp_path)
    flip_a_byte(tmp_path / "checkpoints" / "step-0000010.safetensors")
    assert_same(resumed(tmp_path), the_whole, tmp_path)


def test_if_all_are_damaged_it_is_said(tmp_path: Path, a_crashed_training: Path) -> None:
    copied(a_crashed_training, tmp_path)
    for path in (tmp_path / "checkpoints").glob("*.safetensors"):
        flip_a_byte(path)
    with pytest.raises(InputError, match="no checkpoint .* damaged; begin anew with --force"):
        checkpoints.newest(tmp_path, lambda text: None)


def test_a_checkpoint_half_written_is_none(tmp_path: Path, a_crashed_training: Path) -> None:
    """Killed between tensors and words: the one before counts, nothing is damaged."""
    copied(a_crashed_training, tmp_path)
    (tmp_path / "checkpoints" / "step-0000010.json").unlink()
    (tmp_path / "checkpoints" / ".deepgmm-123456.safetensors").write_bytes(b"half")
    said: list[str] = []
    found = checkpoints.newest(tmp_path, said.append)
    assert found is not None and (found.step, said) == (5, [])
    checkpoints.save(tmp_path, Checkpoint(7, found.tensors, found.words))
    assert steps_in(tmp_path) == {f"step-000000{step}.{end}" for step in (5, 7)
                                  for end in ("json", "safetensors")}


def test_a_checkpoint_gives_back_what_it_was_given(tmp_path: Path) -> None:
    tensors = {"a": torch.randn(3, 2, dtype=torch.float64), "b": torch.tensor(7.0)}
    words = {"seconds": 0.1 + 0.2, "best": {}, "data": "ä"}
    checkpoints.save(tmp_path, Checkpoint(3, tensors, words))
    found = checkpoints.newest(tmp_path, lambda text: None)
    assert found is not None and (found.step, found.words) == (3, words)
    assert found.tensors.keys() == tensors.keys()
    assert all(torch.equal(found.tensors[name], value) for name, value in tensors.items())
    checkpoints.remove(tmp_path)
    assert list(tmp_path.iterdir()) == [] and not checkpoints.exist(tmp_path)


@pytest.mark.skipif(sys.platform == "win32", reason="limits of file size are a thing of Unix")
def test_on_a_full_disk_the_older_checkpoints_stay(
        tmp_path: Path, the_whole: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    """A limit of what a file may hold stands for the disk: the system refuses in the same way."""
    import resource

    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # it would be kept cut off

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill() -> None:
        size = (tmp_path / "checkpoints" / "step-0000005.safetensors").stat().st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (size - 100, hard))

    try:
        with pytest.raises(InputError, match="checkpoint cannot be written: .*; training ended at "
                           "step 10 of 12; the same command with --resume goes on from step 5"):
            run(tmp_path, progress=stop_at(9, fill))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert steps_in(tmp_path) == {"step-0000005.json", "step-0000005.safetensors"}
    assert_same(resumed(tmp_path), the_whole, tmp_path)


def test_a_trace_that_cannot_be_written_ends_the_training(tmp_path: Path) -> None:
    def block() -> None:
        (tmp_path / "trace.jsonl").unlink()
        (tmp_path / "trace.jsonl").mkdir()

    with pytest.raises(InputError, match="trace cannot be written: .* goes on from step 5"):
        run(tmp_path, progress=stop_at(6, block))


def test_a_training_is_not_begun_over_another(tmp_path: Path, a_crashed_training: Path) -> None:
    copied(a_crashed_training, tmp_path)
    with pytest.raises(InputError, match="not ended: go on with --resume, begin anew with --forc"):
        run(tmp_path)
    assert steps_in(tmp_path) == steps_in(a_crashed_training)


def test_other_settings_or_slices_are_no_resumption(
        tmp_path: Path, a_crashed_training: Path) -> None:
    copied(a_crashed_training, tmp_path)
    found = checkpoints.newest(tmp_path, lambda text: None)
    with pytest.raises(InputError, match="had another --steps, --seed: leave that out"):
        trained(tmp_path, settings(steps=13, seed=2), resume=found)
    with pytest.raises(InputError, match="had other slices"):
        trained(tmp_path, settings(), slices=8, validation=some_examples(3, 1), resume=found)
    others = some_examples(3, seed=1)
    others.labels[0, 8, 8] = -1
    with pytest.raises(InputError, match="had other slices"):
        trained(tmp_path, settings(), validation=others, resume=found)


def copied(folder: Path, target: Path) -> None:
    shutil.copytree(folder, target, dirs_exist_ok=True)
