"""What the panel with a job's log shows: queries only."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.http import Http404, QueryDict
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from acc.errors import InvalidInput
from accsite.apps.jobs.models import Job
from accsite.apps.jobs.selectors import logs

LINES_SHOWN = 200


@dataclass(frozen=True)
class LogPanel:
    """The log of a job as it is shown: one stream's last lines, or those that hold ``word`` and are of ``level``.

    streams: each with its value in the form and in words. note: what is not shown.
    """

    stream: logs.Stream | None = None
    streams: list[tuple[logs.Stream, str, str]] = field(default_factory=list)
    ranks: int = 1
    word: str = ""
    level: str = ""
    levels: Mapping[str, str] = field(default_factory=lambda: logs.LEVELS)
    lines: str = ""
    note: str = ""
    download_url: str = ""


def log_panel(job: Job, asked: QueryDict) -> LogPanel:
    """Return what a job printed, as asked by ``stream`` (attempt-rank), ``search`` and ``level``.

    Raises Http404 for no stream.
    """
    attempt, _, rank = asked.get("stream", "").partition("-")
    try:
        chosen = (int(attempt), int(rank)) if attempt else (None, None)
        known, stream = logs.choose(job, *chosen)
    except (ValueError, InvalidInput):
        raise Http404(f"job {job.pk} has no log {asked.get('stream')!r}") from None
    if stream is None:
        return LogPanel()
    word = asked.get("search", "").strip()
    level = asked.get("level", "")
    level = level if level in logs.LEVELS else ""
    ranks = len({each.rank for each in known})
    if word or level:
        found, count = logs.graded(job, stream, word, least=level)
        lines = [(line["text"], grade) for line, grade in found]
        note = f"{count:,} line{'s' * (count != 1)}"
        note += f" of {logs.LEVELS[level]}" if level else ""
        note += f" with “{word}”" if word else ""
        if count > len(lines):
            note += f"; the last {len(lines)} are shown"
    else:
        lines = logs.with_levels(logs.last_lines(job, LINES_SHOWN, stream))
        note = "The last lines; the rest is in the download." if len(lines) == LINES_SHOWN else ""
    return LogPanel(
        stream=stream,
        streams=[(each, f"{each.attempt}-{each.rank}", _named(each, ranks)) for each in known],
        ranks=ranks,
        word=word,
        level=level,
        lines=_shown(lines, word),
        note=note,
        download_url=reverse("training:job-log", args=[job.pk, stream.attempt, stream.rank]),
    )


def log_urls(job: Job, asked: QueryDict) -> dict[str, Any]:
    """Return where the panel fetches itself from, with what was chosen in it, and what it listens to."""
    base = reverse("training:job-panel", args=[job.pk, "log"])
    chosen = QueryDict(mutable=True)
    for name in ("stream", "search", "level"):
        if value := asked.get(name):
            chosen[name] = str(value)
    return {
        "log_base": base,
        "log_url": f"{base}?{chosen.urlencode()}" if chosen else base,
        "log_topic": f"log:{job.pk}",
    }


def _shown(lines: Sequence[tuple[str, str]], word: str) -> SafeString:
    """Return lines, each with its level, as HTML: a grave one says so, and the word searched for is marked."""
    shown = []
    hit = re.compile(f"({re.escape(word)})", re.IGNORECASE) if word else None
    for line, level in lines:
        pieces = hit.split(line) if hit is not None else [line]
        text = format_html_join(
            "",
            "{}",
            ((format_html("<mark>{}</mark>", each) if at % 2 else each,) for at, each in enumerate(pieces)),
        )
        shown.append(format_html('<span data-level="{}">{}</span>', level, text) if level else text)
    return format_html_join("\n", "{}", ((line,) for line in shown))


def _named(stream: logs.Stream, ranks: int) -> str:
    return f"attempt {stream.attempt}" + (f", rank {stream.rank}" if ranks > 1 else "")
