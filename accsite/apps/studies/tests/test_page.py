"""The page of a study: curves, traversals, figures and reasons, of what is kept; the list finds studies."""

from __future__ import annotations

import io
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from acc.studies import figures
from acc.training.protocols import PointBlock
from accsite.apps.evaluation.models import Artifact, Evaluation, Metric
from accsite.apps.jobs.models import Job
from accsite.apps.studies.curves import curves_of
from accsite.apps.studies.models import Study, StudyResult
from accsite.apps.studies.selectors import STATES, searched, state_of
from accsite.apps.studies.services import life, running, studies
from accsite.apps.studies.tests.made import end, end_all, write_down
from accsite.apps.studies.traversals import MOST_SEEDS, traversals_of
from accsite.apps.training.models import Branch, Checkpoint, Experiment, Visibility
from accsite.apps.training.services import points
from accsite.apps.training.tests import rows

pytestmark = pytest.mark.django_db
STEPS = 8


def train(study: Study, user: Any, arm: str, seed: int, level: float) -> Checkpoint:
    """Write a training of an arm and a seed, whose total loss is ``level`` at each step, and its checkpoint."""
    branch = running.make_branch(actor=user, study_id=study.pk, arm=arm, seed=seed)
    job = rows.make_job(branch, total_steps=STEPS, attempt=1, state="RUNNING")
    values = np.full((1, STEPS), level, dtype=np.float32)
    points.append(job.pk, 1, PointBlock(0, ("total",), values, 0.0, 1.0))
    Job.objects.filter(pk=job.pk).update(state="SUCCEEDED")
    node = rows.make_checkpoint(branch, job, job_step=STEPS)
    StudyResult.objects.filter(study=study, arm=arm, seed=seed).update(job=job, checkpoint=node)
    return node


@pytest.fixture
def study(arms: list[Branch], user: Any) -> Study:
    """A study of two arms, of whose first two seeds each is trained."""
    found = write_down(arms, user)
    for seed in (0, 1):
        train(found, user, "main", seed, 1.0 + seed)
        train(found, user, "heavier", seed, 5.0)
    end_all(found, 2)
    return found


def test_a_curve_is_the_mean_of_an_arm_over_its_seeds_with_band(study):
    found = curves_of(study)
    assert (found.name, found.names) == ("total", ["total"])
    assert [(line.key, line.label, line.n) for line in found.lines] == [("0", "main", 2), ("1", "heavier", 2)]
    assert found.lines[0].mean.tolist() == [1.5] * len(found.steps)
    assert (found.lines[0].high > 1.5).all()
    assert (found.lines[1].high == 5.0).all()


def measure(node: Checkpoint, value: float) -> None:
    evaluation = Evaluation.objects.create(branch=node.branch, checkpoint=node, step=node.step)
    Metric.objects.create(evaluation=evaluation, name="ufr", dataset="digits", value=value)


def test_a_metric_that_was_measured_at_several_steps_has_a_curve(study):
    for row in study.results.exclude(checkpoint=None):
        late, job = row.checkpoint, row.job
        measure(late, 0.6 + row.seed / 10)
        if row.arm == "main":
            measure(rows.make_checkpoint(row.branch, job, job_step=4), 0.2)
    found = curves_of(study, "metric/ufr on digits")
    assert found.names == ["total", "metric/ufr on digits"]
    assert found.steps.tolist() == [4, STEPS]
    (line,) = found.lines  # of the other arm there is one step alone, which is no curve
    assert (line.label, line.mean.round(6).tolist()) == ("main", [0.2, 0.65])


def test_the_curves_of_a_study_take_as_many_queries_for_many_seeds_as_for_few(
    study, user, page, django_assert_max_num_queries
):
    with django_assert_max_num_queries(20):
        few = page.get(f"/studies/{study.slug}/curves/")
    for seed in range(2, 6):
        train(study, user, "main", seed, 1.0)
    with django_assert_max_num_queries(20):  # as of more seeds, so that none is asked for by itself
        many = page.get(f"/studies/{study.slug}/curves/?curve=total")
    assert few.json()["lines"][0]["n"] == 2
    assert many.json()["lines"][0]["n"] == 6


def keep_traversal(node: Checkpoint, name: str) -> Artifact:
    evaluation = Evaluation.objects.create(branch=node.branch, checkpoint=node, step=node.step)
    meta = {"tile": [8, 8], "width": 48, "height": 16, "values": [-1, -0.5, 0, 0.5, 1]}
    return Artifact.objects.create(
        evaluation=evaluation, kind="traversals", name=name, file="f", sha256="0", meta=meta
    )


def test_traversals_are_those_that_are_kept_a_row_an_arm_a_column_a_seed(study, user, page):
    where = f"/studies/{study.slug}/traversals/"
    assert "No traversals are kept" in page.get(where).text
    first = study.results.get(arm="main", seed=1).checkpoint
    kept = keep_traversal(first, "thickness")
    keep_traversal(study.results.get(arm="heavier", seed=1).checkpoint, "slant")
    found = traversals_of(user, study, "thickness")
    assert (found.groups, found.seeds) == (["slant", "thickness"], [1])
    assert [(arm, [cell.strip is not None for cell in cells]) for arm, _, cells in found.rows] == [
        ("main", [True]),
        ("heavier", [False]),
    ]
    shown = page.get(f"{where}?group=thickness")
    assert shown.text.count(f"/evaluate/artifacts/{kept.pk}/") == 5
    assert Job.objects.filter(kind="evaluate").count() == 0
    assert len(found.seeds) <= MOST_SEEDS


def test_a_picture_of_an_experiment_that_is_hidden_is_not_shown(study, django_user_model):
    keep_traversal(study.results.get(arm="main", seed=0).checkpoint, "thickness")
    Experiment.objects.filter(name__contains="seed 0").update(visibility=Visibility.PRIVATE)
    bob = django_user_model.objects.create_user("bob")
    assert traversals_of(bob, study).groups == []


def test_what_failed_is_told_with_the_log_of_its_job(study, user, page):
    branch = running.make_branch(actor=user, study_id=study.pk, arm="main", seed=3)
    job = rows.make_job(branch, state="FAILED")
    end(study, "main", 3, None)
    StudyResult.objects.filter(study=study, arm="heavier", seed=1).update(
        values={"digit/accuracy": {"value": None, "reason": "no label is held out"}}
    )
    shown = page.get(f"/studies/{study.slug}/").text
    assert f'<a href="/jobs/{job.pk}/?tab=log"' in shown
    assert "1 failed; each is counted" in shown
    assert "digit/accuracy: no label is held out" in shown


def test_wins_and_effect_size_stand_beside_a_claim(study, page):
    end_all(study, 6)
    shown = " ".join(page.get(f"/studies/{study.slug}/").text.split())
    assert '<dt class="soft">Wins</dt> <dd>6 of 6</dd>' in shown
    assert "Effect size d_z" in shown


@pytest.mark.parametrize("part", ["all", "outcomes", "differences", "curves"])
def test_figures_come_by_page_api_and_command(study, page, tmp_path, part):
    end_all(study, 6)
    answers = [
        page.get(f"/studies/{study.slug}/export/svg/?part={part}"),
        page.get(f"/api/v1/studies/{study.slug}/export/?form=svg&part={part}"),
    ]
    path = tmp_path / "figure.svg"
    call_command("study", "export", study.slug, str(path), "--part", part)
    assert answers[0].content == answers[1].content == path.read_bytes()
    words = "".join(ElementTree.fromstring(path.read_bytes()).itertext())
    assert ("digit/accuracy" in words) == (part != "curves")
    assert ("paired differences" in words) == (part in ("all", "differences"))
    assert ("step" in words) == (part in ("all", "curves"))
    assert page.get(f"/studies/{study.slug}/export/pdf/?part={part}").content.startswith(b"%PDF")


def test_a_figure_of_nothing_is_refused_in_words(arms, user, page):
    study = write_down(arms, user)
    answer = page.get(f"/studies/{study.slug}/export/svg/")
    assert answer.status_code == 422
    assert "nothing to draw yet" in answer.text
    assert page.get(f"/api/v1/studies/{study.slug}/export/?form=svg").status_code == 422
    assert "choose one of: all, outcomes" in page.get(f"/studies/{study.slug}/export/svg/?part=x").text


def test_the_list_is_searched_by_words_and_state(arms, user, page):
    first = write_down(arms, user, name="weight of the digit task")
    second = write_down(arms, user, name="other steps")
    studies.start_study(actor=user, study=second)
    shown = page.get("/studies/?q=DIGIT+weight").text
    assert f'id="study-{first.pk}"' in shown
    assert f'id="study-{second.pk}"' not in shown
    assert "No such study" in page.get("/studies/?q=zebra").text
    everything = Study.objects.all()
    for state in STATES:
        found = searched(everything, state=state)
        assert {study.pk for study in found} == {study.pk for study in everything if state_of(study) == state}
    studies.stop_study(actor=user, study=second)
    assert [study.pk for study in searched(everything, state="stopping")] == [second.pk]


def test_a_study_of_ten_arms_and_a_hundred_seeds_is_shown_with_few_queries_and_bytes(arms, user, page):
    experiment = arms[0].experiment
    data = arms[0].tasks.get().dataset
    others = []
    for number in range(8):
        other = Branch.objects.create(experiment=experiment, name=f"arm {number}", slug=f"arm-{number}")
        rows.make_task(other, data, weight=10.0 + number)
        others.append(other)
    study = write_down([*arms, *others], user, seeds=100)
    assert study.results.count() == 1000
    random = np.random.default_rng(0)
    for row in study.results.all():
        row.state, row.seconds = "succeeded", 2.0
        row.values = {"digit/accuracy": {"value": float(random.normal(0.9, 0.02)), "sample": "s"}}
        row.save()
    with CaptureQueriesContext(connection) as asked:
        answer = page.get(f"/studies/{study.slug}/")
    assert len(asked) < 40
    assert len(answer.content) < 300_000
    assert "900 more are in the exports" in answer.text
    assert life.experiments_of(study).count() == 0
    made = figures.draw(study.planned, [row.result for row in study.results.all()], "svg", "outcomes")
    assert io.BytesIO(made).read(5) == b"<?xml"


@pytest.mark.parametrize("form", ["csv", "html"])
def test_a_part_of_a_file_that_has_none_is_not_heard(arms, user, page, form):
    study = write_down(arms, user)
    shown = page.get(f"/studies/{study.slug}/export/{form}/", {"part": 'x"\r\nSet-Cookie: a=b'})
    assert shown.status_code == 200
    assert shown["Content-Disposition"] == f'attachment; filename="{study.slug}.{form}"'


def test_what_an_arm_adds_or_leaves_out_is_told_as_one(arms, user, page):
    rows.make_task(arms[1], arms[0].tasks.get().dataset, key="second", weight=2.0)
    study = write_down(arms, user)
    shown = page.get(f"/studies/{study.slug}/").text
    assert "<code>tasks.second added</code>" in shown
    assert "tasks.second.weight" not in shown
