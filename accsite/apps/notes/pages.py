"""What the panel of a note and the page that writes one show."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.urls import reverse

from accsite.actions import things_of
from accsite.apps.access.permissions import may_change
from accsite.apps.live import selectors as live
from accsite.apps.notes import panels, selectors
from accsite.apps.notes.markdown import rendered
from accsite.apps.notes.selectors import Noted
from accsite.apps.notes.services import MAX_CHARS
from accsite.apps.training.models import Branch, Experiment


def address_of(about: Noted) -> str:
    """Return the address of the page that shows and writes a note."""
    if isinstance(about, Experiment):
        return reverse("notes:experiment-note", args=[about.slug])
    return reverse("notes:branch-note", args=[about.pk])


def page_of(about: Noted) -> str:
    """Return the address of the page of what a note was written to."""
    return things_of(type(about)).page(about)


def note_context(request: HttpRequest, about: Noted) -> dict[str, Any]:
    """Return what shows a note; the version of its topic is read before anything else."""
    topic = f"notes:{selectors.experiment_of(about).pk}"
    versions = live.versions([topic])
    note = selectors.note_of(about)
    return {
        "versions": versions,
        "note_topic": topic,
        "note": note,
        "about_note": about,
        "note_id": f"note-{about._meta.model_name}-{about.pk}",
        "note_url": address_of(about),
        "note_html": rendered(note.text, request.user),
        "note_writable": may_change(request.user, about),
        "request": request,
    }


def form_context(request: HttpRequest, about: Noted, text: str | None = None) -> dict[str, Any]:
    """Return what the page shows that writes a note; ``text``: as somebody has it, not kept yet."""
    known = note_context(request, about)
    return {
        **known,
        "place": "experiments",
        "text": known["note"].text if text is None else text,
        "preview": None if text is None else rendered(text, request.user),
        "most": MAX_CHARS,
        "examples": examples(about),
        "back": page_of(about),
        "note_api": address_of_api(about),
    }


def examples(about: Noted) -> list[tuple[str, str]]:
    """Return what can be written to show a panel, and what it shows, with what the note is about for an example."""
    rows = about.branches.all() if isinstance(about, Experiment) else Branch.objects.filter(pk=about.pk)
    rows = rows.select_related("experiment").order_by("pk")
    branch = rows.exclude(head=None).last() or rows.last()
    groups = branch.experiment.model_spec.get("factor_groups", ()) if branch else ()
    task = branch.tasks.select_related("dataset").first() if branch else None
    job = branch.jobs.order_by("-pk").first() if branch else None
    names = {
        "checkpoint": branch.head_id if branch and branch.head_id else 58,
        "group": groups[0]["name"] if groups else "digit",
        "branch": branch or "digits/main",
        "job": job.pk if job else 41,
        "dataset": task.dataset.slug if task else "handwritten-digits",
    }
    return [(written.format(**names), shows) for written, shows in panels.EXAMPLES]


def address_of_api(about: Noted) -> str:
    if isinstance(about, Experiment):
        return reverse("api:experiment-note", args=[about.slug])
    return reverse("api:branch-note", args=[about.pk])
