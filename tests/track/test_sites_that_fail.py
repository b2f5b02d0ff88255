"""A site that is away, full or answers 500 while a loop runs costs the loop nothing, and nothing is lost."""

from __future__ import annotations

import io
import itertools
import sys
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest
import torch

from acc import journal, track
from acc.client.transport import ApiError
from acc.errors import InvalidInput
from acc.hashes import file_sha256
from acc.track import file as files
from acc.track import sender
from accsite.apps.jobs.models import Job
from accsite.apps.training.selectors import loss_history
from tests.track.test_runs_on_a_site import values


@pytest.fixture
def failing(site_url, monkeypatch):
    """A way to the site that answers as it is told: with a status, or, told None, as the site itself does."""
    told: dict[str, int | None] = {"status": 500}
    monkeypatch.setattr(sender, "BACKOFF_SECONDS", (0.1, 0.2))
    monkeypatch.setattr(sender, "PAUSE_SECONDS", 0.05)

    class Way(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if told["status"] is not None:
                self.send_response(told["status"])
                self.end_headers()
                self.wfile.write(b"<html>not today</html>")
                return
            request = urllib.request.Request(site_url + self.path, body, dict(self.headers), method="POST")
            try:
                answer = urllib.request.urlopen(request, timeout=10)
            except urllib.error.HTTPError as error:
                answer = error
            data = answer.read()
            self.send_response(answer.status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Way)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", told
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("status", [500, 507, 502, 429])
def test_what_a_site_could_not_take_it_takes_later_in_the_same_run(failing, token, ada, tmp_path, status):
    where, told = failing
    told["status"] = status
    with track.run("own/failing", site=where, token=token, folder=tmp_path) as run:
        for step in range(300):
            run.log({"loss": float(step)}, step)
            time.sleep(0.001)
            if step == 200:
                assert not Job.objects.exists()
                told["status"] = None
    job = Job.objects.get()
    assert job.state == "SUCCEEDED"
    assert values(job, "raw/loss") == {step: float(step) for step in range(300)}


def test_a_full_disk_keeps_what_was_logged_until_there_is_room(tmp_path, monkeypatch):
    with track.run("own/full", offline=True, folder=tmp_path) as run:
        real, full = run._journal.append, threading.Event()
        full.set()

        def append(header, data=b""):
            if full.is_set():
                raise OSError(28, "No space left on device")
            real(header, data)

        monkeypatch.setattr(run._journal, "append", append)
        for step in range(50):
            run.log({"loss": float(step)}, step)
            time.sleep(0.01)
        full.clear()
    kept = [record for record in files.records(run.path) if record.says == "points"]
    assert sum(record.header["count"] for record in kept) == 50


def test_a_file_that_was_cut_off_or_changed_is_told_apart(tmp_path, token, site_url, ada):
    with track.run("own/cut", offline=True, folder=tmp_path, id="cut") as run:
        for step in range(30):
            run.log({"loss": float(step)}, step)
            time.sleep(0.01)
    data = run.path.read_bytes()
    run.path.write_bytes(data[:-50])  # as a process that was killed would leave it
    told = track.sync([run.path], site=site_url, token=token)[0]
    assert (told.fault, told.state) == ("", "LOST")
    _, columns = loss_history(Job.objects.get())
    assert np.isfinite(columns).all()
    run.path.write_bytes(data[:-300] + bytes([data[-300] ^ 1]) + data[-299:])
    again = track.sync([run.path], site=site_url, token=token)[0]
    assert "is not what was written" in again.fault
    (tmp_path / "no.accrun").write_bytes(b"no run at all")
    assert (
        "there is no record of a journal"
        in track.sync([tmp_path / "no.accrun"], site=site_url, token=token)[0].fault
    )


def test_what_is_no_value_or_no_step_is_refused_at_the_call_and_the_run_goes_on(tmp_path):
    with track.run("own/wrong", offline=True, folder=tmp_path) as run:
        wrong: list[tuple[Any, Any, str]] = [
            ({"loss": "x"}, 0, "values: 'loss' is 'x'; give a number"),
            ({"loss": np.zeros(3)}, 0, "give a number, or a tensor of one value"),
            ({"a,b": 1.0}, 0, "no comma"),
            ({}, 0, "nothing is logged"),
            ({"loss": 1.0}, -1, "step: -1 is not a step"),
            ({"loss": 1.0}, 1.5, "step: 1.5 is not a step"),
        ]
        for values_, step, fault in wrong:
            with pytest.raises(InvalidInput, match=fault):
                run.log(values_, step)
        names: list[Any] = [np.zeros(3), "a,b"]
        for series in names:
            with pytest.raises(InvalidInput, match="is not the name of a series"):
                run.alarm("look", series=series)
        run.log({"loss": np.float32(1.0), "n": 3, "b": True}, int(np.int64(7)))
    with pytest.raises(InvalidInput, match="the run has ended"):
        run.log({"loss": 1.0})
    points = [record for record in files.records(run.path) if record.says == "points"]
    assert [record.header["count"] for record in points] == [1]


def test_a_clock_that_goes_back_turns_no_time_around(tmp_path, monkeypatch):
    runs = sys.modules["acc.track.run"]
    clock = itertools.chain([1e9, 1e9 + 5, 1e9 - 100], itertools.repeat(1e9 + 1))
    with track.run("own/clock", offline=True, folder=tmp_path) as run:
        monkeypatch.setattr(runs, "_time", lambda: next(clock))
        for _ in range(4):
            run.log({"loss": 1.0})
            time.sleep(0.15)
    walls = [record.header["wall"] for record in files.records(run.path) if record.says == "points"]
    flat = [wall for pair in walls for wall in pair]
    assert flat == sorted(flat)


def test_tensors_are_taken_as_they_were_and_hold_no_graph(tmp_path):
    torch = pytest.importorskip("torch")
    with track.run("own/tensors", offline=True, folder=tmp_path) as run:
        weight = torch.ones(1, requires_grad=True)
        running = torch.zeros(())
        for step in range(3):
            running += 1
            run.log({"loss": (weight * step).sum(), "running": running}, step)
    from acc.journal import points_of

    (points,) = [points_of(record) for record in files.records(run.path) if record.says == "points"]
    assert points.values.tolist() == [[0, 1, 2], [1, 2, 3]]


def test_what_no_file_can_hold_is_refused_before_a_run_begins(tmp_path):
    with pytest.raises(InvalidInput, match="config: it cannot be written as JSON"):
        track.run("own/bytes", config={"data": "\udcff"}, offline=True, folder=tmp_path)
    assert not list(tmp_path.iterdir())


def test_an_error_is_as_good_as_its_words_to_say_how_a_run_ended(tmp_path):
    run = track.run("own/ended", offline=True, folder=tmp_path)
    run.finish("FAILED", ValueError("no"))  # type: ignore[arg-type]
    assert list(files.records(run.path))[-1].header["message"] == "no"


class NoFiles:
    """A site that takes everything but files."""

    url, taken, status = "http://site", 1, 413

    def json(self, *_: Any) -> dict[str, Any]:
        return {"job": 1, "taken": self.taken, "state": "RUNNING", "page": "/", "lease_seconds": 20}

    def post_bytes(self, _path: str, data: bytes, **_query: Any) -> dict[str, Any]:
        self.taken += len(list(journal.read(io.BytesIO(data), None)))
        return self.json()

    def upload(self, *_: Any) -> None:
        raise ApiError(self.status, {"title": "The request is too large"})


@pytest.mark.parametrize("status", [413, 422])
def test_weights_that_a_site_refuses_keep_nothing_else_of_the_run(tmp_path, status):
    with track.run("own/large", offline=True, folder=tmp_path) as run:
        run.log({"loss": 1.0})
        run.save({"w": torch.zeros(3)})
        run.log({"loss": 2.0})
    transport: Any = NoFiles()
    transport.status = status
    delivery = sender.Delivery(run.path, transport)
    assert delivery.give(live=False)
    assert (delivery.points, delivery.checkpoints) == (2, 0)
    assert transport.taken == len(list(files.records(run.path)))


def test_a_run_names_no_file_that_lies_elsewhere(tmp_path):
    (tmp_path / "secret").write_bytes(b"mine")
    with track.run("own/theirs", offline=True, folder=tmp_path / "runs", id="r") as run:
        run._say(
            {
                "say": "checkpoint",
                "step": 0,
                "file": str(tmp_path / "secret"),
                "sha256": file_sha256(tmp_path / "secret"),
            }
        )
    transport: Any = NoFiles()
    transport.upload = lambda *_: pytest.fail("it was sent")
    assert sender.Delivery(run.path, transport).give(live=False)
    assert transport.taken == len(list(files.records(run.path)))
