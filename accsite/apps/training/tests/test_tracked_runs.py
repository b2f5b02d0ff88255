"""What a loop of one's own tells comes in once, in order, from who may; pages show it as they show trainings."""

from __future__ import annotations

import hashlib
import json
import math
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.core.files.storage import default_storage
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import TestCase
from django.urls import reverse

from acc import journal
from acc.errors import InvalidInput
from acc.hashes import file_sha256
from accsite.apps.jobs.models import Job
from accsite.apps.jobs.services import control, lifecycle, retry
from accsite.apps.registry.models import PluginKind
from accsite.apps.training.models import Branch, Checkpoint, Experiment, LossBlock, TrackedRun
from accsite.apps.training.pages import charts
from accsite.apps.training.selectors import loss_history
from accsite.apps.training.services import jobs, tracked
from accsite.apps.training.tests import rows as plugin_rows
from accsite.errors import WrongState


class Loop:
    """A loop that tells a site what it does, without a file and without a network."""

    def __init__(self, actor: Any, branch: str = "own/mine", *, live: bool = True, **told: Any) -> None:
        self.actor, self.live = actor, live
        begin = {
            "say": "begin",
            "format": 1,
            "run": "r",
            "branch": branch,
            "config": {"lr": 0.1},
            "wall": 1e9,
            **told,
        }
        self.records = [journal.encode(begin)]
        beginning = {name: value for name, value in begin.items() if name != "say"}
        self.beginning = {**beginning, "digest": self.records[0][1].hex(), "live": live}
        self.run = tracked.begin(actor=actor, told=self.beginning)

    def say(self, header: dict[str, Any], values: bytes = b"") -> None:
        self.records.append(journal.encode(header, values, self.records[-1][1]))

    def log(self, series: list[str], steps: list[int], values: Any) -> None:
        self.say(*journal.points(series, steps, values, (1e9, 1e9 + len(steps))))

    def send(self, first: int | None = None) -> TrackedRun:
        first = self.run.taken if first is None else first
        data = b"".join(record for record, _ in self.records[first:])
        self.run = tracked.take(
            actor=self.actor, job_id=self.run.job_id, first=first, data=data, live=self.live
        )
        return self.run

    @property
    def job(self) -> Job:
        return Job.objects.get(pk=self.run.job_id)


@pytest.fixture
def loop(user, plugins):
    return Loop(user)


def points(job: Job, name: str) -> dict[int, float]:
    header, columns = loss_history(job)
    row = columns[header["series"].index(name)]
    return {header["start"] + int(at): float(row[at]) for at in np.flatnonzero(~np.isnan(row))}


def test_what_is_sent_again_changes_nothing(loop):
    loop.log(["loss"], [0, 1], [[1, 2]])
    loop.send()
    before = list(LossBlock.objects.values())
    assert loop.send(first=1).taken == 2
    assert list(LossBlock.objects.values()) == before
    loop.log(["loss"], [2], [[3]])
    assert loop.send(first=1).taken == 3
    assert points(loop.job, "raw/loss") == {0: 1, 1: 2, 2: 3}
    assert tracked.begin(actor=loop.actor, told=loop.beginning).pk == loop.run.pk


def test_what_is_missing_changed_or_cut_is_refused_and_nothing_of_it_kept(loop):
    loop.log(["loss"], [0], [[1]])
    loop.log(["loss"], [1], [[2]])
    with pytest.raises(WrongState, match="record 2 came, but record 1 is the next that is missing here"):
        loop.send(first=2)
    whole = b"".join(record for record, _ in loop.records[1:])
    take = {"actor": loop.actor, "job_id": loop.run.job_id, "first": 1, "live": True}
    with pytest.raises(InvalidInput, match="they end within record 2; send whole records"):
        tracked.take(data=whole[:-3], **take)
    with pytest.raises(InvalidInput, match="the record 135 bytes on is not what was written"):
        tracked.take(data=whole[:-36] + b"\x07" + whole[-35:], **take)
    with pytest.raises(InvalidInput, match="there is no record of a journal 0 bytes on"):
        tracked.take(data=b"x" * 100, **take)
    assert not LossBlock.objects.exists()
    loop.send()
    other = Loop.__new__(Loop)
    other.__dict__ = {**loop.__dict__, "records": loop.records[:2]}
    other.log(["loss"], [1], [[9]])
    other.log(["loss"], [2], [[9]])
    with pytest.raises(WrongState, match="two copies of it were written"):
        other.send(first=1)
    with pytest.raises(WrongState, match="two copies of it were written"):
        other.send(first=3)
    assert points(loop.job, "raw/loss") == {0: 1, 1: 2}


@pytest.mark.parametrize(
    ("fault", "header", "values"),
    [
        (
            "steps are from 0",
            {"series": ["a"], "count": 1, "wall": [0, 1]},
            np.array([-1], np.int64).tobytes() + b"0000",
        ),
        ("say count 2 and hold 12 bytes", {"series": ["a"], "count": 2, "wall": [0, 1]}, b"0" * 12),
        ("is not the name of a series", {"series": ["a,b"], "count": 1, "wall": [0, 1]}, b"\0" * 12),
        ("name no series, one twice", {"series": ["a", "a"], "count": 1, "wall": [0, 1]}, b"\0" * 16),
        ("two times in seconds", {"series": ["a"], "count": 1, "wall": [0, None]}, b"\0" * 12),
    ],
)
def test_points_that_cannot_be_are_refused_with_a_sentence(loop, fault, header, values):
    loop.say({"say": "points", **header}, values)
    with pytest.raises(InvalidInput, match=fault):
        loop.send()
    assert loop.job.step == 0


def test_a_beginning_that_cannot_be_names_each_wrong_field(user, plugins):
    wrong: dict[str, Any] = {"run": "a b", "steps": -1, "format": 2}
    with pytest.raises(InvalidInput) as refused:
        Loop(user, "own/x", **wrong)
    assert sorted(refused.value.fields) == ["format", "run", "steps"]
    with pytest.raises(InvalidInput, match="'own' is not of the form experiment/branch"):
        Loop(user, "own")
    assert not Experiment.objects.exists()


def test_a_run_goes_into_the_branch_that_is_there(user, branch):
    loop = Loop(user, f"{branch.experiment.name}/{branch.name}")
    assert loop.job.branch == branch
    Loop(user, f"{branch.experiment.slug}/another")
    assert Branch.objects.filter(experiment=branch.experiment, slug="another").exists()
    assert Experiment.objects.count() == 1


def test_a_loop_that_ends_is_done_and_one_that_goes_on_runs_again(loop):
    loop.log(["loss"], [0], [[1]])
    loop.say({"say": "end", "state": "FAILED", "message": "Boom", "wall": 1e9})
    loop.send()
    assert (loop.job.state, loop.job.message, loop.job.lease_expires_at) == ("FAILED", "Boom", None)
    loop.log(["loss"], [1], [[1]])
    loop.send()
    assert (loop.job.state, loop.job.finished_at) == ("RUNNING", None)
    loop.say({"say": "end", "state": "SUCCEEDED", "wall": 1e9 + 5})
    loop.send()
    assert loop.job.state == "SUCCEEDED"
    assert loop.job.result["losses"] == {"total": 1.0, "loss": 1.0}
    assert loop.job.finished_at.timestamp() == 1e9 + 5


def test_a_run_that_is_sent_without_its_end_is_lost_and_completed_by_the_rest(user, plugins):
    loop = Loop(user, live=False)
    loop.log(["loss"], [0], [[1]])
    loop.send()
    assert (loop.job.state, loop.job.is_active) == ("LOST", False)
    loop.say({"say": "end", "state": "SUCCEEDED", "wall": 1e9})
    assert loop.send().job.state == "SUCCEEDED"


def test_a_silent_loop_is_lost_and_speaks_again(loop):
    Job.objects.update(lease_expires_at="2000-01-01T00:00Z")
    assert lifecycle.reap() == [loop.job.pk]
    assert loop.job.state == "LOST"
    assert lifecycle.reap() == []
    loop.send()  # nothing new, but a sign of life
    assert loop.job.state == "RUNNING"


def test_it_cannot_be_stopped_retried_or_trained_on_here(loop, user):
    with pytest.raises(WrongState, match="its loop runs outside of ACC: stop it there"):
        control.stop(actor=user, job=loop.job)
    with pytest.raises(WrongState, match="no worker could go on with it"):
        retry.requeue(actor=user, job=loop.job)
    assert loop.job.state == "RUNNING"
    with pytest.raises(InvalidInput, match="no task that is switched on"):
        jobs.submit_training(actor=user, branch=loop.job.branch, train={"steps": 3})


def weights(path: Path, spec: bool, *, code: str = "", name: str = "Net") -> str:
    """Write a file of weights, as torch would; return its sha256."""
    told = {"weights": json.dumps({"class": name})}
    if spec:
        model = {"architecture": "ConvVAE", "latent_dim": 4}
        job: dict[str, Any] = {"model": model, "tasks": [], "datasets": {}, "train": {"steps": 1}}
        carried = {}
        if code:
            job["model"]["architecture"] = "Mine"
            sha256 = hashlib.sha256(code.encode()).hexdigest()
            carried = {"Mine": {"path": "models/mine.py", "sha256": sha256, "source": code}}
        told = {
            "acc": json.dumps(
                {"plugins": carried, "spec": job, "job_step": 1, "global_step": 1, "lr": 0.0, "format": 1}
            )
        }
    tensors = {"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}
    listing = json.dumps({"__metadata__": told, **tensors}).encode()
    path.write_bytes(len(listing).to_bytes(8, "little") + listing + b"\0\0\0\0")
    return file_sha256(path)


def save(loop: Loop, tmp_path: Path, *, spec: bool, step: int = 7) -> Checkpoint:
    sha256 = weights(tmp_path / "w", spec)
    tracked.keep_weights(actor=loop.actor, job_id=loop.run.job_id, path=tmp_path / "w", sha256=sha256)
    loop.say({"say": "checkpoint", "step": step, "file": "w", "sha256": sha256, "bytes": 1, "class": "Net"})
    loop.send()
    return Checkpoint.objects.latest("pk")


def test_a_checkpoint_of_a_class_of_the_site_gives_its_experiment_a_model(loop, tmp_path):
    node = save(loop, tmp_path, spec=True)
    assert node.spec["model"]["architecture"] == "ConvVAE"
    assert (node.note, node.experiment.model_spec["latent_dim"]) == ("", 4)


def test_code_that_comes_with_weights_does_not_run_before_it_is_approved(loop, user, tmp_path):
    plugin_rows.make_plugin(PluginKind.MODEL, "Mine")
    sha256 = weights(tmp_path / "w", True, code="class Mine: ...  # of elsewhere")
    tracked.keep_weights(actor=user, job_id=loop.run.job_id, path=tmp_path / "w", sha256=sha256)
    loop.say({"say": "checkpoint", "step": 1, "file": "w", "sha256": sha256, "bytes": 1, "class": "Mine"})
    loop.send()
    node = Checkpoint.objects.get()
    assert node.spec["model"]["architecture"] == "Mine"
    with pytest.raises(InvalidInput, match="may not run here"):
        jobs.submit_evaluation(actor=user, checkpoint=node)


def test_nobody_names_weights_that_they_did_not_send(loop, user, tmp_path):
    node = save(loop, tmp_path, spec=False)
    thief = Loop(user, "own/thief", run="other")
    thief.say({"say": "checkpoint", "step": 1, "file": "w", "sha256": node.sha256, "bytes": 1, "class": ""})
    thief.send()
    assert not Checkpoint.objects.filter(job=thief.job).exists()
    assert (
        thief.job.events.filter(kind="alarm").get().message
        == "the weights of step 1 did not come: their file was gone, or refused"
    )


def test_a_file_that_is_no_safetensors_is_refused(loop, tmp_path):
    (tmp_path / "w").write_bytes(b"\x10" + b"\0" * 7 + b'{"a":{"x":1}}   ')
    with pytest.raises(InvalidInput, match="damaged"):
        tracked.keep_weights(
            actor=loop.actor, job_id=loop.run.job_id, path=tmp_path / "w", sha256=file_sha256(tmp_path / "w")
        )


@pytest.mark.parametrize(
    ("listing", "fault"),
    [
        (b"[" * 100_000, "its header is not JSON"),
        ({"acc": "[" * 100_000}, "its header is not what ACC wrote"),
        ({"acc": "[]"}, "its header is not what ACC wrote"),
        ({"acc": {"plugins": {"Mine": "code"}}}, "its plugin 'Mine' is without one of: path, sha256, source"),
        ({"acc": {"plugins": ["Mine"]}}, "its header is not what ACC wrote"),
        ({"acc": {}, "params": {"a": "\0"}}, "a text that cannot be kept"),
    ],
)
def test_a_header_that_no_engine_wrote_is_refused_with_a_sentence(loop, tmp_path, listing, fault):
    if isinstance(listing, dict):
        told = listing["acc"]
        model = {"architecture": "ConvVAE", "latent_dim": 4, "params": listing.get("params", {})}
        job = {"model": model, "tasks": [], "datasets": {}, "train": {"steps": 1}}
        header = {"spec": job, "job_step": 1, "global_step": 1, "lr": 0.0, "format": 1}
        text = told if isinstance(told, str) else json.dumps({**header, **told})
        listing = json.dumps({"__metadata__": {"acc": text}}).encode()
    (tmp_path / "w").write_bytes(len(listing).to_bytes(8, "little") + listing)
    sha256 = file_sha256(tmp_path / "w")
    with pytest.raises(InvalidInput, match=fault):
        tracked.keep_weights(actor=loop.actor, job_id=loop.run.job_id, path=tmp_path / "w", sha256=sha256)


@pytest.mark.parametrize("saved", [None, False, True])
def test_every_page_shows_a_run_and_what_it_saved(page, loop, tmp_path, saved):
    loop.log(["train/loss", "kl"], [0, 1, 700], [[1, 2, 3], [4, 5, 6]])
    loop.send()
    addresses = [
        reverse("training:job", args=[loop.job.pk]),
        reverse("training:job", args=[loop.job.pk]) + "?tab=settings",
        reverse("training:job", args=[loop.job.pk]) + "?tab=log",
        reverse("training:workbench", args=["own", "mine"]),
        reverse("training:jobs"),
        reverse("training:home"),
        reverse("trees:experiments"),
        reverse("trees:experiment", args=["own"]),
        reverse("trees:experiment-new"),
        reverse("latent:page"),
        "/api/v1/experiments/own/",
        "/api/v1/experiments/own/tree/",
        "/api/v1/jobs/history/",
        f"/api/v1/jobs/{loop.job.pk}/",
    ]
    if saved is not None:
        node = save(loop, tmp_path, spec=saved)
        addresses += [
            reverse("trees:checkpoint", args=[node.pk]),
            reverse("evaluation:branch", args=[loop.job.branch.pk]),
            reverse("evaluation:tab", args=[node.pk, "metrics"]),
            reverse("evaluation:tab", args=[node.pk, "traversals"]),
            reverse("latent:page") + f"?a={node.pk}",
            f"/api/v1/checkpoints/{node.pk}/",
        ]
    loop.say({"say": "end", "state": "SUCCEEDED", "wall": 1e9})
    loop.send()
    for address in addresses:
        answer = page.get(address, follow=True)
        assert answer.status_code == 200, (address, answer.content[-2000:])
        if address.endswith(("own/mine/", f"jobs/{loop.job.pk}/")) and "api" not in address:
            assert b"train/loss" in answer.content, address


def test_a_series_has_the_colour_of_its_curve_in_the_list_of_jobs(loop):
    loop.log(["train/loss", "kl"], [0, 1], [[1, 2], [4, 5]])
    loop.send()
    loop.job.refresh_from_db()
    curves = {line.name: (line.slot, line.last) for line in charts.legend(loop.job.branch, loop.job)}
    (row,) = charts.job_rows([loop.job])
    assert (
        {name: (slot, value) for name, slot, _, value in row.losses}
        == curves
        == {
            "train/loss": (0, 2),
            "kl": (1, 5),
        }
    )


def test_what_needs_a_model_says_that_there_are_weights_alone(page, loop, tmp_path, user):
    node = save(loop, tmp_path, spec=False)
    for path, body in {
        "jobs/": {"kind": "evaluate", "checkpoint": node.pk},
        f"checkpoints/{node.pk}/expand/": {"where": "encoder"},
        f"checkpoints/{node.pk}/replay/": {},
    }.items():
        answer = page.post(f"/api/v1/{path}", body, content_type="application/json")
        assert answer.status_code in {409, 422}, (path, answer.content)
        assert (
            "outside of ACC" in answer.json()["detail"] or "loop of one's own" in answer.json()["detail"]
        ), path
    assert page.get(f"/api/v1/checkpoints/{node.pk}/model/").status_code in {404, 409, 422}
    assert page.get(f"/api/v1/checkpoints/{node.pk}/export/").status_code in {409, 422}


def test_the_interface_takes_a_run_in_and_holds_its_sizes(page, loop, settings):
    def post(where: str, data: bytes) -> Any:
        return page.post(f"/api/v1/track/{where}", data, content_type="application/octet-stream")

    loop.log(["loss"], [0], [[1]])
    here, data = f"{loop.job.pk}/blocks/", loop.records[1][0]
    answer = post(f"{here}?first=1&live=1", data)
    assert (answer.status_code, answer.json()["taken"]) == (200, 2)
    assert post(here, data).status_code == 422
    assert post("999/blocks/?first=1", data).status_code == 422
    settings.ACC_MAX_BODY_BYTES = 100
    assert post(f"{here}?first=1", b"x" * 200).status_code == 413
    form = {"sha256": "0" * 64, "file": SimpleUploadedFile("w", b"nothing")}
    assert page.post(f"/api/v1/track/{loop.job.pk}/weights/", form).status_code == 422


def test_points_that_lie_far_apart_are_each_looked_at_once(loop, monkeypatch):
    count, chunk = 20_000, tracked._chunk
    looked_at: list[int] = []

    def counting(parts: Any, old: Any) -> Any:
        looked_at.extend(len(inside) for _, _, inside in parts)
        return chunk(parts, old)

    monkeypatch.setattr(tracked, "_chunk", counting)
    loop.log(["loss"], list(range(0, count * 1000, 1000)), [list(range(count))])
    loop.send()
    assert sum(looked_at) == LossBlock.objects.count() == count
    loop.log(["loss"], [7, 1000, 19_999_000], [[-1, -2, -3]])  # over what is there, and beside it
    loop.send()
    read = {
        at: loss_history(loop.job, start=at, stop=at + 1)[1][0, 0] for at in (0, 7, 1000, 2000, 19_999_000)
    }
    assert read == {0: 0, 7: -1, 1000: -2, 2000: 2, 19_999_000: -3}


def test_a_run_with_too_many_series_is_refused_with_a_sentence(loop):
    for part in range(2):
        loop.log([f"{part}-{number}" for number in range(300)], [0], [[1.0]] * 300)
    with pytest.raises(InvalidInput, match="blocks: a run has at most 512 series"):
        loop.send()
    assert not LossBlock.objects.exists()


def test_a_run_that_two_senders_begin_at_once_is_one(user, plugins, monkeypatch):
    place, first = tracked._place, []

    def meanwhile(*args: Any) -> Any:
        monkeypatch.setattr(tracked, "_place", place)
        first.append(Loop(user).run)
        return place(*args)

    monkeypatch.setattr(tracked, "_place", meanwhile)
    assert Loop(user).run == first[0]
    assert Job.objects.count() == 1


def test_a_step_that_is_far_out_is_shown_and_what_would_fill_the_memory_is_refused(page, loop):
    loop.log(["loss"], [0, 10**12], [[1, 2]])
    loop.send()
    where = f"/api/v1/jobs/{loop.job.pk}/loss_history/"
    assert page.get(f"{where}?points=500").status_code == 200
    assert page.get(reverse("training:job", args=[loop.job.pk])).status_code == 200
    for query in ("", "?points=1000000000"):
        answer = page.get(where + query)
        assert (answer.status_code, list(answer.json()["errors"])) == (422, ["points"])
    assert page.get(where, headers={"accept": "text/csv"}).status_code == 422


@pytest.mark.parametrize("spec", [False, True])
def test_what_a_loop_saved_says_nothing_of_what_trainings_hold_out(user, branch, task, tmp_path, spec):
    save(Loop(user, f"{branch.experiment.slug}/another"), tmp_path, spec=spec)
    job = jobs.submit_training(actor=user, branch=branch, train={"steps": 3, "split": "drawn"})
    assert job.spec["train"]["split"] == "drawn"


def test_a_run_that_comes_back_leaves_a_branch_that_was_trained_on(loop, tmp_path):
    saved = save(loop, tmp_path, spec=True)
    Job.objects.update(lease_expires_at="2000-01-01T00:00Z")
    lifecycle.reap()
    branch = Branch.objects.get(pk=loop.job.branch_id)
    assert branch.head == saved
    branch.head = plugin_rows.make_checkpoint(branch, step=500)
    branch.save()
    loop.say({"say": "end", "state": "SUCCEEDED", "wall": 1e9})
    loop.send()
    assert loop.job.state == "SUCCEEDED"
    assert Branch.objects.get(pk=branch.pk).head == branch.head


def test_alarms_name_a_series_as_it_is_kept(loop):
    loop.log(["loss"], [0, 1], [[1, math.nan]])
    loop.say({"say": "alarm", "step": 1, "message": "it rose", "series": "loss", "wall": 1e9})
    loop.say({"say": "alarm", "step": 1, "message": "late", "series": "", "wall": 1e9})
    loop.send()
    told = list(loop.job.events.filter(kind="alarm").values_list("payload__alarm", "payload__series"))
    assert told == [("nan", "raw/loss"), ("note", "raw/loss"), ("note", "")]
    loop.say({"say": "alarm", "step": 1, "message": "x", "series": "a,b", "wall": 1e9})
    with pytest.raises(InvalidInput, match="'a,b' is not the name of a series"):
        loop.send()


def test_of_more_alarms_than_are_kept_it_is_told_that_there_were_more(loop, monkeypatch):
    monkeypatch.setattr(tracked, "MOST_ALARMS", 5)
    for _ in range(2):
        for step in range(6):
            loop.say({"say": "alarm", "step": step, "message": f"at {step}", "series": "", "wall": 1e9})
        loop.send()
    messages = list(loop.job.events.filter(kind="alarm").values_list("message", flat=True))
    assert messages[:5] == [f"at {step}" for step in range(5)]
    assert messages[5:] == ["more alarms came than the 5 that are kept of a run; this is the last"]
    assert loop.run.taken == 13


def sent(loop: Loop, folder: Path, name: str) -> str:
    """Send weights of a class of this name, which no record tells of yet; return their sha256."""
    sha256 = weights(folder / "w", False, name=name)
    tracked.keep_weights(actor=loop.actor, job_id=loop.run.job_id, path=folder / "w", sha256=sha256)
    return sha256


def stored() -> set[str]:
    return {name.removesuffix(".safetensors") for name in default_storage.listdir("checkpoints")[1]}


def test_a_run_has_so_many_files_of_weights_and_no_more(loop, tmp_path, monkeypatch):
    monkeypatch.setattr(tracked, "MOST_WAITING", 2)
    first, _, again = (sent(loop, tmp_path, name) for name in "ABA")
    assert first == again
    with pytest.raises(InvalidInput, match="2 files of weights of this run wait for the records"):
        sent(loop, tmp_path, "C")
    loop.say({"say": "checkpoint", "step": 1, "sha256": first, "file": "x"})
    loop.send()
    sent(loop, tmp_path, "C")
    monkeypatch.setattr(tracked, "MOST_WAITING", 16)
    monkeypatch.setattr(tracked, "MOST_CHECKPOINTS", 3)
    with pytest.raises(InvalidInput, match="a run has at most 3 checkpoints"):
        sent(loop, tmp_path, "D")


def test_weights_whose_record_never_came_are_removed_after_a_day(loop, user, tmp_path, monkeypatch):
    other = Loop(user, "another/other", run="s")
    shared, alone = sent(loop, tmp_path, "Shared"), sent(loop, tmp_path, "Alone")
    assert sent(other, tmp_path, "Shared") == shared
    assert tracked.purge() == []
    loop.say({"say": "checkpoint", "step": 1, "sha256": shared, "file": "x"})
    loop.send()
    monkeypatch.setattr(tracked, "WAITING_KEPT", timedelta(0))
    time.sleep(0.01)
    with TestCase.captureOnCommitCallbacks(execute=True):
        gone = tracked.purge()
    assert sorted(gone) == sorted(f"checkpoints/{each}.safetensors" for each in (shared, alone))
    assert {shared, alone} & stored() == {shared}, "a checkpoint has it"
    assert not TrackedRun.objects.exclude(weights=[]).exists()
