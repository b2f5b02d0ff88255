"""The losses of a job as a drawing, made on the server: it needs no script."""

from __future__ import annotations

from typing import Any

import numpy as np
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from numpy.typing import NDArray

from acc.training.losses import series
from accsite.apps.access.admin_parts import NOTHING, add_panel
from accsite.apps.jobs.models import Job
from accsite.apps.training import selectors

RAW = series.raw("")
WIDTH, HEIGHT, MARGIN = 800, 240, 8
MOST_COLUMNS, MOST_SERIES = 400, 8
# At least 3:1 against the theme's white and its near-black.
COLOURS = ("#3b82f6", "#ea580c", "#16a34a", "#c026d3", "#b7791f", "#0891b2", "#e11d48", "#8b5cf6")


def curve(job: Job) -> SafeString:
    """Return the raw losses and the total over the steps, on a logarithmic scale where all are above zero."""
    header, columns = selectors.loss_history(job, points=MOST_COLUMNS)
    found = [
        (name, _middle(columns, index, header["kind"]))
        for index, name in enumerate(header["series"])
        if name == series.TOTAL or name.startswith(RAW)
    ][:MOST_SERIES]
    finite = np.concatenate([values[np.isfinite(values)] for _, values in found]) if found else np.empty(0)
    if not finite.size:
        return NOTHING
    logarithmic = bool((finite > 0).all())
    low, high = float(finite.min()), float(finite.max())
    drawn = format_html_join(
        "",
        '<path d="{}" fill="none" stroke="{}" stroke-width="1.5" stroke-linecap="round" '
        'vector-effect="non-scaling-stroke"/>',
        (
            (_path(values, low, high, logarithmic), COLOURS[index % len(COLOURS)])
            for index, (_, values) in enumerate(found)
        ),
    )
    legend = format_html_join(
        "",
        '<li><svg width="12" height="12" aria-hidden="true"><rect width="12" height="12" fill="{}"/></svg> {} {}</li>',
        (
            (COLOURS[index % len(COLOURS)], name.removeprefix(RAW), _last(values))
            for index, (name, values) in enumerate(found)
        ),
    )
    scale = "logarithmic" if logarithmic else "linear"
    words = f"steps {header['start']:,} to {header['stop']:,}; from {low:.4g} to {high:.4g}, {scale}"
    return format_html(
        '<figure><svg viewBox="0 0 {w} {h}" width="{w}" height="{h}" preserveAspectRatio="none" role="img" '
        'aria-label="losses, {words}">{drawn}</svg><figcaption>{words}<ul>{legend}</ul></figcaption></figure>',
        w=WIDTH,
        h=HEIGHT,
        words=words,
        drawn=drawn,
        legend=legend,
    )


def _middle(columns: NDArray[np.float32], index: int, kind: str) -> NDArray[np.float64]:
    """Return one series; of an envelope its means."""
    row = index if kind == "raw" else 3 * index + 2
    return np.asarray(columns[row], np.float64)


def _path(values: NDArray[np.float64], low: float, high: float, logarithmic: bool) -> str:
    """Return an SVG path with a gap wherever there is no value; a value alone between gaps is a dot."""
    scaled = np.log(values / low) if logarithmic else values - low
    span = (np.log(high / low) if logarithmic else high - low) or 1.0
    step = (WIDTH - 2 * MARGIN) / max(len(values) - 1, 1)
    known = np.isfinite(scaled)
    parts = []
    for index in np.flatnonzero(known):
        y = HEIGHT - MARGIN - (HEIGHT - 2 * MARGIN) * scaled[index] / span
        joined = index > 0 and known[index - 1]
        parts.append(f"{'L' if joined else 'M'}{MARGIN + index * step:.1f} {y:.1f}")
        if not joined and not (index + 1 < len(known) and known[index + 1]):
            parts.append("h0")
    return "".join(parts)


def _last(values: NDArray[np.float64]) -> Any:
    finite = values[np.isfinite(values)]
    return f"{finite[-1]:.4g}" if finite.size else ""


def losses_of(job: Job) -> SafeString:
    return curve(job) if job.makes_points else NOTHING


add_panel(Job, losses_of)
