"""Ranks on GPUs, by NCCL: they learn what one process learns."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any

import pytest
import torch

from acc.tests import helpers
from acc.training.checkpoints.files import Checkpoint, load
from acc.training.ranks.join import at_file, joined
from tests.gpu.machine import GPU, NEEDS_GPU, NEEDS_TWO

pytestmark = [NEEDS_GPU, pytest.mark.timeout(600)]
OPTIONS: dict[str, Any] = {"optimizer": "sgd", "lr": 1e-2, "steps": 6, "batch_size": 9}


def rank(number: int, size: int, folder: str, options: dict[str, Any]) -> None:
    """Train as one of the ranks, each on the GPU of its number, and write what was trained."""
    place = Path(folder)
    try:
        device = torch.device("cuda", number)
        tasks = [*helpers.all_tasks(), helpers.task("LeakageTask", key="leakage", weight=0.1)]
        data = {"data": helpers.blobs(120)}
        resume = options.pop("resume_from", None)
        spec = helpers.job(data, tasks if options.pop("whole", False) else None, **OPTIONS, **options)
        store = at_file(place / "meeting", size)
        with joined(number, size, device=device, store=store, timeout=120) as ranks:
            trainer, sink = helpers.run(spec, data, ranks=ranks, resume_from=load(resume) if resume else None)
            assert next(trainer.model.parameters()).device == device
            trainer.snapshot().write(place / f"{number}.safetensors")
            for snapshot, _ in sink.checkpoints:
                snapshot.write(str(place / f"step-{snapshot.step}.safetensors"))
    except BaseException:
        (place / f"broken-{number}").write_text(traceback.format_exc())
        raise


def together(folder: Path, size: int, **options: Any) -> Checkpoint:
    """Return what ``size`` ranks learnt; they are started anew, since CUDA survives no fork."""
    folder.mkdir()
    context = multiprocessing.get_context("spawn")
    processes = [
        context.Process(target=rank, args=(number, size, str(folder), options)) for number in range(size)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(300)
    hanging = [process for process in processes if process.is_alive()]
    for process in hanging:
        process.kill()
    assert not hanging, "a rank hangs"
    broken = [path.read_text() for path in sorted(folder.glob("broken-*"))]
    assert not broken, "\n".join(broken)
    ends = [load(folder / f"{number}.safetensors") for number in range(size)]
    for end in ends[1:]:
        assert not [name for name in end.tensors if not torch.equal(end.tensors[name], ends[0].tensors[name])]
    return ends[0]


def alone(**options: Any) -> Checkpoint:
    data = {"data": helpers.blobs(120)}
    _, sink = helpers.run(helpers.job(data, device=GPU, **OPTIONS, **options), data)
    return sink.last.checkpoint()


def furthest(one: Checkpoint, other: Checkpoint) -> float:
    assert one.tensors.keys() == other.tensors.keys()
    names = [name for name in one.tensors if name.startswith(("model.", "head."))]
    return max(float((one.tensors[name] - other.tensors[name]).abs().max()) for name in names)


def test_one_rank_by_nccl_is_one_process_to_the_bit(tmp_path: Path) -> None:
    one, whole = together(tmp_path / "one", 1), alone()
    assert not [name for name in whole.tensors if not torch.equal(whole.tensors[name], one.tensors[name])]


@NEEDS_TWO
@pytest.mark.parametrize(
    "options",
    [{}, {"accumulate": 2}, {"channels_last": True}, {"compile": "reduce-overhead"}],
    ids=lambda options: "-".join(options) or "plain",
)
def test_two_gpus_learn_what_one_learns(tmp_path: Path, options: dict[str, Any]) -> None:
    assert furthest(alone(**options), together(tmp_path / "two", 2, **options)) < 1e-5


@NEEDS_TWO
@pytest.mark.parametrize("options", [{"precision": "fp16"}, {"precision": "bf16"}, {"on_nan": "skip"}])
def test_two_gpus_hold_the_same_bits(tmp_path: Path, options: dict[str, Any]) -> None:
    """What they hold is compared by ``together``; a rank that alone left out a step would differ."""
    assert together(tmp_path / "two", 2, whole=True, **options).header.job_step == 6


@NEEDS_TWO
def test_two_gpus_go_on_to_the_bit_from_their_own_checkpoint(tmp_path: Path) -> None:
    whole = together(tmp_path / "whole", 2, checkpoint_every_steps=3)
    resumed = together(
        tmp_path / "again",
        2,
        checkpoint_every_steps=3,
        resume_from=str(tmp_path / "whole" / "step-3.safetensors"),
    )
    assert not [name for name in whole.tensors if not torch.equal(whole.tensors[name], resumed.tensors[name])]


@NEEDS_TWO
def test_torchrun_gives_each_rank_a_gpu_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(
        "import torch\n"
        "from acc.api import train, under_torchrun\n"
        "from acc.tests import helpers\n"
        "with under_torchrun() as ranks:\n"
        "    run = train(helpers.blobs(120), tasks=['ReconstructionTask'], steps=5, batch_size=8, ranks=ranks)\n"
        "    assert next(run.model.parameters()).device == torch.device('cuda', ranks.rank) == ranks.device\n"
        "if run.leads:\n"
        "    run.save('made.safetensors')\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "script.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(helpers.PLUGINS_DIR.parent)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert load(tmp_path / "made.safetensors").header.spec.train.ranks == 2
