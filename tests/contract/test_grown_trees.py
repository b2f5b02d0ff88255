"""Expand, replay, export and import with real weights: what is grown goes on, what is replayed is the same."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from django.contrib.auth.models import User
from django.core.files.storage import default_storage
from django.test import Client

import acc
from acc.errors import InvalidInput
from accsite.apps.jobs.models import Job, JobEvent, JobKind
from accsite.apps.jobs.services import lifecycle
from accsite.apps.jobs.states import JobState
from accsite.apps.registry.models import PluginSource
from accsite.apps.training.models import Branch, Checkpoint, Experiment
from accsite.apps.training.services import experiments, jobs
from accsite.apps.trees.services import expansion, portable, replays
from accsite.errors import WrongState
from tests.contract import real
from workers.replay.rerun import replay

ROW = r'<tr id="checkpoint-{}">(.*?)</tr>'
MEASURED = r'<td\s+class="num(?: none)?"\s+data-label="[^"]*/[^"]*"\s*>(.*?)</td>'


@pytest.fixture
def worker(transactional_db: None, redis_url: str, settings: Any) -> Any:
    settings.ACC_LEASE_SECONDS, settings.ACC_HEARTBEAT_SECONDS = 20.0, 5.0
    real.keep_plugins()
    return real.make_worker()


@pytest.fixture
def branch(worker: Any) -> Branch:
    return real.make_branch(real.make_dataset())


def grow(checkpoint: Checkpoint, worker: Any, onto: str | None = None, /, **fields: Any) -> Checkpoint:
    job = expansion.submit_expansion(actor=None, checkpoint=checkpoint, expansion=fields, branch_name=onto)
    job = real.run(job, worker)
    assert job.state == JobState.SUCCEEDED, job.message
    return Checkpoint.objects.get(pk=job.result["checkpoint"])


def damage(checkpoint: Checkpoint) -> None:
    path = Path(default_storage.path(checkpoint.file))
    path.chmod(0o640)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def test_a_grown_model_is_trained_on_on_its_branch_and_beside_its_parents(
    branch: Branch, worker: Any
) -> None:
    root = real.train(branch, worker)
    digest = hashlib.sha256(Path(default_storage.path(root.file)).read_bytes()).hexdigest()
    side = grow(root, worker, "wider", where="factor_group", name="new", amount=2, start="random")
    assert (side.kind, side.parent, side.branch.name, side.branch.head) == ("expanded", root, "wider", side)
    assert (side.step, side.branch.forked_from, side.branch.tasks.count()) == (root.step, root, 2)
    branch.refresh_from_db()
    assert branch.head == root
    grown = grow(root, worker, where="encoder_stage")
    branch.refresh_from_db()
    assert branch.head == grown
    after = real.train(branch, worker)
    assert after.spec["model"]["params"]["blocks"] == root.spec["model"]["params"].get("blocks", 1) + 1
    assert (after.parent, after.step) == (grown, root.step + 6)
    wide = real.train(side.branch, worker)
    assert wide.spec["model"]["latent_dim"] == root.spec["model"]["latent_dim"] + 2
    fork = experiments.create_branch(
        actor=None, experiment=branch.experiment, name="again", from_checkpoint=after
    )
    assert real.train(fork, worker).spec["model"] == after.spec["model"]
    assert hashlib.sha256(Path(default_storage.path(root.file)).read_bytes()).hexdigest() == digest
    assert digest == root.sha256
    measured = Job.objects.filter(kind=JobKind.EVALUATE, checkpoint=wide).get()
    assert real.run(measured, worker).state == JobState.SUCCEEDED


def losses_shown(checkpoint: Checkpoint) -> dict[str, list[str]]:
    """Return what is shown as losses of a checkpoint, by place; empty where there are none."""
    browser, slug = Client(), checkpoint.experiment.slug
    browser.force_login(User.objects.get_or_create(username="root", is_superuser=True)[0])
    detail = browser.get(f"/api/v1/checkpoints/{checkpoint.pk}/").json()
    listed = browser.get(f"/api/v1/checkpoints/?experiment={slug}").json()["results"]
    tree = browser.get(f"/api/v1/experiments/{slug}/tree/?metric=loss/total").json()
    ids, values = column(tree["id"]), column(tree["value"])
    places = {sum(ids[: place + 1]): value for place, value in enumerate(values)}
    row = re.search(ROW.format(checkpoint.pk), browser.get(f"/experiments/{slug}/").text, re.DOTALL)
    assert row is not None
    [losses] = re.findall(r'<td class="small losses[^"]*" data-label="Losses">(.*?)</td>', row[1], re.DOTALL)
    panel = browser.get(f"/checkpoints/{checkpoint.pk}/").text
    return {
        "detail": sorted(detail["losses"]) + sorted(detail["metrics"]),
        "list": sorted(next(each for each in listed if each["id"] == checkpoint.pk)["losses"]),
        "tree": [] if places[checkpoint.pk] is None else ["loss/total"],
        "table": re.findall(r"<b>(.*?)</b>", losses),
        "by its metric": [
            value
            for value in map(str.strip, re.findall(MEASURED, row[1], re.DOTALL))
            if value != "\N{EN DASH}"
        ],
        "panel": re.findall(r'<th scope="row">([^<]*)<span class="soft small">loss</span>', panel),
    }


def column(wire: list[Any]) -> list[Any]:
    """Return a column of the tree, unpacked: ``[7, 12]`` is twelve times 7."""
    return [n for each in wire for n in ([each[0]] * each[1] if isinstance(each, list) else [each])]


def test_a_grown_model_shows_no_loss_that_was_not_measured_of_it(branch: Branch, worker: Any) -> None:
    root = real.train(branch, worker)
    assert all(losses_shown(root).values())
    for start in ("random", "identity"):
        grown = grow(root, worker, start, where="latent", amount=2, start=start)
        assert not any(losses_shown(grown).values()), losses_shown(grown)
    assert all(losses_shown(real.train(grown.branch, worker)).values())


def test_an_imported_checkpoint_shows_no_loss_that_was_not_measured_here(
    branch: Branch, worker: Any, tmp_path: Path
) -> None:
    root = real.train(branch, worker)
    path = tmp_path / "digits.acc.zip"
    portable.export_checkpoint(checkpoint=root, path=path)
    found = portable.import_checkpoint(actor=None, path=path, name="Elsewhere").checkpoint
    assert not any(losses_shown(found).values()), losses_shown(found)
    said = next(line for line in found.note.splitlines() if line.startswith("losses as its file says"))
    assert f"weighted total {root.losses['total']:.6g}" in said


def test_an_expansion_waits_for_training_and_training_for_it(branch: Branch, worker: Any) -> None:
    root = real.train(branch, worker)
    waiting = jobs.submit_training(actor=None, branch=branch, train={"steps": 3})
    with pytest.raises(WrongState, match=f"job {waiting.pk} trains real/main"):
        expansion.submit_expansion(actor=None, checkpoint=root, expansion={"where": "latent"})
    lifecycle.cancel_queued(waiting)
    growing = expansion.submit_expansion(actor=None, checkpoint=root, expansion={"where": "latent"})
    with pytest.raises(WrongState, match=f"job {growing.pk} expands real/main"):
        jobs.submit_training(actor=None, branch=branch, train={"steps": 3})


@pytest.mark.long(7)
def test_a_replay_of_a_steered_forked_and_grown_line_is_the_same_to_the_bit(
    branch: Branch, worker: Any
) -> None:
    job = jobs.submit_training(
        actor=None,
        branch=branch,
        train={"steps": 200, "batch_size": 16, "threads": 1, "val_fraction": 0.25},
    )
    task = branch.tasks.get(task_class="ClassificationTask")
    jobs.request_control(actor=None, job=job, kind="set_weight", payload={"task": task.key, "weight": 3.0})
    assert real.run(job, worker).state == JobState.SUCCEEDED
    assert JobEvent.objects.get(job=job, kind="set_weight").status == JobEvent.Status.APPLIED
    branch.refresh_from_db()
    assert branch.head is not None
    grown = grow(branch.head, worker, "grown", where="decoder_stage", start="random")
    last = real.train(grown.branch, worker, seed=5)
    verdict = replay(last)
    assert (verdict.verdict, verdict.changes, len(verdict.replayed)) == ("same", {}, 3), verdict
    Checkpoint.objects.filter(pk=branch.head.pk).update(weights_pruned_at="2026-01-01T00:00Z")
    assert replay(last).verdict == "same"


def test_a_replay_names_the_first_step_and_tensor_that_differ(branch: Branch, worker: Any) -> None:
    made = real.train(branch, worker)
    assert made.job is not None
    made.job.spec["train"]["lr"] = 5e-3  # as if something had been otherwise than the record says
    made.job.save(update_fields=["spec"])
    verdict = replay(made)
    assert (verdict.verdict, verdict.checkpoint, verdict.step) == ("differs", made.pk, 1), verdict
    assert verdict.tensor is not None
    assert verdict.tensor.startswith("model.")


def test_a_replay_as_a_job_keeps_its_verdict_and_counts_its_steps(branch: Branch, worker: Any) -> None:
    made = real.train(branch, worker)
    done = real.run(replays.submit_replay(actor=None, checkpoint=made), worker)
    assert (done.state, done.result["verdict"], done.result["changes"]) == (JobState.SUCCEEDED, "same", {})
    assert (done.step, done.total_steps) == (made.job_step, made.job_step)
    assert done.message == f"Checkpoint {made.pk} is the same to the bit after 1 replayed part of its line"
    damage(made)
    failed = real.run(replays.submit_replay(actor=None, checkpoint=made), worker)
    assert (failed.state, failed.result) == (JobState.FAILED, {})
    assert f"checkpoint {made.pk} cannot be replayed" in failed.message
    branch.refresh_from_db()
    assert branch.head == made


def test_what_cannot_be_replayed_says_why(branch: Branch, worker: Any) -> None:
    made = real.train(branch, worker)
    Checkpoint.objects.filter(pk=made.pk).update(job=None)
    verdict = replay(Checkpoint.objects.get(pk=made.pk))
    assert verdict.verdict == "cannot"
    assert "is not on record any more" in verdict.message


def test_a_checkpoint_travels_and_is_trained_on_elsewhere(
    branch: Branch, worker: Any, tmp_path: Path
) -> None:
    made = real.train(branch, worker)
    path = tmp_path / "digits.acc.zip"
    portable.export_checkpoint(checkpoint=made, path=path, licence="CC-BY-4.0")
    opened = acc.load(path)
    assert opened.licence == "CC-BY-4.0\n"
    assert opened.header.spec.model_dump(mode="json") == made.spec
    with torch.no_grad():
        assert opened.model.encode(torch.rand(2, 1, 16, 16)).latent.shape == (
            2,
            made.spec["model"]["latent_dim"],
        )
    taken = portable.import_checkpoint(actor=None, path=path, name="Elsewhere")
    found = taken.checkpoint
    assert (found.sha256, found.kind, found.step) == (made.sha256, "imported", made.step)
    assert found.branch.tasks.count() == 2
    assert taken.notes == ()  # this server's own disk has provided all that it carries
    assert set(made.spec["plugins"].values()) <= set(PluginSource.objects.values_list("sha256", flat=True))
    on = real.train(found.branch, worker)
    assert on.parent == found
    assert replay(on).verdict == "same"


def test_a_damaged_file_is_refused_everywhere_and_nothing_is_made(
    branch: Branch, worker: Any, tmp_path: Path
) -> None:
    made = real.train(branch, worker)
    damage(made)
    before = (Branch.objects.count(), Job.objects.count(), Experiment.objects.count())
    for what, field in (
        (
            lambda: experiments.create_branch(
                actor=None, experiment=branch.experiment, name="x", from_checkpoint=made
            ),
            "from_checkpoint",
        ),
        (
            lambda: expansion.submit_expansion(actor=None, checkpoint=made, expansion={"where": "latent"}),
            "checkpoint",
        ),
        (lambda: portable.export_checkpoint(checkpoint=made, path=tmp_path / "x.zip"), "checkpoint"),
    ):
        with pytest.raises(InvalidInput) as caught:
            what()
        assert list(caught.value.fields) == [field]
        assert f"expected sha256 {made.sha256}" in caught.value.fields[field][0]
    assert (Branch.objects.count(), Job.objects.count(), Experiment.objects.count()) == before
    assert not list(tmp_path.iterdir())


def test_two_branches_are_trained_at_once_and_know_nothing_of_each_other(branch: Branch, worker: Any) -> None:
    root = real.train(branch, worker)
    fork = experiments.create_branch(
        actor=None, experiment=branch.experiment, name="side", from_checkpoint=root
    )
    other = real.make_worker("v")
    pair = [
        jobs.submit_training(actor=None, branch=each, train={"steps": 4, "batch_size": 16, "threads": 1})
        for each in (branch, fork)
    ]
    claims = [lifecycle.claim(job.pk, who) for job, who in zip(pair, (worker, other), strict=True)]
    assert all(claim is not None and claim.job.start_checkpoint == root for claim in claims)
    Job.objects.filter(pk__in=[job.pk for job in pair]).update(state=JobState.QUEUED, worker=None)
    ended = [real.run(job, who) for job, who in zip(pair, (worker, other), strict=True)]
    assert [job.state for job in ended] == [JobState.SUCCEEDED] * 2
    branch.refresh_from_db()
    fork.refresh_from_db()
    assert branch.head is not None
    assert fork.head is not None
    assert (branch.head.parent, fork.head.parent) == (root, root)
    assert branch.head != fork.head
    assert branch.head.job == pair[0]
