"""A dataset that is larger than may be held is trained from its file, and a resume is exact all the same."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from acc.data import AccDataset
from acc.errors import DatasetLost
from acc.evaluation import evaluate_checkpoint
from acc.hashes import file_sha256
from acc.specs import EvalSpec
from acc.tests import helpers
from acc.training import streaming
from acc.training.batch import Resident
from acc.training.streaming import Streamed, WindowStream
from acc.training.trainer import Trainer

CPU = torch.device("cpu")
SMALL = {"BLOCK_BYTES": 4 * 256, "BLOCKS_IN_A_WINDOW": 3}  # four images of 16 x 16 a block


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SMALL.items():
        monkeypatch.setattr(streaming, name, value)


def numbered(n: int) -> AccDataset:
    images = (np.arange(n)[:, None, None, None] % 256 * np.ones((1, 1, 16, 16))).astype(np.uint8)
    return AccDataset(images)


def stream(data: AccDataset, batch: int, *, rows: Any = None, seed: int = 0, offset: int = 0) -> WindowStream:
    rows = np.arange(len(data)) if rows is None else rows
    return WindowStream(data, rows, seed=seed, batch_size=batch, device=CPU, offset=offset)


def drawn(data: AccDataset, source: WindowStream, batches: int) -> list[int]:
    held = Streamed(data, CPU)
    found = []
    for _ in range(batches):
        batch = source.draw(held)
        assert torch.equal(batch.images()[:, 0, 0, 0], (batch.host % 256).to(torch.uint8))
        assert torch.equal(batch.index, batch.host)
        found += batch.host.tolist()
    return found


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(1, 120),
    batch=st.integers(1, 90),
    batches=st.integers(1, 9),
    seed=st.integers(0, 5),
    data=st.data(),
)
def test_every_epoch_holds_each_training_row_once_whatever_the_batch(
    n: int, batch: int, batches: int, seed: int, data: Any
) -> None:
    rows = np.array(sorted(data.draw(st.sets(st.integers(0, n - 1), min_size=1))))
    found = drawn(numbered(n), stream(numbered(n), batch, rows=rows, seed=seed), batches)
    for start in range(0, len(found) - len(rows) + 1, len(rows)):
        assert sorted(found[start : start + len(rows)]) == rows.tolist()


@settings(max_examples=40, deadline=None)
@given(n=st.integers(1, 90), batch=st.integers(1, 70), skipped=st.integers(0, 15))
def test_a_streamed_order_goes_on_from_any_position(n: int, batch: int, skipped: int) -> None:
    data = numbered(n)
    whole = stream(data, batch)
    drawn(data, whole, skipped)
    assert drawn(data, stream(data, batch, offset=whole.offset), 3) == drawn(data, whole, 3)


def test_the_order_depends_on_seed_epoch_and_content_and_not_on_the_batch_size() -> None:
    data = numbered(60)
    reference = drawn(data, stream(data, 1), 180)
    assert drawn(data, stream(data, 7), 25) == reference[: 7 * 25]
    assert reference[:60] != reference[60:120]
    assert drawn(data, stream(data, 60, seed=1), 1) != reference[:60]
    other = AccDataset(255 - data.images)
    held = Streamed(other, CPU)
    assert stream(other, 60).draw(held).host.tolist() != reference[:60]


def test_a_file_that_is_sorted_by_class_gives_windows_of_all_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "BLOCKS_IN_A_WINDOW", 100)
    data = AccDataset(np.zeros((8_000, 1, 16, 16), np.uint8))
    labels = np.repeat(np.arange(4), 2_000)
    source, held = stream(data, 400), Streamed(data, CPU)
    shares = np.array(
        [np.bincount(labels[source.draw(held).host.numpy()], minlength=4) / 400 for _ in range(20)]
    )
    # Blocks of four rows of one class: a share of 400 rows varies as that of 100 drawn without return.
    assert np.abs(shares - 0.25).max() < 4.5 * np.sqrt(0.25 * 0.75 / 100)
    np.testing.assert_allclose(shares.mean(axis=0), 0.25, atol=0.02)


def test_a_window_of_large_images_takes_no_more_memory() -> None:
    data = AccDataset(np.zeros((40, 1, 36, 36), np.uint8))  # 1296 bytes, and a block is 1024
    source = stream(data, 5)
    for _ in range(16):
        source.draw(Streamed(data, CPU))
        assert source._window is not None
        assert source._window.images.nbytes <= SMALL["BLOCK_BYTES"] * SMALL["BLOCKS_IN_A_WINDOW"]


def test_windows_are_of_like_size_so_that_none_is_a_small_rest() -> None:
    data = numbered(4 * 10)  # ten blocks, three a window
    source, held = stream(data, 1), Streamed(data, CPU)
    sizes = []
    for _ in range(40):
        source.draw(held)
        window = source._window
        assert window is not None
        sizes.append(len(window.host))
    assert set(sizes) == {8, 12}


def on_disk(folder: Path, name: str, data: AccDataset) -> AccDataset:
    data.save(folder / name)
    return AccDataset.load(folder / name)


@pytest.fixture
def datasets(tmp_path: Path) -> dict[str, AccDataset]:
    return {
        "a": on_disk(tmp_path, "a", helpers.blobs(50, seed=1)),
        "b": on_disk(tmp_path, "b", helpers.blobs(11, seed=2)),
    }


def job_on(datasets: dict[str, AccDataset], **train: Any) -> Any:
    tasks = [*helpers.all_tasks("a"), helpers.task("reconstruction", key="draw-b", dataset="b", weight=3.0)]
    fields = {"steps": 14, "batch_size": 16, "checkpoint_every_steps": 6, "resident_gib": 0, **train}
    return helpers.job(datasets, tasks, **fields)


@pytest.mark.parametrize("train", [{}, {"schedule": "sampled"}, {"accumulate": 2}, {"batch_size": 100}])
def test_a_streamed_job_resumes_to_the_same_file_bit_for_bit(
    datasets: dict[str, AccDataset], train: dict[str, Any], tmp_path: Path
) -> None:
    spec = job_on(datasets, **train)
    _, whole = helpers.run(spec, datasets)
    assert whole.at(6).header.streamed == ("a", "b")
    whole.at(6).write(tmp_path / "6.safetensors")
    _, resumed = helpers.run(spec, datasets, resume_from=tmp_path / "6.safetensors")
    assert resumed.at(14).write(tmp_path / "resumed") == whole.at(14).write(tmp_path / "whole")
    for name, values in resumed.history().items():
        np.testing.assert_array_equal(values, whole.history()[name][6:], err_msg=name)


def test_a_job_goes_on_in_the_way_it_began_whatever_the_limit_is_by_then(
    datasets: dict[str, AccDataset], tmp_path: Path
) -> None:
    resident = job_on(datasets, resident_gib=2)
    _, whole = helpers.run(resident, datasets)
    assert whole.at(6).header.streamed == ()
    whole.at(6).write(tmp_path / "6")
    _, resumed = helpers.run(job_on(datasets), datasets, resume_from=tmp_path / "6")
    ours, theirs = resumed.at(14).tensors, whole.at(14).tensors
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_one_dataset_may_be_streamed_beside_one_that_is_held(tmp_path: Path) -> None:
    datasets = {"a": on_disk(tmp_path, "a", helpers.blobs(600, seed=1)), "b": helpers.blobs(11, seed=2)}
    spec = job_on(datasets, resident_gib=1e-4)  # 107 kB
    trainer, sink = helpers.run(spec, datasets)
    assert sink.at(14).header.streamed == ("a",)
    words = trainer.state.data_in_words()
    assert words["a"] == (
        "600 images, trained on 480, 120 held out from training; 0.1 MiB, streamed from the file (limit 0.0001 GiB)"
    )
    assert "held in the memory" in words["b"]


def test_what_is_measured_before_the_first_step_is_the_same_streamed_and_held(
    datasets: dict[str, AccDataset],
) -> None:
    found = [
        Trainer(job_on(datasets, resident_gib=gib), datasets, classes=helpers.shipped_tasks()).tasks.entries
        for gib in (0, 2)
    ]
    baselines = [{key: entry.baseline for key, entry in entries.items()} for entries in found]
    assert baselines[0] == baselines[1]
    assert any(baselines[0].values())


def test_a_file_that_can_no_longer_be_read_ends_the_job_in_a_sentence(
    datasets: dict[str, AccDataset], tmp_path: Path
) -> None:
    datasets["a"].name = "circles"
    trainer = Trainer(job_on(datasets), datasets, classes=helpers.shipped_tasks())
    os.truncate(tmp_path / "a", (tmp_path / "a").stat().st_size - 45 * 256)
    told = r"the dataset 'circles' can no longer be read from its file '.*/a': it has become shorter\. Restore the file"
    with pytest.raises(DatasetLost, match=told):
        trainer.run()


def test_a_file_that_can_no_longer_be_read_is_no_fault_of_a_task_that_is_measured(
    datasets: dict[str, AccDataset], tmp_path: Path
) -> None:
    _, sink = helpers.run(job_on(datasets), datasets)
    os.truncate(tmp_path / "b", (tmp_path / "b").stat().st_size - 10 * 256)
    spec = EvalSpec(device="cpu", suite=("metrics",))
    with pytest.raises(DatasetLost, match=r"a dataset can no longer be read from its file '.*/b'"):
        evaluate_checkpoint(sink.last.checkpoint(), datasets, helpers.shipped_tasks(), spec)


def test_images_read_from_the_file_are_those_of_the_held_dataset(datasets: dict[str, AccDataset]) -> None:
    data = datasets["a"]
    rows = torch.tensor([3, 49, 0, 3])
    assert torch.equal(Streamed(data, CPU).raw(rows, rows), Resident(data, CPU).raw(rows, rows))
    with pytest.raises(IndexError):
        data.read(np.array([50]))


CHILD = """
    import sys
    from pathlib import Path
    from acc.data import AccDataset
    from acc.tests import helpers
    from acc.tests.test_streamed_training import SMALL, job_on
    from acc.training import streaming

    class Disk(helpers.KeepingSink):
        def on_checkpoint(self, snapshot, reason):
            snapshot.write(Path(sys.argv[1]) / f"{reason}-{snapshot.step}.safetensors")

    for name, value in SMALL.items():
        setattr(streaming, name, value)
    datasets = {name: AccDataset.load(Path(sys.argv[1]).parent / name) for name in ("a", "b")}
    spec = job_on(datasets, steps=160, checkpoint_every_steps=90)
    helpers.run(spec, datasets, sink=Disk(), resume_from=sys.argv[2] if len(sys.argv) > 2 else None)
"""


def child(folder: Path, *arguments: str) -> subprocess.Popen[bytes]:
    folder.mkdir()
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(CHILD), str(folder), *arguments],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        cwd=Path(__file__).parents[2],
    )


@pytest.mark.long(20)
def test_a_streamed_job_that_was_killed_goes_on_to_the_same_file(
    datasets: dict[str, AccDataset], tmp_path: Path
) -> None:
    whole, cut = child(tmp_path / "whole"), child(tmp_path / "cut")
    autosave = tmp_path / "cut" / "autosave-90.safetensors"
    deadline = time.monotonic() + 90
    while not autosave.exists():
        assert cut.poll() is None, "the child ended before its autosave"
        assert time.monotonic() < deadline, "no autosave came"
        time.sleep(0.002)
    cut.send_signal(signal.SIGKILL)
    assert cut.wait(30) == -signal.SIGKILL
    assert not (tmp_path / "cut" / "final-160.safetensors").exists()
    assert child(tmp_path / "resumed", str(autosave)).wait(90) == 0
    assert whole.wait(90) == 0
    final = "final-160.safetensors"
    assert file_sha256(tmp_path / "resumed" / final) == file_sha256(tmp_path / "whole" / final)


MEASURE = """
import json, sys
import numpy as np, torch
from acc.data import AccDataset
from acc.training.streaming import Streamed

torch.set_num_threads(1)
data = AccDataset.load(sys.argv[1])
peak = lambda: int(open("/proc/self/status").read().partition("VmHWM:")[2].split()[0]) * 1024
held = Streamed(data, torch.device("cpu"))
stream = held.stream(np.arange(len(data)), seed=0, batch_size=64, offset=0)
before = peak()
for _ in range(len(data) // 64):
    stream.draw(held)
print(json.dumps({"added": peak() - before, "images": data.images.nbytes}))
"""


@pytest.mark.long(5)
def test_an_epoch_from_the_file_takes_a_part_of_its_size(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (130_000, 1, 64, 64), np.uint8)
    AccDataset(images).save(tmp_path / "large")
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(tmp_path / "large")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["images"] > 500 * 2**20
    assert found["added"] < 200 * 2**20
