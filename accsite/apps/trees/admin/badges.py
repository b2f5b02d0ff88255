"""Which tone of the theme each state has."""

from __future__ import annotations

from accsite.apps.training.models import CheckpointKind, Visibility

CHECKPOINT_KINDS = dict.fromkeys(CheckpointKind.values, "info")
VISIBILITIES = {Visibility.SITE.value: "info", Visibility.PRIVATE.value: "warning"}
