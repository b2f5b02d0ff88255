"""A metric of a whole checkpoint is a plugin: all doors offer it, a worker measures it, its numbers stand with all."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from django.utils import timezone
from rest_framework.test import APIClient

from acc.plugins import load_source
from accsite.apps.evaluation import services
from accsite.apps.evaluation.models import Evaluation
from accsite.apps.evaluation.pages import leaders
from accsite.apps.evaluation.selectors.comparing import compare
from accsite.apps.jobs.models import Job, Worker
from accsite.apps.jobs.services.retry import retry
from accsite.apps.jobs.states import JobState
from accsite.apps.registry.approval import NotApproved
from accsite.apps.registry.models import Plugin, PluginSource
from accsite.apps.studies.services import studies
from accsite.apps.training.models import Checkpoint
from accsite.apps.training.services import jobs
from tests.contract import real

pytestmark = [pytest.mark.timeout(240), pytest.mark.django_db(transaction=True)]

SCORE = Path("plugins/metrics/factor_vae_score.py").read_text()
ODD = """
from acc.api import Metric, Param


class Odd(Metric):
    metrics = {"good": False, "never": True}
    ranges = {"good": (0, 1)}
    part = Param(0.25, min=0, max=1)

    def measure(self, found):
        return {"good": self.part, "never": float("nan")}
"""


def keep(text: str, path: str) -> Plugin:
    """Write the rows of a plugin file, as the watcher does."""
    (found,) = load_source(text, path)
    source, _ = PluginSource.objects.get_or_create(
        sha256=found.sha256, defaults={"path": path, "text": text, "on_disk_at": timezone.now()}
    )
    told = {"label": found.label, "source": source, "path": path, "requires": found.requires}
    params = [param.as_dict() for param in found.params]
    return Plugin.objects.update_or_create(
        kind=found.kind, name=found.name, defaults={**told, "params": params}
    )[0]


@pytest.fixture
def worker(transactional_db: None, redis_url: str) -> Worker:
    real.keep_plugins()
    keep(SCORE, "metrics/factor_vae_score.py")
    keep(ODD, "metrics/odd.py")
    return real.make_worker()


@pytest.fixture
def checkpoint(worker: Worker) -> Checkpoint:
    return real.train(real.make_branch(real.make_dataset()), worker)


def measured(checkpoint: Checkpoint, worker: Worker, **asked: Any) -> Evaluation:
    """Return what a worker has measured."""
    job = services.ask(actor=None, checkpoint=checkpoint, eval={"rows": "all", **asked})
    assert isinstance(job, Job)
    job = real.run(job, worker)
    assert job.state == JobState.SUCCEEDED, job.message
    return Evaluation.objects.get(job=job)


def test_a_worker_measures_it_and_its_numbers_stand_with_all_others(
    checkpoint: Checkpoint, worker: Worker
) -> None:
    asked: dict[str, Any] = {
        "suite": ["metrics", "FactorVAEScore", "Odd"],
        "params": {"FactorVAEScore.votes": 100},
    }
    found = measured(checkpoint, worker, **asked)
    assert set(found.parts.values_list("name", flat=True)) == {"metrics", "FactorVAEScore", "Odd"}
    score = found.metrics.get(name="FactorVAEScore.score")
    assert score.value is not None
    assert score.low is not None
    assert score.high is not None
    assert 0 <= score.low <= score.value <= score.high <= 1
    assert score.chance is not None
    assert score.dataset == found.dataset != ""
    good, never = found.metrics.get(name="Odd.good"), found.metrics.get(name="Odd.never")
    assert (good.value, good.higher_is_better, never.value) == (0.25, False, None)
    assert never.reason == "came out as nan, which is no finite number"
    assert found.metrics.filter(name="accuracy").exists(), "what is wrong with one costs no other"
    # On record: seed, all parameters, and the versions of the sources.
    assert found.options["seed"] == 0
    assert found.options["params"] == {
        "FactorVAEScore.votes": 100,
        "FactorVAEScore.images": 64,
        "Odd.part": 0.25,
    }
    assert found.options["plugins"]["Odd"] == Plugin.objects.get(name="Odd").source_id

    # What is kept answers, for each by itself; other parameters and another version do not.
    again = {**asked, "rows": "all"}
    assert services.ask(actor=None, checkpoint=checkpoint, eval=again) == found
    assert services.ask(actor=None, checkpoint=checkpoint, eval={"rows": "all", "suite": ["Odd"]}) == found
    other = services.ask(actor=None, checkpoint=checkpoint, eval={**again, "params": {"Odd.part": 0.5}})
    assert isinstance(other, Job)
    assert (
        services.ask(actor=None, checkpoint=checkpoint, eval={**again, "params": {"Odd.part": 0.5}}) == other
    )
    keep(ODD.replace('float("nan")', "1.0"), "metrics/odd.py")
    newer = services.ask(actor=None, checkpoint=checkpoint, eval={"rows": "all", "suite": ["Odd"]})
    assert isinstance(newer, Job)
    assert newer != other
    newest = real.run(newer, worker)
    assert newest.evaluation.metrics.get(name="Odd.never").value == 1
    Job.objects.filter(pk=newest.pk).update(state=JobState.FAILED)
    newest.refresh_from_db()
    assert retry(actor=None, job=newest).spec["plugins"] == newer.spec["plugins"]


def test_a_study_measures_all_of_its_seeds_by_the_version_that_it_was_written_down_with(
    checkpoint: Checkpoint, worker: Worker
) -> None:
    study = studies.repeat_branch(
        actor=None, branch=checkpoint.branch, seeds=2, outcome="Odd.good", steps=checkpoint.step
    )
    version = study.planned.settings["metrics"]
    keep(ODD.replace("Param(0.25", "Param(0.75"), "metrics/odd.py")
    asked = {"suite": ["metrics", "Odd"]}
    found: dict[str, Any] = {}
    for name, plugins in (("study", version), ("newest", None)):
        job = jobs.submit_evaluation(actor=None, checkpoint=checkpoint, eval=asked, plugins=plugins)
        done = real.run(job, worker)
        assert done.state == JobState.SUCCEEDED, done.message
        found[name] = done.evaluation.metrics.get(name="Odd.good").value
    assert found == {"study": 0.25, "newest": 0.75}


def test_pages_rank_and_compare_it_and_say_whose_number_it_is(
    checkpoint: Checkpoint, worker: Worker, client: Client
) -> None:
    user = get_user_model().objects.create_superuser("root", password="a good long one")
    client.force_login(user)
    where = f"/evaluate/{checkpoint.pk}/metrics/"
    page = client.get(where).content.decode()
    assert re.search(r'value="FactorVAEScore"[^>]*>\s*FactorVAE score', page)
    assert 'name="params.FactorVAEScore.votes"' in page
    assert re.search(r'value="FactorVAEScore"[^>]*checked', page) is None, (
        "it is measured when it is asked for"
    )
    sent = {"suite": ["Odd"], "tab": "metrics", "params.Odd.part": "7", "params.FactorVAEScore.votes": "1600"}
    run = f"/evaluate/{checkpoint.pk}/run/"
    refused = client.post(run, sent)
    assert refused.status_code == 422
    told = re.search(r'id="run-params.Odd.part_error">([^<]*)', refused.content.decode())
    assert told is not None, re.findall(r'class="errors?[^>]*>[^<]*', refused.content.decode())
    assert "7" in told[1]
    assert not Job.objects.filter(kind="evaluate", checkpoint=checkpoint, spec__suite=["Odd"]).exists()
    answer = client.post(run, {**sent, "params.Odd.part": "0.5"})
    assert (answer.status_code, answer["Location"]) == (302, where)
    job = Job.objects.get(kind="evaluate", spec__suite=["Odd"])
    assert job.spec["params"] == {"Odd.part": 0.5}
    assert real.run(job, worker).state == JobState.SUCCEEDED
    page = client.get(where).content.decode()
    assert re.search(r"Odd of blobs-0.*?good.*?lower is better.*?0\.5", page, re.DOTALL)
    assert "came out as nan, which is no finite number" in page
    offered = leaders.choices(user)
    chosen = leaders.chosen(offered, "/Odd.good/blobs-0")
    assert chosen is not None
    assert [row.metric.value for row in leaders.leaders(user, chosen, of="branches").rows if row.metric] == [
        0.5
    ]
    compared = {row.name: row for row in compare([checkpoint, checkpoint]).metrics}
    assert compared["Odd.good"].higher_is_better is False
    assert client.get("/evaluate/?metric=/Odd.good/blobs-0").status_code == 200
    plugins = client.get("/plugins/?kind=metric").content.decode()
    assert "Kim &amp; Mnih (2018)" in plugins
    assert re.search(r"<code>score</code>.*?higher is better, 0 to 1", plugins, re.DOTALL)


def test_the_api_asks_for_it_and_refuses_what_is_wrong(checkpoint: Checkpoint) -> None:
    api = APIClient()
    api.force_authenticate(get_user_model().objects.create_superuser("root", password="a good long one"))
    body: dict[str, Any] = {"checkpoint": checkpoint.pk, "suite": ["FactorVAEScore"]}
    answer = api.post("/api/v1/eval/run/", body, format="json")
    assert answer.status_code == 202
    assert Job.objects.get(pk=answer.json()["id"]).spec["params"]["FactorVAEScore.votes"] == 1600
    for wrong, field, said in (
        ({"suite": ["Nowhere"]}, "suite", "'Nowhere' cannot be measured; choose of: metrics"),
        ({"params": {"FactorVAEScore.vote": 1}}, "params.FactorVAEScore.vote", "known: images, votes"),
        (
            {"params": {"FactorVAEScore.votes": 1}},
            "params.FactorVAEScore.votes",
            "1 is below the least allowed, 20",
        ),
        ({"params": {"Odd.part": 1}}, "params", "'Odd.part' is of no metric that is to be measured"),
        ({"plugins": {"FactorVAEScore": "0" * 64}}, "plugins", ""),
    ):
        refused = api.post("/api/v1/eval/run/", {**body, **wrong}, format="json")
        assert refused.status_code == 422, wrong
        assert said in str(refused.json()["errors"][field])
    told = api.get("/api/v1/registry/metrics/FactorVAEScore/").json()
    assert told["requires"]["metrics"] == {"score": True}


def test_a_source_that_may_not_run_here_is_not_measured(checkpoint: Checkpoint) -> None:
    PluginSource.objects.filter(plugins__name="Odd").update(on_disk_at=None)
    with pytest.raises(NotApproved, match="suite"):
        services.ask(actor=None, checkpoint=checkpoint, eval={"suite": ["Odd"]})
