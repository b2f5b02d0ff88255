"""What pages may watch of training, and the state that is pinged to those who watch a job."""

from __future__ import annotations

from typing import Any

from accsite.apps.live import topics
from accsite.apps.training.models import Branch, Experiment, Job, RecipeRun
from accsite.apps.training.selectors import job_state
from accsite.apps.training.selectors.workers import worker_figures


def register() -> None:
    """Register the topics; called once when Django is ready."""
    topics.register("jobs")
    topics.register("workers", pulse=worker_figures)
    topics.register("experiments")
    topics.register("job", may_see=_sees_job, snapshot=_job)
    topics.register("log", may_see=_sees_job)
    topics.register("tasks", may_see=sees_branch)
    topics.register("checkpoints", may_see=_sees_experiment)
    topics.register("recipes")
    topics.register("recipe", may_see=_sees_run)


def sees_branch(user: Any, key: str) -> bool:
    """Return whether ``user`` may see the branch with this id."""
    experiments = Experiment.objects.visible_to(user)
    return key.isdecimal() and Branch.objects.filter(pk=int(key), experiment__in=experiments).exists()


def _sees_job(user: Any, key: str) -> bool:
    return key.isdecimal() and Job.objects.visible_to(user).filter(pk=int(key)).exists()


def _sees_experiment(user: Any, key: str) -> bool:
    return key.isdecimal() and Experiment.objects.visible_to(user).filter(pk=int(key)).exists()


def _sees_run(user: Any, key: str) -> bool:
    return key.isdecimal() and RecipeRun.objects.visible_to(user).filter(pk=int(key)).exists()


def _job(key: str) -> dict[str, Any] | None:
    job = Job.objects.select_related("branch__experiment", "worker").filter(pk=int(key)).first()
    return job_state(job) if job is not None else None
