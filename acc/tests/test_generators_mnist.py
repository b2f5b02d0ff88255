"""MNIST comes from a mirror whole and checked or not at all, or from IDX files on disk; a real server answers here."""

from __future__ import annotations

import gzip
import hashlib
import struct
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from acc.data import mnist
from acc.data.download import KnownFile, fetch
from acc.errors import InvalidInput
from acc.hashes import file_sha256
from acc.tests.generators import generator

NAMES = tuple(mnist.FILES)


def idx_bytes(array: np.ndarray) -> bytes:
    head = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    return head + array.tobytes()


def small_mnist() -> dict[str, bytes]:
    rng = np.random.default_rng(0)
    files = {}
    for stem, n in (("train", 60), ("t10k", 20)):
        images = np.zeros((n, 28, 28), np.uint8)
        images[:, 6:22, 12:16] = rng.integers(128, 256, (n, 16, 4))
        files[f"{stem}-images-idx3-ubyte.gz"] = gzip.compress(idx_bytes(images), mtime=0)
        labels = (np.arange(n) % 10).astype(np.uint8)
        files[f"{stem}-labels-idx1-ubyte.gz"] = gzip.compress(idx_bytes(labels), mtime=0)
    return files


FILES = small_mnist()


class Mirror(BaseHTTPRequestHandler):
    """Answers as its path says: /good/, /wrong/, /short/, /long/, /slow/, /elsewhere/ and, for all else, 404."""

    asked: list[str] = []

    def do_GET(self) -> None:
        _, manner, name = self.path.split("/", 2)
        type(self).asked.append(self.path)
        body = FILES.get(name)
        if manner == "elsewhere":
            self.send_response(302)
            self.send_header("Location", "file:///etc/passwd")
            self.end_headers()
            return
        if body is None or manner not in ("good", "wrong", "short", "long", "slow"):
            self.send_error(404)
            return
        self.send_response(200)
        if manner in ("good", "short", "slow"):
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if manner == "wrong":
            body = body[:-1] + bytes([body[-1] ^ 1])
        elif manner == "short":
            body = body[: len(body) // 2]
        elif manner == "long":
            body += bytes(10)
        if manner == "slow":
            for byte in body[:50]:
                self.wfile.write(bytes([byte]))
                time.sleep(0.05)
        else:
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    one = ThreadingHTTPServer(("127.0.0.1", 0), Mirror)
    one.daemon_threads = True
    thread = threading.Thread(target=one.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{one.server_port}"
    one.shutdown()
    thread.join()
    one.server_close()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    known = {name: KnownFile(hashlib.sha256(body).hexdigest(), len(body)) for name, body in FILES.items()}
    monkeypatch.setattr(mnist, "FILES", known)
    monkeypatch.setenv("ACC_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    Mirror.asked.clear()
    return tmp_path


def known(name: str) -> KnownFile:
    return KnownFile(hashlib.sha256(FILES[name]).hexdigest(), len(FILES[name]))


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_mnist_is_fetched_once_and_then_read_from_disk(
    home: Path, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACC_MNIST_MIRRORS", f"{server}/good")
    told: list[float] = []
    data = generator("mnist", "Mnist")().generate(n=None, seed=0, progress=told.append)
    assert data.images.shape == (60, 1, 28, 28)
    assert np.bincount(data.targets["digit"]).tolist() == [6] * 10
    assert data.targets["thickness"].mean() == pytest.approx(4, rel=0.1)
    assert np.abs(data.targets["slant"]).max() < 0.1
    assert told == sorted(told)
    assert told[-1] == 1.0
    assert left(home) == ["train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"]
    before = len(Mirror.asked)
    again = generator("mnist", "Mnist")().generate(n=None, seed=0)
    assert len(Mirror.asked) == before == 2
    assert again.content_hash == data.content_hash


def test_a_choice_keeps_the_share_of_each_digit_and_a_border_can_be_added(
    home: Path, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACC_MNIST_MIRRORS", f"{server}/good/")
    data = generator("mnist", "Mnist")(part="all", size=32).generate(n=40, seed=3)
    assert data.images.shape == (40, 1, 32, 32)
    assert np.bincount(data.targets["digit"]).tolist() == [4] * 10
    assert data.images[:, :, :2].max() == 0
    with pytest.raises(InvalidInput, match="n: 81 is refused; there are 80 images"):
        generator("mnist", "Mnist")(part="all").generate(n=81, seed=0)


@pytest.mark.parametrize(
    ("manner", "said"),
    [
        ("wrong", "sent another file: its SHA-256 is"),
        ("gone", "answers 404 Not Found"),
        ("short", "of [0-9,]+ bytes|IncompleteRead"),
        ("long", "sends more than the"),
        ("elsewhere", "is not allowed|no http or https"),
    ],
)
def test_a_mirror_that_fails_is_named_with_its_reason_and_leaves_nothing(
    tmp_path: Path, server: str, manner: str, said: str
) -> None:
    name = NAMES[1]
    with pytest.raises(InvalidInput, match=said) as refused:
        fetch([f"{server}/{manner}/{name}"], tmp_path / "cache" / name, known(name))
    assert list(refused.value.fields) == ["download"]
    assert f"{server}/{manner}/{name}" in str(refused.value)
    assert left(tmp_path) == []


def test_the_next_mirror_is_asked_when_one_fails(tmp_path: Path, server: str) -> None:
    name = NAMES[1]
    urls = [f"{server}/{manner}/{name}" for manner in ("gone", "wrong", "short", "good")]
    path = fetch(urls, tmp_path / name, known(name))
    assert path.read_bytes() == FILES[name]
    assert left(tmp_path) == [name]


def test_a_mirror_that_drips_is_given_up_after_its_time(tmp_path: Path, server: str) -> None:
    name = NAMES[1]
    began = time.monotonic()
    with pytest.raises(InvalidInput, match=r"bytes in 0\.2 s and was given up"):
        fetch([f"{server}/slow/{name}"], tmp_path / name, known(name), limit_seconds=0.2)
    assert time.monotonic() - began < 2
    with pytest.raises(InvalidInput, match="timed out"):
        fetch([f"{server}/slow/{name}"], tmp_path / name, known(name), silence_seconds=0.02)
    assert left(tmp_path) == []


def test_progress_can_stop_a_download_and_nothing_is_left(tmp_path: Path, server: str) -> None:
    def stop(fraction: float) -> None:
        raise KeyboardInterrupt

    name = NAMES[0]
    with pytest.raises(KeyboardInterrupt):
        fetch([f"{server}/good/{name}"], tmp_path / name, known(name), progress=stop)
    assert left(tmp_path) == []


def test_a_damaged_file_in_the_cache_is_fetched_anew(tmp_path: Path, server: str) -> None:
    name = NAMES[1]
    (tmp_path / name).write_bytes(bytes(len(FILES[name])))
    fetch([f"{server}/good/{name}"], tmp_path / name, known(name))
    assert file_sha256(tmp_path / name) == known(name).sha256


def test_an_address_that_is_not_http_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="is no http or https address"):
        fetch(["file:///etc/passwd"], tmp_path / "x", known(NAMES[1]))


def test_without_a_network_it_says_how_to_go_on(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACC_MNIST_MIRRORS", "http://127.0.0.1:9/")
    with pytest.raises(InvalidInput, match="Connection refused.*put the four IDX files into a folder of"):
        generator("mnist", "Mnist")().generate(n=None, seed=0)


@pytest.mark.parametrize("packed", [True, False])
def test_files_of_ones_own_are_read_from_a_folder(home: Path, packed: bool) -> None:
    (home / "mine").mkdir()
    for name, body in FILES.items():
        path = home / "mine" / (name if packed else name.removesuffix(".gz"))
        path.write_bytes(body if packed else gzip.decompress(body))
    data = generator("mnist", "Mnist")(folder="mine", part="test").generate(n=None, seed=0)
    assert data.images.shape == (20, 1, 28, 28)
    assert Mirror.asked == []


@pytest.mark.parametrize("folder", ["../..", "/etc", "nowhere", "empty"])
def test_a_folder_outside_or_without_the_files_is_refused(home: Path, folder: str) -> None:
    (home / "empty").mkdir()
    with pytest.raises(InvalidInput, match="params.folder") as refused:
        generator("mnist", "Mnist")(folder=folder).generate(n=None, seed=0)
    assert list(refused.value.fields) == ["params.folder"]


def test_files_that_are_not_of_mnist_are_refused(home: Path) -> None:
    (home / "odd").mkdir()
    for name, array in ((NAMES[0], np.zeros((5, 28, 28), np.uint8)), (NAMES[1], np.full(5, 11, np.uint8))):
        (home / "odd" / name).write_bytes(gzip.compress(idx_bytes(array)))
    with pytest.raises(InvalidInput, match="file: .*up to 11; need a digit, 0 to 9, for each of 5 images"):
        generator("mnist", "Mnist")(folder="odd").generate(n=None, seed=0)


def test_the_official_files_are_known_by_content_and_size() -> None:
    assert sum(each.size for each in mnist.FILES.values()) == 11_594_722
    assert all(len(each.sha256) == 64 for each in mnist.FILES.values())
    assert all(each.startswith("https://") for each in mnist.MIRRORS)
