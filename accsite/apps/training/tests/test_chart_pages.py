"""The legend tells each task's raw loss against its baseline, alarms have words, and lists tell last losses."""

from __future__ import annotations

import io
import json
import math
import re
from typing import Any

import numpy as np
import pytest
from django.core.management import call_command
from django.test import Client
from django.urls import reverse

from acc.training.losses import health
from acc.training.protocols import Alarm, Baseline, PointBlock
from accsite.apps.jobs.models import Job
from accsite.apps.jobs.states import JobState
from accsite.apps.training.models import Branch, Task
from accsite.apps.training.pages import charts as chart_pages
from accsite.apps.training.selectors.alarms import alarms
from accsite.apps.training.services import events, points
from accsite.apps.training.tests import rows
from accsite.numbers import NONE
from accsite.tests.modules import evaluate


@pytest.fixture
def job(branch: Branch, task: Task) -> Job:
    """A running job whose raw loss rises while its weighted one falls."""
    job = rows.make_job(branch, state=JobState.RUNNING, attempt=1, total_steps=500)
    job.spec["tasks"] = [{"key": task.key, "name": task.name}]
    job.save()
    raw = np.linspace(1, 2, 200)
    values = np.stack([raw, raw * np.linspace(1, 0.01, 200)]).astype(np.float32)
    names = (f"raw/{task.key}", f"weighted/{task.key}")
    points.append(job.pk, 1, PointBlock(0, names, values, 100.0, 103.0))
    job.refresh_from_db()
    return job


def test_a_weight_that_falls_makes_no_run_healthy(job: Job, task: Task, branch: Branch) -> None:
    events.record_baseline(job.pk, 1, task.key, Baseline(1.2, "the mean image"))
    (line,) = chart_pages.legend(branch, job)
    assert (line.health.level, line.health.trend) == ("worse than trivial", "rising")
    assert (line.last, line.baseline, line.words) == (2.0, 1.2, "the mean image")
    assert line.tolerance == pytest.approx(0.06)


def test_losses_by_name_stand_behind_their_task_s(job: Job, task: Task, branch: Branch) -> None:
    names = (f"raw/{task.key}", f"part/{task.key}/tc", f"part/{task.key}/discriminator")
    values = np.stack([np.full(9, value, dtype=np.float32) for value in (1.0, 2.0, 3.0)])
    points.append(job.pk, 1, PointBlock(200, names, values, 103.0, 104.0))
    job.refresh_from_db()
    whole, first, second = chart_pages.legend(branch, job)
    assert [line.series for line in (whole, first, second)] == [names[0], names[2], names[1]]
    assert (first.name, first.last) == (f"{task.name}: discriminator", 3.0)
    assert (second.name, second.last) == (f"{task.name}: tc", 2.0)
    assert {line.hue for line in (first, second)} == {whole.hue}
    assert len({line.dash for line in (whole, first, second)}) == 3
    assert names[2] in chart_pages.first_look(job, [whole, first], "/p").replace("%2F", "/")
    assert [line.about for line in (whole, first)] == ["", ""]


def test_a_baseline_is_said_to_be_of_the_sum_where_a_task_has_several_losses(
    job: Job, task: Task, branch: Branch
) -> None:
    events.record_baseline(job.pk, 1, task.key, Baseline(1.2, "the mean image"))
    (alone,) = chart_pages.legend(branch, job)
    assert alone.about == "trivial: 1.2, the mean image"
    values = np.ones((2, 9), dtype=np.float32)
    points.append(
        job.pk, 1, PointBlock(200, (f"raw/{task.key}", f"part/{task.key}/tc"), values, 103.0, 104.0)
    )
    job.refresh_from_db()
    whole, part = chart_pages.legend(branch, job)
    assert whole.about == "trivial: 1.2, the mean image; of the sum of its losses"
    assert part.baseline is None
    assert part.about == "its task's baseline is of the sum of its losses"


@pytest.mark.parametrize(
    ("last", "base", "words"),
    [
        (0.62, 1.0, "-38 %"),
        (1.5, 1.0, "+50 %"),
        (1.001, 1.0, "±0 %"),
        (0.00885, 2.3, "-99.6 %"),
        (1e-6, 1.0, "-99.9 %"),
        (0.0, 1.0, "-100 %"),
        (30.0, 1.0, "+30 x"),
        (1.0, None, ""),
        (math.inf, 1.0, ""),
    ],
)
def test_page_and_script_say_alike_how_far_a_loss_is_from_its_baseline(
    last: float, base: float | None, words: str
) -> None:
    told = chart_pages.LegendLine("a", 0, "A", last, health.assess([], base), baseline=base)
    assert told.against == words
    value = "Infinity" if last == math.inf else repr(last)
    body = f"return (await load('chart')).against({value}, {json.dumps(base)})"
    assert evaluate(body) == words


def test_without_a_baseline_only_the_trend_is_told(job: Job, branch: Branch) -> None:
    (line,) = chart_pages.legend(branch, job)
    assert (line.health.level, line.health.trend, line.baseline) == ("unknown", "rising", None)


def test_the_legend_of_a_page_has_word_and_icon(job: Job, task: Task, branch: Branch, user: Any) -> None:
    events.record_baseline(job.pk, 1, task.key, Baseline(3.0, "always the same"))
    client = Client()
    client.force_login(user)
    page = client.get(reverse("training:job", args=[job.pk])).text
    assert "✓ better than trivial" in page
    assert "↗ rising" in page
    assert 'data-base="3"' in page
    assert "trivial: 3, always the same" in page


def test_alarms_are_told_once_a_kind_and_not_what_the_end_says(job: Job) -> None:
    for step, kind in ((10, "plateau"), (20, "nan"), (30, "plateau")):
        events.record_alarm(job.pk, 1, Alarm(kind, step, f"sentence {step}", "raw/a"))
    found = [(alarm.word, alarm.grave, alarm.event.step) for alarm in alarms(job)]
    assert found == [("Plateau", False, 30), ("Not a number", True, 20)]
    job.message = "sentence 20"
    assert [alarm.word for alarm in alarms(job)] == ["Plateau"]
    assert alarms(None) == []


def test_a_list_of_jobs_has_the_last_losses_by_task(job: Job, task: Task, branch: Branch) -> None:
    ended = rows.make_job(branch, state=JobState.SUCCEEDED, result={"losses": {task.key: 0.5, "total": 9.0}})
    found = {row.job.pk: row.losses for row in chart_pages.recent_jobs(branch)}
    assert found[ended.pk] == [(task.name, task.colour_slot, f"raw/{task.key}", 0.5)]
    assert found[job.pk] == [(task.name, task.colour_slot, f"raw/{task.key}", 2.0)]


def test_what_the_page_writes_of_a_job_has_its_place_before_there_is_a_value(
    page: Client, branch: Branch, task: Task
) -> None:
    new = rows.make_job(branch, state=JobState.RUNNING)
    new.spec["tasks"] = [{"key": task.key, "name": task.name}, {"key": "off", "enabled": False}]
    new.save()
    found = {row.job.pk: row.losses for row in chart_pages.recent_jobs(branch)}
    assert found[new.pk] == [(task.name, task.colour_slot, f"raw/{task.key}", None)]
    shown = page.get(reverse("training:workbench", args=[branch.experiment.slug, branch.slug])).text
    assert re.search(rf'<span\s+data-loss="raw/{task.key}"\s*>{NONE}</span>', shown)
    assert f'<b data-f="rate">{NONE}</b>' in shown


def test_the_command_prints_the_losses_as_csv(job: Job, task: Task) -> None:
    out = io.StringIO()
    call_command("jobs", "losses", str(job.pk), stdout=out)
    lines = out.getvalue().splitlines()
    assert lines[0] == f"step,raw/{task.key},weighted/{task.key}"
    assert len(lines) == 201


def test_a_training_can_be_copied_and_asked_for_again(
    client: Client, job: Job, branch: Branch, user: Any
) -> None:
    job.spec["train"] |= {"steps": 77, "lr": 0.01}
    request, arguments = chart_pages.training_again(branch, job.spec["train"])
    assert request["train"] == {"steps": 77, "lr": 0.01}
    out = io.StringIO()
    call_command(*arguments, "--json", stdout=out)
    again = Job.objects.get(pk=json.loads(out.getvalue())["id"])
    assert (again.spec["train"]["steps"], again.spec["train"]["lr"]) == (77, 0.01)
    client.force_login(user)
    answer = client.post(reverse("api:job-list"), request, content_type="application/json")
    assert answer.status_code == 201
    page = client.get(reverse("training:job", args=[job.pk])).text
    assert "Copy this training as" in page


def test_a_task_that_is_off_says_where_its_value_is_from_and_nothing_of_its_health(
    job: Job, task: Task, branch: Branch
) -> None:
    points.append(job.pk, 1, PointBlock(200, ("total",), np.ones((1, 300), np.float32), 103.0, 106.0))
    job.refresh_from_db()
    (line,) = chart_pages.legend(branch, job)
    assert (line.last, line.stopped_at) == (2.0, 199)
    assert (line.health.level, line.health.trend) == ("unknown", "unknown")


def test_a_loss_with_a_floor_is_never_said_to_be_better_than_trivial(
    job: Job, task: Task, branch: Branch, user: Any
) -> None:
    events.record_baseline(job.pk, 1, task.key, Baseline(0.0, "a collapsed posterior", floor=True))
    client = Client()
    client.force_login(user)
    page = client.get(reverse("training:job", args=[job.pk])).text
    assert "above collapse" in page
    assert "collapse: 0, a collapsed posterior" in page
    assert "better than trivial" not in page


@pytest.mark.parametrize("floor", [False, True])
def test_scripts_say_the_same_of_a_loss_and_its_baseline_as_the_server(floor: bool) -> None:
    pairs = [(value, base) for base in (0.0, 0.5, 4.0) for value in (0.0, 0.01, 0.3, 0.51, 3.0, 4.1, 45.0)]
    near = [health.tolerance(base, floor=floor) for _, base in pairs]
    found = evaluate(
        "const { level } = await load('health');"
        "return args[0].map(([value, base], i) => level(Array(9).fill(value), base, args[1][i], args[2]));",
        pairs,
        near,
        floor,
    )
    assert found == [health.level(value, base, floor=floor) for value, base in pairs]
