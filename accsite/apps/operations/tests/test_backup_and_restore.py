"""A backup holds every row and file of one moment; a restored installation is the same, or nothing is changed."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.db import connection, models, transaction

from acc.errors import InvalidInput
from accsite.apps.operations.backup import back_up, models_in_order, restore
from accsite.apps.training.models import Branch, Experiment, Task

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.both_databases]


def everything() -> dict[str, list[dict[str, Any]]]:
    return {
        model._meta.label: list(model._base_manager.order_by("pk").values()) for model in models_in_order()
    }


def empty(stored: Path) -> None:
    """Empty database and storage, as a new installation is."""
    call_command("flush", interactive=False, verbosity=0)
    for path in sorted(stored.rglob("*"), reverse=True):
        if path.is_file():
            path.unlink()


def rewritten(source: Path, target: Path, change: Callable[[str, bytes], tuple[str, bytes]]) -> Path:
    with tarfile.open(source) as old, tarfile.open(target, "w") as new:
        for info in old.getmembers():
            file = old.extractfile(info)
            assert file is not None
            name, data = change(info.name, file.read())
            member = tarfile.TarInfo(name)
            member.size = len(data)
            new.addfile(member, io.BytesIO(data))
    return target


def test_everything_comes_back_as_it_was(branch: Branch, stored: Path, tmp_path: Path) -> None:
    before = everything()
    files = {path.relative_to(stored): path.read_bytes() for path in stored.rglob("*.safetensors")}
    assert files
    assert before["training.Checkpoint"]
    manifest = back_up(tmp_path / "acc.tar")
    assert sum(member.rows or 0 for member in manifest.members.values()) == sum(map(len, before.values()))
    empty(stored)
    restore(tmp_path / "acc.tar")
    assert everything() == before
    assert {path.relative_to(stored): path.read_bytes() for path in stored.rglob("*.safetensors")} == files
    # New rows take new ids.
    Experiment.objects.create(name="another", slug="another", model_spec={})


def test_a_backup_does_not_wait_for_writers_nor_hold_them_up(branch: Branch, tmp_path: Path) -> None:
    from threading import Thread

    failed: list[BaseException] = []

    def write() -> None:
        try:
            for number in range(20):
                with transaction.atomic():
                    Task.objects.update(weight=number)
        except BaseException as error:
            failed.append(error)
        finally:
            connection.close()

    writer = Thread(target=write)
    writer.start()
    back_up(tmp_path / "acc.tar")
    writer.join()
    assert not failed


def test_an_installation_that_is_not_empty_is_left_as_it_is(branch: Branch, tmp_path: Path) -> None:
    back_up(tmp_path / "acc.tar")
    before = everything()
    with pytest.raises(InvalidInput, match="this installation is not empty"):
        restore(tmp_path / "acc.tar")
    assert everything() == before


def damage(name: str, data: bytes) -> tuple[str, bytes]:
    return name, b"x" + data[1:] if name.startswith("blobs/checkpoints") else data


def climb(name: str, data: bytes) -> tuple[str, bytes]:
    if name == "manifest.json":
        manifest = json.loads(data)
        blob = next(key for key in manifest["members"] if key.startswith("blobs/"))
        manifest["members"]["blobs/../../out"] = manifest["members"].pop(blob)
        return name, json.dumps(manifest).encode()
    return name, data


def other_migrations(name: str, data: bytes) -> tuple[str, bytes]:
    if name == "manifest.json":
        manifest = json.loads(data)
        manifest["migrations"]["training"] = "0099_future"
        return name, json.dumps(manifest).encode()
    return name, data


def no_manifest(name: str, data: bytes) -> tuple[str, bytes]:
    return ("other.json" if name == "manifest.json" else name), data


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (damage, "is damaged: expected sha256"),
        (climb, "has a name that is not allowed"),
        (other_migrations, r"other migrations \(training"),
        (no_manifest, "no manifest"),
    ],
)
def test_a_file_that_is_not_whole_changes_nothing(
    branch: Branch, stored: Path, tmp_path: Path, change: Any, words: str
) -> None:
    back_up(tmp_path / "acc.tar")
    wrong = rewritten(tmp_path / "acc.tar", tmp_path / "wrong.tar", change)
    empty(stored)
    with pytest.raises(InvalidInput, match=words):
        restore(wrong)
    assert not get_user_model().objects.exists()
    assert not list(stored.rglob("*.safetensors"))


def test_what_is_no_backup_is_refused(db: None, tmp_path: Path) -> None:
    (tmp_path / "photo.tar").write_bytes(b"GIF89a" * 200)
    with pytest.raises(InvalidInput, match="'photo.tar' is no backup of ACC"):
        restore(tmp_path / "photo.tar")
    with pytest.raises(InvalidInput, match="is there already"):
        back_up(tmp_path / "photo.tar")


def test_every_model_of_ours_is_kept(db: None) -> None:
    kept = {model._meta.label for model in models_in_order()}
    ours = {
        model._meta.label
        for model in models.Model.__subclasses__()
        if model.__module__.startswith("accsite.")
        and not model._meta.abstract
        and not model._meta.auto_created  # of many to many: written with the rows whose they are
    }
    assert ours - kept == {"live.Topic"}
