"""News by REST: what happened and what waits, and up to where they were read."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.utils.dateparse import parse_datetime
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from pydantic import BaseModel, Field
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from acc.errors import InvalidInput
from accsite.api.common import query
from accsite.api.lookup import body, only, whole_number
from accsite.apps.news import selectors, services
from accsite.problems import Problem

MOST_SHOWN = 200
REFUSED = {422: OpenApiResponse(Problem, "The input was refused; `errors` names each field.")}


class NewsCounts(BaseModel):
    """How many of one's own news are unread and how many of them failed, counted up to 100; and of all jobs at work."""

    unread: int
    failed: int
    running: int
    waiting: int


class NewsItem(BaseModel):
    """One thing that happened; ``state``: of the job that it is about, ``log``: where its log is read."""

    at: datetime
    state: str
    word: str
    title: str
    sentence: str
    url: str
    log: str
    unread: bool


class WaitingJob(BaseModel):
    """A job that waits, and why."""

    job: int
    title: str
    why: str


class NewsAnswer(NewsCounts):
    """What happened, newest first, and what waits. ``event``, ``read_at``: to be sent back once this was read."""

    event: int
    read_at: datetime
    news: list[NewsItem]
    waiting_jobs: list[WaitingJob]


class ReadRequest(BaseModel):
    """Up to where the news were read, as their list says; of what is left out, up to now."""

    event: int | None = Field(default=None, ge=0)
    read_at: datetime | None = None


class NewsView(APIView):
    """What happened and what waits."""

    permission_classes = [IsAuthenticated]

    @extend_schema(
        operation_id="news",
        parameters=[
            query("of", "`all`: of everybody whose work one may see, not of one's own alone.", enum=["all"]),
            query("limit", f"How many, at most {MOST_SHOWN}.", OpenApiTypes.INT),
        ],
        responses={200: NewsAnswer, **REFUSED},
    )
    def get(self, request: Request) -> Response:
        """List what happened, newest first, with how much of it is unread, and what waits."""
        only(request.query_params, "of", "limit")
        of = request.query_params.get("of", "")
        if of not in {"", "all"}:
            raise InvalidInput({"of": f"{of[:80]!r} is not whose news there are; send all, or leave it out"})
        limit = min(whole_number(request, "limit", least=1) or selectors.SHOWN, MOST_SHOWN)
        place = selectors.newest()  # first: what comes while the list is read is not said to be read
        news = selectors.news(request.user, everyones=of == "all", limit=limit)
        return Response(
            {
                **_counts(request.user),
                "event": place.event,
                "read_at": place.at,
                "news": [
                    {
                        "at": each.at,
                        "state": each.mark,
                        "word": each.word,
                        "title": each.title,
                        "sentence": each.sentence,
                        "url": each.url,
                        "log": each.log,
                        "unread": each.unread,
                    }
                    for each in news
                ],
                "waiting_jobs": [
                    {"job": each.job.pk, "title": each.job.title, "why": each.why}
                    for each in selectors.waiting(request.user)
                ],
            }
        )


class ReadNewsView(APIView):
    """Up to where the news were read."""

    permission_classes = [IsAuthenticated]

    @extend_schema(operation_id="news_read", request=ReadRequest, responses={200: NewsCounts, **REFUSED})
    def post(self, request: Request) -> Response:
        """Note up to where one has read the news; never back."""
        asked = body(request, "event", "read_at")
        now = selectors.newest()
        event, at = asked.get("event"), now.at
        event = now.event if event is None else event
        if isinstance(event, bool) or not isinstance(event, int) or event < 0:
            raise InvalidInput(
                {"event": f"{event!r} is not the id of an event; send what the list of news says"}
            )
        if asked.get("read_at") is not None:
            at = _time(asked["read_at"])
        services.see(request.user, event=min(event, now.event), at=min(at, now.at))
        return Response(_counts(request.user))


def _time(text: Any) -> datetime:
    try:
        at = parse_datetime(text) if isinstance(text, str) else None
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        right = "send a time with its zone, such as 2026-11-30T12:00:00Z"
        raise InvalidInput({"read_at": f"{str(text)[:80]!r} is not a time; {right}"})
    return at


def _counts(user: Any) -> dict[str, int]:
    counts = selectors.counts(user)
    return {name: getattr(counts, name) for name in NewsCounts.model_fields}
