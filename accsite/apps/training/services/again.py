"""What operators do with jobs that went wrong: ask the same again, or take one from its worker."""

from __future__ import annotations

from typing import Any

from accsite.apps.training.models import Job, JobKind, RecipeRun
from accsite.apps.training.services import expansion, generation, jobs, lifecycle, recipes, replays
from accsite.apps.training.services.unit import unit_of_work
from accsite.apps.training.states import HELD, JobState
from accsite.errors import WrongState

AGAIN = frozenset({JobState.FAILED, JobState.CANCELLED})


@unit_of_work()
def retry(*, actor: Any, job: Job) -> Job:
    """Return a new job that was asked what a failed or stopped one was; a recipe goes on where it was.

    Raises WrongState for a job in another state or of a kind that cannot be repeated, InvalidInput when what it
    asks for is not possible any more.
    """
    if job.state not in AGAIN:
        raise WrongState(
            {
                "job": f"job {job.pk} is {job.get_state_display()}; only one that failed or was stopped is tried again"
            }
        )
    if job.kind == JobKind.TRAIN and job.branch is not None:
        return jobs.submit_training(actor=actor, branch=job.branch, train=job.spec["train"])
    if job.kind == JobKind.EVALUATE and job.checkpoint is not None:
        return jobs.submit_evaluation(actor=actor, checkpoint=job.checkpoint, eval=job.spec)
    if job.kind == JobKind.GENERATE:
        asked = {name: job.spec.get(name) for name in ("generator", "params", "n", "seed", "name")}
        return generation.submit_generation(actor=actor, **asked)
    if job.kind == JobKind.EXPAND and job.checkpoint is not None:
        grown, name = job.spec["expansion"], job.spec.get("branch_name")
        return expansion.submit_expansion(
            actor=actor, checkpoint=job.checkpoint, expansion=grown, branch_name=name
        )
    if job.kind == JobKind.REPLAY and job.checkpoint is not None:
        current = bool(job.spec.get("current_plugins"))
        return replays.submit_replay(actor=actor, checkpoint=job.checkpoint, current_plugins=current)
    run = RecipeRun.objects.filter(job=job).first() if job.kind == JobKind.RECIPE else None
    if run is not None:
        made = recipes.resume_recipe(actor=actor, run=run).job
        assert made is not None
        return made
    why = "its file is sent again instead" if job.kind == JobKind.IMPORT else "what it was about is gone"
    raise WrongState({"job": f"job {job.pk} cannot be tried again: {why}"})


def requeue(*, actor: Any, job: Job) -> Job:
    """Return the job, taken from its worker and put back into its queue; it goes on at its newest checkpoint.

    The worker finds that its attempt is over at its next write, and lets go. Raises WrongState for a job that no
    worker holds.
    """
    who = getattr(actor, "username", "") or "an operator"
    if job.state not in HELD or not lifecycle.hand_back(
        job.pk, job.attempt, f"put back into its queue by {who}"
    ):
        raise WrongState({"job": f"job {job.pk} is held by no worker, so there is nothing to take it from"})
    job.refresh_from_db()
    return job
