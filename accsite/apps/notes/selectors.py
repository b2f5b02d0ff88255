"""Reads notes."""

from __future__ import annotations

from typing import Any

from accsite.apps.notes.models import Note
from accsite.apps.training.models import Branch, Experiment

Noted = Experiment | Branch
"""What a note can be written to."""


def note_of(about: Noted) -> Note:
    """Return the note of a thing; one that nobody has written yet is empty, of version 0, and in no database."""
    key = key_of(about)
    return Note.objects.filter(**key).select_related("updated_by").first() or Note(**key)


def key_of(about: Noted) -> dict[str, Any]:
    """Return by which field a note names what it was written to."""
    return {"experiment" if isinstance(about, Experiment) else "branch": about}


def experiment_of(about: Noted) -> Experiment:
    return about if isinstance(about, Experiment) else about.experiment
