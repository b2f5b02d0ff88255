"""The kinds of jobs of a branch, one class each: queue, body, what begins and ends, and what trying it again means."""

from __future__ import annotations

import math
from typing import Any

from django.db.models import Q, QuerySet

from acc.errors import InvalidInput
from acc.specs import EvalSpec
from acc.training.losses import series
from accsite.api.lookup import named, nested, only, prefixed
from accsite.apps.datasets.models import Dataset
from accsite.apps.jobs.kinds import Kind
from accsite.apps.jobs.models import Job, JobKind
from accsite.apps.jobs.services import outbox
from accsite.apps.jobs.services.unit import touch
from accsite.apps.jobs.states import ACTIVE, HELD, JobState
from accsite.apps.training.api.schema import EvaluateRequest, ImportRunsRequest, TrainRequest
from accsite.apps.training.models import AutoEvaluate, Branch, Checkpoint, CheckpointKind, Experiment
from accsite.apps.training.selectors.jobs import task_losses
from accsite.apps.training.selectors.loss import diverged, last_losses
from accsite.apps.training.services import jobs, points, stores
from accsite.apps.training.services.checkpoints import drop_autosaves
from accsite.apps.training.services.code import refused_code
from accsite.apps.training.services.locks import lock_branch
from accsite.apps.training.services.measuring import FULL_SUITE, evaluate_the_end, queue_evaluation


class Train(Kind):
    """Trains a branch from its head, which it moves; the jobs of a branch go one after the other."""

    name = JobKind.TRAIN
    queue = "train"
    body = "workers.kinds.train.train"
    recorded = True
    request = TrainRequest

    def submit(self, *, actor: Any, data: dict[str, Any], idempotency_key: str | None) -> Job:
        """Train a branch of an experiment that the user may change."""
        data = only(data, "branch", "train")
        rows = Branch.objects.filter(experiment__in=Experiment.objects.changeable_by(actor))
        branch = named(rows.select_related("experiment", "head"), "branch", data.get("branch"))
        train = nested(data, "train")
        try:
            return jobs.submit_training(
                actor=actor, branch=branch, train=train, idempotency_key=idempotency_key
            )
        except InvalidInput as error:
            raise prefixed(error, "train", but={"branch", "tasks", "idempotency_key"}) from None

    def begin(self, job: Job) -> dict[str, Any] | None:
        """Begin at the branch's head as it is now, once the job before it has ended."""
        if job.branch_id is None:
            return {}
        branch = lock_branch(job.branch_id)
        if self.before(job).exists():
            return None
        return {"start_checkpoint": branch.head} if job.attempt == 0 else {}

    def before(self, job: Job) -> QuerySet[Job]:
        """Return the trainings of the branch that are to end first: each goes on where the one before it ended."""
        if job.branch_id is None:
            return super().before(job)
        siblings = Job.objects.filter(branch=job.branch_id, kind=JobKind.TRAIN).exclude(pk=job.pk)
        return siblings.filter(Q(state__in=HELD) | Q(state__in=ACTIVE, pk__lt=job.pk))

    def held_back(self) -> set[int]:
        """Return all that wait but the oldest of each branch on which nothing is at work."""
        trainings = Job.objects.filter(kind=JobKind.TRAIN).exclude(branch=None)
        taken = set(trainings.filter(state__in=HELD).values_list("branch_id", flat=True))
        queued = trainings.filter(state=JobState.QUEUED).order_by("pk")
        held_back = set()
        for pk, branch_id in queued.values_list("pk", "branch_id"):
            if branch_id in taken:
                held_back.add(pk)
            taken.add(branch_id)
        return held_back

    def losses(self, job: Job) -> dict[str, float]:
        return task_losses(job)

    def lock(self, job: Job) -> None:
        """Lock the branch, whose head may move."""
        if job.branch_id is not None:
            lock_branch(job.branch_id)

    def outcome(self, job: Job) -> dict[str, Any]:
        """Return ``diverged`` for a training one of whose losses rose far above its best, and stayed there."""
        return {"diverged": True} if diverged(job) else {}

    def ended(self, job: Job) -> None:
        """Move the branch's head to what was reached, have that measured, and let the next job of the branch begin."""
        if job.branch is None:
            return
        points.compact(job.pk)
        kinds = {JobState.SUCCEEDED: CheckpointKind.FINAL, JobState.CANCELLED: CheckpointKind.STOPPED}
        kind = kinds.get(JobState(job.state))
        reached = (
            Checkpoint.objects.filter(job=job, kind=kind).order_by("-job_step", "-id").first()
            if kind
            else None
        )
        if reached is not None:
            Branch.objects.filter(pk=job.branch.pk).update(head=reached)
            drop_autosaves(job, keep=0)
            evaluate_the_end(reached, job.created_by)
        touch(f"checkpoints:{job.branch.experiment_id}")
        self._ring_next(job.branch)

    def retry(self, *, actor: Any, job: Job) -> Job:
        """Train the branch again, from its head."""
        if job.branch is None:
            return super().retry(actor=actor, job=job)
        return jobs.submit_training(actor=actor, branch=job.branch, train=job.spec["train"])

    def _ring_next(self, branch: Branch) -> None:
        """Ring for the oldest job that waited for another to leave its branch."""
        waiting = Job.objects.filter(branch=branch, kind=self.name, state=JobState.QUEUED)
        following = waiting.order_by("pk").first()
        if following is not None:
            outbox.queue_up(following)


class Evaluate(Kind):
    """Measures a checkpoint."""

    name = JobKind.EVALUATE
    queue = "eval"
    body = "workers.kinds.evaluate.evaluate"
    request = EvaluateRequest

    def submit(self, *, actor: Any, data: dict[str, Any], idempotency_key: str | None) -> Job:
        """Measure a checkpoint of an experiment that the user may change."""
        data = only(data, "checkpoint", "eval")
        rows = Checkpoint.objects.filter(experiment__in=Experiment.objects.changeable_by(actor))
        checkpoint = named(rows.select_related("branch__experiment"), "checkpoint", data.get("checkpoint"))
        try:
            return jobs.submit_evaluation(
                actor=actor,
                checkpoint=checkpoint,
                eval=nested(data, "eval"),
                idempotency_key=idempotency_key,
            )
        except InvalidInput as error:
            raise prefixed(error, "eval", but={"checkpoint", "idempotency_key"}) from None

    def retry(self, *, actor: Any, job: Job) -> Job:
        if job.checkpoint is None:
            return super().retry(actor=actor, job=job)
        asked = {name: job.spec[name] for name in EvalSpec.model_fields if name in job.spec}
        return jobs.submit_evaluation(actor=actor, checkpoint=job.checkpoint, eval=asked)


class Track(Kind):
    """A loop of one's own, which tells what it does: it has begun when it is made, and no worker does it."""

    name = JobKind.TRACK
    queue = ""
    body = ""

    def losses(self, job: Job) -> dict[str, float]:
        return task_losses(job)

    def lock(self, job: Job) -> None:
        if job.branch_id is not None:
            lock_branch(job.branch_id)

    def outcome(self, job: Job) -> dict[str, Any]:
        found = {series.task_key(name) or name: loss for name, loss in last_losses(job).items()}
        return {"losses": {key: loss for key, loss in found.items() if math.isfinite(loss)}}

    def ended(self, job: Job) -> None:
        """Move the branch's head to what was saved last, and have it measured where that is possible.

        A run that comes back after its branch was trained on leaves the head where it is by then.
        """
        if job.branch is None:
            return
        saved = Checkpoint.objects.filter(job=job).order_by("-job_step", "-id").first()
        head = job.branch.head
        if (
            saved is not None
            and (head is None or head.job_id == job.pk or head.pk < saved.pk)
            and saved != head
        ):
            Branch.objects.filter(pk=job.branch.pk).update(head=saved)
            if job.state == JobState.SUCCEEDED:
                self._measure(saved, job)
        touch(f"checkpoints:{job.branch.experiment_id}")

    def _measure(self, saved: Checkpoint, job: Job) -> None:
        """Measure what was saved on the dataset that the loop's configuration names, if it is one that fits."""
        slug = job.spec.get("config", {}).get("dataset")
        if not isinstance(slug, str) or "model" not in saved.spec:
            return
        image = saved.spec["model"]["image"]
        fits = Dataset.objects.filter(slug=slug[:80], **image).exists()
        if fits and not refused_code(saved) and saved.branch.auto_evaluate != AutoEvaluate.OFF:
            queue_evaluation(saved, spec=EvalSpec(suite=FULL_SUITE, dataset=slug), actor=job.created_by)

    def retry(self, *, actor: Any, job: Job) -> Job:  # noqa: ARG002
        raise self.cannot_retry(job, "its loop runs outside of ACC; start it again there")


class ImportRuns(Kind):
    """Takes over runs of other trackers that lie on the server, each as a job of the kind ``track``."""

    name = stores.KIND
    queue = "default"
    body = "workers.kinds.import_runs.import_runs"
    request = ImportRunsRequest

    def submit(self, *, actor: Any, data: dict[str, Any], idempotency_key: str | None) -> Job:
        """Take them over, or what they have beyond the last time."""
        asked = {"path": "", **only(data, "path", "experiment")}
        return stores.submit_import_runs(actor=actor, idempotency_key=idempotency_key, **asked)

    def retry(self, *, actor: Any, job: Job) -> Job:
        return stores.submit_import_runs(actor=actor, **job.spec)


ALL = (Train(), Evaluate(), Track(), ImportRuns())
