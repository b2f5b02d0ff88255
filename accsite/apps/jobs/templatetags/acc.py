"""Small pieces that every page shares: icons, states, figures, and what a panel listens to."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django import template
from django.template import Context
from django.urls import reverse
from django.utils.html import escape, format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

from accsite import numbers
from accsite.apps.jobs import selectors
from accsite.apps.jobs.models import Job
from accsite.apps.jobs.states import ACTIVE, JobState
from accsite.numbers import NONE

register = template.Library()

_CODE = re.compile("``(.+?)``")
register.filter(numbers.compact)
register.filter(numbers.exact)

ICONS = {
    "brand": '<path d="M3 4l7 6v4l-7 6zM21 4l-7 6v4l7 6z" fill="currentColor"/>',
    "workbench": '<path d="M3 3v18h18M7 8c3 8 7 9 13 9"/>',
    "datasets": '<path d="M4 4h7v7H4zM13 4h7v7h-7zM4 13h7v7H4zM13 13h7v7h-7z"/>',
    "experiments": '<path d="M6 8v8M6 13c0-4 10-1 10-6"/><circle cx="6" cy="5.5" r="2.5"/>'
    '<circle cx="6" cy="18.5" r="2.5"/><circle cx="17" cy="5.5" r="2.5"/>',
    "evaluate": '<path d="M4 20V10M10 20V4M16 20v-7M22 20H2"/>',
    "devices": '<path d="M6 6h12v12H6zM9 2v4M15 2v4M9 18v4M15 18v4M2 9h4M2 15h4M18 9h4M18 15h4"/>',
    "plugins": '<path d="M9 3v5M15 3v5M6 8h12v3a6 6 0 0 1-12 0zM12 17v4"/>',
    "runs": '<path d="M3 5h18v14H3zM3 10h18M9 10v9M15 10v9"/>',
    "eye": '<path d="M2 12c3-5 6-7 10-7s7 2 10 7c-3 5-6 7-10 7s-7-2-10-7z"/>'
    '<circle cx="12" cy="12" r="3" fill="currentColor"/>',
    "no-eye": '<path d="M3 10c3 4 5 5 9 5s6-1 9-5M5 13l-2 3M19 13l2 3M12 15v3.5"/>',
    "jobs": '<path d="M4 6h10M4 12h16M4 18h7"/>',
    "recipes": '<path d="M6 3h9l4 4v14H6zM10 9h5M10 13h5M10 17h3"/>',
    "studies": '<path d="M3 4v17h18"/><circle cx="8" cy="9" r="1.8"/><circle cx="13" cy="9" r="1.8"/>'
    '<circle cx="12" cy="15" r="1.8"/><circle cx="18" cy="15" r="1.8"/>',
    "more": '<circle cx="5" cy="12" r="1.2"/><circle cx="12" cy="12" r="1.2"/><circle cx="19" cy="12" r="1.2"/>',
    "pin": '<path d="M4 5h16v14H4zM9.5 5v14"/>',
    "search": '<circle cx="11" cy="11" r="6.5"/><path d="M16 16l4.5 4.5"/>',
    "user": '<circle cx="12" cy="8" r="4"/><path d="M4 21c1-5 4-7 8-7s7 2 8 7"/>',
    "QUEUED": '<circle cx="12" cy="12" r="9"/><path d="M12 7v5l3 2"/>',
    "CLAIMED": '<path d="M12 3a9 9 0 1 1-9 9"/>',
    "RUNNING": '<path d="M7 4l13 8-13 8z" fill="currentColor"/>',
    "PAUSED": '<path d="M8 4v16M16 4v16"/>',
    "LOST": '<path d="M12 3l10 18H2zM12 10v5M12 18v.5"/>',
    "DIVERGED": '<path d="M12 3l10 18H2zM12 10v5M12 18v.5"/>',
    "SUCCEEDED": '<path d="M4 13l5 5L20 6"/>',
    "FAILED": '<path d="M5 5l14 14M19 5L5 19"/>',
    "CANCELLED": '<path d="M5 5h14v14H5z"/>',
    "ONLINE": '<circle cx="12" cy="12" r="7" fill="currentColor"/>',
    "DRAINING": '<path d="M12 4v14M6 12l6 6 6-6"/>',
    "RETIRED": '<circle cx="12" cy="12" r="8"/><path d="M8 12h8"/>',
    "OFFLINE": '<circle cx="12" cy="12" r="8"/><path d="M6 18L18 6"/>',
}

RAIL = (
    ("workbench", "Workbench", "training:home", "w"),
    ("experiments", "Experiments", "trees:experiments", "e"),
    ("datasets", "Datasets", "datasets:list", "d"),
    ("evaluate", "Evaluate", "evaluation:home", "q"),
    ("runs", "Runs", "runs:runs", "u"),
    ("jobs", "Jobs", "training:jobs", "j"),
    ("recipes", "Recipes", "recipes:recipes", "r"),
    ("studies", "Studies", "studies:studies", "y"),
    ("devices", "Devices", "jobs:devices", "c"),
    ("plugins", "Plugins", "registry:plugins", "p"),
)
TABS = 4
"""How many of the rail's links are tabs on a phone; the others lie behind one that says More."""


@register.filter
def words(text: str) -> list[str]:
    return text.split()


@register.simple_tag
def icon(name: str) -> SafeString:
    """Return the SVG of an icon; its meaning must stand beside it in words."""
    return format_html(
        '<svg class="icon" viewBox="0 0 24 24" aria-hidden="true">{}</svg>',
        mark_safe(ICONS.get(name, "")),  # noqa: S308
    )


@register.simple_tag(takes_context=True)
def rail(context: Context, rest: bool = False) -> SafeString:
    """Return the links of the main navigation, the current place marked by the page's ``place``.

    ``rest``: only those that have no tab of their own on a phone, without keys: they stand there a second time.
    """
    place = context.get("place", "")
    return format_html_join(
        "\n",
        '<li><a href="{}"{}{}>{}<span>{}</span></a></li>',
        (
            (
                reverse(view),
                "" if rest else format_html(' data-key="{}"', key),
                mark_safe(' aria-current="page"') if place == name else "",
                icon(name),
                label,
            )
            for name, label, view, key in (RAIL[TABS:] if rest else RAIL)
        ),
    )


@register.simple_tag
def state(value: str, label: str = "") -> SafeString:
    """Return a state as colour, icon and word; ``label`` replaces the word."""
    word = label or (JobState(value).label if value in JobState.values else value.lower())
    return format_html('<span class="state" data-state="{}">{}{}</span>', value, icon(value), word)


@register.simple_tag
def job_state(job: Job, grave: str = "") -> SafeString:
    """Return the state of a job as colour, icon and word, with its attempt if it is not the first.

    ``grave``: its grave alarms in words (``selectors.alarms``), which stand beside it unless it says so itself.
    """
    words = job.words
    shown = state(words.mark, words.label)
    if words.attempt:
        shown = format_html('{} <span class="small soft">attempt {}</span>', shown, words.attempt)
    return format_html("{} {}", shown, alarm_chip(grave)) if grave and not words.diverged else shown


@register.simple_tag
def alarm_chip(grave: str) -> SafeString | str:
    """Return grave alarms as icon and words; nothing if there are none."""
    return format_html('<span class="chip alarm">{}{}</span>', icon("LOST"), grave) if grave else ""


@register.filter
def rate(job: Job) -> float | None:
    """Return the steps a second of a job that runs; None for any other."""
    return job.words.rate


@register.filter
def count(value: int | None) -> str:
    """Return a whole number with its thousands apart, as the scripts write it; a dash for none."""
    return NONE if value is None else f"{value:,}"


@register.filter
def duration(seconds: float | None) -> str:
    """Return seconds as ``42s``, ``3m 20s`` or ``2h 5m``; a dash for none."""
    if seconds is None:
        return NONE
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m {whole % 60}s"
    return f"{whole // 3600}h {whole % 3600 // 60}m"


@register.filter
def size(value: int | None) -> str:
    """Return bytes as KiB, MiB or GiB."""
    if value is None:
        return NONE
    amount = float(value)
    for unit in ("B", "KiB", "MiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} GiB"


@register.simple_tag(takes_context=True)
def at(context: Context, moment: datetime | None) -> SafeString | str:
    """Return a time in the reader's zone, which scripts put into the cookie ``tz``; in UTC until they have."""
    if moment is None:
        return NONE
    request = context.get("request")
    place = zone(request.COOKIES.get("tz", "") if request else "")
    local = moment.astimezone(place or UTC)
    day = "" if local.date() == datetime.now(place or UTC).date() else f"{local:%-d %b} "
    shown = f"{day}{local:%H:%M}{'' if place else ' UTC'}"
    return format_html('<time datetime="{}">{}</time>', moment.isoformat(timespec="seconds"), shown)


@lru_cache(maxsize=256)
def zone(name: str) -> ZoneInfo | None:
    """Return the time zone of that name; None if there is none."""
    try:
        return ZoneInfo(name) if name else None
    except (ValueError, OSError, ZoneInfoNotFoundError):
        return None


@register.simple_tag(takes_context=True)
def listen(context: Context, url: str, *topics: str) -> SafeString:
    """Return the attributes of a panel that fetches itself from ``url`` when one of ``topics`` changes."""
    versions: Mapping[str, int] = context.get("versions") or {}
    return format_html(
        'hx-get="{}" hx-trigger="refresh" hx-sync:inherited="this:queue all" data-topics="{}"',
        url,
        " ".join(f"{topic}={versions.get(topic, 0)}" for topic in topics if topic),
    )


@register.filter
def is_active(job: Job | None) -> bool:
    return job is not None and job.state in ACTIVE


@register.filter
def remaining(job: Job) -> float | None:
    """Return the seconds a running job still needs at its present rate."""
    return job.words.eta_seconds


@register.filter
def waits_for(job: Job) -> str:
    """Return in words what a queued job waits for."""
    return selectors.waits_for(job)


@register.filter
def elapsed(job: Job | None) -> float | None:
    """Return the seconds from a job's start to its end; None while it has not ended, and without a job."""
    if job is None or job.started_at is None or job.finished_at is None:
        return None
    return (job.finished_at - job.started_at).total_seconds()


@register.filter
def prose(text: str) -> SafeString:
    """Return a docstring with what stands between double backticks as code."""
    return mark_safe(_CODE.sub(r"<code>\1</code>", escape(text)))  # noqa: S308


@register.filter
def spaced(name: str) -> str:
    return name.replace("_", " ")


@register.filter
def get(mapping: Mapping[Any, Any] | None, key: Any) -> Any:
    return (mapping or {}).get(key)
