"""From the command to the first step of a job of two ranks: by torchrun, and by forks of a process that is warm.

Both read the same digits from a file, load the plugins, join by gloo on one thread each and train the same job; they
take turns. torchrun starts an interpreter for itself and one for each rank, and each imports torch. The warm process
has imported it, as the worker's zygote has, and forks: rank 0 first, which forks rank 1.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.rows import Row, median, report

RANKS = 2
ROUNDS = 5
STEPS = 3
GOAL = 0.2
WARM = ("torch", "numpy", "safetensors", "acc")
"""Of what the zygote imports, that which the engine needs."""
HERE = Path(__file__).resolve().parents[1]
MODULE = "benchmarks.first_step_of_ranks"


def train(digits: Path, told: Path, *, meeting: Path | None, rank: int = 0) -> None:
    """Train as one of the ranks; rank 0 writes to ``told`` when its first step was done. meeting: None by torchrun."""
    import torch

    from acc.data import AccDataset
    from acc.training.ranks.join import at_file, joined, under_torchrun
    from acc.training.run import MemorySink
    from acc.training.trainer import Trainer
    from benchmarks.trainer_vs_bare_loop import job_on, shipped

    torch.set_num_threads(1)
    place = (
        under_torchrun("cpu")
        if meeting is None
        else joined(rank, RANKS, device=torch.device("cpu"), store=at_file(meeting, RANKS))
    )
    dataset = AccDataset.load(digits)
    classes, job = job_on(dataset, shipped())
    options = {"steps": STEPS, "ranks": RANKS}
    job = job.model_copy(update={"train": job.train.model_copy(update=options)})
    sink = MemorySink()
    with place as ranks:
        Trainer(job, {"digits": dataset}, classes=classes, sink=sink, ranks=ranks).run()
    if sink.blocks:
        told.write_text(repr(sink.blocks[0].wall_end))


def by_torchrun(digits: Path, told: Path) -> float:
    """Return the seconds from the command to the end of the first step."""
    words = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={RANKS}", "-m", MODULE]
    began = time.time()
    subprocess.run(
        [sys.executable, *words, "train", str(digits), str(told)],
        cwd=HERE,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=True,
        stderr=subprocess.DEVNULL,
    )
    return float(told.read_text()) - began


def warm() -> None:
    """Import what jobs need, say so, and fork a job of two ranks for each line that comes: its files."""
    from workers.zygote import PRELOAD

    for name in PRELOAD:
        if name.split(".")[0] in WARM:
            importlib.import_module(name)
    gc.collect()
    gc.freeze()
    print("warm", flush=True)
    for line in sys.stdin:
        digits, told, meeting = (Path(word) for word in line.split())
        first = os.fork()
        if not first:
            other = os.fork()
            status = 1
            with contextlib.suppress(Exception):
                train(digits, told, meeting=meeting, rank=0 if other else 1)
                status = 0
            if other:
                os.waitpid(other, 0)
            os._exit(status)
        print(os.waitstatus_to_exitcode(os.waitpid(first, 0)[1]), flush=True)


def by_fork(process: subprocess.Popen[str], digits: Path, told: Path, meeting: Path) -> float:
    """Return the same for forks of a warm process."""
    assert process.stdin is not None
    assert process.stdout is not None
    began = time.time()
    process.stdin.write(f"{digits} {told} {meeting}\n")
    process.stdin.flush()
    if process.stdout.readline().strip() != "0":
        raise SystemExit("the forked ranks did not train")
    return float(told.read_text()) - began


def main() -> None:
    from benchmarks.trainer_vs_bare_loop import prepared

    started, forked = [], []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        digits = folder / "digits.safetensors"
        prepared()[0].save(digits)
        process = subprocess.Popen(
            [sys.executable, "-m", MODULE, "warm"],
            cwd=HERE,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert process.stdout is not None
            process.stdout.readline()
            for number in range(ROUNDS):
                started.append(by_torchrun(digits, folder / f"torchrun-{number}"))
                forked.append(by_fork(process, digits, folder / f"fork-{number}", folder / f"meet-{number}"))
        finally:
            process.kill()
            process.wait()
    told = f"{median(forked):.2f} s ({min(forked):.2f} to {max(forked):.2f}), {ROUNDS} each"
    baseline = f"torchrun {median(started):.2f} s ({min(started):.2f} to {max(started):.2f})"
    report(
        Row(
            f"first step of {RANKS} ranks, forks over torchrun",
            median(forked) / median(started),
            "x",
            GOAL,
            "lower",
            told,
            baseline,
        )
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["train"]:
        train(Path(sys.argv[2]), Path(sys.argv[3]), meeting=None)
    elif sys.argv[1:2] == ["warm"]:
        warm()
    else:
        main()
