"""A study is written down from branches, done place after place, and changed in the open."""

from __future__ import annotations

import pytest
from django.db import transaction

from acc.errors import InvalidInput
from acc.studies import Measured
from accsite.apps.datasets.models import Dataset
from accsite.apps.datasets.services import manage
from accsite.apps.jobs.models import Job
from accsite.apps.jobs.services import lifecycle
from accsite.apps.recipes.models import RecipeRun, RecipeStep
from accsite.apps.registry.models import Plugin, PluginKind
from accsite.apps.studies import pages
from accsite.apps.studies.curves import curves_of
from accsite.apps.studies.models import Study
from accsite.apps.studies.selectors import claims_of, cost_of, find_study, has_more, state_of
from accsite.apps.studies.services import running, studies
from accsite.apps.studies.tests.made import end, end_all, write_down
from accsite.apps.training.models import Branch, Experiment, ExperimentShare, Visibility
from accsite.apps.training.services import jobs
from accsite.apps.training.tests import rows
from accsite.errors import WrongState

pytestmark = pytest.mark.django_db


def test_arms_are_the_branches_as_they_are_and_differ_in_what_differs(arms, user):
    study = write_down(arms, user)
    plan = study.planned
    assert [arm.name for arm in plan.arms] == ["main", "heavier"]
    assert plan.arms[1].changes == {"tasks": {"reconstruction": {"weight": 3.0}}}
    assert [str(claim) for claim in plan.claims] == ["main > heavier on digit/accuracy"]
    assert "seed" not in plan.settings["model"]
    assert "seed" not in plan.settings["train"]
    assert set(plan.settings["plugins"]) == {"ReconstructionTask", "FactorSlotAutoencoder"}
    assert study.results.count() == 12
    assert state_of(study) == "planned"
    assert Job.objects.count() == 0
    assert cost_of(study).jobs == 24


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"seeds": 0}, "seeds"),
        ({"outcome": ""}, "outcome"),
        ({"claims": "main beats heavier"}, "claims"),
        ({"steps": None}, "steps"),
    ],
)
def test_bad_input_names_the_field_and_writes_nothing_down(arms, user, wrong, field):
    with pytest.raises(InvalidInput) as told:
        write_down(arms, user, **wrong)
    assert field in told.value.fields
    assert not Study.objects.exists()


def test_a_study_of_a_private_branch_is_private(arms, user, django_user_model):
    arms[0].experiment.visibility = Visibility.PRIVATE
    arms[0].experiment.save()
    study = write_down(arms, user)
    bob = django_user_model.objects.create_user("bob")
    assert find_study(user, study.slug) == study
    with pytest.raises(InvalidInput, match="there is no study"):
        find_study(bob, study.slug)


def test_it_is_started_once_stopped_and_gone_on_with(arms, user):
    study = studies.start_study(actor=user, study=write_down(arms, user))
    assert state_of(study) == "waiting"
    with pytest.raises(WrongState, match="at work already"):
        studies.start_study(actor=user, study=study)
    study = studies.stop_study(actor=user, study=study)
    assert running.next_places(study.pk, [], 8) == []
    study = studies.start_study(actor=user, study=study)
    assert RecipeRun.objects.count() == 1
    assert [(row.arm, row.seed) for row in running.next_places(study.pk, [], 3)] == [
        ("main", 0),
        ("heavier", 0),
        ("heavier", 1),
    ]


def test_what_was_begun_is_finished_first_also_when_it_is_stopped(arms, user):
    study = studies.start_study(actor=user, study=write_down(arms, user))
    row = study.results.get(arm="heavier", seed=4)
    running.begin(row)
    assert running.next_places(study.pk, [], 2)[0] == row
    studies.stop_study(actor=user, study=study)
    assert running.next_places(study.pk, [], 2) == [row]
    assert running.next_places(study.pk, [row.number], 2) == []


def run_of(study: Study) -> RecipeRun:
    return RecipeRun.objects.select_related("job").get(study=study)


def test_what_is_added_while_the_program_comes_to_its_end_is_done_by_another_job(arms, user):
    rows.make_worker("recipe-1", queues=("recipe",))
    study = studies.start_study(actor=user, study=write_down(arms, user))
    first = run_of(study).job
    assert first is not None
    claim = lifecycle.claim(first.pk, "recipe-1")
    assert claim is not None
    lifecycle.start(first.pk, claim.attempt)
    lifecycle.finish(first.pk, claim.attempt)
    assert run_of(study).job != first
    assert run_of(study).is_active
    assert state_of(Study.objects.get()) == "waiting"


def test_whoever_starts_it_it_is_done_on_behalf_of_its_owner(arms, user, django_user_model):
    root = django_user_model.objects.create_superuser("root")
    study = studies.start_study(actor=root, study=write_down(arms, user))
    assert run_of(study).created_by == user


def test_one_that_stops_when_it_is_decided_begins_nothing_more_then(arms, user):
    study = studies.start_study(actor=user, study=write_down(arms, user, seeds=30, stop_when_decided=True))
    end_all(study, 5)
    assert running.next_places(study.pk, [], 1)
    end_all(study, 8)
    (claim,) = claims_of(study)
    assert claim["decision"] == "decided for"
    assert running.next_places(study.pk, [], 1) == []
    assert not has_more(study)


def test_a_failed_seed_is_counted_and_told(arms, user):
    study = write_down(arms, user)
    end_all(study, 6)
    end(study, "heavier", 2, None)
    (claim,) = claims_of(study)
    assert claim["failed"] == 1
    assert "1 of 6 pairs of seeds failed" in claim["sentence"]
    assert "the loss is not a finite number" in claim["sentence"]


def test_seeds_and_arms_that_are_added_come_behind_and_the_plan_tells(arms, user):
    study = write_down(arms, user)
    before = dict(study.results.values_list("number", "seed"))
    end_all(study, 6)
    study = studies.add_seeds(actor=user, study=study, more=2)
    assert study.planned.seeds == tuple(range(8))
    third = Branch.objects.create(experiment=arms[0].experiment, name="third", slug="third")
    rows.make_task(third, arms[0].tasks.get().dataset, weight=9.0)
    study = studies.add_arm(actor=user, study=study, branch=third, claim="third > main on digit/accuracy")
    numbers = dict(study.results.values_list("number", "seed"))
    assert before.items() <= numbers.items()
    assert len(numbers) == 3 * 8
    assert study.planned.changed_after_looking
    assert all("The plan was changed after looking" in claim["sentence"] for claim in claims_of(study))
    assert study.sha256 == study.planned.sha256


def test_arms_of_a_seed_share_an_experiment_where_their_models_agree(arms, user):
    study = write_down(arms, user)
    made = [
        running.make_branch(actor=user, study_id=study.pk, arm=arm, seed=3) for arm in ("heavier", "main")
    ]
    other = running.make_branch(actor=user, study_id=study.pk, arm="main", seed=4)
    assert made[0].experiment == made[1].experiment != other.experiment
    assert made[0].experiment.model_spec["seed"] == 3
    assert [branch.tasks.get().weight for branch in made] == [3.0, 1.0]
    assert {branch.tasks.get().key for branch in made} == {"reconstruction"}
    assert {branch.auto_evaluate for branch in made} == {"off"}


def test_whoever_sees_the_private_branch_sees_the_study_and_its_experiments(arms, user, django_user_model):
    cat, bob = (django_user_model.objects.create_user(name) for name in ("cat", "bob"))
    Experiment.objects.update(visibility=Visibility.PRIVATE)
    for branch in arms:
        branch.refresh_from_db()
    ExperimentShare.objects.create(experiment=arms[0].experiment, user=cat)
    study = write_down(arms, user)
    made = running.make_branch(actor=user, study_id=study.pk, arm="main", seed=0)
    assert made.experiment.visibility == Visibility.PRIVATE
    for person, sees in ((cat, True), (bob, False)):
        assert Study.objects.visible_to(person).filter(pk=study.pk).exists() == sees
        assert Experiment.objects.visible_to(person).filter(pk=made.experiment_id).exists() == sees
    elsewhere = rows.make_branch(user, "elsewhere", visibility=Visibility.PRIVATE)
    rows.make_task(elsewhere, arms[0].tasks.get().dataset)
    with pytest.raises(InvalidInput, match="others see this study"):
        studies.add_arm(actor=user, study=study, branch=elsewhere)


def test_arms_of_other_models_are_in_experiments_of_their_own(arms, user):
    wider = rows.make_branch(user, "wider")
    wider.experiment.model_spec["latent_dim"] = 20
    wider.experiment.save()
    rows.make_task(wider, arms[0].tasks.get().dataset)
    study = write_down([arms[0], wider], user)
    first, second = (arm.name for arm in study.planned.arms)
    made = [running.make_branch(actor=user, study_id=study.pk, arm=arm, seed=0) for arm in (first, second)]
    assert made[0].experiment != made[1].experiment
    assert {branch.experiment.model_spec["seed"] for branch in made} == {0}
    assert [branch.experiment.model_spec["latent_dim"] for branch in made] == [16, 20]


def test_data_that_is_another_by_now_is_refused(arms, user):
    study = write_down(arms, user)
    data = arms[0].tasks.get().dataset
    data.content_hash = "f" * 64
    data.save()
    with pytest.raises(InvalidInput, match="not the data that the study began with"):
        running.make_branch(actor=user, study_id=study.pk, arm="main", seed=0)


def test_what_a_class_has_become_since_is_asked_nothing(arms, user):
    study = write_down(arms, user)
    rows.make_plugin(PluginKind.TASK, "ReconstructionTask", params=[rows.named("margin", 0.5)])
    rows.make_plugin(PluginKind.MODEL, "FactorSlotAutoencoder", params=[rows.named("depth", 3)])
    Plugin.objects.filter(name="ReconstructionTask").update(available=False)
    made = running.make_branch(actor=user, study_id=study.pk, arm="heavier", seed=0)
    (task,) = made.tasks.all()
    assert (task.weight, task.params) == (3.0, {})
    assert made.experiment.model_spec["params"] == {"base_channels": 8}


def test_its_dataset_stays_from_its_beginning_on(arms, user):
    study = write_down(arms, user)
    data = rows.make_dataset("apart")
    plan = study.planned.revised(
        seen=0,
        outcomes=[{"name": "digit/accuracy"}, {"name": "far", "metric": "ufr", "dataset": "apart"}],
    )
    Study.objects.update(plan=plan.model_dump(mode="json"))
    manage.check_unused(data)
    study = studies.start_study(actor=user, study=Study.objects.get())
    with pytest.raises(WrongState, match=f"is used by study '{study.name}'; it stays while they do"):
        manage.remove(actor=user, dataset=data)
    end_all(study, 6)
    Study.objects.update(visibility=Visibility.PRIVATE)
    with pytest.raises(WrongState, match="is used by a private study"):
        manage.remove(actor=user, dataset=data)
    Branch.objects.exclude(pk__in=[arm.pk for arm in arms]).delete()
    arms[0].tasks.get().delete()
    arms[1].tasks.get().delete()
    with pytest.raises(WrongState, match="is used by a private study"):
        manage.remove(actor=user, dataset=Dataset.objects.get(slug="handwritten-digits"))


def trained(study: Study, arm: str, seed: int, device: str = "") -> Job:
    """Return the training of an arm and a seed, submitted as the study does, claimed by a worker of ``device``."""
    branch = running.make_branch(actor=study.owner, study_id=study.pk, arm=arm, seed=seed)
    with transaction.atomic():
        asked = {"steps": 10, "device": running.device_of(branch, "auto")}
    job = jobs.submit_training(actor=study.owner, branch=branch, train=asked)
    Job.objects.filter(pk=job.pk).update(device=device)
    return job


def asked_of(job: Job) -> str:
    return str(job.spec["train"]["device"])


def test_arms_of_a_seed_are_trained_on_one_kind_of_device(arms, user):
    rows.make_worker("slow")
    study = write_down(arms, user)
    assert asked_of(trained(study, "main", 0)) == "auto", "there is one kind alone"
    assert asked_of(trained(study, "main", 1, "cpu")) == "auto"
    fast = rows.make_worker("fast", "cuda:0")
    assert asked_of(trained(study, "heavier", 1)) == "cpu", "as the other arm was"
    assert asked_of(trained(study, "main", 2)) == "cuda", "it is idle"
    rows.make_job(state="RUNNING", worker=fast, device="cuda:0")
    assert asked_of(trained(study, "heavier", 2)) == "cuda", "as the other arm will be"
    assert asked_of(trained(study, "main", 3)) == "cpu", "a worker of it is idle"
    job = trained(study, "main", 4, "cuda:0, cuda:1")
    Job.objects.filter(pk=job.pk).update(spec={**job.spec, "train": {**job.spec["train"], "device": "auto"}})
    assert asked_of(trained(study, "heavier", 4)) == "cuda"
    fast.state = "OFFLINE"
    fast.save()
    assert asked_of(trained(study, "heavier", 3)) == "cpu"
    on = {row.seed: row.branch for row in study.results.filter(arm="heavier").exclude(branch=None)}
    assert on[2] is not None
    assert on[3] is not None
    assert running.device_of(on[2], "auto") == "auto", "none has it"
    assert running.device_of(on[3], "cuda:1") == "cuda:1", "as it is said"


@pytest.mark.parametrize("state", ["planned", "running", "decided", "failed"])
def test_its_page_says_first_what_may_be_said(arms, user, page, state):
    study = write_down(arms, user)
    if state != "planned":
        studies.start_study(actor=user, study=study)
        end_all(study, 3 if state == "running" else 6)
    if state == "failed":
        end(study, "main", 1, None)
    shown = page.get(f"/studies/{study.slug}/")
    (claim,) = claims_of(study)
    assert shown.status_code == 200
    assert claim["sentence"].replace("'", "&#x27;") in shown.text
    assert (
        shown.text.count('class="seed"') == {"planned": 0, "running": 9, "decided": 18, "failed": 16}[state]
    )
    assert ('id="failed-title"' in shown.text) == (state == "failed")
    assert (f'href="#start-form-{study.pk}"' in shown.text) == (state == "planned")
    assert study.name in page.get("/studies/").text


@pytest.mark.parametrize("form", ["html", "latex", "csv", "parquet"])
def test_it_is_exported(arms, user, page, form):
    study = write_down(arms, user)
    end_all(study, 6)
    answer = page.get(f"/studies/{study.slug}/export/{form}/")
    assert answer.status_code == 200
    assert "attachment" in answer["Content-Disposition"]
    assert answer.content.startswith(b"PAR1") or b"heavier" in answer.content


def test_a_form_takes_claims_line_by_line_and_says_what_a_tick_means(arms, user, page):
    where = f"/branches/{arms[0].pk}/repeat/"
    asked = page.get(where).text
    assert "look after each seed; the seeds are the most then" in asked
    assert '<textarea name="claims"' in asked
    said = ["main > heavier on digit/accuracy", "main > heavier on digit/accuracy by at least .05"]
    answer = page.post(
        where,
        {
            "name": "two claims",
            "seeds": 6,
            "others": ["", "heavier"],
            "outcome": "digit/accuracy",
            "claims": "\r\n".join(said),
            "steps": 10,
        },
    )
    assert answer.status_code == 302, answer.text
    study = Study.objects.get(name="two claims")
    assert [str(claim) for claim in study.planned.claims] == said


def test_the_list_of_studies_says_how_to_begin(page):
    assert "Repeat with seeds" in page.get("/studies/").text


def test_the_name_of_a_private_study_is_told_to_nobody_else(arms, user, django_user_model):
    Experiment.objects.update(visibility=Visibility.PRIVATE)
    for branch in arms:
        branch.refresh_from_db()
    write_down(arms, user, name="zebra")
    bob = django_user_model.objects.create_user("bob")
    other = rows.make_branch(bob, "open")
    rows.make_task(other, arms[0].tasks.get().dataset)
    made = write_down([other], bob, name="zebra")
    assert (made.name, made.slug) == ("zebra", "zebra-2")
    assert write_down([other], bob, name="zebra").name == "zebra 2"


def test_what_images_alone_spread_a_seed_by_stands_apart_from_the_seeds(arms, user, page):
    study = write_down(arms, user)
    end_all(study, 3)
    assert "images alone" not in page.get(f"/studies/{study.slug}/").text
    measured = Measured(value=0.8, low=0.8 - 0.0196, high=0.8 + 0.0196, sample="s").model_dump(mode="json")
    study.results.filter(arm="heavier", seed__lt=3).update(values={"digit/accuracy": measured})
    assert "over seeds; images alone spread a seed by 0.01" in page.get(f"/studies/{study.slug}/").text


def test_the_pages_of_a_study_in_a_recipe_lead_to_one_another(arms, user, page):
    rows.make_worker("recipe-1", queues=("recipe",))
    job = rows.make_job(kind="recipe", state="RUNNING", created_by=user)
    recipe = RecipeRun.objects.create(recipe="Asks", label="Asks", job=job, created_by=user)
    step = RecipeStep.objects.create(run=recipe, path="1", verb="study", args={"name": "it"})
    study = studies.start_within(actor=user, study=write_down(arms, user), step=step)
    assert study.run is not None
    assert state_of(study) == "running"
    assert "Asks" in page.get("/recipes/").text
    assert f">{study.run.label}<" not in page.get("/recipes/").text
    assert f'/recipes/runs/{study.run.pk}/"' in page.get(f"/recipes/runs/{recipe.pk}/").text
    assert f'/recipes/runs/{recipe.pk}/"' in page.get(f"/recipes/runs/{study.run.pk}/").text
    assert f'/recipes/runs/{study.run.pk}/"' in page.get(f"/studies/{study.slug}/").text


def test_a_page_that_was_asked_for_while_seeds_are_added_shows_them_last(arms, user):
    study = write_down(arms, user, seeds=2)
    running.make_branch(actor=user, study_id=study.pk, arm="main", seed=0)
    before = Study.objects.get(pk=study.pk)
    studies.add_seeds(actor=user, study=study, more=1)
    running.make_branch(actor=user, study_id=study.pk, arm="main", seed=2)
    assert [row.seed for row in pages.shown(before).rows] == [0, 0, 1, 1, 2, 2]
    assert curves_of(before).lines == []
    assert len(running.next_places(study.pk, [], 64)) == 6
