"""A recipe does each thing once, however often its program is run to get there."""

from __future__ import annotations

import textwrap
import threading
import uuid
from typing import Any

import pytest
from django.utils import timezone

from acc.recipes import RecipeError
from accsite.apps.jobs.errors import Fenced
from accsite.apps.jobs.models import Job
from accsite.apps.jobs.services import lifecycle
from accsite.apps.jobs.states import JobState
from accsite.apps.recipes.models import RecipeRun, RecipeStep
from accsite.apps.recipes.selectors import run_page
from accsite.apps.recipes.services import recipes
from accsite.apps.registry.models import PluginKind, PluginSource
from accsite.apps.training.models import Branch, Experiment, Task
from accsite.apps.training.tests import rows
from workers.job.interruption import Interrupted
from workers.kinds.recipe import failure, load, program
from workers.recipes.record import Record

pytestmark = pytest.mark.one_database

HEAD = "from acc.api import Recipe, Param\n"
TWO_PHASES = """
class Probe(Recipe):
    steps = Param(10, min=1)

    def run(self, ctx):
        ctx.phase("root")
        data = ctx.load_dataset("handwritten-digits")
        main = ctx.create_model("probe", architecture="FactorSlotAutoencoder", latent_dim=16)
        ctx.attach_task(main, "ReconstructionTask", data)
        first = ctx.train(main, self.steps)
        root = ctx.save_checkpoint(main, "root")
        ctx.phase("arms")
        def arm(name, weight):
            branch = ctx.fork(root, name)
            ctx.set_weight(branch, "Reconstruction", weight)
            return ctx.train(branch, self.steps).checkpoint.sha256
        hashes = ctx.parallel(lambda: arm("low", 0.5), lambda: arm("high", 2.0))
        ctx.log(f"loss {first.losses['Reconstruction']}")
        return [{"arm": name, "sha256": each} for name, each in zip(("low", "high"), hashes)]
"""


@pytest.fixture(autouse=True)
def _weights_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Checkpoints of these tests are rows without files; that files are verified has tests of its own."""
    monkeypatch.setattr("accsite.apps.training.services.experiments.require_intact", lambda *_: None)


@pytest.fixture
def site(transactional_db: None) -> None:
    """The plugins, the digits, and a worker."""
    rows.make_plugins()
    rows.make_dataset()
    rows.make_worker("cpu-0", queues=("train", "eval", "default", "recipe"))


def make(source: str, **params: Any) -> RecipeRun:
    """Return a run of the recipe in ``source``, submitted as pages do it."""
    from acc.plugins import load_source

    text = HEAD + textwrap.dedent(source)
    cls = load_source(text, "recipes/probe.py")[0]
    kept = PluginSource.objects.get_or_create(
        sha256=cls.sha256,
        defaults={"path": "recipes/probe.py", "text": text, "on_disk_at": timezone.now()},
    )[0]
    rows.make_plugin(PluginKind.RECIPE, cls.name, label="Probe", source=kept, params=cls.params)
    return recipes.submit_recipe(actor=None, recipe=cls.name, params=params)


class Attempt:
    """One worker's attempt at a run, in this process: train jobs end as soon as somebody waits for them.

    ``dies_after``: how many of them are finished before the worker dies where it waits.
    """

    def __init__(self, run: RecipeRun, *, dies_after: int | None = None, ends: str = "finish") -> None:
        self.run = RecipeRun.objects.select_related("source", "job").get(pk=run.pk)
        assert self.run.job is not None
        claim = lifecycle.claim(self.run.job.pk, "cpu-0")
        assert claim is not None
        assert lifecycle.start(claim.job.pk, claim.attempt)
        self.dies_after, self.ends, self.finished = dies_after, ends, 0
        self.lock = threading.Lock()
        made = load(self.run)
        source = self.run.source
        assert source is not None
        self.record = Record(
            self.run,
            claim.job.pk,
            claim.attempt,
            filename=f"<plugin {source.path} {source.sha256[:12]}>",
            path=source.path,
            max_verbs=type(made).max_verbs,
            pause=self.finish_a_job,
        )
        self.made = made

    def play(self) -> Any:
        """Run the program to its end, or to the worker's death."""
        return program(self.made, self.record)

    def finish_a_job(self) -> None:
        """Do what a train worker does, one job after the other; called by whichever thread waits."""
        with self.lock:
            self._finish_a_job()

    def _finish_a_job(self) -> None:
        if self.dies_after is not None and self.finished >= self.dies_after:
            raise Interrupted("drain")
        job = Job.objects.filter(kind="train", state=JobState.QUEUED).order_by("pk").first()
        if job is None:
            return
        claim = lifecycle.claim(job.pk, "cpu-0")
        if claim is None:
            return
        lifecycle.start(job.pk, claim.attempt)
        if self.ends == "fail":
            lifecycle.fail(job.pk, claim.attempt, "the loss is not a finite number")
            return
        Job.objects.filter(pk=job.pk).update(step=job.total_steps)
        assert claim.job.branch is not None
        rows.make_checkpoint(
            claim.job.branch,
            job,
            step=job.total_steps,
            job_step=job.total_steps,
            sha256=uuid.uuid4().hex * 2,
            spec=job.spec,
            losses={"raw/reconstruction": 0.25},
        )
        lifecycle.finish(job.pk, claim.attempt)
        self.finished += 1

    def lose(self) -> None:
        """Take the job from the worker, as the reaper does."""
        assert lifecycle.lose(self.record.job_id, self.record.attempt, "its worker fell silent")


def test_a_whole_run_builds_the_tree_and_returns_its_table(site):
    run = make(TWO_PHASES, steps=20)
    result = Attempt(run).play()
    assert [row["arm"] for row in result] == ["low", "high"]
    assert {str(branch) for branch in Branch.objects.all()} == {"probe/main", "probe/low", "probe/high"}
    assert dict(Task.objects.values_list("branch__slug", "weight")) == {"main": 1.0, "low": 0.5, "high": 2.0}
    forked = Branch.objects.filter(slug="low").values_list("forked_from__tag", "forked_from__step")
    assert forked.get() == ("root", 20)


@pytest.mark.parametrize("dies_after", [0, 1, 2])
def test_a_run_whose_worker_dies_repeats_nothing_that_was_done(site, dies_after):
    run = make(TWO_PHASES)
    first = Attempt(run, dies_after=dies_after)
    with pytest.raises(Interrupted):
        first.play()
    before = {step.path: (step.pk, step.result) for step in run.steps.filter(state="SUCCEEDED")}
    jobs_before = list(Job.objects.filter(kind="train").values_list("pk", flat=True))
    first.lose()

    second = Attempt(run)
    result = second.play()
    assert second.record.attempt == first.record.attempt + 1
    assert second.finished == 3 - dies_after
    after = {step.path: (step.pk, step.result) for step in run.steps.all()}
    assert {path: after[path] for path in before} == before
    assert set(jobs_before) <= set(Job.objects.filter(kind="train").values_list("pk", flat=True))
    assert Job.objects.filter(kind="train").count() == 3
    assert Experiment.objects.count() == 1
    assert Branch.objects.count() == 3
    assert len({row["sha256"] for row in result}) == 2


def test_an_attempt_that_lost_its_job_writes_nothing_more(site):
    run = make(TWO_PHASES)
    late = Attempt(run, dies_after=0)
    with pytest.raises(Interrupted):
        late.play()
    late.lose()
    Attempt(run, dies_after=1)
    steps, branches = RecipeStep.objects.count(), Branch.objects.count()
    late.dies_after = None
    with pytest.raises(Fenced):
        late.play()
    assert (RecipeStep.objects.count(), Branch.objects.count()) == (steps, branches)


def test_a_recipe_that_calls_otherwise_the_second_time_is_told_where(site):
    run = make("""
        CALLS = []

        class Fickle(Recipe):
            def run(self, ctx):
                CALLS.append(1)
                main = ctx.create_model(f"name {len(CALLS)}", architecture="FactorSlotAutoencoder", latent_dim=16)
                ctx.attach_task(main, "ReconstructionTask", ctx.load_dataset("handwritten-digits"))
                ctx.train(main, 10)
    """)
    first = Attempt(run, dies_after=0)
    with pytest.raises(Interrupted):
        first.play()
    first.lose()
    second = Attempt(run)
    second.made = first.made  # the same module, whose list has grown
    with pytest.raises(RecipeError) as told:
        second.play()
    sentence, detail = failure(second.record, told.value)
    assert "recipes/probe.py, line 8 (main = ctx.create_model(" in sentence
    assert "name 1" in sentence
    assert "name 2" in sentence
    assert "ctx.rng" in sentence
    assert "in run" in detail


def test_a_failed_train_job_fails_the_verb_with_its_number_and_reason(site):
    run = make(TWO_PHASES)
    attempt = Attempt(run, ends="fail")
    with pytest.raises(
        RecipeError, match=r"train\(\): job \d+ failed at step 0 of 10: the loss is not a finite"
    ):
        attempt.play()
    assert run.steps.values_list("state", "job__state").get(verb="train") == ("FAILED", "FAILED")


def test_resuming_after_a_failure_tries_only_that_step_again(site):
    run = make(TWO_PHASES)
    failed = Attempt(run, ends="fail")
    with pytest.raises(RecipeError) as told:
        failed.play()
    lifecycle.fail(failed.record.job_id, failed.record.attempt, str(told.value))
    recipes.resume_recipe(actor=None, run=run)
    resumed = Attempt(run)
    resumed.play()
    assert resumed.finished == 3
    assert run.steps.get(verb="train", path="5").tries == 2
    assert Experiment.objects.count() == 1


def test_a_recipe_may_answer_a_failure_itself_and_goes_on_the_same_way_when_replayed(site):
    run = make("""
        class Careful(Recipe):
            def run(self, ctx):
                try:
                    ctx.load_dataset("nowhere")
                except Exception as error:
                    ctx.log(str(error))
                main = ctx.create_model("careful", architecture="FactorSlotAutoencoder", latent_dim=16)
                ctx.attach_task(main, "ReconstructionTask", ctx.load_dataset("handwritten-digits"))
                return ctx.train(main, 5).step
    """)
    first = Attempt(run, dies_after=0)
    with pytest.raises(Interrupted):
        first.play()
    first.lose()
    assert Attempt(run).play() == 5
    page = run_page(run)
    assert "'nowhere' is not a dataset of this site; known: handwritten-digits" in page.lines[0].message


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ("ctx.fork(None, 'x')", "None is not a checkpoint; give what save_checkpoint, train"),
        ("ctx.load_checkpoint(99)", r"load_checkpoint\(\): checkpoint: '99' is neither the id nor the tag"),
        ("ctx.train(3, 10)", "3 is not a branch; give what create_model or fork returned"),
        ("ctx.create_dataset('Nothing')", "'Nothing' cannot be used"),
        ("ctx.parallel(3)", "parallel\\(\\) takes functions to call"),
        ("return {1, 2}", "the recipe returned what is not JSON"),
    ],
)
def test_what_does_not_exist_is_a_sentence_and_nothing_is_half_made(site, body, sentence):
    attempt = Attempt(make(f"class Bad(Recipe):\n    def run(self, ctx):\n        {body}\n"))
    with pytest.raises(RecipeError, match=sentence):
        attempt.play()
    assert Branch.objects.count() == 0


def test_a_recipe_that_calls_for_ever_is_ended_by_its_number_of_verbs(site):
    run = make("""
        class Endless(Recipe):
            max_verbs = 30

            def run(self, ctx):
                while True:
                    ctx.log("again")
    """)
    with pytest.raises(RecipeError, match="more than 30 calls and was ended; does it loop for ever"):
        Attempt(run).play()
    assert run.steps.count() == 30


def test_a_verb_on_a_thread_of_the_recipe_s_own_is_refused(site):
    run = make("""
        import threading

        class Threads(Recipe):
            def run(self, ctx):
                told = []
                def work():
                    try:
                        ctx.log("from a thread")
                    except Exception as error:
                        told.append(str(error))
                thread = threading.Thread(target=work)
                thread.start()
                thread.join()
                return told
    """)
    assert "use ctx.parallel" in Attempt(run).play()[0]
    assert run.steps.count() == 0


def test_a_sweep_returns_its_results_in_the_order_of_the_grid_and_chance_depends_on_the_place(site):
    source = """
        class Sweep(Recipe):
            def run(self, ctx):
                def draw(a, b):
                    return [a, b, float(ctx.rng.random())]
                return [ctx.sweep(draw, {"a": [1, 2], "b": ["x", "y"]}), float(ctx.rng.random())]
    """
    grid, own = Attempt(make(source)).play()
    assert [point[:2] for point in grid] == [[1, "x"], [1, "y"], [2, "x"], [2, "y"]]
    assert len({point[2] for point in grid} | {own}) == 5
    assert Attempt(make(source)).play() == [grid, own]


def test_a_run_keeps_the_source_that_it_began_with(site):
    run = make("class Kept(Recipe):\n    def run(self, ctx):\n        ctx.log('old')\n        return 'old'\n")
    make("class Kept(Recipe):\n    def run(self, ctx):\n        ctx.log('new')\n        return 'new'\n")
    assert Attempt(run).play() == "old"


def test_stopping_a_run_that_waits_in_its_queue_stops_the_jobs_it_had_submitted(site):
    from accsite.apps.training.services import jobs

    run = make(TWO_PHASES)
    first = Attempt(run, dies_after=0)
    with pytest.raises(Interrupted):
        first.play()
    first.lose()
    job = Job.objects.get(kind="recipe")
    jobs.request_control(actor=None, job=job, kind="stop")
    states = Job.objects.values_list("kind", "state")
    assert dict(states) == {"recipe": JobState.CANCELLED, "train": JobState.CANCELLED}
    assert run.steps.get(verb="train").state == "CANCELLED"
    recipes.resume_recipe(actor=None, run=run)
    Attempt(run).play()
    assert Job.objects.filter(kind="train", state=JobState.SUCCEEDED).count() == 3
