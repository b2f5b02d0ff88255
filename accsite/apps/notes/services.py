"""Writes notes. Whoever has read an older version is told so, and nothing that was written is lost."""

from __future__ import annotations

from typing import Any

from django.db import transaction

from acc.errors import InvalidInput
from accsite.apps.audit import trail
from accsite.apps.live.services import bump
from accsite.apps.notes.models import Note
from accsite.apps.notes.selectors import Noted, experiment_of, key_of
from accsite.errors import WrongState

MAX_CHARS = 20_000


@transaction.atomic
def write_note(*, actor: Any, about: Noted, text: Any, version: Any = None) -> Note:
    """Return the note of a thing with another text; ``version``: the one that the writer has read.

    Raises InvalidInput for a text that is none or too long, WrongState where another has written since. Without a
    version the text takes the place of whatever is there.
    """
    if not isinstance(text, str):
        raise InvalidInput({"text": f"{text!r} is not text"})
    text = text.replace("\r\n", "\n")
    if len(text) > MAX_CHARS or "\0" in text:
        raise InvalidInput({"text": f"it has {len(text):,} characters; at most {MAX_CHARS:,}, and no NUL"})
    note, _ = Note.objects.get_or_create(**key_of(about))
    note = Note.objects.select_for_update().select_related(None).get(pk=note.pk)
    if version is not None and version != note.version:
        raise WrongState(
            {
                "version": f"you have read version {version}, and {note.updated_by or 'somebody'} has written "
                f"version {note.version} since; yours is not kept yet"
            }
        )
    if text != note.text:
        note.text, note.version, note.updated_by = text, note.version + 1, actor
        note.save()
        experiment = experiment_of(about)
        trail.note(f"experiment:{experiment.pk}", note_version=note.version)
        bump(f"notes:{experiment.pk}")
    return note
