"""Which tone of the theme each state has."""

from __future__ import annotations

from accsite.apps.training.models import CheckpointKind, RecipeStep, Visibility

STEP_STATES = {
    RecipeStep.State.RUNNING.value: "primary",
    RecipeStep.State.SUCCEEDED.value: "success",
    RecipeStep.State.FAILED.value: "danger",
    RecipeStep.State.CANCELLED.value: "warning",
}
CHECKPOINT_KINDS = dict.fromkeys(CheckpointKind.values, "info")
VISIBILITIES = {Visibility.SITE.value: "info", Visibility.PRIVATE.value: "warning"}
