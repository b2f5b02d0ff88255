"""The kind of jobs that run recipes."""

from __future__ import annotations

from typing import Any

from django.db.models import Q

from accsite.apps.jobs.kinds import Kind
from accsite.apps.jobs.models import Job, JobKind
from accsite.apps.jobs.states import JobState
from accsite.apps.recipes.models import RecipeRun, RecipeStep
from accsite.apps.recipes.services import recipes


class Recipe(Kind):
    """Runs a recipe, which submits jobs of other kinds and waits for them."""

    name = JobKind.RECIPE
    queue = "recipe"
    body = "workers.kinds.recipe.recipe"

    def got_on(self, job: Job) -> bool:
        """Return whether a call has ended since the newest attempt began.

        A run of days is not to fail of three machines that went down on the way.
        """
        claims = job.events.filter(kind="state", payload__state=JobState.CLAIMED).order_by("-pk")
        begun = claims.values_list("created_at", flat=True).first()
        done = Q(run__job=job) | Q(run__within__run__job=job)
        return begun is not None and RecipeStep.objects.filter(done, finished_at__gt=begun).exists()

    def ended(self, job: Job) -> None:
        recipes.settle(job)

    def retry(self, *, actor: Any, job: Job) -> Job:
        """Go on where the run was."""
        run = RecipeRun.objects.filter(job=job).first()
        if run is None:
            return super().retry(actor=actor, job=job)
        made = recipes.resume_recipe(actor=actor, run=run).job
        assert made is not None
        return made


ALL = (Recipe(),)
