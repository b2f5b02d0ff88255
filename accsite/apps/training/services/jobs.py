"""Jobs as users ask for them: submit, steer, stop, cancel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from acc import combinations
from acc.errors import InvalidInput
from acc.messages import CommandKind
from acc.specs import EvalSpec, TrainJobSpec, TrainSpec, held_out_as, parse
from accsite.apps.jobs import kinds
from accsite.apps.jobs.models import Job, JobEvent, JobKind
from accsite.apps.jobs.services import control
from accsite.apps.jobs.services.idempotency import enqueue_once, submitted_before
from accsite.apps.jobs.services.placement import check_device, check_memory
from accsite.apps.jobs.services.unit import touch, unit_of_work
from accsite.apps.jobs.states import TERMINAL
from accsite.apps.registry import approval
from accsite.apps.registry.models import Plugin, PluginKind
from accsite.apps.training.models import Branch, Checkpoint, Task
from accsite.apps.training.services import looked_at, measuring, resuming, steering, tasks
from accsite.apps.training.services.branches import refuse_while_expanding
from accsite.apps.training.services.code import require_code
from accsite.apps.training.services.locks import lock_branch
from accsite.apps.training.services.train_options import check_options
from accsite.apps.training.specs import dataset_spec, model_of, task_spec
from accsite.errors import WrongState

__all__ = [
    "CONTROLS",
    "request_control",
    "resume",
    "submit_evaluation",
    "submit_training",
]

CONTROLS = ("pause", "resume", "stop", "set_lr", "set_clip", "set_weight", "set_enabled", "remove_task")


@unit_of_work()
def submit_training(
    *,
    actor: Any,
    branch: Branch,
    train: Mapping[str, Any],
    plugins: Mapping[str, str] | None = None,
    idempotency_key: str | None = None,
) -> Job:
    """Return a new train job of a branch, its whole specification frozen.

    ``train``: ``acc.specs.TrainSpec`` as plain data; what it leaves out is as the experiment's method says, if it
    began with one. ``plugins``: class name -> sha256 of a source that is used instead of the newest. A request that is
    sent twice with one ``idempotency_key`` makes one job. Raises InvalidInput naming each wrong field (``tasks`` when
    none is on).
    """
    known = submitted_before(actor, idempotency_key)
    if known is not None:
        return known
    errors: dict[str, list[str]] = {}
    spec = None
    try:
        check_device(train.get("device", "auto"), queue=kinds.queue_of(JobKind.TRAIN))
    except InvalidInput as error:
        errors.update(error.fields)
    try:
        spec = parse(TrainSpec, {**branch.experiment.method.get("train", {}), **train})
        check_memory(spec.device_memory_gib, queue=kinds.queue_of(JobKind.TRAIN))
    except InvalidInput as error:
        errors = {**error.fields, **errors}
    lock_branch(
        branch.pk
    )  # a task that changes meanwhile is frozen as it is, or its change is told to the job
    branch.refresh_from_db(fields=["head"])  # a load or an expansion may have moved it
    refuse_while_expanding(branch)
    attached = list(branch.tasks.filter(removed_at=None).select_related("dataset"))
    if not any(task.enabled for task in attached):
        right = "switch one on" if attached else "attach one first"
        errors["tasks"] = [f"branch {branch} has no task that is switched on; {right}"]
    if spec is not None:
        try:
            check_options(
                spec, [task.key for task in attached if task.enabled], queue=kinds.queue_of(JobKind.TRAIN)
            )
        except InvalidInput as error:
            errors = {**error.fields, **errors}
    if errors or spec is None:
        raise InvalidInput(errors)
    if branch.head is not None:
        require_code([branch.head], "branch")
    frozen = _held_out(branch, _freeze(branch, attached, spec, plugins or {}))
    approval.require(frozen.plugins.values(), field="tasks")
    touch(f"checkpoints:{branch.experiment_id}")  # whose tree shows where a branch grows
    return enqueue_once(
        actor,
        idempotency_key,
        JobKind.TRAIN,
        title=f"Train {branch} for {spec.steps:,} steps",
        branch=branch,
        start_checkpoint=branch.head,
        spec=frozen.model_dump(mode="json"),
        total_steps=spec.steps,
    )


@unit_of_work()
def submit_evaluation(
    *,
    actor: Any,
    checkpoint: Checkpoint,
    eval: Mapping[str, Any] | None = None,
    plugins: Mapping[str, str] | None = None,
    idempotency_key: str | None = None,
) -> Job:
    """Return a new job that measures a checkpoint; ``eval``: ``acc.specs.EvalSpec`` as plain data.

    plugins: metric class -> sha256 of a source that is used instead of the newest.
    """
    known = submitted_before(actor, idempotency_key)
    if known is not None:
        return known
    data = dict(eval or {})
    check_device(data.get("device", "auto"), queue=kinds.queue_of(JobKind.EVALUATE))
    spec = measuring.frozen(parse(EvalSpec, data), plugins)
    looked_at.require_dataset(checkpoint, spec.dataset)
    require_code([checkpoint], "checkpoint")
    return measuring.queue_evaluation(checkpoint, spec=spec, actor=actor, idempotency_key=idempotency_key)


def request_control(*, actor: Any, job: Job, kind: str, payload: Mapping[str, Any] | None = None) -> JobEvent:
    """Return the event by which a job is asked to pause, resume, stop or change; its row gets the answer.

    Weights and switches are changed on the branch's task too, so that what is shown, what runs now and what
    runs next agree. Raises InvalidInput for a kind or payload that is none, WrongState when the job is not in
    a state for it. Stopping a job that nobody has begun cancels it.
    """
    data = dict(payload or {})
    if kind not in CONTROLS:
        raise InvalidInput(
            {"kind": f"{kind!r} is not something a job can be asked; choose one of: {', '.join(CONTROLS)}"}
        )
    if kind == "stop":
        return control.stop(actor=actor, job=job)
    if kind in {"pause", "resume"}:
        return control.pause_or_resume(actor=actor, job=job, kind=cast(CommandKind, kind))
    if kind == "set_lr":
        return steering.set_lr(actor=actor, job=job, payload=data)
    if kind == "set_clip":
        return steering.set_clip(actor=actor, job=job, payload=data)
    return _steer_task(actor, job, kind, data)


def resume(*, actor: Any, job: Job) -> Job:
    """Return the job, asked to go on: one that is paused as it is, one that has ended from its newest checkpoint.

    Raises WrongState for any other.
    """
    if job.state in TERMINAL:
        return resuming.resume(actor=actor, job=job)
    control.pause_or_resume(actor=actor, job=job, kind="resume")
    job.refresh_from_db()
    return job


def _freeze(branch: Branch, attached: list[Task], train: TrainSpec, kept: Mapping[str, str]) -> TrainJobSpec:
    model = model_of(branch)
    classes = {task.task_class for task in attached}
    rows = Plugin.objects.filter(kind=PluginKind.TASK, name__in=classes) | Plugin.objects.filter(
        kind=PluginKind.MODEL, name=model.architecture
    )
    plugins = {name: kept.get(name, newest) for name, newest in rows.values_list("name", "source_id")}
    datasets = {task.dataset.slug: dataset_spec(task.dataset) for task in attached}
    specs = tuple(task_spec(task, plugins.get(task.task_class, "")) for task in attached)
    return TrainJobSpec(model=model, tasks=specs, datasets=datasets, train=train, plugins=plugins)


def _held_out(branch: Branch, job: TrainJobSpec) -> TrainJobSpec:
    """Return the job holding out what its experiment does: as the checkpoint it starts from, or the first there is.

    What a loop of one's own held out is not known. Raises InvalidInput (split, combinations) for a job that says
    otherwise, or factors that no dataset has.
    """
    trained = Checkpoint.objects.filter(experiment=branch.experiment_id).exclude(job__kind=JobKind.TRACK)
    head = trained.filter(pk=branch.head_id).first() if branch.head_id else None
    first = head or trained.order_by("pk").first()
    if first is not None:
        job = held_out_as(job, TrainJobSpec.model_validate(first.spec))
    targets = [[target.name for target in data.targets] for data in job.datasets.values()]
    combinations.require(job.train.combinations, targets)
    return job


def _steer_task(actor: Any, job: Job, kind: str, data: dict[str, Any]) -> JobEvent:
    if job.kind != JobKind.TRAIN or job.branch is None:
        raise WrongState({"kind": f"{kind!r} is for train jobs; job {job.pk} is of kind {job.kind!r}"})
    if not job.is_active:
        raise WrongState({"kind": f"{kind!r} came too late: job {job.pk} is {job.get_state_display()}"})
    task = job.branch.tasks.filter(key=str(data.get("task", "")), removed_at=None).first()
    if task is None:
        known = ", ".join(job.branch.tasks.filter(removed_at=None).values_list("key", flat=True)) or "none"
        raise InvalidInput(
            {"task": f"{data.get('task')!r} is not the key of a task of {job.branch}; known: {known}"}
        )
    if kind == "set_weight":
        if "weight" not in data:
            raise InvalidInput({"weight": "a weight is needed: 0 or more"})
        tasks.set_weight(actor=actor, task=task, weight=data["weight"])
    elif kind == "set_enabled":
        if not isinstance(data.get("enabled"), bool):
            raise InvalidInput({"enabled": f"{data.get('enabled')!r} is neither true nor false"})
        tasks.set_enabled(actor=actor, task=task, enabled=data["enabled"])
    else:
        tasks.remove_task(actor=actor, task=task)
    return job.events.filter(kind=kind).latest("id")
