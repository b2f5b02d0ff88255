"""Each list of the admin asks the database as often for ten rows as for one, and each row has a page."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from django.contrib import admin
from django.contrib.auth.models import Group, User
from django.db import connection
from django.db.models import Model
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext
from django.urls import resolve, reverse
from django.utils import timezone
from unfold.templatetags.unfold_list import results

from acc.training.protocols import PointBlock
from accsite.apps.access.models import ApiToken, SignInAttempt, SignInLink
from accsite.apps.audit.models import AuditEntry, Via
from accsite.apps.audit.services import record
from accsite.apps.datasets.models import Dataset
from accsite.apps.evaluation.models import Artifact, Evaluation, Metric, Part
from accsite.apps.jobs.models import Job, JobEvent, OutboxMessage, Worker
from accsite.apps.jobs.services import outbox
from accsite.apps.live.models import Topic
from accsite.apps.recipes.models import RecipeRun, RecipeStep
from accsite.apps.registry.models import Plugin, PluginFile, PluginKind, PluginSource
from accsite.apps.studies.models import Study
from accsite.apps.training.models import Branch, Checkpoint, Experiment, LossBlock, Task
from accsite.apps.training.services import points
from accsite.apps.training.tests import rows

pytestmark = [pytest.mark.django_db, pytest.mark.both_databases]


PLAN = {"name": "study", "arms": [{"name": "main"}], "seeds": [0], "outcomes": [{"name": "ufr"}]}


def one_of_each(number: int) -> dict[type[Model], Model]:
    """Return one new row of each kind, which share nothing with those of another number."""
    user = User.objects.create_user(f"user{number}")
    user.groups.add(Group.objects.get_or_create(name="researcher")[0])
    dataset = rows.make_dataset(f"data-{number}", created_by=user)
    branch = rows.make_branch(user, f"tree-{number}")
    task = rows.make_task(branch, dataset)
    worker = rows.make_worker(f"worker-{number}")
    root = rows.make_checkpoint(branch)
    held: dict[str, Any] = {"worker": worker, "attempt": 1, "state": "RUNNING", "created_by": user}
    job = rows.make_job(branch, checkpoint=root, total_steps=10, **held)
    values = np.array([[0.5, 0.25], [np.nan, 3]], np.float32)
    points.append(job.pk, 1, PointBlock(0, ("total", "raw/reconstruction"), values, 0.0, 1.0))
    outbox.queue_up(job)
    JobEvent.objects.create(job=job, kind="pause", actor=user)
    node = rows.make_checkpoint(branch, job, parent=root)
    fork = Branch.objects.create(
        experiment=branch.experiment, name="fork", slug="fork", head=node, forked_from=root
    )
    evaluation = Evaluation.objects.create(branch=fork, checkpoint=node, job=job, step=1, suite=["metrics"])
    Metric.objects.create(evaluation=evaluation, name="accuracy", value=0.5)
    Part.objects.create(evaluation=evaluation, name="metrics")
    Artifact.objects.create(evaluation=evaluation, kind="picture", name="<b>", file="x", sha256="0" * 64)
    plugin = rows.make_plugin(PluginKind.RECIPE, f"Recipe{number}")
    file = PluginFile.objects.create(path=f"recipes/{number}.py", sha256="0" * 64, error="<b>no</b>")
    run = RecipeRun.objects.create(
        recipe=plugin.name, label=plugin.label, source=plugin.source, job=job, created_by=user
    )
    about = {"experiment": branch.experiment, "branch": branch, "checkpoint": node, "job": job}
    step = RecipeStep.objects.create(run=run, path="1", verb="train", **about)
    token, _ = ApiToken.objects.create(user=user, expiry=timedelta(days=1), name="laptop", scope="read")
    made: list[Model] = [
        user,
        Group.objects.create(name=f"group{number}"),
        token,
        SignInAttempt.objects.create(name_sha256="0" * 64, address=f"10.0.0.{number}", at=timezone.now()),
        SignInLink.objects.create(user=user, token_sha256=f"{number:064}", expires_at=timezone.now()),
        record(actor=user, via=Via.API, action="job stop", about={f"job:{job.pk}", "dataset:a"}, detail={}),
        dataset,
        evaluation,
        Topic.objects.create(name=f"job:{10_000 + number}"),
        plugin,
        file,
        plugin.source,
        branch.experiment,
        fork,
        task,
        node,
        job,
        LossBlock.objects.get(job=job),
        OutboxMessage.objects.get(job=job),
        worker,
        run,
        step,
        Study.objects.create(
            name=f"study {number}", slug=f"study-{number}", owner=user, plan=PLAN, branch=fork, run=run
        ),
    ]
    return {type(row): row for row in made}


@pytest.fixture
def root() -> User:
    return User.objects.create_superuser("root")


@pytest.fixture
def browser(root: User) -> Client:
    client = Client()
    client.force_login(root)
    return client


def listed(model: type[Model], user: User) -> Any:
    """Return what the list of a model shows to a user, every column of every row made."""
    request = RequestFactory().get(address(model, "changelist"))
    request.user = user
    request.resolver_match = resolve(request.path)
    found = admin.site._registry[model].get_changelist_instance(request)
    assert len(list(results(found))) == len(found.result_list)
    return found


def address(model: type[Model], page: str, *arguments: Any) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=arguments)


def test_every_model_of_the_admin_is_made_here() -> None:
    assert set(one_of_each(0)) == set(admin.site._registry)


def test_a_list_of_ten_asks_as_often_as_a_list_of_one(root: User) -> None:
    first, asked = {}, {}
    one_of_each(0)
    for model in admin.site._registry:
        with CaptureQueriesContext(connection) as queries:
            listed(model, root)
        first[model] = len(queries)
    for number in range(1, 10):
        one_of_each(number)
    for model in admin.site._registry:
        with CaptureQueriesContext(connection) as queries:
            assert len(listed(model, root).result_list) >= 10, model
        asked[model] = len(queries)
    assert asked == first


def test_every_row_has_a_page_on_which_what_people_wrote_is_text(browser: Client) -> None:
    for model, row in one_of_each(0).items():
        page = browser.get(address(model, "change", row.pk))
        assert page.status_code == 200, model
        text = page.content.decode()
        assert "<b>" not in text.replace("<b>None", ""), model
        assert model in {User, Group, Task} or 'name="_save"' not in text, model


def test_a_job_shows_its_curve_its_pictures_and_what_it_hangs_on(browser: Client) -> None:
    made = one_of_each(0)
    job, evaluation = made[Job], made[Evaluation]
    text = browser.get(address(Job, "change", job.pk)).content.decode()
    assert 'aria-label="losses, steps 0 to 2; from 0.25 to 3, logarithmic"' in text
    artifact = Artifact.objects.get(evaluation=evaluation.pk)
    assert reverse("api:evaluation-artifact", args=[evaluation.pk, artifact.pk]) in text
    for model in (Branch, Checkpoint, Worker, RecipeRun, Evaluation):
        row = Branch.objects.get(slug="main") if model is Branch else made[model]
        assert address(model, "change", row.pk) in text, model


def test_a_page_reads_as_its_list_does(browser: Client) -> None:
    made = one_of_each(0)
    assert "(&#x27;RUNNING" not in browser.get(address(Job, "change", made[Job].pk)).content.decode()
    text = browser.get(address(Evaluation, "changelist")).content.decode()
    assert timezone.localtime().strftime("%Y-%m-%d ") in text
    assert ">1 branch<" not in browser.get(address(Experiment, "changelist")).content.decode()  # it has two
    assert "branchs" not in browser.get("/admin/").content.decode().lower()


def test_staff_without_any_right_operates_and_sees_nothing_private() -> None:
    made = one_of_each(0)
    Experiment.objects.update(visibility="private")
    olga = User.objects.create_user("olga", is_staff=True)
    browser = Client()
    browser.force_login(olga)
    hidden: tuple[type[Model], ...] = (
        Experiment,
        Branch,
        Task,
        Checkpoint,
        Job,
        LossBlock,
        OutboxMessage,
        RecipeRun,
        RecipeStep,
        Evaluation,
    )
    for model in hidden:
        assert listed(model, olga).result_count == 0, model
        assert browser.get(address(model, "change", made[model].pk)).status_code == 302, model
    shown: tuple[type[Model], ...] = (Dataset, Worker, Plugin, PluginFile, PluginSource, Topic)
    for model in shown:
        assert listed(model, olga).result_count > 0, model
    assert browser.get(address(AuditEntry, "changelist")).status_code == 403
    assert "tree-0" not in browser.get(address(Worker, "changelist")).content.decode()


def test_a_new_dataset_is_made_in_the_form_of_its_generator(browser: Client) -> None:
    assert b"/admin/datasets/dataset/add/" in browser.get(address(Dataset, "changelist")).content
    form = browser.get(address(Dataset, "add"), follow=True)
    assert form.redirect_chain == [("/datasets/new/", 302)]
    assert form.status_code == 200
