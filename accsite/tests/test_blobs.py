"""Blobs are whole when they have a name, verified when they are read, and found wherever they are kept."""

from __future__ import annotations

import hashlib
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from django.core.files.storage import default_storage

from accsite import blobs

CONTENT = b"weights" * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()
NAME = f"checkpoints/{SHA256}.safetensors"


@pytest.fixture(params=["local", "remote"])
def place(request: pytest.FixtureRequest, tmp_path: Path, settings: Any) -> str:
    """Keep blobs in a folder of their own, or in a storage that has no folder (as a bucket has none)."""
    settings.HOME = tmp_path / "home"
    backend = "django.core.files.storage.InMemoryStorage"
    options: dict[str, Any] = {}
    if request.param == "local":
        backend = "django.core.files.storage.FileSystemStorage"
        options = {"location": str(tmp_path / "blobs"), "base_url": None}
    settings.STORAGES = {**settings.STORAGES, "default": {"BACKEND": backend, "OPTIONS": options}}
    return str(request.param)


@pytest.fixture
def draft(place: str) -> Path:
    path = blobs.scratch() / "draft"
    path.write_bytes(CONTENT)
    return path


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_a_stored_file_moves_to_the_name_of_its_content_and_is_read_back(draft: Path) -> None:
    assert blobs.store(draft, "checkpoints", SHA256) == NAME
    assert not draft.exists()
    assert blobs.open_local(NAME, SHA256).read_bytes() == CONTENT


def test_a_kept_draft_can_be_stored_again(draft: Path) -> None:
    assert blobs.store(draft, "checkpoints", SHA256, keep=True) == NAME
    assert draft.read_bytes() == CONTENT
    assert blobs.store(draft, "checkpoints", SHA256) == NAME
    assert blobs.open_local(NAME, SHA256).read_bytes() == CONTENT


def test_bytes_are_stored_by_their_content(place: str) -> None:
    name, sha256 = blobs.write_bytes(b"a picture", "pictures", ".png")
    assert name == f"pictures/{sha256}.png"
    assert blobs.open_local(name, sha256).read_bytes() == b"a picture"
    assert files(blobs.scratch()) == []


@pytest.mark.parametrize("place", ["local"], indirect=True)
def test_a_damaged_file_of_the_same_name_is_replaced(place: str, draft: Path) -> None:
    blobs.store(draft, "checkpoints", SHA256, keep=True)
    damage(blobs.open_local(NAME, SHA256), unlinked=True)
    blobs.store(draft, "checkpoints", SHA256)
    assert blobs.open_local(NAME, SHA256).read_bytes() == CONTENT


def damage(path: Path, *, unlinked: bool = False) -> None:
    """Change one byte; in a copy of its own if ``unlinked``, so that a linked draft stays as it is."""
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    if unlinked:
        path.unlink()
    path.write_bytes(bytes(data))
    os.utime(path, ns=(1, 1))


@pytest.mark.parametrize("place", ["local"], indirect=True)
def test_a_byte_that_changed_is_told_with_both_hashes(place: str, draft: Path) -> None:
    blobs.store(draft, "checkpoints", SHA256)
    path = blobs.open_local(NAME, SHA256)
    damage(path)
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    with pytest.raises(
        blobs.BlobDamaged, match=f"'{NAME}' is damaged: expected sha256 {SHA256}, found {found}"
    ):
        blobs.open_local(NAME, SHA256)


@pytest.mark.parametrize("place", ["remote"], indirect=True)
def test_a_damaged_copy_of_a_remote_file_is_fetched_again(place: str, draft: Path) -> None:
    blobs.store(draft, "checkpoints", SHA256)
    damage(blobs.open_local(NAME, SHA256))
    assert blobs.open_local(NAME, SHA256).read_bytes() == CONTENT


def test_a_missing_file_is_told_by_name(place: str) -> None:
    with pytest.raises(blobs.BlobDamaged, match=f"'{NAME}' is missing from storage"):
        blobs.open_local(NAME, SHA256)


def test_an_unchanged_file_is_hashed_once(draft: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blobs.store(draft, "checkpoints", SHA256)
    blobs.open_local(NAME, SHA256)
    monkeypatch.setattr(blobs, "file_sha256", lambda path: pytest.fail("hashed again"))
    blobs.open_local(NAME, SHA256)


@pytest.mark.parametrize("place", ["local"], indirect=True)
def test_a_write_that_fails_half_way_leaves_no_name_and_no_scrap(
    place: str, draft: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        blobs.store(draft, "checkpoints", SHA256)
    assert files(blobs.scratch().parent) == ["draft"]


def test_deleting_what_is_not_there_is_no_error(draft: Path) -> None:
    blobs.store(draft, "checkpoints", SHA256)
    blobs.delete(NAME)
    blobs.delete(NAME)


@pytest.mark.parametrize("place", ["local"], indirect=True)
def test_who_is_killed_while_storing_under_a_name_leaves_nothing_under_it(place: str) -> None:
    pid = os.fork()
    if pid == 0:
        blobs._sync = lambda path: os.kill(os.getpid(), signal.SIGKILL)
        blobs.write_named(CONTENT, "decoders/a.onnx")
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    assert not default_storage.exists("decoders/a.onnx")


def test_what_is_stored_under_a_name_is_read_back_and_leaves_no_draft(place: str) -> None:
    blobs.write_named(CONTENT, "decoders/a.onnx")
    with default_storage.open("decoders/a.onnx") as file:
        assert file.read() == CONTENT
    assert files(blobs.scratch()) == []
