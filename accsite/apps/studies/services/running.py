"""What the program of a study writes: which arm and seed is next, where it is trained, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from django.utils import timezone

from acc.errors import InvalidInput
from acc.hashes import text_sha256
from acc.specs import ModelSpec, TaskSpec
from acc.studies import Measured
from acc.studies import Study as Plan
from acc.version import __version__
from accsite.apps.datasets import selectors as datasets
from accsite.apps.evaluation.models import Evaluation, Metric
from accsite.apps.jobs.kinds import queue_of
from accsite.apps.jobs.models import Job, JobKind, Worker
from accsite.apps.jobs.services.unit import touch, unit_of_work
from accsite.apps.jobs.states import JobState
from accsite.apps.recipes.models import RecipeRun
from accsite.apps.recipes.services import recipes
from accsite.apps.studies.models import Study, StudyResult
from accsite.apps.studies.selectors import (
    COSTS,
    canonical,
    has_more,
    in_order,
    is_settled,
    outcomes_by_kind,
)
from accsite.apps.studies.services import drawing
from accsite.apps.training.models import AutoEvaluate, Branch, Checkpoint, Experiment, ExperimentShare
from accsite.apps.training.services import experiments
from accsite.apps.training.specs import task_of

S = StudyResult.State
HELD_OUT_BY = ("split", "val_fraction", "combinations")
"""Train options that say which rows an experiment holds out: arms that differ in them are in different ones."""


def next_places(study_id: int, busy: Collection[int], at_once: int) -> list[StudyResult]:
    """Return which arms and seeds are to be begun now; ``busy``: the numbers of those under way.

    Those that an earlier attempt has begun come first, and are finished whatever else is asked.
    """
    study = Study.objects.get(pk=study_id)
    rows = study.results.exclude(number__in=busy)
    begun = list(rows.filter(state=S.RUNNING))
    room = at_once - len(busy) - len(begun)
    if study.held or room <= 0 or is_settled(study):
        return begun
    if study.is_sweep:  # drawn as its trials end, and done as they were drawn
        drawing.draw(study)
        return begun + list(rows.filter(state=S.WAITING).order_by("number")[:room])
    return begun + in_order(study.planned, rows.filter(state=S.WAITING))[:room]


def at_once(study_id: int, most: int) -> int:
    """Return how many arms and seeds are under way together: one for each worker that trains, and one that waits."""
    study = Study.objects.get(pk=study_id)
    arms = len(study.sweep["seeds"]) if study.sweep is not None else len(study.planned.arms)
    return min(most, max(arms, len(Worker.objects.serving("train")) + 1))


@unit_of_work()
def begin(row: StudyResult) -> None:
    """Note that an arm and a seed are under way."""
    StudyResult.objects.filter(pk=row.pk).update(state=S.RUNNING)
    touch("studies", f"study:{row.study_id}")


@unit_of_work()
def make_branch(*, actor: Any, study_id: int, arm: str, seed: int) -> Branch:
    """Return a new branch with the tasks of an arm, in the experiment of its seed.

    Arms of a seed share the experiment, and so first weights and held-out rows, where their models agree. Raises
    InvalidInput for data that is not what the study began with.
    """
    study = Study.objects.select_for_update().get(pk=study_id)
    plan = study.planned
    settings = plan.settings_of(arm)
    for slug, content in settings["datasets"].items():
        if datasets.get(slug).content_hash != content:
            raise InvalidInput(dataset=f"{slug!r} is not the data that the study began with")
    row = study.results.get(arm=arm, seed=seed)
    branch = _branch(actor, study, plan, row)
    for position, (key, told) in enumerate(settings["tasks"].items()):
        # As they are planned: what their classes have become since then is asked nothing.
        spec = TaskSpec.model_validate({"name": key, **told, "key": key})
        task_of(branch, spec, datasets.get(spec.dataset), position).save()
    StudyResult.objects.filter(pk=row.pk).update(branch=branch)
    touch(f"study:{study.pk}", f"tasks:{branch.pk}")
    return branch


def device_of(branch: Branch, asked: str) -> str:
    """Return the device that the training of an arm and a seed asks for; within the transaction that submits it.

    Arms of a seed are to be trained on one kind of device: the one on which the first of them is, or was. ``asked``
    where that says which, where there is no choice yet, and where no worker has that kind any more, as results tell.
    """
    row = StudyResult.objects.get(branch=branch)
    Study.objects.select_for_update().get(pk=row.study_id)  # two arms of a seed choose one after the other
    if asked != "auto":
        return asked
    queue = queue_of(JobKind.TRAIN)
    offered = {kind_of(worker.device) for worker in Worker.objects.serving(queue)}
    beside = StudyResult.objects.filter(study=row.study_id, seed=row.seed).exclude(pk=row.pk)
    partners = Job.objects.filter(kind=JobKind.TRAIN, branch__in=beside.values("branch")).order_by("-pk")
    chosen = [kind_of(job.spec["train"]["device"]) or kind_of(job.device) for job in partners]
    kind = next(filter(None, chosen), "")
    if not kind and len(offered) > 1:
        idle = {kind_of(worker.device) for worker in Worker.objects.idle() if queue in worker.queues}
        kind = "cpu" if idle == {"cpu"} else "cuda"
    return kind if kind == "cpu" or kind in offered else asked


def kind_of(device: str) -> str:
    """Return the kind of one or more devices, such as cuda of ``cuda:0, cuda:1``; empty: it is not said."""
    return "" if device == "auto" else device.partition(":")[0]


def _branch(actor: Any, study: Study, plan: Plan, row: StudyResult) -> Branch:
    own = _experiment_key(plan, row.arm)
    beside = study.results.filter(seed=row.seed).exclude(branch=None).select_related("branch__experiment")
    shared = next((each.branch for each in beside if _experiment_key(plan, each.arm) == own), None)
    if shared is not None:
        branch = experiments.create_branch(
            actor=actor, experiment=shared.experiment, name=row.arm, tasks=experiments.NO_TASKS
        )
    else:
        name = f"{study.name}, seed {row.seed}"[:80]
        model = ModelSpec.model_validate({**plan.settings_of(row.arm)["model"], "seed": row.seed})
        made = experiments.new_experiment(
            actor,
            name,
            number=True,
            model_spec=model.model_dump(mode="json"),
            visibility=study.visibility,
        )
        _share(study, made)
        branch = experiments.create_branch(
            actor=actor, experiment=made, name=row.arm, tasks=experiments.NO_TASKS
        )
    branch.auto_evaluate = AutoEvaluate.OFF  # the study says what is measured
    branch.save(update_fields=["auto_evaluate"])
    return branch


def _share(study: Study, made: Experiment) -> None:
    """Let those look at an experiment who see the study by another that is private."""
    if study.experiment is None:
        return
    users = [*study.experiment.shares.values_list("user", flat=True), study.experiment.owner_id]
    others = dict.fromkeys(pk for pk in users if pk is not None and pk != made.owner_id)
    ExperimentShare.objects.bulk_create(ExperimentShare(experiment=made, user_id=pk) for pk in others)


def _experiment_key(plan: Plan, arm: str) -> str:
    settings = plan.settings_of(arm)
    return canonical([settings["model"], [settings["train"].get(name) for name in HELD_OUT_BY]])


@unit_of_work()
def keep(row: StudyResult, *, checkpoint_id: int, jobs: Sequence[int]) -> None:
    """Keep what was measured of an arm and a seed; jobs: that trained it, and those that measured it."""
    study = Study.objects.select_for_update().get(pk=row.study_id)
    plan = study.planned
    checkpoint = Checkpoint.everything.select_related("job").get(pk=checkpoint_id)
    training, *measuring = (Job.objects.get(pk=pk) for pk in jobs)
    evaluations = {
        each.job_id: each for each in Evaluation.objects.filter(job__in=[job.pk for job in measuring])
    }
    settings = plan.settings_of(row.arm)
    train, used = (
        settings["train"],
        {task["dataset"] for task in settings["tasks"].values() if task["enabled"]},
    )
    seconds = float(training.result.get("seconds", 0.0)) + sum(each.seconds for each in evaluations.values())
    images = train["steps"] * train["batch_size"] * train["accumulate"] * len(used)
    costs = {"seconds": seconds, "steps": float(train["steps"]), "images": float(images)}
    values = {
        outcome.name: Measured(value=costs[outcome.measured_as])
        for outcome in plan.outcomes
        if outcome.measured_as in COSTS
    }
    for alike, job in zip(outcomes_by_kind(plan), measuring, strict=True):
        known = _by_name(evaluations[job.pk]) if job.pk in evaluations else {}
        for outcome in alike:
            shown = ", ".join(sorted(known)) or "nothing"
            missing = Measured(reason=f"{outcome.measured_as!r} was not measured; measured: {shown}"[:1_000])
            values[outcome.name] = known.get(outcome.measured_as, missing)
    StudyResult.objects.filter(pk=row.pk).update(
        state=S.SUCCEEDED,
        values={name: value.model_dump(mode="json") for name, value in values.items()},
        branch=checkpoint.branch_id,
        job=training,
        checkpoint=checkpoint,
        seconds=seconds,
        images=images,
        settings=text_sha256(canonical(settings)),
        facts={
            "device": kind_of(str(training.result.get("device", ""))),
            "precision": str(training.result.get("precision", "")),
            "acc": __version__,
        },
        message="",
        finished_at=timezone.now(),
    )
    touch("studies", f"study:{study.pk}")


@unit_of_work()
def keep_failure(row: StudyResult, message: str) -> None:
    """Keep why an arm and a seed have no result."""
    StudyResult.objects.filter(pk=row.pk).update(
        state=S.FAILED, values={}, message=message, settings="", finished_at=timezone.now()
    )
    touch("studies", f"study:{row.study_id}")


@unit_of_work()
def conclude(study_id: int, end: Callable[[Study], object]) -> bool:
    """Call ``end`` with the study if there is nothing more to do in it; return whether there was not.

    Nobody can add a seed in between.
    """
    study = Study.objects.select_for_update(of=("self",)).get(pk=study_id)
    if not study.held and has_more(study):
        return False
    end(study)
    return True


def release(run: RecipeRun) -> None:
    """Let a study that was stopped go on, since the recipe that it is a part of does; within a transaction."""
    Study.objects.filter(run=run).update(held=False)


def settle(run: RecipeRun) -> None:
    """Tell pages that the run of a study has ended; go on if seeds came at that moment; within a transaction."""
    study = Study.objects.select_related("run__job").filter(run=run).first()
    if study is None:
        return
    touch("studies", f"study:{study.pk}")
    done = run.job is not None and run.job.state == JobState.SUCCEEDED
    waits = has_more(study) if study.is_sweep else study.results.filter(state=S.WAITING).exists()
    if done and not study.held and waits and not is_settled(study):
        recipes.resume_recipe(actor=run.created_by, run=run, has_more=True)


def _by_name(evaluation: Evaluation) -> Mapping[str, Measured]:
    """Return the numbers of an evaluation by what they are called; of one task alone also without its key.

    Of a concept in one group alone also without the group.
    """
    found: dict[str, Measured] = {}
    rows: list[Metric] = list(evaluation.metrics.all())
    names = [metric.name for metric in rows if metric.task_key]
    concepts = [(metric.name, metric.concept) for metric in rows if metric.concept]
    for metric in rows:
        value = Measured(
            value=metric.value, reason=metric.reason, sample=metric.sample, low=metric.low, high=metric.high
        )
        found[metric.called] = value
        if metric.task_key and names.count(metric.name) == 1:
            found.setdefault(metric.name, value)
        if metric.concept and concepts.count((metric.name, metric.concept)) == 1:
            found.setdefault(f"{metric.name}/{metric.concept}", value)
    return found
