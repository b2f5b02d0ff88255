"""What is kept is answered at once; what is not is measured once, however often it is asked for."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.utils import timezone
from rest_framework.test import APIClient

from acc.specs import EvalSpec
from accsite.apps.evaluation import services
from accsite.apps.evaluation.models import Evaluation, Metric
from accsite.apps.evaluation.selectors.comparing import compare
from accsite.apps.evaluation.services import keys
from accsite.apps.evaluation.tests.test_record import Measured, Result, evaluation_job, grid
from accsite.apps.jobs.models import Job
from accsite.apps.jobs.states import JobState
from accsite.apps.registry.models import PluginSource
from accsite.apps.training.models import Branch, Checkpoint, Experiment
from accsite.apps.training.tests import rows

pytestmark = pytest.mark.both_databases


@pytest.fixture
def branch(db: None) -> Branch:
    return rows.make_branch(None)


@pytest.fixture
def api(db: None) -> APIClient:
    client = APIClient()
    client.force_login(get_user_model().objects.create_user("ada"))
    return client


def measured(branch: Branch, value: float = 0.5, **spec: Any) -> Evaluation:
    job = evaluation_job(branch, spec={"suite": ["metrics", "reconstructions"], **spec})
    made = services.record(
        job.pk, 1, Result(metrics=[Measured("digit", "accuracy", value)], reconstructions=[grid()])
    )
    Job.objects.filter(pk=job.pk).update(state=JobState.SUCCEEDED)
    return made


def test_what_is_kept_is_answered_at_once(api: APIClient, branch: Branch) -> None:
    kept = measured(branch)
    for address, body in (
        ("run", {"suite": ["metrics"]}),
        ("reconstructions", {}),
        ("reconstructions", {"seed": 0}),
    ):
        answer = api.post(
            f"/api/v1/eval/{address}/", {"checkpoint": kept.checkpoint_id, **body}, format="json"
        )
        assert (answer.status_code, answer.json()["id"]) == (200, kept.pk)
    assert Job.objects.count() == 1


def test_the_worst_are_other_images_and_the_fixed_are_those_of_before_there_was_a_choice(
    api: APIClient, branch: Branch
) -> None:
    kept = measured(branch)
    assert kept.checkpoint is not None
    spec = {"suite": ["reconstructions"]}
    assert kept.checkpoint
    fixed = keys.part_key(kept.checkpoint, EvalSpec(**spec), "reconstructions")
    assert kept.parts.get(name="reconstructions").key == fixed
    assert keys.part_key(kept.checkpoint, EvalSpec(**spec, shown="worst"), "reconstructions") != fixed
    body = {"checkpoint": kept.checkpoint_id, **spec, "shown": "worst"}
    answer = api.post("/api/v1/eval/run/", body, format="json")
    assert answer.status_code == 202
    assert Job.objects.get(pk=answer.json()["id"]).spec["shown"] == "worst"


def test_other_options_are_measured_once_however_often_they_are_asked_for(
    api: APIClient, branch: Branch
) -> None:
    kept = measured(branch)
    ask = {"checkpoint": kept.checkpoint_id, "seed": 1}
    answers = [api.post("/api/v1/eval/reconstructions/", ask, format="json") for _ in range(2)]
    assert [answer.status_code for answer in answers] == [202, 202]
    assert answers[0].json()["id"] == answers[1].json()["id"]
    job = Job.objects.latest("pk")
    assert (job.spec["suite"], job.spec["seed"], job.checkpoint) == (["reconstructions"], 1, kept.checkpoint)
    assert answers[0]["Location"].endswith(f"/api/v1/jobs/{job.pk}/")


def test_other_versions_of_a_plugin_are_another_question(branch: Branch) -> None:
    kept = measured(branch)
    assert kept.checkpoint is not None
    changed = Checkpoint.objects.get(pk=kept.checkpoint.pk)
    text = "class ReconstructionTask: 'another version'\n"
    source = PluginSource.objects.create(
        sha256=rows.sha(text), path="tasks/mine.py", text=text, on_disk_at=timezone.now()
    )
    changed.spec["plugins"] = {"ReconstructionTask": source.pk}
    assert services.ask(actor=None, checkpoint=changed, eval={"suite": ["metrics"]}) != kept


@pytest.mark.parametrize("part", ["reconstructions", "traversals", "sort", "attention", "ufr"])
def test_each_part_has_an_address(api: APIClient, branch: Branch, part: str) -> None:
    checkpoint = rows.make_checkpoint(branch)
    answer = api.post(f"/api/v1/eval/{part}/", {"checkpoint": checkpoint.pk}, format="json")
    assert (answer.status_code, answer.json()["kind"]) == (202, "evaluate")
    assert Job.objects.get().spec["suite"] == [part]


@pytest.mark.parametrize(
    ("address", "body", "field"),
    [
        ("run", {}, "checkpoint"),
        ("run", {"checkpoint": True}, "checkpoint"),
        ("run", {"suite": ["beauty"]}, "suite"),
        ("sort", {"suite": ["ufr"]}, "suite"),
        ("traversals", {"steps": 1}, "steps"),
        ("compare", {"checkpoints": "1,2"}, "checkpoints"),
        ("compare", {"checkpoints": [1]}, "checkpoints"),
        ("compare", {"checkpoints": [1, 1]}, "checkpoints"),
    ],
)
def test_bad_input_is_named(
    api: APIClient, branch: Branch, address: str, body: dict[str, Any], field: str
) -> None:
    checkpoint = rows.make_checkpoint(branch)
    if address != "compare" and "checkpoint" not in body and body:
        body = {**body, "checkpoint": checkpoint.pk}
    answer = api.post(f"/api/v1/eval/{address}/", body, format="json")
    assert answer.status_code == 422
    assert list(answer.json()["errors"]) == [field]
    assert not Job.objects.exists()


def test_checkpoints_of_others_are_not_measured(api: APIClient, branch: Branch) -> None:
    checkpoint = rows.make_checkpoint(branch)
    Experiment.objects.update(visibility="private")
    assert api.post("/api/v1/eval/run/", {"checkpoint": checkpoint.pk}, format="json").status_code == 422


def test_a_comparison_waits_for_what_is_missing_and_then_answers(api: APIClient, branch: Branch) -> None:
    first, second = measured(branch, 0.5), measured(branch, 0.75)
    other = rows.make_checkpoint(branch)
    ids = [first.checkpoint_id, second.checkpoint_id]
    waiting = api.post("/api/v1/eval/compare/", {"checkpoints": [*ids, other.pk]}, format="json")
    assert (waiting.status_code, len(waiting.json()["jobs"])) == (202, 1)
    found = api.post("/api/v1/eval/compare/", {"checkpoints": ids}, format="json").json()
    assert [each["checkpoint"] for each in found["checkpoints"]] == ids
    (row,) = found["metrics"]
    assert (row["values"][1]["difference"], row["values"][1]["better"]) == (0.25, True)
    assert row["values"][1]["verdict"] == "", "no interval is known, so nothing is claimed"


def test_the_headline_of_a_representation_stands_before_its_other_numbers(branch: Branch) -> None:
    node = rows.make_checkpoint(branch)
    made = Evaluation.objects.create(branch=branch, checkpoint=node, step=1)
    for task, name in (
        ("", "dci"),
        ("", "factored"),
        ("kl", "loss"),
        ("", "ufr"),
        ("", "mig"),
        ("", "unified"),
    ):
        Metric.objects.create(evaluation=made, task_key=task, name=name, dataset="digits", value=0.5)
    found = [row.name for row in compare([node, node], "digits").metrics]
    assert found == ["loss", "ufr", "unified", "factored", "dci", "mig"]
