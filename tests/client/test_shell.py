"""``python -m acc.client`` against a real site: what it lists, submits, sends and fetches, and how it ends."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from acc.client import ApiError, Client
from acc.client.__main__ import main
from acc.client.multipart import Multipart
from accsite.apps.jobs.models import Job
from accsite.apps.recipes.models import RecipeRun
from accsite.apps.registry.models import PluginKind
from accsite.apps.training.tests import rows
from tests.client.test_client import work


@pytest.fixture
def shell(site_url: str, token: str, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> Any:
    """Return a way to run a command: its status, and what it printed."""
    monkeypatch.setenv("ACC_TOKEN", token)

    def run(*words: str) -> tuple[int, str]:
        status = main(["--url", site_url, *words])
        said = capsys.readouterr()
        return status, said.out or said.err

    return run


@pytest.fixture
def branch(ada: Any) -> Any:
    rows.make_plugins()
    branch = rows.make_branch(ada)
    rows.make_task(branch, rows.make_dataset())
    return branch


def test_a_training_is_submitted_and_followed(shell, branch):
    def help_it() -> None:
        while not Job.objects.exists():
            time.sleep(0.02)
        work(Job.objects.get().pk)

    worker = threading.Thread(target=help_it)
    worker.start()
    status, out = shell("train", "digits/main", "steps=40", "lr=0.002", "--follow")
    worker.join()
    assert status == 0
    assert Job.objects.get().spec["train"]["lr"] == 0.002
    assert "step 40  total 39" in out
    assert out.splitlines()[-1].startswith(f"job {Job.objects.get().pk} succeeded  step 40/40")
    listed = [json.loads(line) for line in shell("--json", "jobs", "kind=train")[1].splitlines()]
    assert [row["state"] for row in listed] == ["SUCCEEDED"]


def test_what_is_stopped_is_told_and_following_it_fails(shell, branch):
    status, out = shell("train", str(branch.pk), "steps=5")
    assert (status, out.splitlines()[1].split("\t")[1:3]) == (0, ["train", "QUEUED"])
    job = str(Job.objects.get().pk)
    assert "CANCELLED" in shell("stop", job)[1]
    assert shell("follow", job)[0] == 1


def test_a_recipe_is_run_once_for_a_key(shell, branch):
    rows.make_plugin(PluginKind.RECIPE, "Quickstart", params=[rows.named("steps", 100)])
    for _ in range(2):
        assert shell("recipe", "Quickstart", "steps=7", "seed=3", "--key", "once")[0] == 0
    run = RecipeRun.objects.get()
    assert (run.params, run.seed) == ({"steps": 7}, 3)
    assert shell("runs")[1].splitlines()[1] == f"{run.pk}\tQuickstart\tQUEUED\t3"


def test_a_file_is_sent_with_its_labels(shell, ada, tmp_path):
    for name in ("images", "labels"):
        np.save(tmp_path / f"{name}.npy", np.zeros((3, 8, 8), np.uint8))
    status, _ = shell(
        "upload", str(tmp_path / "images.npy"), "--labels", str(tmp_path / "labels.npy"), "--name", "Mine"
    )
    assert status == 0
    spec = Job.objects.get().spec
    assert (spec["upload"]["name"], spec["labels"]["name"], spec["name"]) == (
        "images.npy",
        "labels.npy",
        "Mine",
    )


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("train", "digits/nowhere"), 2, "there is no branch 'digits/nowhere'; known: digits/main"),
        (("train", "main"), 2, "'main' is not the id of a branch"),
        (("train", "digits/main", "steps"), 2, "'steps' is not of that form"),
        (("train", "digits/main", "steps=0"), 2, "422 The input was refused: train.steps"),
        (("follow", "12345"), 1, "404"),
        (("upload", "/nowhere/at/all.npz"), 2, "/nowhere/at/all.npz"),
    ],
)
def test_what_cannot_be_done_is_told_in_a_sentence(shell, branch, words, status, said):
    ended, text = shell(*words)
    assert (ended, text.count("\n")) == (status, 1)
    assert text.startswith("error: ")
    assert said in text


def test_without_a_token_it_says_where_to_get_one(monkeypatch, capsys):
    monkeypatch.delenv("ACC_TOKEN", raising=False)
    assert main(["jobs"]) == 2
    assert "make a token on your profile page" in capsys.readouterr().err


def test_a_file_that_is_fetched_is_whole_or_not_there(client: Client, tmp_path: Path):
    target = tmp_path / "file"
    client._transport.download("schema/", target)
    assert json.loads(target.read_text())["openapi"].startswith("3.1")
    with pytest.raises(ApiError, match="404"):
        client.datasets.download("nowhere", tmp_path / "other")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_form_can_be_sent_again(tmp_path):
    path = tmp_path / 'a"b.bin'
    path.write_bytes(b"x" * 3_000_000)
    form = Multipart({"name": "é"}, [("file", path)])
    sent = b"".join(form)
    assert b"".join(form) == sent
    assert form.headers["Content-Length"] == str(len(sent))
    assert b'filename="a_b.bin"' in sent
