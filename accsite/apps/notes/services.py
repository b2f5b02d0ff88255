"""Writes notes. Whoever has read an older version is told so, and nothing that was written is lost."""

from __future__ import annotations

from typing import Any

from django.db import transaction

from acc.errors import InvalidInput
from acc.text import clean
from accsite.apps.audit import trail
from accsite.apps.live.services import bump
from accsite.apps.notes.models import Note
from accsite.apps.notes.selectors import Noted, experiment_of, key_of
from accsite.errors import WrongState

MAX_CHARS = 20_000
MOST_VERSIONS = 2**31 - 1
_SHOWN_CHARS = 80
"""Of a refused value."""


def checked_text(text: Any) -> str:
    """Return a text as it can be kept; raises InvalidInput for one that is none or too long."""
    if not isinstance(text, str):
        raise InvalidInput({"text": f"{_short(text)} is not text"})
    written: str = text.replace("\r\n", "\n")
    if len(written) > MAX_CHARS or "\0" in written:
        raise InvalidInput({"text": f"it has {len(written):,} characters; at most {MAX_CHARS:,}, and no NUL"})
    return written


def _checked_version(version: Any) -> int | None:
    known = version is None or (isinstance(version, int) and not isinstance(version, bool))
    if not known or not 0 <= (version or 0) <= MOST_VERSIONS:
        raise InvalidInput(
            {
                "version": f"{_short(version)} is no version; give the one that was read, a whole number, or none"
            }
        )
    return None if version is None else int(version)


def _short(value: Any) -> str:
    return clean(repr(value), _SHOWN_CHARS)


@transaction.atomic
def write_note(*, actor: Any, about: Noted, text: Any, version: Any = None) -> Note:
    """Return the note of a thing with another text; ``version``: the one that the writer has read.

    Raises InvalidInput for a text that is none or too long and for what is no version, WrongState where another has
    written since. Without a version the text takes the place of whatever is there.
    """
    text, version = checked_text(text), _checked_version(version)
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
