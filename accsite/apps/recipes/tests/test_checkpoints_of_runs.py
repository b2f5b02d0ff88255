"""What a run of a recipe has made is not lost while it goes on."""

from __future__ import annotations

import pytest

from accsite.apps.jobs.models import Job, JobKind
from accsite.apps.jobs.states import JobState
from accsite.apps.recipes.models import RecipeRun, RecipeStep
from accsite.apps.registry.models import PluginKind
from accsite.apps.training.models import Branch
from accsite.apps.training.tests import rows
from accsite.apps.trees.services import deletion
from accsite.errors import WrongState

pytestmark = [pytest.mark.django_db, pytest.mark.both_databases]


def test_what_a_run_of_a_recipe_has_made_is_kept_until_the_run_ends(branch: Branch) -> None:
    checkpoint = rows.make_checkpoint(branch)
    plugin = rows.make_plugin(PluginKind.RECIPE, "Study")
    job = rows.make_job(kind=JobKind.RECIPE, state=JobState.RUNNING)
    run = RecipeRun.objects.create(recipe="Study", label="Study", source=plugin.source, job=job)
    RecipeStep.objects.create(run=run, path="1", verb="train", state="SUCCEEDED", checkpoint=checkpoint)
    with pytest.raises(WrongState, match=f"is used by the run {run.pk} of Study, which has not ended"):
        deletion.delete_checkpoint(actor=None, checkpoint=checkpoint)
    Job.objects.filter(pk=job.pk).update(state=JobState.FAILED)
    assert deletion.delete_checkpoint(actor=None, checkpoint=checkpoint).checkpoints == (checkpoint.pk,)
