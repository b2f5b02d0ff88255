"""A job is as private as what it works on, whatever its kind: in the API, on pages, in topics and in the admin."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from rest_framework.test import APIClient

from accsite.apps.evaluation.models import Evaluation
from accsite.apps.jobs.models import Job, JobEvent, JobKind
from accsite.apps.live.selectors import allowed_users
from accsite.apps.recipes.models import RecipeRun, RecipeStep
from accsite.apps.training.models import Experiment, Visibility
from accsite.apps.training.tests import rows
from accsite.apps.trees.services.removal import remove_experiment
from tests.security.test_authorisation_matrix import LOOKS, SEES, SIGNED_IN
from tests.security.world import SECRET

pytestmark = pytest.mark.django_db

PUBLIC = {JobKind.GENERATE}
"""They make datasets, which are everyone's to see."""
OF_ONESELF = {JobKind.IMPORT}
"""They tell of files that are no datasets."""


def job_of(kind: JobKind, world) -> Job:
    """Return a failed job of a kind that worked on the private experiment, if jobs of that kind can."""
    about = {"branch": world.branch, "checkpoint": world.things["checkpoint"]}
    fields = {} if kind in PUBLIC | OF_ONESELF or kind == JobKind.RECIPE else about
    if kind in OF_ONESELF:
        fields = {"created_by": world.users["owner"]}
    told = "Made" if kind in PUBLIC else f"It tells of {SECRET}"
    job = rows.make_job(
        fields.pop("branch", None),
        kind=kind,
        state="FAILED",
        title=told,
        message=told,
        traceback=told,
        **fields,
    )
    JobEvent.objects.create(job=job, kind="note", message=told)
    if kind == JobKind.RECIPE:
        # A run that was resumed: its newest job is another, and this one tells of it all the same.
        run = RecipeRun.objects.create(
            recipe="R", label="R", source=world.source, job=rows.make_job(None, kind=kind)
        )
        RecipeStep.objects.create(run=run, path="1", verb="experiment", experiment=world.branch.experiment)
        for pk in filter(None, (job.pk, run.job_id)):
            Job.objects.filter(pk=pk).update(spec={"run": run.pk})
    return job


@pytest.mark.parametrize("kind", list(JobKind))
def test_who_may_see_a_job(kind, world):
    job = job_of(kind, world)
    expected = SIGNED_IN if kind in PUBLIC else LOOKS if kind in OF_ONESELF else SEES
    addresses = {
        "detail": reverse("api:job-detail", args=[job.pk]),
        "events": reverse("api:job-events", args=[job.pk]),
        "losses": reverse("api:job-loss-history", args=[job.pk]),
        "page": reverse("training:job", args=[job.pk]),
    }
    lists = [reverse("api:job-list"), reverse("api:job-history"), reverse("training:jobs")]
    for person in SIGNED_IN:
        rest, browser = APIClient(), Client()
        rest.force_authenticate(world.users[person])
        browser.force_login(world.users[person])
        for what, where in addresses.items():
            answer = (browser if what == "page" else rest).get(where)
            assert (answer.status_code == 200) == (person in expected), (person, what, answer.status_code)
        for where in lists:
            text = (rest if "api" in where else browser).get(where, {"state": "FAILED"}).text
            if person not in expected:
                assert job.title not in text, (person, where)
            if person not in SEES:
                assert SECRET not in text, (person, where)
    ids = {world.users[name].pk: name for name in SIGNED_IN}
    assert {ids[pk] for pk in allowed_users(f"job:{job.pk}", list(ids))} == expected


def seen_by(world, run: RecipeRun) -> set[str]:
    """Return who sees a run; its job is seen by the same, in the API and in topics."""
    ids = {world.users[name].pk: name for name in SIGNED_IN}
    found = set()
    for pk, person in ids.items():
        rest = APIClient()
        rest.force_authenticate(world.users[person])
        of_run = rest.get(reverse("api:recipe-run-detail", args=[run.pk])).status_code == 200
        assert (rest.get(reverse("api:job-detail", args=[run.job_id])).status_code == 200) == of_run
        assert (rest.get(reverse("api:job-log", args=[run.job_id])).status_code == 200) == of_run
        assert (pk in allowed_users(f"job:{run.job_id}", [pk])) == of_run
        if of_run:
            found.add(person)
    return found


def run_of(world, maker: str) -> RecipeRun:
    job = rows.make_job(None, kind=JobKind.RECIPE, created_by=world.users[maker], message=SECRET)
    run = RecipeRun.objects.create(
        recipe="R", label="R", source=world.source, job=job, created_by=world.users[maker]
    )
    Job.objects.filter(pk=job.pk).update(spec={"run": run.pk})
    return run


def test_a_run_is_its_makers_until_it_has_touched_something_that_the_viewer_can_see(world):
    run = run_of(world, "stranger")
    RecipeStep.objects.create(run=run, path="1", verb="load_dataset", state="SUCCEEDED")
    assert seen_by(world, run) == {"stranger", "administrator"}
    open_to_all = rows.make_branch(world.users["owner"], "open-to-all", visibility=Visibility.SITE)
    RecipeStep.objects.create(run=run, path="2", verb="set_weight", state="SUCCEEDED", branch=open_to_all)
    assert seen_by(world, run) == SIGNED_IN
    node = world.things["checkpoint"]
    RecipeStep.objects.create(run=run, path="3", verb="load_checkpoint", state="SUCCEEDED", checkpoint=node)
    assert seen_by(world, run) == SEES


@pytest.mark.parametrize("also_open", [False, True])
def test_a_run_whose_experiment_was_removed_stays_its_makers(world, also_open):
    run = run_of(world, "owner")
    private = rows.make_branch(world.users["owner"], "to-be-removed", visibility=Visibility.PRIVATE)
    RecipeStep.objects.create(
        run=run,
        path="1",
        verb="create_model",
        state="SUCCEEDED",
        experiment=private.experiment,
        branch=private,
    )
    if also_open:
        other = rows.make_branch(world.users["owner"], "open-to-all", visibility=Visibility.SITE)
        RecipeStep.objects.create(
            run=run, path="2", verb="fork", state="SUCCEEDED", experiment=other.experiment, branch=other
        )
    assert seen_by(world, run) == {"owner", "administrator"}
    remove_experiment(private.experiment)
    assert seen_by(world, run) == {"owner", "administrator"}


@pytest.fixture
def staff(world):
    """Return somebody who looks around in the admin and sees nothing that is private."""
    return User.objects.create_user("staff", is_staff=True)


@pytest.mark.parametrize("kind", [kind for kind in JobKind if kind not in PUBLIC])
def test_the_admin_shows_no_job_of_what_is_private(kind, world, staff):
    job = job_of(kind, world)
    browser = Client()
    browser.force_login(staff)
    assert SECRET not in browser.get("/admin/jobs/job/").text
    assert browser.get(f"/admin/jobs/job/{job.pk}/change/").status_code == 302
    browser.force_login(User.objects.create_superuser("root"))
    assert SECRET in browser.get("/admin/jobs/job/").text


def test_no_list_of_the_admin_names_what_is_private(world, staff):
    from django.contrib import admin

    other = rows.make_branch(world.users["owner"], "open-to-all", visibility=Visibility.SITE)
    node = rows.make_checkpoint(other, rows.make_job(other))
    Evaluation.objects.create(branch=other, checkpoint=node, step=1)
    second = Experiment.objects.create(name="another-open", slug="another-open", model_spec=rows.MODEL)
    assert second.visibility == Visibility.SITE
    for kind in JobKind:
        job_of(kind, world)
    browser, offered = Client(), set()
    browser.force_login(staff)
    for model in admin.site._registry:
        where = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
        answer = browser.get(where, follow=True)
        assert SECRET not in answer.text, where
        if "another-open" in answer.text:
            offered.add(model.__name__)
    assert offered >= {
        "Job",
        "Branch",
        "Task",
        "Checkpoint",
        "Evaluation",
    }  # there is something to choose from
    for app, name, field in (("jobs", "job", "branch"), ("training", "branch", "experiment")):
        asked: dict[str, str] = {"app_label": app, "model_name": name, "field_name": field, "term": ""}
        assert SECRET not in browser.get(reverse("admin:autocomplete"), asked).text
