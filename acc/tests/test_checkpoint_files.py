"""A checkpoint is one safetensors file: complete or absent, self-describing, refused if not intact."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from acc.data import AccDataset
from acc.errors import CheckpointError
from acc.hashes import file_sha256
from acc.tests import helpers
from acc.training.checkpoints.files import Snapshot, load, verify, write_atomically
from acc.training.checkpoints.header import read_header


@pytest.fixture
def snapshot(dataset: AccDataset) -> Snapshot:
    _, sink = helpers.run(helpers.job({"data": dataset}, steps=3), {"data": dataset})
    found: Snapshot = sink.at(3)
    return found


@pytest.fixture
def file(snapshot: Snapshot, tmp_path: Path) -> Path:
    snapshot.write(tmp_path / "point.safetensors")
    return tmp_path / "point.safetensors"


def test_write_returns_the_sha256_and_leaves_nothing_else(snapshot: Snapshot, tmp_path: Path) -> None:
    sha256 = snapshot.write(tmp_path / "point.safetensors")
    assert sha256 == hashlib.sha256((tmp_path / "point.safetensors").read_bytes()).hexdigest()
    assert [path.name for path in tmp_path.iterdir()] == ["point.safetensors"]
    assert snapshot.write(tmp_path / "again.safetensors") == sha256
    verify(tmp_path / "point.safetensors", sha256)


def test_the_header_says_what_made_the_checkpoint(
    file: Path, snapshot: Snapshot, dataset: AccDataset
) -> None:
    header = read_header(file)
    assert header == snapshot.header
    assert header.spec == helpers.job({"data": dataset}, steps=3)
    assert (header.job_step, header.global_step) == (3, 3)
    assert header.spec.datasets["data"].content_hash == dataset.content_hash
    plugin = header.plugins["ReconstructionTask"]
    assert hashlib.sha256(plugin["source"].encode()).hexdigest() == plugin["sha256"]
    assert "class ReconstructionTask(Task)" in plugin["source"]
    assert header.versions["torch"] == torch.__version__
    assert header.offsets == {"data": 48}


def test_load_gives_back_every_tensor(file: Path, snapshot: Snapshot) -> None:
    checkpoint = load(file, file_sha256(file))
    assert checkpoint.tensors.keys() == snapshot.tensors.keys()
    for name, tensor in snapshot.tensors.items():
        assert torch.equal(tensor, checkpoint.tensors[name])
    assert set(checkpoint.part("head.classification")) == {"weight", "bias"}
    prefixes = {name.partition(".")[0] for name in checkpoint.tensors}
    assert prefixes == {"model", "head", "optim", "rng"}


def test_the_header_is_read_without_torch(file: Path) -> None:
    code = (
        "import sys; from acc.training.checkpoints.files import verify;"
        "from acc.training.checkpoints.header import read_header;"
        f"print(read_header({str(file)!r}).job_step, 'torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert done.stdout.split() == ["3", "False"]


@pytest.mark.parametrize("keep", [0, 4, 100, 0.5, -1])
def test_a_truncated_file_is_refused_by_name(file: Path, keep: float) -> None:
    data = file.read_bytes()
    whole = file_sha256(file)
    file.write_bytes(data[: int(keep * len(data))] if isinstance(keep, float) else data[:keep])
    for attempt in (lambda: read_header(file), lambda: load(file)):
        with pytest.raises(CheckpointError, match=r"'point\.safetensors' is damaged") as refused:
            attempt()
        assert file_sha256(file) in str(refused.value)
    with pytest.raises(CheckpointError) as refused:
        load(file, whole)
    assert whole in str(refused.value)
    assert file_sha256(file) in str(refused.value)


def test_a_file_changed_by_one_byte_is_refused_with_both_hashes(file: Path) -> None:
    whole = file_sha256(file)
    data = bytearray(file.read_bytes())
    data[-5] ^= 1
    file.write_bytes(data)
    with pytest.raises(CheckpointError) as refused:
        load(file, whole)
    assert str(refused.value) == (
        f"checkpoint 'point.safetensors' was truncated or changed: its sha256 is {file_sha256(file)}, "
        f"its record says {whole}"
    )


def test_a_file_that_is_not_there_is_refused_by_name(tmp_path: Path) -> None:
    for attempt in (read_header, load, lambda path: load(path, "0" * 64)):
        with pytest.raises(CheckpointError, match="'gone' cannot be read: No such file or directory"):
            attempt(tmp_path / "gone")


def test_other_files_are_refused_with_the_reason(tmp_path: Path) -> None:
    save_file({"x": np.zeros(3)}, tmp_path / "other")
    with pytest.raises(CheckpointError, match="is a safetensors file, but no checkpoint of ACC"):
        load(tmp_path / "other")
    for number, (header, words) in enumerate(
        [
            ({"format": 99}, "format 99; this ACC reads format 1"),
            ({"format": 1, "spec": {}}, "not what ACC wrote"),
        ]
    ):
        path = tmp_path / f"bad{number}"
        save_file({"x": np.zeros(3)}, path, metadata={"acc": json.dumps(header)})
        with pytest.raises(CheckpointError, match=words):
            read_header(path)


def test_a_write_that_fails_leaves_the_old_file_and_no_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "point"
    write_atomically(path, b"old")

    def full(_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_snapshot_is_detached_from_the_running_trainer(dataset: AccDataset) -> None:
    _, sink = helpers.run(
        helpers.job({"data": dataset}, steps=6, checkpoint_every_steps=3), {"data": dataset}
    )
    early, late = sink.at(3).tensors, sink.at(6).tensors
    assert not torch.equal(early["model.decoder.query_CP"], late["model.decoder.query_CP"])
    assert float(early["optim.model.decoder.query_CP/step"]) == 3


def test_checkpoints_come_by_time_too_and_change_nothing(dataset: AccDataset) -> None:
    spec = helpers.job({"data": dataset}, steps=8)
    _, plain = helpers.run(spec, {"data": dataset})
    often = spec.model_copy(
        update={"train": spec.train.model_copy(update={"checkpoint_every_seconds": 1e-6})}
    )
    _, sink = helpers.run(often, {"data": dataset})
    reasons = [reason for _, reason in sink.checkpoints]
    assert reasons[0] == "autosave"
    assert reasons[-1] == "final"
    assert reasons.count("final") == 1
    for name, tensor in plain.at(8).tensors.items():
        assert torch.equal(tensor, sink.last.tensors[name])
