"""A source is one file, the files of a folder, or a path that the server's owner allows."""

from __future__ import annotations

import io
import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.files.uploadedfile import SimpleUploadedFile

from acc.data.importers import file_sets
from acc.errors import InvalidInput
from accsite.apps.datasets.services import on_server, uploads
from accsite.apps.datasets.services.imports import OnServer, Upload, Uploads
from accsite.settings import env

pytestmark = pytest.mark.django_db


def file(name: str, data: bytes = b"") -> SimpleUploadedFile:
    return SimpleUploadedFile(name, data or name.encode())


def kept(place: Path) -> list[str]:
    return sorted(path.name for path in place.rglob("*") if path.is_file())


def test_several_files_are_a_folder_with_the_paths_that_are_told(own_storage: Path) -> None:
    paths = ["faces/train/a.png", "faces/train/b.png", "faces/.DS_Store", "faces/list.txt"]
    files = [file("a.png"), file("b.png"), file("x"), file("list.txt")]
    found = uploads.source_of(files, paths=json.dumps(paths))
    assert isinstance(found, Uploads)
    assert (found.name, [each.name for each in found.files]) == ("faces", [paths[0], paths[1], paths[3]])
    assert (own_storage / found.files[0].file).read_bytes() == b"a.png"
    assert len(kept(own_storage)) == 3
    beside = uploads.source_of([file("images.idx"), file("labels.idx")])
    assert isinstance(beside, Uploads)
    assert (beside.name, [each.name for each in beside.files]) == ("images", ["images.idx", "labels.idx"])
    assert isinstance(uploads.source_of([file("one.npz")]), Upload)


@pytest.mark.parametrize(
    ("paths", "field", "words"),
    [
        ('["a.png"]', "paths", "a JSON list of 2 paths"),
        ("a.png", "paths", "a JSON list of 2 paths"),
        ('["x/a.png", "x/a.png"]', "paths", "'x/a.png' is the name of two files"),
        ('["x", "x/a.png"]', "paths", "'x' is the name of two files"),
        ('["..", "a.png"]', "paths", "'..' is no path of a file"),
    ],
)
def test_a_folder_that_is_none_is_refused_and_leaves_nothing(
    own_storage: Path, paths: str, field: str, words: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        uploads.source_of([file("a.png"), file("b.png")], paths=paths)
    assert words in refused.value.fields[field][0]
    assert kept(own_storage) == []


def test_one_empty_file_or_too_many_bytes_refuse_a_folder_whole(own_storage: Path, settings: Any) -> None:
    empty = SimpleUploadedFile("b.png", b"")
    with pytest.raises(InvalidInput, match=r"'x/b.png' is empty"):
        uploads.source_of([file("a.png"), empty], paths='["x/a.png", "x/b.png"]')
    settings.ACC_MAX_DATASET_BYTES = 8
    with pytest.raises(InvalidInput, match="the files have 10 bytes; at most 8 are allowed"):
        uploads.source_of([file("a.png"), file("b.png")])
    assert kept(own_storage) == []


def test_no_path_leads_out_of_the_folder_of_an_upload(own_storage: Path) -> None:
    paths = json.dumps(["../../etc/a.png", "c:\\x\\..\\b.png"])
    found = uploads.source_of([file("a.png"), file("b.png")], paths=paths)
    assert isinstance(found, Uploads)
    assert not any(part in ("..", ".") for each in found.files for part in each.name.split("/"))
    assert "/" not in found.name
    assert len(kept(own_storage)) == 2


def test_a_path_of_the_server_is_taken_where_its_owner_allows_it(tmp_path: Path, settings: Any) -> None:
    data, elsewhere = tmp_path / "data", tmp_path / "elsewhere"
    data.mkdir()
    elsewhere.mkdir()
    for place in (data / "a.npz", elsewhere / "secret.npz"):
        place.write_bytes(b"x")
    (data / "link.npz").symlink_to(elsewhere / "secret.npz")
    with pytest.raises(InvalidInput, match="this site imports no files of its server; upload it"):
        on_server.found(str(data / "a.npz"))
    settings.ACC_IMPORT_ROOTS = [data]
    assert uploads.source_of([], path=str(data / "a.npz")) == OnServer(str(data / "a.npz"))
    assert on_server.offered() == [str(data / "a.npz"), str(data / "link.npz")]
    for text, words in (
        (str(elsewhere / "secret.npz"), "files may be imported from"),
        (str(data / ".." / "elsewhere" / "secret.npz"), "files may be imported from"),
        (str(data / "link.npz"), "files may be imported from"),
        ("a.npz", "files may be imported from"),
        ("a\0b", "is no path"),
        (str(data / "gone.npz"), "there is no file or folder"),
        (str(data / ("x" * 300)), "there is no file or folder"),
    ):
        with pytest.raises(InvalidInput) as refused:
            on_server.found(text)
        assert words in refused.value.fields["path"][0]
    with pytest.raises(InvalidInput, match="not both"):
        uploads.source_of([file("a.npz")], path=str(data / "a.npz"))
    with pytest.raises(InvalidInput, match="choose the file that holds the images"):
        uploads.source_of([])


def test_the_folders_of_the_server_are_whole_paths(monkeypatch: Any) -> None:
    monkeypatch.setenv("ACC_TRIAL", "/data:/more data")
    assert env.paths("ACC_TRIAL") == [Path("/data"), Path("/more data")]
    monkeypatch.setenv("ACC_TRIAL", "data")
    with pytest.raises(ImproperlyConfigured, match="ACC_TRIAL names 'data'; give whole paths"):
        env.paths("ACC_TRIAL")
    monkeypatch.delenv("ACC_TRIAL")
    assert env.paths("ACC_TRIAL") == []


def test_what_was_opened_is_read_though_something_else_is_put_in_its_place(
    tmp_path: Path, settings: Any
) -> None:
    data, elsewhere, mirror = tmp_path / "data", tmp_path / "elsewhere", tmp_path / "job"
    for place in (data / "set", elsewhere):
        place.mkdir(parents=True)
        for name in ("train-images.npy", "train-labels.npy"):
            np.save(place / name, np.full((9, 8, 8), 7 if place != elsewhere else 9, np.uint8))
    settings.ACC_IMPORT_ROOTS = [data]
    with ExitStack() as stack:
        file = on_server.pinned(str(data / "set" / "train-images.npy"), mirror / "file", stack)
        folder = on_server.pinned(str(data / "set"), mirror / "folder", stack)
        (data / "set").rename(data / "was")
        (data / "set").symlink_to(elsewhere)
        assert [path.name for path in (file, folder)] == ["train-images.npy", "set"]
        assert {int(np.load(path)[0, 0, 0]) for path in file.parent.iterdir()} == {7}
        kept = file_sets.Folder(folder, stack, max_bytes=10**6)
        (data / "was" / "train-labels.npy").unlink()
        (data / "was" / "train-labels.npy").symlink_to(elsewhere / "train-labels.npy")
        assert int(np.load(io.BytesIO(kept.read("train-images.npy")))[0, 0, 0]) == 7
        with pytest.raises(InvalidInput, match=r"has 'train-labels.npy', which cannot be read: "):
            kept.read("train-labels.npy")
        with pytest.raises(InvalidInput, match="files may be imported from"):
            on_server.pinned(str(data / "set"), mirror / "again", stack)


def test_a_link_that_is_put_between_the_check_and_the_opening_is_not_followed(
    tmp_path: Path, settings: Any, monkeypatch: Any
) -> None:
    data, secret = tmp_path / "data", tmp_path / "secret"
    (data / "set").mkdir(parents=True)
    secret.mkdir()
    for place in (data / "set", secret):
        (place / "a.npz").write_bytes(b"x")
    settings.ACC_IMPORT_ROOTS = [data]
    found = on_server.found

    def swapped(text: str, **how: Any) -> Path:
        path = found(text, **how)
        (data / "set").rename(data / "was")
        (data / "set").symlink_to(secret)
        return path

    monkeypatch.setattr(on_server, "found", swapped)
    with ExitStack() as stack, pytest.raises(InvalidInput, match="cannot be read: .*moved a moment ago"):
        on_server.pinned(str(data / "set" / "a.npz"), tmp_path / "job", stack)
