"""Evaluate opens with a ranking: by any number that was measured, of branches or of all their checkpoints."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accsite.apps.evaluation.models import Evaluation, Metric
from accsite.apps.evaluation.pages import leaders
from accsite.apps.evaluation.pages.leaders import Leader
from accsite.apps.evaluation.views import branches
from accsite.apps.jobs.states import JobState
from accsite.apps.training.models import Branch, Checkpoint, Experiment
from accsite.apps.training.tests import rows
from accsite.tests.markup import folded

pytestmark = pytest.mark.both_databases
LOSS = "digit/loss/digits"


@pytest.fixture
def page(db: None) -> Client:
    client = Client()
    client.force_login(get_user_model().objects.create_user("ada"))
    return client


def measured(
    branch: Branch, value: float, *, step: int = 100, name: str = "ufr", task: str = "", **fields: Any
) -> Checkpoint:
    """Return a new checkpoint with one number."""
    checkpoint = rows.make_checkpoint(branch, step=step)
    made = Evaluation.objects.create(branch=branch, checkpoint=checkpoint, step=step, dataset="digits")
    values = {"dataset": "digits", "sample": "one", **fields}
    Metric.objects.create(evaluation=made, task_key=task, name=name, value=value, **values)
    return checkpoint


def ranked(page: Client, query: str = "") -> list[Leader]:
    answer = page.get(f"/evaluate/{query}")
    assert answer.status_code == 200
    return list(answer.context["page"].object_list)


def names(found: list[Leader]) -> list[str]:
    return [row.branch.experiment.name for row in found]


def test_the_best_come_first_whichever_way_is_good(page: Client) -> None:
    for name, ufr, loss in (("poor", 0.1, 0.9), ("good", 0.8, 0.2)):
        branch = rows.make_branch(None, slug=name)
        measured(branch, ufr)
        measured(branch, loss, name="loss", task="digit", higher_is_better=False)
    assert names(ranked(page)) == ["good", "poor"]
    assert names(ranked(page, f"?metric={LOSS}")) == ["good", "poor"]
    assert names(ranked(page, f"?metric={LOSS}&sort=value&order=desc")) == ["poor", "good"]
    assert names(ranked(page, "?sort=name")) == ["good", "poor"]
    assert names(ranked(page, "?sort=name&order=desc")) == ["poor", "good"]


def test_a_branch_stands_with_its_newest_number_and_the_line_that_led_there(page: Client) -> None:
    branch = rows.make_branch(None)
    first = measured(branch, 0.9, step=100, low=0.85, high=0.95)
    last = measured(branch, 0.4, step=200, low=0.3, high=0.5)
    (row,) = ranked(page)
    assert row.metric is not None
    assert row.metric.evaluation.checkpoint == last
    assert row.trend is not None
    assert row.trend.values == [0.9, 0.4]
    assert row.bar is not None
    assert row.bar.low is not None
    assert row.bar.high is not None
    assert row.bar.low < row.bar.value < row.bar.high
    all_of_them = ranked(page, "?of=checkpoints")
    assert [each.metric.evaluation.checkpoint for each in all_of_them if each.metric] == [first, last]


def test_a_branch_without_the_number_says_whether_it_is_trained_now_or_was_only_forked(page: Client) -> None:
    branch = rows.make_branch(None)
    begun = measured(branch, 0.5, step=300)
    fork = Branch.objects.create(
        experiment=branch.experiment, name="fork", slug="fork", head=begun, forked_from=begun
    )
    shown = folded(page.get("/evaluate/"))
    assert 'class="unmeasured"' not in shown
    assert '1 branch that was not trained is not listed. <a href="?bare=1">List them too</a>' in shown
    for asked in ("bare=1", "q=fork"):
        shown = page.get(f"/evaluate/?{asked}").text
        assert "not trained since its fork" in shown
        assert "not measured so" not in shown
    rows.make_job(fork, state=JobState.RUNNING, attempt=1, step=4554, start_checkpoint=begun)
    shown = page.get("/evaluate/").text.partition('class="unmeasured"')[2]
    assert "training" in shown
    assert "4,854" in shown
    assert "not trained" not in shown


def test_what_was_measured_on_other_images_says_so(page: Client) -> None:
    for name in ("a", "b"):
        measured(rows.make_branch(None, slug=name), 0.5)
    measured(rows.make_branch(None, slug="odd"), 0.99, sample="another")
    found = ranked(page)
    assert (found[0].branch.experiment.name, found[0].other_images) == ("odd", True)
    assert not any(row.other_images for row in found[1:])
    assert "other images" in page.get("/evaluate/").content.decode()


def test_names_filter_and_the_address_holds_all_of_it(page: Client) -> None:
    for name in ("grown", "small"):
        measured(rows.make_branch(None, slug=name), 0.5)
    rows.make_branch(None, slug="untrained")
    assert names(ranked(page, "?q=GRO")) == ["grown"]
    shown = page.get("/evaluate/?q=nobody").content.decode()
    assert "No branch is called “nobody”" in shown
    answer = page.get("/evaluate/?q=o&sort=step&order=asc")
    assert [row.branch.experiment.name for row in answer.context["rest"]] == []
    assert "q=o" in answer.context["heads"]["value"]["url"]
    assert answer.context["heads"]["step"]["now"] == "ascending"
    assert "not trained yet" in page.get("/evaluate/?bare=1").content.decode()


def test_before_anything_was_measured_it_says_so_and_how_far_each_branch_is(page: Client) -> None:
    branch = rows.make_branch(None)
    branch.head = rows.make_checkpoint(branch, step=1200)
    branch.save()
    shown = folded(page.get("/evaluate/"))
    assert "Nothing has been measured yet" in shown
    assert "not measured yet" in shown
    assert "1,200" in shown
    assert "compare-picked" not in shown


def test_nothing_at_all_leads_to_the_workbench(page: Client) -> None:
    assert "Nothing to measure yet" in page.get("/evaluate/").content.decode()


def test_what_is_ticked_is_compared(page: Client) -> None:
    branch = rows.make_branch(None)
    ids = [measured(branch, 0.1 * number, step=number).pk for number in range(1, 4)]
    answer = page.get("/compare/?" + "&".join(f"pick={pk}" for pk in ids))
    assert answer.status_code == 302
    assert answer["Location"] == f"/compare/?a={ids[0]}&b={ids[1]}&c={ids[2]}"
    assert page.get(answer["Location"]).status_code == 200


def test_a_deleted_checkpoint_is_not_ranked_while_its_deletion_can_be_undone(page: Client) -> None:
    branch = rows.make_branch(None)
    kept, gone = measured(branch, 0.4, step=100), measured(branch, 0.9, step=200)
    only = measured(rows.make_branch(None, slug="only"), 0.5, name="mig")
    Checkpoint.everything.filter(pk__in=(gone.pk, only.pk)).update(deleted_at=timezone.now())
    (row,) = ranked(page)
    assert row.metric is not None
    assert row.metric.evaluation.checkpoint_id == kept.pk
    assert row.trend is None or row.trend.values == [0.4]
    assert [row.metric.value for row in ranked(page, "?of=checkpoints") if row.metric] == [0.4]
    offered = page.get("/evaluate/").context["choices"]
    assert [each.name for _, group in offered for each in group] == ["ufr"]


def test_the_best_are_ranked_however_old_and_what_is_cut_is_told(
    page: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leaders, "LISTED", 2)
    best = measured(rows.make_branch(None, slug="oldest"), 0.9)
    again = rows.make_branch(None, slug="again")
    for step in (1, 2, 3):
        measured(again, 0.1 * step, step=step)
    measured(rows.make_branch(None, slug="poor"), 0.2)
    assert names(ranked(page)) == ["oldest", "again"]
    shown = folded(page.get("/evaluate/"))
    assert "1 that rank lower are not listed." in shown
    assert "not measured so" not in shown
    assert names(ranked(page, "?q=poor")) == ["poor"], "the name is asked for before the cut"
    measured(best.branch, 0.8, step=100)
    assert names(ranked(page, "?of=checkpoints&q=oldest / main")) == ["oldest", "oldest"]


def test_how_many_branches_without_the_number_are_not_listed_is_told(
    page: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(branches, "LEADERS_A_PAGE", 2)
    measured(rows.make_branch(None, slug="known"), 0.5)
    for number in range(5):
        rows.make_branch(None, slug=f"bare-{number}")
    answer = page.get("/evaluate/?bare=1")
    assert [row.branch.experiment.name for row in answer.context["rest"]] == ["bare-4", "bare-3"]
    assert "3 older branches not measured so not listed." in folded(answer)
    assert "not listed" not in folded(page.get("/evaluate/?q=bare-0"))


def test_what_others_keep_private_is_not_ranked(page: Client) -> None:
    measured(rows.make_branch(None, slug="mine", visibility="private"), 0.5)
    Experiment.objects.update(visibility="private")
    shown = page.get("/evaluate/").content.decode()
    assert "Nothing to measure yet" in shown
    assert "mine" not in shown


def test_as_many_questions_are_asked_however_many_branches_there_are(page: Client) -> None:
    for number in range(2):
        measured(rows.make_branch(None, slug=f"few-{number}"), 0.5)
    page.get("/evaluate/")
    with CaptureQueriesContext(connection) as few:
        page.get("/evaluate/")
    for number in range(12):
        branch = rows.make_branch(None, slug=f"more-{number}")
        measured(branch, 0.5)
        measured(branch, 0.6, step=200)
        rows.make_branch(None, slug=f"bare-{number}")
    with CaptureQueriesContext(connection) as many:
        page.get("/evaluate/")
    assert len(many) == len(few)
    assert not any('"without"' in each["sql"] for each in many)
