"""The program of a study: each arm and seed once, seed after seed, arms side by side, until nothing is left or open.

A job of its own does it, or the call of a recipe, on threads of the recipe's job: so a recipe never waits for a slot
that it holds itself. Each arm and seed has a place of its own in the program, its number, and its calls below it; so
what is added later changes no place before, and a replay finds what was done in whatever order it ended.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from acc.errors import AccError, InvalidInput
from acc.params import Param
from acc.recipes import Recipe, RecipeContext, StudyOutcome
from acc.specs import parse
from acc.studies import Study as Plan
from acc.studies import Verdict, judge, report
from acc.studies.plan import merge
from acc.text import in_words
from accsite.apps.jobs.errors import Fenced
from accsite.apps.recipes.models import RecipeRun, RecipeStep
from accsite.apps.recipes.services import recipe_steps
from accsite.apps.recipes.services.recipe_steps import Done, Submitted
from accsite.apps.studies import models
from accsite.apps.studies.models import StudyResult
from accsite.apps.studies.selectors import (
    costs_of,
    count_kinds,
    has_more,
    outcomes_by_kind,
    results_of,
)
from accsite.apps.studies.services import running, studies
from accsite.apps.training.models import Branch
from accsite.apps.training.services import jobs
from workers.job.durable import GivenUp, disconnect, insist
from workers.job.interruption import Interrupted
from workers.recipes import verbs
from workers.recipes.paths import Scope, current
from workers.recipes.record import Record

LOOK_SECONDS = 1.0
TOLD = ("claim", "decision", "sentence", "mean", "low", "high", "p_holm", "wins", "n", "failed", "more")
AT_ONCE = 64
"""The most arms and seeds under way together; their jobs wait in queues anyway."""


class StudyProgram(Recipe):
    """Does what is missing of a study."""

    max_verbs = 10_000_000
    max_hours = 24.0 * 365 * 10
    study = Param(0)

    def run(self, ctx: RecipeContext) -> Any:
        """Return how many arms and seeds succeeded and failed."""
        return walk(ctx._record, int(self.study))  # type: ignore[attr-defined]  # a study has no rehearsal


class Study(verbs.Verb):
    """Makes a study, and does it: a run of its own within the recipe's, by the recipe's job."""

    def act(self, step: RecipeStep) -> None:
        """Make the study, unless an earlier attempt has."""
        run = RecipeRun.objects.filter(within=step).first()
        made = models.Study.objects.filter(run=run).first() if run is not None else None
        if run is not None and made is None:
            raise InvalidInput(study="it was removed; begin another run")
        if made is None:
            asked = {name: value for name, value in self.args.items() if name != "arms"}
            arms = [
                (arm["name"], verbs.find_branch(arm["branch"], self.actor))
                if "branch" in arm
                else (arm["name"], arm["changes"])
                for arm in self.args["arms"]
            ]
            made = studies.repeat_arms(actor=self.actor, arms=arms, **asked)
        step.experiment = (
            made.experiment
        )  # of a private branch: the run is private from now on, as the study is
        studies.start_within(actor=self.actor, study=made, step=step)

    def go_on(self, record: Record, step: RecipeStep) -> None:
        """Do what is missing of it; raises InvalidInput if somebody has stopped it."""
        run = _insist(record, partial(RecipeRun.objects.select_related("study").get, within=step))
        inner = replace(record, run=run, filename="", path="", max_verbs=StudyProgram.max_verbs, verbs=0)
        while True:
            walk(inner, run.study.pk)
            end = partial(self._end, record, step)
            if _insist(record, partial(running.conclude, run.study.pk, end)):
                return

    def _end(self, record: Record, step: RecipeStep, study: models.Study) -> None:
        if study.held and has_more(study):
            raise InvalidInput(
                study=f"study {study.slug!r} was stopped before its end; resume this run, and it goes on"
            )
        outcome = StudyOutcome(
            study=study.slug,
            verdicts=tuple(_verdict(each) for each in judge(study.planned, results_of(study))),
            table=tuple(report.table(study.planned, results_of(study))),
            costs=tuple(costs_of(study)),
        )
        touched = study.results.exclude(branch=None).values_list("branch__experiment", flat=True).first()
        done = Done(outcome.as_dict(), message=f"study {study.slug}", experiment=touched)
        recipe_steps.end(record.job_id, record.attempt, step, done)

    def foreseen(self) -> Foreseen:
        """Return how many verbs and train steps it will take, as far as that is known; raises InvalidInput."""
        plan = self._plan()
        arms = {
            arm["name"]: merge({"train": {"steps": self.args["steps"] or 0}}, arm.get("changes", {}))
            for arm in self.args["arms"]
        }
        steps = [int(arm["train"]["steps"]) for arm in arms.values()]
        seeds = len(plan.seeds)
        return Foreseen(
            verbs=(2 + count_kinds(plan)) * len(steps) * seeds,
            steps=sum(steps) * seeds,
            complete=all(steps) and not plan.stop_when_decided,
        )

    def rehearsed(self) -> dict[str, Any]:
        """Return an answer that nothing is behind: each number is 0, and nothing is decided."""
        plan = self._plan()
        table = [
            {name: 0.0 if value is None else value for name, value in row.items()}
            for row in report.table(plan, [])
        ]
        verdicts = [
            {name: 0.0 if value is None else value for name, value in _verdict(each).items()}
            for each in judge(plan, [])
        ]
        costs = [{"arm": arm.name, "n": 0, "seconds": 0.0, "images": 0.0} for arm in plan.arms]
        return {"study": "rehearsal", "verdicts": verdicts, "table": table, "costs": costs}

    def _plan(self) -> Plan:
        fields = {name: value for name, value in self.args.items() if name not in ("arms", "steps", "train")}
        plan: Plan = parse(Plan, {**fields, "arms": [{"name": arm["name"]} for arm in self.args["arms"]]})
        return plan


@dataclass(frozen=True)
class Foreseen:
    """What a study will take. complete: whether that is all known."""

    verbs: int
    steps: int
    complete: bool


def _verdict(verdict: Verdict) -> dict[str, Any]:
    """Return what a recipe is told of a claim."""
    return {name: getattr(verdict, name) for name in TOLD}


class Repeat(verbs.Verb):
    """Makes the branch of an arm and a seed."""

    def act(self, step: RecipeStep) -> Done:  # noqa: ARG002
        made = running.make_branch(
            actor=self.actor, study_id=self.args["study"], arm=self.args["arm"], seed=self.args["seed"]
        )
        return Done(verbs.branch_ref(made).as_dict(), experiment=made.experiment_id, branch=made.pk)


class TrainFromNothing(verbs.Train):
    """Trains a branch from its first weights, by the plugin sources that the study began with.

    One that was stopped begins anew: what comes of it does not depend on who stopped it when.
    """

    def act(self, step: RecipeStep) -> Submitted:
        branch = verbs.find_branch(self.args["branch"], self.actor)
        if step.tries > 1:
            Branch.objects.filter(pk=branch.pk).update(head=None)
            branch.refresh_from_db()
        job = jobs.submit_training(
            actor=self.actor,
            branch=branch,
            train={
                **self.args["train"],
                "device": running.device_of(branch, self.args["train"].get("device", "auto")),
            },
            plugins=self.args["plugins"],
            idempotency_key=self.key(step),
        )
        return Submitted(job)


def walk(record: Record, study_id: int) -> dict[str, int]:
    """Do what is missing of a study, and return how many arms and seeds succeeded and failed."""
    under_way: dict[Future[None], int] = {}
    measuring: set[int] = set()  # numbers of those that are trained, and so leave the workers to others
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="study") as pool:
        while True:
            record.ending.check()
            for row in _insist(record, partial(_next, study_id, set(under_way.values()), len(measuring))):
                trained = partial(measuring.add, row.number)
                under_way[pool.submit(_on_a_thread, record, row, trained)] = row.number
            if not under_way:
                break
            done, _ = wait(under_way, timeout=LOOK_SECONDS, return_when=FIRST_COMPLETED)
            for future in done:
                measuring.discard(under_way.pop(future))
                future.result()
    rows = StudyResult.objects.filter(study=study_id)
    return {
        "succeeded": rows.filter(state=StudyResult.State.SUCCEEDED).count(),
        "failed": rows.filter(state=StudyResult.State.FAILED).count(),
    }


def _next(study_id: int, busy: set[int], measuring: int) -> list[StudyResult]:
    most = min(AT_ONCE, running.at_once(study_id, AT_ONCE) + measuring)
    return running.next_places(study_id, busy, most)


def _on_a_thread(record: Record, row: StudyResult, trained: Callable[[], None]) -> None:
    try:
        _one(record, row, trained)
    finally:
        disconnect()


def _one(record: Record, row: StudyResult, trained: Callable[[], None]) -> None:
    """Do an arm and a seed, and keep what came of it, or why nothing did; calls ``trained`` in between."""
    outer = Scope(seed=row.seed, phase=f"seed {row.seed}", calls=row.number - 1)
    token = current.set(outer)
    try:
        _insist(record, partial(running.begin, row))
        step = record.open(outer, "seed", {"arm": row.arm, "seed": row.seed})
        try:
            checkpoint, made = _train_and_measure(record, outer.inner(step.path, 1), row, trained)
            _insist(record, partial(running.keep, row, checkpoint_id=checkpoint, jobs=made))
        except (Interrupted, Fenced, GivenUp):
            raise
        except AccError as error:  # it failed, is counted, and the others go on
            _insist(record, partial(running.keep_failure, row, in_words(error)))
        record.close(step)
    finally:
        current.reset(token)


def _train_and_measure(
    record: Record, scope: Scope, row: StudyResult, trained: Callable[[], None]
) -> tuple[int, list[int]]:
    """Return the checkpoint of an arm and a seed, and the jobs that trained and measured it."""
    plan = _insist(record, partial(models.Study.objects.get, pk=row.study_id)).planned
    settings = plan.settings_of(row.arm)
    ask = partial(_ask, record, scope)
    branch = ask(verbs_of=Repeat, verb="repeat", study=row.study_id, arm=row.arm, seed=row.seed)["id"]
    training = ask(
        verbs_of=TrainFromNothing,
        verb="train",
        branch=branch,
        train={**settings["train"], "seed": row.seed},
        plugins=settings["plugins"],
    )
    trained()
    checkpoint = training["checkpoint"]["id"]
    made = [training["job"]]
    for alike in outcomes_by_kind(plan):
        options = {**alike[0].options, **({"dataset": alike[0].dataset} if alike[0].dataset else {})}
        metrics = dict.fromkeys(name for each in alike if (name := each.of_metric[0]))
        plugins = {name: sha for name, sha in settings.get("metrics", {}).items() if name in metrics}
        of_whole = any(
            not each.of_metric[0] and each.measured_as.partition("/")[0] not in settings["tasks"]
            for each in alike
        )
        measured = ask(
            verbs_of=verbs.Evaluate,
            verb="evaluate",
            checkpoint=checkpoint,
            suite=["metrics", *(["ufr"] if of_whole else []), *metrics],
            options=options,
            **({"plugins": plugins} if plugins else {}),
        )
        made.append(measured["job"])
    return checkpoint, made


def _ask(
    record: Record, scope: Scope, *, verbs_of: type[verbs.Verb], verb: str, **args: Any
) -> Mapping[str, Any]:
    return record.do(scope, verbs_of(record.run, verb, args))


def _insist(record: Record, write: Any) -> Any:
    return insist(write, given_up=record.given_up)
