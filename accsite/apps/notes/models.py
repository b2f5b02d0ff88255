"""What people write to an experiment or a branch; a checkpoint has its note in its own row."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q

from accsite.apps.training.models import Branch, Experiment


class Note(models.Model):
    """The note of one thing, in Markdown; ``version`` counts how often it was written."""

    experiment = models.OneToOneField(
        Experiment, null=True, on_delete=models.CASCADE, related_name="written_note"
    )
    branch = models.OneToOneField(Branch, null=True, on_delete=models.CASCADE, related_name="written_note")
    text = models.TextField(blank=True)
    version = models.PositiveIntegerField(default=0)
    updated_at = models.DateTimeField(auto_now=True)
    updated_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(experiment=None) ^ Q(branch=None), name="a_note_is_of_one_thing"
            )
        ]

    def __str__(self) -> str:
        return f"note of {self.about}"

    @property
    def about(self) -> Any:
        """What it was written to."""
        return self.experiment if self.branch is None else self.branch
