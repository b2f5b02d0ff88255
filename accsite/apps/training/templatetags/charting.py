"""How a loss stands, in an icon and a word."""

from __future__ import annotations

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

register = template.Library()

# The same as in health.js, which goes on from here while points come.
LEVELS = {
    "better than trivial": "✓",
    "at trivial": "≈",
    "worse than trivial": "✗",
    "above collapse": "↥",
    "collapsed": "✗",
    "below its floor": "✗",
}
TRENDS = {"falling": "↘", "flat": "→", "rising": "↗"}


@register.simple_tag
def health(level: str, trend: str, stopped_at: int | None = None) -> SafeString:
    """Return a loss's level against its baseline and its trend, or where it ended; what is unknown stays empty."""
    stopped = "" if stopped_at is None else f"last at step {stopped_at:,}"
    return format_html(
        '<span class="health" data-level="{}">{}</span><span class="trend">{}</span>',
        level if level in LEVELS else "",
        f"{LEVELS[level]} {level}" if level in LEVELS else "",
        stopped or (f"{TRENDS[trend]} {trend}" if trend in TRENDS else ""),
    )
