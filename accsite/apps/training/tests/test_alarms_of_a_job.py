"""A grave alarm of a job is seen wherever the job is: in lists, in the header, on the tab and in the tree."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from acc.training.protocols import Alarm
from accsite.apps.jobs.models import Job
from accsite.apps.jobs.services.queueing import note
from accsite.apps.jobs.states import JobState
from accsite.apps.live import selectors as live
from accsite.apps.training.models import Branch
from accsite.apps.training.selectors.alarms import collapses, grave_alarms, grave_alarms_in, words_at
from accsite.apps.training.selectors.resuming import RESUMED
from accsite.apps.training.services import events
from accsite.apps.training.tests import rows
from accsite.tests.modules import evaluate

PANEL = {"HX-Request": "true"}
CHIP = '<span class="chip alarm">'


@pytest.fixture
def job(branch: Branch) -> Job:
    """A running job that raised an alarm of divergence at step 60, and one that is not grave."""
    job = rows.make_job(branch, state=JobState.RUNNING, attempt=1, total_steps=500)
    Job.objects.filter(pk=job.pk).update(step=80)
    events.record_alarm(job.pk, 1, Alarm("divergence", 60, "it rises", "raw/a"))
    events.record_alarm(job.pk, 1, Alarm("plateau", 70, "it is flat", "raw/b"))
    job.refresh_from_db()
    return job


def places(client: Client, job: Job) -> dict[str, str]:
    """Return the HTML of all that shows a job."""
    branch = job.branch
    assert branch is not None
    bench = [branch.experiment.slug, branch.slug]
    return {
        "list": client.get(reverse("training:jobs"), headers=PANEL).text,
        "list of the workbench": client.get(reverse("training:workbench-panel", args=[*bench, "jobs"])).text,
        "head of the workbench": client.get(reverse("training:workbench-panel", args=[*bench, "job"])).text,
        "head of the job's page": client.get(reverse("training:job-panel", args=[job.pk, "job"])).text,
        "header": client.get(reverse("training:top-job") + f"?job={job.pk}").text,
    }


def test_a_running_job_shows_its_grave_alarms_wherever_it_is(page: Client, job: Job) -> None:
    for place, html in places(page, job).items():
        assert html.count(CHIP) == 1, place
        assert html.split(CHIP)[1].split("</svg>")[1].startswith("Divergence</span>"), place
    for place in ("header", "head of the workbench", "head of the job's page"):
        assert 'data-alarm="Divergence"' in places(page, job)[place], "what the title of the tab follows"
    others = page.get(reverse("training:top-job")).text
    assert CHIP in others
    assert "data-alarm" not in others, "the tab of a page about something else"


def test_of_a_divergence_that_was_got_over_only_the_sentence_is_left(page: Client, job: Job) -> None:
    Job.objects.filter(pk=job.pk).update(state=JobState.SUCCEEDED)
    job.refresh_from_db()
    found = places(page, job) | {"page": page.get(reverse("training:job", args=[job.pk])).text}
    for place, html in found.items():
        assert CHIP not in html, place
        assert "data-alarm=" not in html, place
    assert "it rises" in found["page"]


def test_a_job_that_ended_diverged_says_so_once_and_marks_the_tab(page: Client, job: Job) -> None:
    Job.objects.filter(pk=job.pk).update(state=JobState.SUCCEEDED, result={"diverged": True})
    job.refresh_from_db()
    found = places(page, job)
    found.pop("header")  # which shows what is at work
    for place, html in found.items():
        assert html.count("ended, diverged") == 1, place
        assert CHIP not in html, place
    assert 'data-alarm="Divergence"' in found["head of the job's page"]


def test_an_alarm_of_steps_that_a_resume_has_taken_back_is_told_no_longer(branch: Branch, job: Job) -> None:
    note(job.pk, RESUMED, {"step": 65}, "resumed", 65)
    assert grave_alarms([job]) == {job.pk: "Divergence"}
    note(job.pk, RESUMED, {"step": 60}, "resumed", 60)
    assert grave_alarms([job]) == {}
    events.record_alarm(job.pk, 1, Alarm("collapse", 62, "it tells nothing", "raw/a"))
    assert grave_alarms([job]) == {job.pk: "Posterior collapse"}


def test_the_tree_marks_what_was_saved_since_the_alarm(page: Client, branch: Branch, job: Job) -> None:
    nodes = [rows.make_checkpoint(branch, step=step, job=job, job_step=step) for step in (40, 60, 80)]
    wire = page.get(reverse("api:experiment-tree", args=[branch.experiment.slug])).json()
    assert wire["alarms"] == ["", "Divergence", "Divergence"]
    script = "const { decode } = await load('tree_plan'); return decode(args[0]).map(({ alarms }) => alarms)"
    assert evaluate(script, wire) == ["", "Divergence", "Divergence"]
    tree = page.get(reverse("trees:experiment", args=[branch.experiment.slug])).text
    for node in nodes:
        row = tree.split(f'<tr id="checkpoint-{node.pk}">')[1].split("</tr>")[0]
        assert (CHIP in row) == (node.step >= 60)
        own = page.get(reverse("trees:checkpoint", args=[node.pk]), headers=PANEL).text
        assert (CHIP in own) == (node.step >= 60)


def test_an_alarm_tells_the_tree_that_is_open(branch: Branch, job: Job) -> None:
    topic = f"checkpoints:{branch.experiment_id}"
    before = live.versions([topic])[topic]
    events.record_alarm(job.pk, 1, Alarm("plateau", 90, "it is flat", "raw/a"))
    assert live.versions([topic])[topic] == before
    events.record_alarm(job.pk, 1, Alarm("nan", 90, "not a number", "raw/a"))
    assert live.versions([topic])[topic] > before


def test_a_collapse_that_is_over_is_a_sentence_and_no_chip(page: Client, branch: Branch) -> None:
    job = rows.make_job(branch, state=JobState.RUNNING, attempt=1, total_steps=2000)
    events.record_alarm(job.pk, 1, Alarm("collapse", 499, "it tells nothing", "raw/kl"))
    assert grave_alarms([job]) == {job.pk: "Posterior collapse"}
    assert collapses(job) == {"kl": 499}
    ended = "collapsed at 499, recovered by 1150"
    events.record_alarm(job.pk, 1, Alarm("collapse", 1150, ended, "raw/kl", over=True))
    assert grave_alarms([job]) == {}
    assert collapses(job) == {}
    shown = page.get(reverse("training:job", args=[job.pk])).text
    for place, html in (places(page, job) | {"page": shown}).items():
        assert CHIP not in html, place
        assert "data-alarm=" not in html, place
    panel = shown.split('id="alarms"')[1].split("</div>")[0]
    assert "Posterior collapse is over" in panel
    assert ended in panel
    assert "it tells nothing" not in panel
    timeline = shown.split('id="events"')[1]
    assert "it tells nothing" in timeline
    assert timeline.count("data-alarm") == 1, "the flag on the chart stays, and the end is none"
    raised = grave_alarms_in(branch.experiment)
    assert [words_at(raised, job.pk, step) for step in (498, 499, 1149, 1150)] == [
        "",
        "Posterior collapse",
        "Posterior collapse",
        "",
    ]
    note(job.pk, RESUMED, {"step": 1000}, "resumed", 1000)
    assert grave_alarms([job]) == {job.pk: "Posterior collapse"}, "what ended it was taken back"
    assert collapses(job) == {"kl": 499}, "which the resumed run begins with"
    events.record_alarm(job.pk, 1, Alarm("collapse", 1900, "again", "raw/kl"))
    assert grave_alarms([job]) == {job.pk: "Posterior collapse"}
