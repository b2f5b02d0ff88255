"""Notes by REST."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import OpenApiResponse, extend_schema
from pydantic import BaseModel, Field
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accsite.actions import NOT_ALLOWED, ActionType, perform
from accsite.api.common import REFUSALS
from accsite.api.lookup import body
from accsite.apps.notes.actions.write_note_of_branch import WriteNoteOfBranch
from accsite.apps.notes.actions.write_note_of_experiment import WriteNoteOfExperiment
from accsite.apps.notes.markdown import rendered
from accsite.apps.notes.models import Note
from accsite.apps.notes.selectors import Noted, note_of
from accsite.apps.notes.services import MAX_CHARS
from accsite.apps.training.models import Branch, Experiment
from accsite.problems import Problem


class NoteState(BaseModel):
    """A note; one that nobody has written is empty, of version 0. ``html``: as it is shown to whoever asks."""

    text: str
    version: int
    updated_at: datetime | None
    updated_by: str | None
    html: str


class NoteRequest(BaseModel):
    """What a note is to say."""

    text: str = Field(max_length=MAX_CHARS)
    version: int | None = Field(
        default=None, description="the one that was read; without it the text replaces whatever is there"
    )


class NoteView(APIView):
    """The note of one thing."""

    kind: ActionType

    def rows(self, user: Any) -> QuerySet[Any]:
        """Return the things that a user may see."""
        raise NotImplementedError

    def _about(self, request: Request, named: dict[str, Any]) -> Noted:
        found: Noted = get_object_or_404(self.rows(request.user), **named)
        return found

    def read(self, request: Request, **named: Any) -> Response:
        """Return the note."""
        return Response(state(note_of(self._about(request, named)), request.user))

    def write(self, request: Request, **named: Any) -> Response:
        """Write the note."""
        about = self._about(request, named)
        perform(self.kind, actor=request.user, thing=about, data=body(request, "text", "version"))
        return Response(state(note_of(about), request.user))


def _described(what: str) -> Any:
    """Return a decorator that tells the schema of a view of notes."""
    refused = {**REFUSALS, 403: OpenApiResponse(Problem, NOT_ALLOWED)}

    def describe(view: type[NoteView]) -> type[NoteView]:
        read = extend_schema(operation_id=f"{what}_note", responses=NoteState)
        write = extend_schema(
            operation_id=f"{what}_note_write", request=NoteRequest, responses={200: NoteState, **refused}
        )

        def get(self: NoteView, request: Request, **named: Any) -> Response:
            return self.read(request, **named)

        def put(self: NoteView, request: Request, **named: Any) -> Response:
            return self.write(request, **named)

        get.__doc__ = f"Return the note of {'an' if what[0] in 'aeiou' else 'a'} {what}."
        put.__doc__ = f"Write the note of {'an' if what[0] in 'aeiou' else 'a'} {what}."
        view.get, view.put = read(get), write(put)  # type: ignore[attr-defined]
        return view

    return describe


@_described("experiment")
class ExperimentNote(NoteView):
    """The note of an experiment."""

    kind = WriteNoteOfExperiment

    def rows(self, user: Any) -> QuerySet[Any]:
        return Experiment.objects.visible_to(user)


@_described("branch")
class BranchNote(NoteView):
    """The note of a branch."""

    kind = WriteNoteOfBranch

    def rows(self, user: Any) -> QuerySet[Any]:
        return Branch.objects.filter(experiment__in=Experiment.objects.visible_to(user)).select_related(
            "experiment"
        )


def state(note: Note, user: Any) -> dict[str, Any]:
    """Return a note as JSON."""
    return {
        "text": note.text,
        "version": note.version,
        "updated_at": note.updated_at if note.version else None,
        "updated_by": note.updated_by.get_username() if note.updated_by else None,
        "html": str(rendered(note.text, user)),
    }
