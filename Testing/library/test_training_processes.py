"""Two processes that share every batch come to what one comes to."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from small_trainings import small, some_examples, trained
from study_files import TRUTH, arrays, save

from deepgmm.training.augmentation import Augmentation
from deepgmm.weights.folder import load_network

HERE = Path(__file__).resolve().parent

SLICES = 7
#: In intensities and sequences, not in place: that would load MONAI, in every process.
VARIED = Augmentation(flip=0, rotation=0, zoom=0, shift=0, elastic=0, misalignment=0, twist=0,
                      missing=0.4)
#: Of `deepgmm train`.
OPTIONS = ("--lge-kind", "magnitude", "--t2-kind", "dark-blood", "--filters", "4", "--levels", "1",
           "--convolutions", "1", "--steps", "4", "--batch", "3", "--teacher-weight", "0",
           "--no-augmentation")


def one_step(folder: Path):
    """Of five slices, three for one process and two for the other; float32."""
    return trained(folder, small(steps=1, batch=5, checkpoint_every=1, clip=1e9), slices=SLICES,
                   validation=some_examples(3, 1), augment=VARIED.augmented)


def twenty_steps(folder: Path):
    """In float64; with a validation of three slices, two for one process."""
    return trained(folder, small(steps=20, batch=5, checkpoint_every=8, precision="float64"),
                   slices=SLICES, validation=some_examples(3, 1), augment=VARIED.augmented)


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which torchrun trained both on two processes."""
    folder = tmp_path_factory.mktemp("two")
    for seed in range(3):
        for name, values in arrays(seed).items():
            save(TRUTH if name == "wall" else values,
                 folder / "cases" / f"p{seed}" / f"{name.replace('wall', 'labels')}.nii.gz")
    program = folder / "program.py"
    program.write_text(f"""
import os, sys
sys.path.insert(0, {str(HERE)!r})
import torch
from pathlib import Path
from deepgmm.cli.main import main
from deepgmm.errors import InputError
from small_trainings import small, trained
from test_training_processes import OPTIONS, one_step, twenty_steps
folder = Path(sys.argv[1])
assert os.environ["WORLD_SIZE"] == "2"
one_step(folder / "one")
done = twenty_steps(folder / "twenty")
(folder / ("network of " + os.environ["RANK"])).write_text(
    repr([w.sum().item() for w in done.network.parameters()]))
status = main(["train", str(folder / "cases"), "-o", str(folder / "model"), *OPTIONS])
try:
    trained(folder / "none", small(batch=1))
except InputError as error:
    (folder / ("refusal of " + os.environ["RANK"])).write_text(str(error))
sys.exit(status)
""")
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
         str(program), str(folder)],
        env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    (folder / "said").write_text(done.stdout)
    return folder


def rows_of(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "trace.jsonl").read_text().splitlines()]


def numbers_of(rows: list[dict]) -> torch.Tensor:
    return torch.tensor([[v for row in rows for k in ("training", "validation")
                          for name in ("loss", "nll") if (v := row.get(k, {}).get(name))]],
                        dtype=torch.float64)


def test_the_first_steps_loss_and_every_gradient(two_processes: Path, tmp_path: Path) -> None:
    """After one step AdamW's first moments are the gradients by 1 - beta_1."""
    alone = one_step(tmp_path / "one")
    both = rows_of(two_processes / "one")
    for name in ("loss", "nll", "gradient"):
        assert both[0]["training"][name] == pytest.approx(alone.rows[0]["training"][name], 1e-5)
    mine, theirs = (load_file(folder / "one" / "checkpoints" / "step-0000001.safetensors")
                    for folder in (tmp_path, two_processes))
    gradients = [name for name in mine if name.endswith("exp_avg")]
    assert len(gradients) == len(list(alone.network.parameters()))
    largest = max(mine[name].abs().max() for name in gradients)
    assert largest > 1e-3
    for name in gradients:
        assert (mine[name] - theirs[name]).abs().max() <= 1e-5 * largest, name


def test_twenty_steps_in_float64(two_processes: Path, tmp_path: Path) -> None:
    alone = twenty_steps(tmp_path / "twenty")
    both = rows_of(two_processes / "twenty")
    assert [row["step"] for row in both] == [row["step"] for row in alone.rows]
    assert both[0]["training"]["loss"] > both[-1]["validation"]["loss"] + 0.05
    torch.testing.assert_close(numbers_of(both), numbers_of(alone.rows), rtol=0, atol=1e-9)
    for step in (16, 20):
        mine, theirs = (load_file(folder / "twenty" / "checkpoints"
                                  / f"step-{step:07d}.safetensors")
                        for folder in (tmp_path, two_processes))
        assert mine.keys() == theirs.keys()
        for name in mine:
            torch.testing.assert_close(theirs[name], mine[name], rtol=0, atol=1e-9)


def test_all_processes_end_with_the_same_network(two_processes: Path) -> None:
    assert (two_processes / "network of 0").read_text() == (
        two_processes / "network of 1").read_text()


def test_the_command_speaks_and_writes_once(two_processes: Path) -> None:
    said = (two_processes / "said").read_text()
    assert said.count("3 cases: 3 with bSSFP, LGE, T2; 3 labelled") == 1
    assert said.count("model folder: ") == 1
    assert load_network(two_processes / "model")[1].training["step"] == 4
    assert [row["step"] for row in rows_of(two_processes / "model")] == [1, 2, 3, 4, 4]


def test_more_processes_than_slices_are_refused(two_processes: Path) -> None:
    for rank in (0, 1):
        said = (two_processes / f"refusal of {rank}").read_text()
        assert said.startswith("2 processes share a batch of 1 slices: start fewer")
