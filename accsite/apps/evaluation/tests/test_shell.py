"""A checkpoint is measured from a shell, and what came out is printed."""

from __future__ import annotations

import threading
import time

import pytest
from django.db import connection

from accsite.apps.audit.models import AuditEntry
from accsite.apps.evaluation import services
from accsite.apps.evaluation.tests.test_record import Measured, Result, grid
from accsite.apps.jobs.models import Job
from accsite.apps.jobs.services import lifecycle
from accsite.apps.training.models import Branch
from accsite.apps.training.tests import rows
from accsite.tests.shell import shell


@pytest.fixture
def branch(db: None) -> Branch:
    return rows.make_branch(None)


def test_the_head_of_a_branch_or_any_checkpoint_is_queued(branch: Branch) -> None:
    checkpoint = rows.make_checkpoint(branch)
    Branch.objects.update(head=checkpoint)
    assert shell("evaluate", "--experiment", "digits")[0] == 0
    assert (
        shell("evaluate", "--checkpoint", str(checkpoint.pk), "--suite", "metrics", "--images", "4")[0] == 0
    )
    second, first = Job.objects.all()
    assert (first.checkpoint, second.checkpoint) == (checkpoint, checkpoint)
    assert (second.spec["suite"], second.spec["images"]) == (["metrics"], 4)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--experiment", "digits"], "error: branch: digits/main has no checkpoint yet; train it first\n"),
        (
            [],
            "error: checkpoint: name a checkpoint by --checkpoint, or a branch by --experiment and --branch\n",
        ),
        (["--checkpoint", "77"], "error: checkpoint: there is no checkpoint 77; the newest are: none\n"),
    ],
)
def test_bad_input_is_told_with_status_2(branch: Branch, words: list[str], told: str) -> None:
    assert shell("evaluate", *words) == (2, "", told)
    assert not Job.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_following_prints_numbers_reasons_and_pictures() -> None:
    branch = rows.make_branch(None)
    checkpoint = rows.make_checkpoint(branch)
    rows.make_worker("cpu-0")

    def work() -> None:
        while not Job.objects.exists():
            time.sleep(0.05)
        pk = Job.objects.get().pk
        lifecycle.claim(pk, "cpu-0")
        lifecycle.start(pk, 1)
        measured = [
            Measured("digit", "accuracy", 0.91),
            Measured("kl", "loss", None, reason="no rows are held out"),
        ]
        services.record(pk, 1, Result(metrics=measured, reconstructions=[grid()]))
        lifecycle.finish(pk, 1)
        connection.close()

    thread = threading.Thread(target=work)
    thread.start()
    status, out, _ = shell("evaluate", "--checkpoint", str(checkpoint.pk), "--follow")
    thread.join()
    assert status == 0
    assert "accuracy of task digit: 0.91\nloss of task kl: not measured: no rows are held out\n" in out
    assert "reconstructions digits: /" in out
    assert [entry.action for entry in AuditEntry.objects.all()] == ["checkpoint evaluate"]
    assert "accuracy of task digit: 0.91\n" in shell("evaluate", str(checkpoint.pk))[1]
    assert AuditEntry.objects.count() == 1  # what is kept was printed, and nothing done
