"""Traversals of a study are drawn by one action: a job for each arm and seed that is done and has none."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Group

from acc.specs import EvalSpec
from accsite.actions import perform
from accsite.apps.access.permissions import Role
from accsite.apps.evaluation import services as evaluations
from accsite.apps.evaluation.models import Artifact, Evaluation, Part
from accsite.apps.jobs.models import Job
from accsite.apps.jobs.selectors.queue import waiting
from accsite.apps.live.selectors import versions
from accsite.apps.studies.actions.draw_traversals import DrawTraversals
from accsite.apps.studies.models import Study, StudyResult
from accsite.apps.studies.services import running
from accsite.apps.studies.services.traversals import draw_traversals
from accsite.apps.studies.tests.made import end, write_down
from accsite.apps.training.models import Branch, Checkpoint, Experiment, Visibility
from accsite.apps.training.tests import rows
from accsite.errors import WrongState

pytestmark = pytest.mark.django_db


def train(study: Study, user: Any, arm: str, seed: int) -> Checkpoint:
    branch = running.make_branch(actor=user, study_id=study.pk, arm=arm, seed=seed)
    node = rows.make_checkpoint(branch)
    end(study, arm, seed, 0.9)
    StudyResult.objects.filter(study=study, arm=arm, seed=seed).update(checkpoint=node)
    return node


@pytest.fixture
def study(arms: list[Branch], user: Any) -> Study:
    """A study of two arms and six seeds, of which two are done."""
    found = write_down(arms, user)
    for seed in (0, 1):
        for arm in ("main", "heavier"):
            train(found, user, arm, seed)
    return found


def measure(job: Job, reason: str = "") -> None:
    """Keep what a job has drawn, as its worker does: a picture, or why there is none."""
    node = job.checkpoint
    assert node is not None
    evaluation = Evaluation.objects.create(job=job, branch=node.branch, checkpoint=node, step=node.step)
    Part.objects.create(evaluation=evaluation, name="traversals", key="k", reason=reason)
    Job.objects.filter(pk=job.pk).update(state="SUCCEEDED")
    if not reason:
        meta = {"tile": [8, 8], "width": 48, "height": 16, "values": [-1, -0.5, 0, 0.5, 1]}
        Artifact.objects.create(
            evaluation=evaluation, kind="traversals", name="thickness", file="f", sha256="0", meta=meta
        )


def drawing() -> list[Job]:
    return list(Job.objects.filter(kind="evaluate").order_by("pk"))


def places(jobs: list[Job]) -> list[tuple[str, int]]:
    done = StudyResult.objects.exclude(checkpoint=None)
    found = {row.checkpoint_id: (row.arm, row.seed) for row in done}
    return [found[job.checkpoint_id] for job in jobs]


def test_each_arm_and_seed_that_is_done_gets_one_job_and_no_second(study, user):
    made = draw_traversals(actor=user, study=study)
    assert sorted(places(made)) == [("heavier", 0), ("heavier", 1), ("main", 0), ("main", 1)]
    assert [seed for _, seed in places(made)] == [0, 0, 1, 1]
    assert {tuple(job.spec["suite"]) for job in made} == {("traversals",)}
    assert draw_traversals(actor=user, study=study) == []
    for job in made:
        measure(job)
    assert draw_traversals(actor=user, study=study) == []
    train(study, user, "main", 2)
    assert places(draw_traversals(actor=user, study=study)) == [("main", 2)]
    assert len(drawing()) == 5


def test_what_failed_is_drawn_again_and_what_has_none_is_not(study, user):
    first, second, *_ = draw_traversals(actor=user, study=study)
    Job.objects.filter(pk=first.pk).update(state="FAILED")
    measure(second, "the latent has no factor groups")
    assert places(draw_traversals(actor=user, study=study)) == places([first])


def test_the_jobs_wait_behind_all_others(study, user):
    made = draw_traversals(actor=user, study=study)
    node = Checkpoint.objects.earliest("pk")
    asked = evaluations.ask(actor=user, checkpoint=node, eval=EvalSpec(suite=("metrics",)).model_dump())
    assert [job.pk for job in waiting("eval")] == [asked.pk, *(job.pk for job in made)]


def test_a_number_may_be_given_and_nothing_left_is_said(study, user):
    assert DrawTraversals.suggested(study) == {"most": 4}
    perform(DrawTraversals, actor=user, thing=study, data={"most": 3})
    assert (len(drawing()), DrawTraversals.suggested(study)) == (3, {"most": 1})
    perform(DrawTraversals, actor=user, thing=study, data={})
    with pytest.raises(WrongState, match="each seed that is done has them, or a job that draws them"):
        perform(DrawTraversals, actor=user, thing=study, data={})
    assert len(drawing()) == 4


def test_before_a_seed_is_done_there_is_nothing_to_draw(arms, user):
    study = write_down(arms, user)
    assert DrawTraversals.possible(study) == "no seed is done yet"


def test_what_one_may_not_change_is_left_out(study, django_user_model):
    bob = django_user_model.objects.create_user("bob")
    bob.groups.add(Group.objects.get_or_create(name=Role.RESEARCHER)[0])
    Experiment.objects.filter(name__endswith="seed 0").update(visibility=Visibility.PRIVATE)
    assert [seed for _, seed in places(draw_traversals(actor=bob, study=study))] == [1, 1]


def test_the_empty_place_offers_it_says_how_many_jobs_and_fills(study, page):
    where = f"/studies/{study.slug}/traversals/"
    empty = " ".join(page.get(where).text.split())
    assert "4 jobs, one for each arm and seed that is done and has none" in empty
    answer = page.post(where, headers={"HX-Request": "true"})
    told = " ".join(answer.text.split())
    assert "4 are being drawn behind all other jobs" in told
    assert "Draw traversals" not in told
    assert f"study:{study.pk}={versions([f'study:{study.pk}'])[f'study:{study.pk}']} jobs=" in told
    assert len(drawing()) == 4
    for job in drawing():
        measure(job)
    full = " ".join(page.get(where).text.split())
    assert full.count("/evaluate/artifacts/") == 4 * 5
    assert "being drawn" not in full
    again = page.post(where, headers={"HX-Request": "true"})
    assert again.status_code == 422
    assert "each seed that is done has them" in again.text


def test_without_a_script_it_leads_back_to_the_place(study, page):
    answer = page.post(f"/studies/{study.slug}/traversals/")
    assert answer.status_code == 302
    assert answer["Location"] == f"/studies/{study.slug}/traversals/"


def test_why_a_model_has_none_is_said(study, user, page):
    for job in draw_traversals(actor=user, study=study):
        measure(job, "the latent has no factor groups")
    shown = " ".join(page.get(f"/studies/{study.slug}/traversals/").text.split())
    assert "The newest evaluation says why: the latent has no factor groups" in shown


def test_whoever_only_looks_is_offered_nothing(study, client, django_user_model):
    client.force_login(django_user_model.objects.create_user("bob"))
    where = f"/studies/{study.slug}/traversals/"
    assert "Draw traversals" not in client.get(where).text
    assert client.post(where).status_code == 403
    assert drawing() == []
