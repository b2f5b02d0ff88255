"""An evaluation holds a bounded number of images, however many the dataset has."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from acc.data import AccDataset
from acc.errors import TaskError
from acc.evaluation import evaluate_checkpoint
from acc.specs import EvalSpec, TargetSpec
from acc.tests import helpers
from acc.training.baselines import metrics_of
from acc.training.batch import Resident, Stored, TrainingRows
from acc.training.split import split_indices

ROWS, SIDE = 120_000, 16
BOUND_BYTES = 60 * 2**20  # all rows as float32 are 123 MB, and the resident bytes another 31 MB

MEASURE = """
import json, sys
import numpy as np, torch
from acc.data import AccDataset
from acc.evaluation import evaluate_checkpoint
from acc.specs import EvalSpec
from acc.tests import helpers
from acc.training.checkpoints.files import load

torch.set_num_threads(1)
checkpoint, many, few = load(sys.argv[1]), AccDataset.load(sys.argv[2], mmap=False), AccDataset.load(sys.argv[3])
spec = EvalSpec(device="cpu", suite=("metrics", "reconstructions", "traversals", "sort"), rows="held_out")
# Not ru_maxrss, in which a new process counts what its parent held.
peak = lambda: int(open("/proc/self/status").read().partition("VmHWM:")[2].split()[0]) * 1024
evaluate_checkpoint(checkpoint, {"data": few}, helpers.shipped_tasks(), spec)
before = peak()
found = evaluate_checkpoint(checkpoint, {"data": many}, helpers.shipped_tasks(), spec)
print(json.dumps({"added": peak() - before, "psnr": next(m.value for m in found.metrics if m.name == "psnr")}))
"""


@pytest.mark.long(5)
def test_evaluating_many_images_takes_no_more_memory_than_evaluating_few(tmp_path: Path) -> None:
    few = helpers.blobs(2_000, side=SIDE)
    _, sink = helpers.run(helpers.job({"data": few}, steps=2), {"data": few})
    sink.last.write(tmp_path / "checkpoint")
    repeated = np.arange(ROWS) % len(few)
    many = AccDataset(
        few.images[repeated],
        {name: values[repeated] for name, values in few.targets.items()},
        few.target_specs,
    )
    many.save(tmp_path / "many")
    few.save(tmp_path / "few")
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, *(str(tmp_path / name) for name in ("checkpoint", "many", "few"))],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["added"] < BOUND_BYTES
    assert np.isfinite(found["psnr"])


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_rows_read_where_they_lie_are_those_of_a_resident_dataset_to_the_bit(dtype: type) -> None:
    data = helpers.blobs(40)
    if dtype is np.float32:
        data = AccDataset((data.images / np.float32(255)).astype(np.float32), data.targets, data.target_specs)
    rows = np.array([7, 3, 39, 3])
    kept = Resident(data, torch.device("cpu")).batch(torch.from_numpy(rows))
    read = Stored(data, torch.device("cpu")).batch(rows)
    assert torch.equal(kept.images, read.images)
    assert set(read.targets) == set(kept.targets)
    for name, values in kept.targets.items():
        assert torch.equal(values, read.targets[name])
        assert values.dtype == read.targets[name].dtype


def test_a_baseline_is_the_same_read_in_parts_and_at_once() -> None:
    data = helpers.blobs(1_300)
    train, held_out = split_indices(data, seed=0, val_fraction=0.5)
    resident, stored = Resident(data, torch.device("cpu")), Stored(data, torch.device("cpu"))
    task = helpers.shipped_tasks().task("ReconstructionTask")()
    whole = task.baseline(TrainingRows(resident, train), resident.batch(torch.from_numpy(held_out))).metrics
    parts = metrics_of(task, stored, train, held_out)
    assert parts == pytest.approx(whole, rel=1e-9)
    mean = resident.batch(torch.from_numpy(train)).images.mean(0)
    truth = resident.batch(torch.from_numpy(held_out)).images
    psnr = -10 * torch.log10((truth - mean).square().flatten(1).mean(1))
    assert parts["psnr"] == pytest.approx(float(psnr.double().mean()), rel=1e-6)


def test_a_plugin_that_wants_too_many_images_at_once_is_told_how_to_read_them() -> None:
    images = np.broadcast_to(np.zeros((1, 1, 512, 512), np.uint8), (1_100, 1, 512, 512))
    spec = TargetSpec(name="size", kind="real")
    data = AccDataset(images, {"size": np.zeros(1_100)}, (spec,))
    rows = Stored(data, torch.device("cpu")).all_of(np.arange(1_100))
    with pytest.raises(TaskError, match=r"all 1,100 images at once would take .* read them by parts\(\)"):
        _ = rows.images
    assert rows.targets["size"].shape == (1_100,)
    assert next(rows.parts()).images.shape == (512, 1, 512, 512)


def test_latents_read_while_measuring_are_those_of_the_rows_looked_at() -> None:
    data = helpers.blobs(300)
    datasets = {"data": data}
    _, sink = helpers.run(helpers.job(datasets, steps=5), datasets)
    checkpoint = sink.last.checkpoint()
    suite = ("sort",)
    alone = evaluate_checkpoint(
        checkpoint, datasets, helpers.shipped_tasks(), EvalSpec(device="cpu", suite=suite)
    )
    after = evaluate_checkpoint(
        checkpoint, datasets, helpers.shipped_tasks(), EvalSpec(device="cpu", suite=("metrics", *suite))
    )
    assert alone.sorts
    for one, other in zip(alone.sorts, after.sorts or (), strict=True):
        assert one.lowest is not None
        assert other.lowest is not None
        assert one.lowest.indices == other.lowest.indices
