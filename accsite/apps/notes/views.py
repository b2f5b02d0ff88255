"""The page that shows and writes a note."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from acc.errors import InvalidInput
from accsite.actions import ActionType, perform, things_of
from accsite.apps.access.permissions import may_change
from accsite.apps.audit.trail import no_deed
from accsite.apps.notes import pages, services
from accsite.apps.notes.actions.write_note_of_branch import WriteNoteOfBranch
from accsite.apps.notes.actions.write_note_of_experiment import WriteNoteOfExperiment
from accsite.apps.notes.selectors import Noted
from accsite.ids import row_id
from accsite.pages import REFUSED, actor, is_partial, visible_row


@require_http_methods(["GET", "POST"])
def of_experiment(request: HttpRequest, slug: str) -> HttpResponse:
    """Show the note of an experiment, and write it."""
    return _note(request, WriteNoteOfExperiment, f"experiment {slug}", slug=slug)


@require_http_methods(["GET", "POST"])
def of_branch(request: HttpRequest, pk: int) -> HttpResponse:
    """Show the note of a branch, and write it."""
    return _note(request, WriteNoteOfBranch, f"branch {pk}", pk=pk)


def _note(request: HttpRequest, kind: ActionType, called: str, **named: Any) -> HttpResponse:
    about: Noted = visible_row(things_of(kind.on).seen_by(request.user), called, **named)
    if request.method == "GET" and is_partial(request):
        return render(request, "notes/panels/note.html", pages.note_context(request, about))
    if request.method == "GET":
        return render(request, "notes/note.html", pages.form_context(request, about))
    text = request.POST.get("text", "")
    try:
        if "preview" in request.POST and may_change(request.user, about):
            no_deed()
            context = pages.form_context(request, about, services.checked_text(text))
            template = "notes/panels/preview.html" if is_partial(request) else "notes/note.html"
            return render(request, template, context)
        version = row_id(request.POST.get("version", "")) or 0
        perform(kind, actor=actor(request), thing=about, data={"text": text, "version": version})
    except InvalidInput as error:
        return _refused(request, about, text, error)
    return redirect(pages.page_of(about))


def _refused(request: HttpRequest, about: Noted, text: str, error: InvalidInput) -> HttpResponse:
    """Say why a note was not kept, with what was typed; a text that is none or too long is not made HTML."""
    wrong = " ".join(error.fields.get("text", []))
    context = pages.form_context(request, about, None if wrong else text)
    # What somebody else has written stands beside it; sent again, this one takes its place.
    newer = context["note"].text if "version" in error.fields else None
    others = "" if list(error.fields) == ["text"] else str(error)
    refused = {**context, "text": text, "text_error": wrong, "refused": others, "newer": newer}
    template = "notes/panels/preview.html" if is_partial(request) else "notes/note.html"
    return render(request, template, refused, status=REFUSED)
