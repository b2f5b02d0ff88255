"""What the panel with a job's log shows: queries only."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from django.http import Http404, QueryDict
from django.urls import reverse

from acc.errors import InvalidInput
from accsite.apps.jobs.models import Job
from accsite.apps.jobs.selectors import logs

LINES_SHOWN = 200


@dataclass(frozen=True)
class LogPanel:
    """The log of a job as it is shown: one stream's last lines, or those that hold ``word``.

    streams: each with its value in the form and in words. note: what is not shown.
    """

    stream: logs.Stream | None = None
    streams: list[tuple[logs.Stream, str, str]] = field(default_factory=list)
    ranks: int = 1
    word: str = ""
    lines: str = ""
    note: str = ""
    download_url: str = ""


def log_panel(job: Job, asked: QueryDict) -> LogPanel:
    """Return what a job printed, as asked by ``stream`` (attempt-rank) and ``search``; raises Http404 for no stream."""
    attempt, _, rank = asked.get("stream", "").partition("-")
    try:
        chosen = (int(attempt), int(rank)) if attempt else (None, None)
        known, stream = logs.choose(job, *chosen)
    except (ValueError, InvalidInput):
        raise Http404(f"job {job.pk} has no log {asked.get('stream')!r}") from None
    if stream is None:
        return LogPanel()
    word = asked.get("search", "").strip()
    ranks = len({each.rank for each in known})
    if word:
        found, count = logs.search(job, stream, word)
        lines = [line["text"] for line in found]
        note = f"{count:,} line{'s' * (count != 1)} with “{word}”"
        if count > len(lines):
            note += f"; the last {len(lines)} are shown"
    else:
        lines = logs.last_lines(job, LINES_SHOWN, stream)
        note = "The last lines; the rest is in the download." if len(lines) == LINES_SHOWN else ""
    return LogPanel(
        stream=stream,
        streams=[(each, f"{each.attempt}-{each.rank}", _named(each, ranks)) for each in known],
        ranks=ranks,
        word=word,
        lines="\n".join(lines),
        note=note,
        download_url=reverse("training:job-log", args=[job.pk, stream.attempt, stream.rank]),
    )


def log_urls(job: Job, asked: QueryDict) -> dict[str, Any]:
    """Return where the panel fetches itself from, with what was chosen in it, and what it listens to."""
    base = reverse("training:job-panel", args=[job.pk, "log"])
    chosen = QueryDict(mutable=True)
    for name in ("stream", "search"):
        if value := asked.get(name):
            chosen[name] = str(value)
    return {
        "log_base": base,
        "log_url": f"{base}?{chosen.urlencode()}" if chosen else base,
        "log_topic": f"log:{job.pk}",
    }


def _named(stream: logs.Stream, ranks: int) -> str:
    return f"attempt {stream.attempt}" + (f", rank {stream.rank}" if ranks > 1 else "")
