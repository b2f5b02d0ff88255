"""A number of a metric that is a plugin is an outcome of a study: offered, checked, and measured in one version."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone

from acc.errors import InvalidInput
from acc.hashes import text_sha256
from accsite.actions.forms import ActionForm
from accsite.apps.evaluation.models import Evaluation, Metric
from accsite.apps.registry.approval import NotApproved
from accsite.apps.registry.models import Plugin, PluginKind, PluginSource
from accsite.apps.studies.actions.repeat_branch import RepeatBranch
from accsite.apps.studies.models import Study
from accsite.apps.studies.services import plans, running, studies
from accsite.apps.studies.tests.made import write_down
from accsite.apps.training.models import Branch, Checkpoint
from accsite.apps.training.services import jobs
from accsite.apps.training.tests import rows

pytestmark = pytest.mark.django_db

ODD = {"metrics": {"good": False, "bad": True}, "ranges": {"good": [0, 1]}}


@pytest.fixture
def odd(plugins: dict[str, Plugin]) -> Plugin:
    """A metric of two numbers and a parameter."""
    part = rows.named("part", 0.25, min=0, max=1)
    return rows.make_plugin(PluginKind.METRIC, "Odd", label="Odd one", params=[part], requires=ODD)


def edit(plugin: Plugin) -> str:
    """Let the plugin have another source, as the watcher does; return its hash."""
    text = "# another"
    source = PluginSource.objects.create(
        sha256=text_sha256(text), path=plugin.path, text=text, on_disk_at=timezone.now()
    )
    Plugin.objects.filter(pk=plugin.pk).update(source=source, params=[])
    return str(source.sha256)


def test_the_form_offers_numbers_of_tasks_of_the_latent_and_of_plugins(arms, odd):
    Plugin.objects.filter(name="ReconstructionTask").update(requires={"metrics": {"mse": False}})
    offered = dict(RepeatBranch.choices(arms[0])["outcome"])
    assert offered["reconstruction/mse"] == "reconstruction/mse"
    assert offered["ufr"] == "ufr"
    assert offered["Odd.good"] == "Odd one: good"
    assert offered["seconds"] == "seconds that a seed takes"
    assert plans.outcomes_of(arms[0])["reconstruction/mse"].higher_is_better is False
    form = ActionForm(RepeatBranch, arms[0]).as_p()
    assert '<option value="Odd.good">Odd one: good</option>' in form
    assert f'<option value="{plans.proposed_outcome(arms[0])}" selected>' in form


def test_the_plan_keeps_version_direction_and_bounds(arms, odd, user):
    study = write_down(arms, user, outcome="Odd.good")
    plan = study.planned
    assert plan.settings["metrics"] == {"Odd": odd.source_id}
    assert plan.settings_of("heavier")["metrics"] == {"Odd": odd.source_id}
    assert plan.primary.higher_is_better is False
    assert plan.primary.bounds == (0, 1)
    assert [str(claim) for claim in plan.claims] == ["main < heavier on Odd.good"]
    assert "metrics" not in write_down(arms, user).planned.settings


@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        ("Even.good", "'Even' cannot be measured"),
        ("Odd.better", "no number of Odd; there are: Odd.bad, Odd.good"),
    ],
    ids=["class", "number"],
)
def test_one_that_is_not_there_is_refused(arms, odd, user, outcome, said):
    with pytest.raises(InvalidInput, match=said) as error:
        write_down(arms, user, outcome=outcome)
    assert list(error.value.fields) == ["outcomes"]
    assert not Study.objects.exists()


def test_a_parameter_that_is_none_is_refused_and_one_that_is_given_is_kept(arms, odd, user):
    def of(**params: Any) -> Study:
        return studies.repeat_arms(
            actor=user,
            name="question",
            arms=[("main", arms[0]), ("heavier", arms[1])],
            seeds=6,
            outcomes=[{"name": "Odd.good", "options": {"suite": ["Odd"], "params": params}}],
            steps=10,
        )

    assert of(**{"Odd.part": 0.5}).planned.primary.options["params"] == {"Odd.part": 0.5}
    with pytest.raises(InvalidInput, match=r"params\.Odd\.part: 2 is above the most allowed, 1"):
        of(**{"Odd.part": 2})


def test_an_arm_that_is_added_is_measured_by_the_same_version(arms, odd, user):
    study = write_down(arms, user, outcome="Odd.good")
    edit(odd)
    third = Branch.objects.create(experiment=arms[0].experiment, name="third", slug="third")
    rows.make_task(third, arms[0].tasks.get().dataset, weight=7.0)
    plan = studies.add_arm(actor=user, study=study, branch=third).planned
    assert plan.settings_of("third")["metrics"] == {"Odd": odd.source_id}


def measured_by(arms: list[Branch], plugins: dict[str, str]) -> Any:
    node: Checkpoint = rows.make_checkpoint(arms[0])
    asked = {"suite": ["metrics", "Odd"], "params": {"Odd.part": 0.5}}
    return jobs.submit_evaluation(actor=None, checkpoint=node, eval=asked, plugins=plugins).spec


def test_a_plugin_that_was_edited_meanwhile_measures_as_it_was(arms, odd):
    edit(odd)  # and no parameter is left, so that by the newest it would be refused
    spec = measured_by(arms, {"Odd": odd.source_id})
    assert spec["plugins"] == {"Odd": odd.source_id}
    assert spec["params"] == {"Odd.part": 0.5}
    with pytest.raises(InvalidInput, match="part"):
        measured_by(arms, {})


def test_a_source_that_is_not_kept_here_is_refused(arms, odd):
    with pytest.raises(NotApproved, match="suite"):
        measured_by(arms, {"Odd": rows.sha("f")})


def test_what_was_measured_of_it_is_the_value_of_an_arm_and_a_seed(arms, odd, user):
    study = write_down(arms, user, outcome="Odd.good")
    branch = running.make_branch(actor=user, study_id=study.pk, arm="main", seed=0)
    training = rows.make_job(branch, state="SUCCEEDED")
    node = rows.make_checkpoint(branch, training)
    job = jobs.submit_evaluation(actor=user, checkpoint=node, eval={"suite": ["metrics", "Odd"]})
    evaluation = Evaluation.objects.create(job=job, branch=branch, checkpoint=node, step=node.step)
    Metric.objects.create(evaluation=evaluation, name="Odd.good", dataset="digits", value=0.125, sample="s")
    row = study.results.get(arm="main", seed=0)
    running.keep(row, checkpoint_id=node.pk, jobs=[training.pk, job.pk])
    row.refresh_from_db()
    assert row.values["Odd.good"]["value"] == 0.125
