"""A recipe that makes a study does it by its own job, each seed once, and is told what may be said of it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.utils import timezone

from acc.hashes import text_sha256
from acc.recipes import RecipeError
from accsite.apps.evaluation.models import Evaluation, Metric
from accsite.apps.jobs.models import Job
from accsite.apps.jobs.services import lifecycle
from accsite.apps.jobs.states import JobState
from accsite.apps.recipes.models import RecipeRun, RecipeStep
from accsite.apps.recipes.selectors import run_page, trained
from accsite.apps.recipes.services import recipes
from accsite.apps.registry.models import Plugin, PluginKind, PluginSource
from accsite.apps.studies.models import Study
from accsite.apps.studies.selectors import state_of
from accsite.apps.studies.services import studies
from accsite.apps.training.models import Branch, Experiment
from accsite.apps.training.services import jobs
from accsite.apps.training.tests import rows
from accsite.errors import WrongState
from workers.job.interruption import Interrupted
from workers.kinds.recipe import program
from workers.recipes import verbs
from workers.recipes.rehearsal import rehearse
from workers.tests.test_recipes_replay import Attempt, make

pytestmark = pytest.mark.one_database

SEEDS = 3
ASKS = """
class Asks(Recipe):
    def run(self, ctx):
        ctx.phase("arms")
        data = ctx.load_dataset("handwritten-digits")
        main = ctx.create_model("asks", architecture="FactorSlotAutoencoder", latent_dim=16)
        ctx.attach_task(main, "ReconstructionTask", data)
        heavy = ctx.fork(main, "heavy")
        ctx.set_weight(heavy, "Reconstruction", 3)
        ctx.phase("study")
        found = ctx.study(
            "Question",
            {"plain": main, "heavy": heavy, "slow": {"train": {"lr": 0.0001, "steps": 30}}},
            seeds=SEEDS,
            outcomes=["reconstruction/psnr"],
            claims="heavy > plain on reconstruction/psnr",
            steps=20,
        )
        ctx.phase("after")
        ctx.log(found.verdict("heavy > plain on reconstruction/psnr")["sentence"])
        return [found.study, found.verdicts, found.table, found.costs]
""".replace("SEEDS", str(SEEDS))


@pytest.fixture(autouse=True)
def _weights_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Checkpoints of these tests are rows without files; that files are verified has tests of its own."""
    monkeypatch.setattr("accsite.apps.training.services.experiments.require_intact", lambda *_: None)


@pytest.fixture(autouse=True)
def _site(transactional_db: None) -> None:
    """The plugins, the digits, and a worker."""
    rows.make_plugins()
    rows.make_dataset()
    rows.make_worker("cpu-0", queues=("train", "eval", "default", "recipe"))


class Working(Attempt):
    """Measures what was trained, too; ``before`` is called before each training ends, with how many have."""

    before: Callable[[int], object] | None = None

    def _finish_a_job(self) -> None:
        waiting = Job.objects.filter(kind="evaluate", state=JobState.QUEUED).order_by("pk").first()
        if waiting is not None and (claim := lifecycle.claim(waiting.pk, "cpu-0")) is not None:
            lifecycle.start(waiting.pk, claim.attempt)
            measure(waiting)
            lifecycle.finish(waiting.pk, claim.attempt)
            return
        if self.before is not None:
            self.before(self.finished)
        super()._finish_a_job()


def measure(job: Job) -> None:
    """Write what an evaluation found: arms of more weight are better."""
    checkpoint = job.checkpoint
    assert checkpoint is not None
    kept = Evaluation.objects.create(
        job=job, branch=checkpoint.branch, checkpoint=checkpoint, step=checkpoint.step
    )
    weight = checkpoint.branch.tasks.get().weight
    Metric.objects.create(
        evaluation=kept, task_key="reconstruction", name="psnr", value=20 + weight, sample="held out"
    )


def ended(run: RecipeRun, attempt: Attempt) -> None:
    lifecycle.finish(attempt.record.job_id, attempt.record.attempt)
    run.refresh_from_db()


def test_one_job_does_the_recipe_and_its_study_and_is_told_what_came_of_it():
    run = make(ASKS)
    attempt = Working(run)
    slug, verdicts, table, costs = attempt.play()
    study = Study.objects.get(slug=slug)
    assert study.run is not None
    assert study.run.within == run.steps.get(verb="study")
    assert Job.objects.filter(kind="recipe").count() == 1
    assert Job.objects.filter(kind="train").count() == 3 * SEEDS
    assert [row["arm"] for row in table] == ["plain", "heavy", "slow"]
    assert [row["mean"] for row in table] == pytest.approx([21, 23, 21])
    (verdict,) = verdicts
    assert (verdict["decision"], verdict["mean"], verdict["wins"]) == ("not decided yet", 2, SEEDS)
    assert verdict["sentence"] in run_page(run).lines[0].message
    assert [(cost["arm"], cost["n"]) for cost in costs] == [("plain", 3), ("heavy", 3), ("slow", 3)]
    assert state_of(study) == "done"
    assert trained(run)[0] == (20 + 20 + 30) * SEEDS
    assert run.steps.get(verb="study").experiment in Experiment.objects.filter(slug__startswith="question")


def edit(plugin: Plugin) -> None:
    text = "# another"
    source, _ = PluginSource.objects.get_or_create(
        sha256=text_sha256(text), defaults={"path": plugin.path, "text": text, "on_disk_at": timezone.now()}
    )
    Plugin.objects.filter(pk=plugin.pk).update(source=source)


def test_a_metric_that_is_a_plugin_is_asked_for_in_one_version_also_if_it_is_edited_meanwhile():
    odd = rows.make_plugin(PluginKind.METRIC, "Odd", requires={"metrics": {"good": True}})
    both = '["reconstruction/psnr", "Odd.good"]'
    attempt = Working(make(ASKS.replace('["reconstruction/psnr"]', both)))
    attempt.before = lambda done: edit(odd) if done == 1 else None
    attempt.play()
    asked = list(Job.objects.filter(kind="evaluate").order_by("pk").values_list("spec", flat=True))
    assert len(asked) == 3 * SEEDS
    assert {tuple(spec["suite"]) for spec in asked} == {("metrics", "Odd")}
    assert {spec["plugins"]["Odd"] for spec in asked} == {odd.source_id}
    assert Plugin.objects.get(pk=odd.pk).source_id != odd.source_id


def test_an_arm_that_is_a_difference_has_what_it_changes_and_the_rest_of_the_first():
    Working(make(ASKS)).play()
    plan = Study.objects.get().planned
    assert plan.arms[1].changes == {"tasks": {"reconstruction": {"weight": 3.0}}}
    assert plan.arms[2].changes == {"train": {"lr": 0.0001, "steps": 30}}
    assert plan.settings_of("slow")["tasks"] == plan.settings_of("plain")["tasks"]


@pytest.mark.parametrize("dies_after", [0, 1, 4, 8])
def test_a_recipe_that_dies_in_its_study_makes_it_once_and_does_no_seed_twice(dies_after):
    run = make(ASKS)
    first = Working(run, dies_after=dies_after)
    with pytest.raises(Interrupted):
        first.play()
    first.lose()
    second = Working(run)
    result = second.play()
    assert Study.objects.count() == 1
    assert RecipeRun.objects.count() == 2
    assert first.finished + second.finished == 3 * SEEDS
    assert Job.objects.filter(kind="train").count() == 3 * SEEDS
    assert Job.objects.filter(kind="evaluate").count() == 3 * SEEDS
    assert Branch.objects.count() == 2 + 3 * SEEDS
    ended(run, second)
    assert result[0] == Study.objects.get().slug


def test_a_study_that_was_done_answers_a_replay_and_is_not_looked_at_again():
    run = make(ASKS)
    first = Working(run)
    result = first.play()
    first.lose()
    study = studies.add_seeds(actor=None, study=Study.objects.get(), more=1)
    assert study.run is not None
    assert study.run.job is not None, "what is added later is done by a job of the study's own"
    again = Working(run)
    assert again.play() == result
    assert again.finished == 0


def test_what_is_added_while_it_is_at_work_is_done_before_the_recipe_is_told():
    run = make(ASKS)
    attempt = Working(run)
    attempt.before = lambda done: (
        studies.add_seeds(actor=None, study=Study.objects.get(), more=1)
        if done == 3 * SEEDS - 1 and len(Study.objects.get().planned.seeds) == SEEDS
        else None
    )
    result = attempt.play()
    assert [cost["n"] for cost in result[3]] == [SEEDS + 1] * 3
    assert Job.objects.filter(kind="recipe").count() == 1
    assert "The plan was changed after looking" in result[1][0]["sentence"]


def test_a_study_that_is_stopped_ends_the_recipe_with_a_sentence_and_goes_on_when_that_is_resumed():
    run = make(ASKS)
    attempt = Working(run)
    attempt.before = lambda done: (
        studies.stop_study(actor=None, study=Study.objects.get())
        if done == 2 and not Study.objects.get().held
        else None
    )
    with pytest.raises(RecipeError, match=r"study\(\): .*'question' was stopped before its end; resume this"):
        attempt.play()
    assert attempt.finished < 3 * SEEDS
    lifecycle.fail(attempt.record.job_id, attempt.record.attempt, "it was stopped")
    assert state_of(Study.objects.get()) == "stopped"
    recipes.resume_recipe(actor=None, run=run)
    assert state_of(Study.objects.get()) == "waiting"
    second = Working(run)
    assert second.play()[3][0]["n"] == SEEDS
    assert attempt.finished + second.finished == 3 * SEEDS


def test_a_study_that_goes_on_by_itself_is_not_done_by_its_recipe_as_well():
    run = make(ASKS)
    attempt = Working(run)
    attempt.before = lambda done: (
        studies.stop_study(actor=None, study=Study.objects.get())
        if done == 2 and not Study.objects.get().held
        else None
    )
    with pytest.raises(RecipeError):
        attempt.play()
    with pytest.raises(WrongState, match="is at work"):
        recipes.resume_recipe(actor=None, run=RecipeRun.objects.get(study__isnull=False))
    lifecycle.fail(attempt.record.job_id, attempt.record.attempt, "it was stopped")
    study = studies.start_study(actor=None, study=Study.objects.get())
    assert study.run is not None
    assert study.run.job is not None
    recipes.resume_recipe(actor=None, run=run)
    with pytest.raises(RecipeError, match="is at work by itself; resume this once it has ended"):
        Working(run).play()


def test_starting_the_study_of_a_recipe_that_was_stopped_resumes_the_recipe():
    run = make(ASKS)
    first = Working(run, dies_after=2)
    with pytest.raises(Interrupted):
        first.play()
    first.lose()
    job = Job.objects.get(kind="recipe")
    jobs.request_control(actor=None, job=job, kind="stop")
    assert state_of(Study.objects.get()) == "stopped"
    assert not Job.objects.active().exists(), "its trainings were stopped with it"
    study = studies.start_study(actor=None, study=Study.objects.get())
    assert state_of(study) == "waiting"
    assert study.run is not None
    assert study.run.job is None
    second = Working(RecipeRun.objects.get(pk=run.pk))
    second.play()
    with pytest.raises(WrongState, match="nothing left to do"):
        studies.start_study(actor=None, study=Study.objects.get())
    assert Job.objects.filter(kind="train", state=JobState.SUCCEEDED).count() == 3 * SEEDS


def test_two_studies_at_once_are_done_by_one_job():
    run = make("""
        class Two(Recipe):
            def run(self, ctx):
                data = ctx.load_dataset("handwritten-digits")
                main = ctx.create_model("two", architecture="FactorSlotAutoencoder", latent_dim=16)
                ctx.attach_task(main, "ReconstructionTask", data)
                def asked(name):
                    return ctx.study(name, {"it": main}, seeds=2, outcomes=["reconstruction/psnr"], steps=5)
                return [each.study for each in ctx.parallel(lambda: asked("one"), lambda: asked("other"))]
    """)
    assert Working(run).play() == ["one", "other"]
    assert Job.objects.filter(kind="recipe").count() == 1
    assert [state_of(study) for study in Study.objects.all()] == ["done", "done"]


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ('{"a": main, "b": {"tarin": {}}}, seeds=2', r"arms.b.tarin: an arm changes model, tasks, train"),
        ('{"a": main, "b": {"train": {"lr": -1}}}, seeds=2', r"arms.b.train.lr: "),
        ('{"a": main, "b": {"train": {"seed": 1}}}, seeds=2', r"arms.b.seed: .*seeds says which there are"),
        ('{"a": main, "b": {"tasks": None}}, seeds=2', r"arms.b.tasks: None is refused"),
        (
            '{"a": main, "b": {"tasks": {"x": {"task_class": "No", "dataset": "handwritten-digits"}}}}, seeds=2',
            r"arms.b.task_class: 'No' cannot be used",
        ),
        ('{"a": {"train": {}}}, seeds=2', r"arms: the first arm is a branch"),
        ('{"a": main}, seeds=0', r"seeds: "),
        ('{"a": main}, seeds=2, lrr=1', r"arms.a.train.lrr: "),
        ('{"a": main}, seeds=2, seed=1', r"arms.a.train.seed: 1 is refused; seeds says which there are"),
        ('{"a": main}, seeds=2, claims=["a beats b"]', r"claims: .*is not a claim; write"),
    ],
    ids=[f"wrong-{number}" for number in range(10)],
)
def test_what_is_wrong_with_a_study_is_a_sentence_and_nothing_of_it_is_made(asked, sentence):
    run = make(f"""
        class Wrong(Recipe):
            def run(self, ctx):
                data = ctx.load_dataset("handwritten-digits")
                main = ctx.create_model("wrong", architecture="FactorSlotAutoencoder", latent_dim=16)
                ctx.attach_task(main, "ReconstructionTask", data)
                ctx.study("Wrong", {asked}, outcomes=["reconstruction/psnr"], steps=5)
    """)
    with pytest.raises(RecipeError, match=r"study\(\): " + sentence):
        Working(run).play()
    assert not Study.objects.exists()
    assert RecipeRun.objects.count() == 1


def test_a_rehearsal_counts_the_jobs_and_the_steps_of_the_study_and_makes_nothing():
    run = make(ASKS)
    attempt = Attempt(run)
    plan = rehearse(attempt.run, lambda rehearsal: program(attempt.made, rehearsal))
    assert plan["complete"]
    assert plan["steps"] == (20 + 20 + 30) * SEEDS
    assert plan["phases"][1] == {"name": "study", "verbs": 3 * 3 * SEEDS, "steps": 70 * SEEDS}
    assert not Study.objects.exists()
    RecipeRun.objects.filter(pk=run.pk).update(plan=plan)
    attempt.lose()
    Working(run).play()
    phase = next(each for each in run_page(RecipeRun.objects.get(pk=run.pk)).phases if each.name == "study")
    assert (phase.done, phase.verbs, phase.made) == (3 * 3 * SEEDS, 3 * 3 * SEEDS, phase.planned)


def test_a_study_whose_end_is_not_known_leaves_the_rehearsal_open():
    source = ASKS.replace("steps=20,", "steps=20, stop_when_decided=True,")
    attempt = Attempt(make(source))
    plan = rehearse(attempt.run, lambda rehearsal: program(attempt.made, rehearsal))
    assert not plan["complete"]
    assert plan["steps"] == 70 * SEEDS


def test_whoever_may_not_see_the_study_does_not_see_the_run_that_tells_of_it(django_user_model):
    owner, other = (django_user_model.objects.create_user(name) for name in ("owner", "other"))
    run = make(ASKS)
    RecipeRun.objects.filter(pk=run.pk).update(created_by=owner)
    Working(run).play()
    seen = RecipeRun.objects.visible_to(other).filter(pk=run.pk)
    assert seen.exists()
    made = RecipeStep.objects.get(run=run, verb="study").experiment
    assert made is not None
    Experiment.objects.filter(pk=made.pk).update(visibility="private", owner=owner)
    assert not seen.exists()


def test_a_run_is_as_private_as_the_study_that_it_is_at_work_on(monkeypatch):
    find = verbs.find_branch

    def in_private(ref, actor):
        Experiment.objects.filter(name="asks").update(visibility="private")
        return find(ref, actor)

    monkeypatch.setattr(verbs, "find_branch", in_private)
    seen = []
    working = Working(make(ASKS))
    working.before = lambda _: seen.append(RecipeStep.objects.get(verb="study").experiment)
    working.play()
    assert seen[0] is not None
    assert (seen[0].name, seen[0].visibility) == ("asks", "private")
