"""What is shown of a study: tables, and one HTML file that needs no network. Torch-free."""

from __future__ import annotations

import csv
import getpass
import io
import json
import math
import re
import socket
from collections.abc import Callable, Mapping, Sequence
from html import escape, unescape
from pathlib import Path
from typing import Any

from acc.errors import InvalidInput
from acc.studies.plan import Outcome, Study, plain
from acc.studies.results import Result
from acc.studies.statistics import Interval, mean_interval
from acc.studies.verdict import Verdict, judge
from acc.version import __version__

COLUMNS = (
    "arm",
    "seed",
    "status",
    "reason",
    "outcome",
    "unit",
    "value",
    "low",
    "high",
    "sample",
    "seconds",
    "images",
)
HUES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#a07800", "#3c8dbc")
"""Colours of the arms, which stay apart for eyes that see red and green alike (Okabe and Ito 2008)."""
_LABEL, _WIDTH, _ROW = 170, 720, 34


def table(study: Study, results: Sequence[Result]) -> list[dict[str, Any]]:
    """Return a row for each arm and outcome, over its seeds.

    mean, low, high: with the t interval of level 1 - alpha; spread: standard deviation; None where too few seeds give
    none. noise: the standard deviation that a seed has from its images alone, of the intervals of its metric (root mean
    square over seeds; None where it has none): part of the spread. n: seeds with a value; failed: those that ended
    without one.
    """
    found = []
    for outcome in study.outcomes:
        for arm in study.arms:
            ended = [
                each for each in results if each.arm == arm.name and each.status not in ("waiting", "running")
            ]
            values = values_of(study, results, arm.name, outcome)
            interval = mean_interval(list(values.values()), study.alpha) if values else None
            found.append(
                {
                    "outcome": outcome.name,
                    "unit": outcome.unit,
                    "arm": arm.name,
                    "n": len(values),
                    "failed": len(ended) - len(values),
                    **{
                        name: None if interval is None else _finite(getattr(interval, name))
                        for name in ("mean", "low", "high", "spread")
                    },
                    "noise": noise(results, outcome.name, arm.name),
                }
            )
    return found


def noise(results: Sequence[Result], outcome: str, arm: str = "") -> float | None:
    """Return the standard deviation that images alone give a seed: root mean square over the seeds of an arm, or all.

    A metric's 95 % interval is 2 x 1.96 of them wide. None where no seed has an interval.
    """
    halves = [
        (measured.high - measured.low) / 2
        for result in results
        if (not arm or result.arm == arm)
        and (measured := result.values.get(outcome))
        and measured.low is not None
        and measured.high is not None
    ]
    return math.sqrt(sum(half * half for half in halves) / len(halves)) / 1.96 if halves else None


def rows(study: Study, results: Sequence[Result]) -> list[dict[str, Any]]:
    """Return a row for each arm, seed and outcome; one that has no value says why."""
    found = []
    for result in results:
        for outcome in study.outcomes:
            measured = result.values.get(outcome.name)
            found.append(
                {
                    "arm": result.arm,
                    "seed": result.seed,
                    "status": result.status,
                    "reason": result.reason or (measured.reason if measured else ""),
                    "outcome": outcome.name,
                    "unit": outcome.unit,
                    "value": measured.value if measured else None,
                    "low": measured.low if measured else None,
                    "high": measured.high if measured else None,
                    "sample": measured.sample if measured else "",
                    "seconds": result.seconds,
                    "images": result.images,
                }
            )
    return found


def csv_text(study: Study, results: Sequence[Result]) -> str:
    """Return every number as CSV, with a head; numbers as Python writes them, so that none loses a digit."""
    file = io.StringIO()
    writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows(study, results))
    return file.getvalue()


def parquet(study: Study, results: Sequence[Result]) -> bytes:
    """Return every number as a Parquet table, with the plan as JSON in its metadata (``acc.study``).

    Raises InvalidInput where pyarrow is not installed.
    """
    try:
        import pyarrow as pa
        from pyarrow import parquet as files
    except ImportError:
        raise InvalidInput(parquet="it needs pyarrow: pip install 'acc[data]'") from None
    numbers = {"value", "low", "high", "seconds"}
    whole = {"seed", "images"}
    schema = pa.schema(
        [
            (name, pa.float64() if name in numbers else pa.int64() if name in whole else pa.string())
            for name in COLUMNS
        ],
        metadata={"acc.study": study.to_json()},
    )
    file = io.BytesIO()
    files.write_table(pa.Table.from_pylist(rows(study, results), schema=schema), file)
    return file.getvalue()


def latex(study: Study, results: Sequence[Result]) -> str:
    """Return a LaTeX table of arms by outcomes, mean and half the t interval; beneath it the verdicts.

    It needs no package.
    """
    head = " & ".join(_tex(f"{each.name}{f' ({each.unit})' if each.unit else ''}") for each in study.outcomes)
    lines = [rf"\begin{{tabular}}{{l{'r' * len(study.outcomes)}}}", r"\hline", rf" & {head} \\", r"\hline"]
    cells = {(row["arm"], row["outcome"]): row for row in table(study, results)}
    for arm in study.arms:
        told = [_tex_cell(cells[arm.name, outcome.name]) for outcome in study.outcomes]
        lines.append(rf"{_tex(arm.name)} & {' & '.join(told)} \\")
    lines += [r"\hline", r"\end{tabular}", ""]
    level = f"{100 * (1 - study.alpha):g} \\%"
    lines.append(rf"Mean $\pm$ half the {level} $t$ interval over seeds; in brackets how many.")
    lines += [_tex(verdict.sentence) for verdict in judge(study, results)]
    return "\n".join(lines) + "\n"


def _tex_cell(row: Mapping[str, Any]) -> str:
    if row["mean"] is None:
        return "--"
    half = "" if row["high"] is None else rf" \pm {row['high'] - row['mean']:.2g}"
    return f"${row['mean']:.3g}{half}$ [{row['n']}]"


def _tex(text: str) -> str:
    return " ".join(text.translate(_TEX).split())


_TEX = str.maketrans(
    {sign: f"\\{sign}" for sign in "&%$#_{}"}
    | {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": "$<$",
        ">": "$>$",
    }
)


def html(study: Study, results: Sequence[Result], *, anonymous: bool = False) -> str:
    """Return one HTML page of verdicts, dots, tables, plan and hashes: no script, and nothing from elsewhere.

    anonymous: with ``(path)``, ``(user)`` and ``(host)`` in the place of paths and addresses, and of this user and
    machine, wherever they stand: in reasons of failed seeds, in settings, in names that somebody gave.
    """
    verdicts = judge(study, results)
    hidden: Callable[[str], str] = without_names if anonymous else str
    parts = [
        f"<h1>{escape(study.name)}</h1>",
        f"<p class=question>{escape(study.question)}</p>" if study.question else "",
        _section(
            "What may be said", [_verdict(verdict) for verdict in verdicts] or ["<p>Nothing is claimed.</p>"]
        ),
        *(
            _section(
                f"{outcome.name}{f' ({outcome.unit})' if outcome.unit else ''}",
                [_dots(study, results, outcome)],
            )
            for outcome in study.outcomes
        ),
        _section("Paired differences", [_differences(study, each) for each in verdicts if each.differences]),
        _section("Over seeds", [_table(study, results)]),
        _section("Without a value", [_failed(study, results)]),
        _section("Plan", [_plan(study)]),
        _section("What it rests on", [_facts(study, results)]),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(hidden(study.name))}</title><style>{STYLE}</style></head>\n<body><main>\n"
        + _TEXTS.sub(
            lambda found: escape(hidden(unescape(found[0]))), "\n".join(part for part in parts if part)
        )
        + "\n</main></body></html>\n"
    )


_TEXTS = re.compile(r'(?<=>)[^<]+|(?<=aria-label=")[^"]*')
_PATHS = re.compile(
    r"""\b\w+://\S+ | (?P<quote>['"])(?:~\w*)?/[^'"\n]*/[^'"\n]*(?P=quote)
    | (?<![\w.~])(?:~\w*)?(?:/+[^\s/'",:;()\[\]{}]+){2,} | (?<!\w)~\w*/[^\s'",:;()\[\]{}]+
    | \b[A-Za-z]:\\[^\s'",;]+""",
    re.VERBOSE,
)
NOBODY = {"", "root", "localhost"}
"""Names of users and machines that tell nothing, and are words of a study (``root``) besides."""


def without_names(text: str) -> str:
    """Return a text without paths, addresses, and the names of this user and this machine."""
    text = _PATHS.sub(lambda found: "{0}(path){0}".format(found["quote"] or ""), text)
    host = socket.gethostname()
    known = {Path.home().name: "(user)", _user(): "(user)", host: "(host)", host.partition(".")[0]: "(host)"}
    for name in sorted(known.keys() - NOBODY, key=len, reverse=True):
        text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", known[name], text, flags=re.IGNORECASE)
    return text


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a number that no file gives a name
        return ""


STYLE = """
:root { color-scheme: light dark; --ink: #1c2024; --quiet: #5f6b76; --line: #d5dae0; --paper: #fff; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ed; --quiet: #9aa5b1; --line: #3a424b; --paper: #14181c; } }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 760px; margin: 0 auto; padding: 24px 16px 64px; }
h1 { font-size: 28px; line-height: 1.2; } h2 { font-size: 18px; margin: 40px 0 8px; }
.question, .quiet, td.quiet { color: var(--quiet); }
.verdict { border-left: 4px solid var(--line); padding: 2px 0 2px 14px; margin: 14px 0; }
.verdict b { display: block; font-size: 13px; color: var(--quiet); }
.verdict.for { border-color: #009e73; } .verdict.against { border-color: #d55e00; }
svg { display: block; width: 100%; height: auto; overflow: visible; }
svg text { fill: var(--ink); font: 13px system-ui, sans-serif; } svg .tick { fill: var(--quiet); font-size: 12px; }
svg .axis { stroke: var(--line); } svg .zero { stroke: var(--quiet); stroke-dasharray: 3 3; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: 4px 14px 4px 0; border-bottom: 1px solid var(--line); vertical-align: top; }
td.number, th.number { text-align: right; }
pre { overflow-x: auto; font-size: 13px; } code { overflow-wrap: anywhere; }
"""


def _section(title: str, parts: Sequence[str]) -> str:
    inside = "\n".join(part for part in parts if part)
    return f"<section><h2>{escape(title)}</h2>\n{inside}</section>" if inside else ""


def _verdict(verdict: Verdict) -> str:
    kind = {"decided for": " for", "decided against": " against"}.get(verdict.decision, "")
    return (
        f'<div class="verdict{kind}"><b>{escape(verdict.decision)} &middot; {escape(verdict.claim)}</b>'
        f"{escape(verdict.sentence)}</div>"
    )


def _dots(study: Study, results: Sequence[Result], outcome: Outcome) -> str:
    """Return a row for each arm: a dot a seed, the mean, and its t interval."""
    lines = []
    for place, arm in enumerate(study.arms):
        values = values_of(study, results, arm.name, outcome)
        interval = mean_interval(list(values.values()), study.alpha) if values else None
        lines.append((arm.name, values, interval, HUES[place % len(HUES)]))
    return _strip(f"{outcome.name} by arm", lines)


def _differences(study: Study, verdict: Verdict) -> str:
    """Return the differences of a claim, with 0 and the margin."""
    claim = next(claim for claim in study.claims if str(claim) == verdict.claim)
    ends = (
        -math.inf if verdict.low is None else verdict.low,
        math.inf if verdict.high is None else verdict.high,
    )
    mean = verdict.mean if verdict.mean is not None else math.nan
    interval = Interval(mean, *ends, math.nan, verdict.n)
    hue = HUES[[arm.name for arm in study.arms].index(claim.first) % len(HUES)]
    margin = [claim.by if claim.sign == ">" else -claim.by] if claim.by else []
    values = dict(zip(verdict.seeds, verdict.differences, strict=True))
    drawn = _strip(verdict.claim, [(claim.outcome, values, interval, hue)], marks=(0.0, *margin))
    return f"<p class=quiet>{escape(claim.first)} less {escape(claim.second)}; {escape(verdict.claim)}</p>{drawn}"


Line = tuple[str, Mapping[int, float], Interval | None, str]


def _strip(title: str, lines: Sequence[Line], marks: Sequence[float] = ()) -> str:
    """Return a drawing with a row for each line, on one axis."""
    shown = [value for _, values, interval, _ in lines for value in (*values.values(), *_ends(interval))] + [
        *marks
    ]
    if not shown:
        return "<p class=quiet>Nothing is measured yet.</p>"
    low, high = min(shown), max(shown)
    pad = (high - low or abs(high) or 1.0) * 0.06
    low, high = low - pad, high + pad

    def at(value: float) -> str:
        return f"{_LABEL + (value - low) / (high - low) * (_WIDTH - _LABEL - 10):.1f}"

    bottom = _ROW * len(lines) + 6
    drawn = [
        f'<svg viewBox="0 0 {_WIDTH} {bottom + 24}" role="img" aria-label="{escape(title)}">',
        f'<line class="axis" x1="{_LABEL}" y1="{bottom}" x2="{_WIDTH}" y2="{bottom}"/>',
    ]
    for tick in _ticks(low, high):
        drawn.append(f'<line class="axis" x1="{at(tick)}" y1="0" x2="{at(tick)}" y2="{bottom}"/>')
        drawn.append(
            f'<text class="tick" x="{at(tick)}" y="{bottom + 17}" text-anchor="middle">{plain(tick)}</text>'
        )
    drawn += [f'<line class="zero" x1="{at(mark)}" y1="0" x2="{at(mark)}" y2="{bottom}"/>' for mark in marks]
    for row, line in enumerate(lines):
        drawn += _row(line, _ROW * row + _ROW // 2 + 3, at)
    return "".join([*drawn, "</svg>"])


def _row(line: Line, y: int, at: Callable[[float], str]) -> list[str]:
    name, values, interval, hue = line
    short = name if len(name) <= 24 else f"{name[:23]}…"
    drawn = [f'<text x="0" y="{y + 4}">{escape(short)}<title>{escape(name)}</title></text>']
    if not values:
        drawn.append(f'<text class="tick" x="{_LABEL + 4}" y="{y + 4}">no value</text>')
    if interval is not None and _ends(interval):
        low, high = _ends(interval)
        drawn.append(
            f'<line x1="{at(low)}" y1="{y}" x2="{at(high)}" y2="{y}" stroke="{hue}" stroke-width="10" opacity=".28"/>'
        )
    for place, (seed, value) in enumerate(values.items()):
        drawn.append(
            f'<circle cx="{at(value)}" cy="{y + (place % 5 - 2) * 2.5:g}" r="4" fill="{hue}">'
            f"<title>seed {seed}: {value:.6g}</title></circle>"
        )
    if interval is not None:
        mean = at(interval.mean)
        drawn.append(
            f'<line x1="{mean}" y1="{y - 11}" x2="{mean}" y2="{y + 11}" stroke="{hue}" stroke-width="2.5">'
            f"<title>mean of {interval.n}: {interval.mean:.6g}</title></line>"
        )
    return drawn


def _ends(interval: Interval | None) -> tuple[float, ...]:
    if interval is None or not math.isfinite(interval.low) or not math.isfinite(interval.high):
        return ()
    return interval.low, interval.high


def _ticks(low: float, high: float) -> list[float]:
    """Return round numbers between two, about five of them."""
    step = 10 ** math.floor(math.log10((high - low) / 4))
    step *= next(factor for factor in (1, 2, 5, 10) if (high - low) / (step * factor) <= 6)
    return [
        float(f"{number * step:.10g}") for number in range(math.ceil(low / step), math.floor(high / step) + 1)
    ]


def _table(study: Study, results: Sequence[Result]) -> str:
    heads = (
        "outcome",
        "arm",
        "mean",
        f"{100 * (1 - study.alpha):g} % t interval",
        "spread of seeds",
        "of images alone",
        "seeds",
        "failed",
    )
    body = []
    for row in table(study, results):
        ends = "" if row["low"] is None else f"{row['low']:.4g} to {row['high']:.4g}"
        unit = f" {row['unit']}" if row["unit"] else ""
        cells = [
            _number(row["mean"], unit),
            ends,
            _number(row["spread"]),
            _number(row["noise"]),
            str(row["n"]),
            str(row["failed"]),
        ]
        body.append(
            f"<tr><td>{escape(row['outcome'])}<td>{escape(row['arm'])}"
            + "".join(f"<td class=number>{escape(cell)}" for cell in cells)
        )
    costs = [_cost(arm.name, results) for arm in study.arms]
    head = "".join(f"<th{' class=number' if at > 1 else ''}>{escape(text)}" for at, text in enumerate(heads))
    return (
        f"<div class=wide><table><tr>{head}{''.join(body)}</table></div>"
        f"<p class=quiet>A seed took on average: {escape('; '.join(filter(None, costs)) or 'nothing yet')}.</p>"
    )


def _cost(arm: str, results: Sequence[Result]) -> str:
    done = [
        each
        for each in results
        if each.arm == arm and each.status == "succeeded" and each.seconds is not None
    ]
    if not done:
        return ""
    seconds = sum(each.seconds or 0.0 for each in done) / len(done)
    images = sum(each.images or 0 for each in done) / len(done)
    return f"{arm} {seconds:.3g} s" + (f" and {images:,.0f} images" if images else "")


def _failed(study: Study, results: Sequence[Result]) -> str:
    """Return who has no value, of what, and why; seeds of the same reason stand together."""
    told: dict[tuple[str, str], list[int]] = {}
    for result in results:
        if result.status in ("failed", "stopped"):
            told.setdefault((result.arm, result.reason or result.status), []).append(result.seed)
        elif result.status == "succeeded":
            for outcome in study.outcomes:
                measured = result.values.get(outcome.name)
                if measured is None or measured.value is None:
                    why = f"{outcome.name}: {measured.reason if measured else 'it was not measured'}"
                    told.setdefault((result.arm, why), []).append(result.seed)
    lines = [
        f"<li>{escape(arm)}, seed {', '.join(map(str, seeds))}: {escape(why)}"
        for (arm, why), seeds in told.items()
    ]
    return f"<ul>{''.join(lines)}</ul>" if lines else ""


def _plan(study: Study) -> str:
    stops = (
        f"It stops when it is decided; its claims rest on {study.rests_on}."
        if study.stop_when_decided
        else "Its seeds are fixed."
    )
    arms = "".join(
        f"<tr><td>{escape(arm.name)}<td><pre>{_json(arm.changes) if arm.changes else 'the first'}</pre>"
        for arm in study.arms
    )
    changes = "".join(
        f"<li>{escape('; '.join(change.what))} ({change.seen} results were there)" for change in study.changes
    )
    warnings = "".join(f"<li>{escape(warning)}" for warning in study.warnings())
    return (
        f"<p>{len(study.arms)} arms, seeds {escape(', '.join(map(str, study.seeds)))}, claims at {plain(study.alpha)} "
        f"together. {stops}</p>"
        f"<table><tr><th>arm<th>changes to the first{arms}</table>"
        + (f"<p>Changes of the plan:</p><ul>{changes}</ul>" if changes else "")
        + (f"<ul>{warnings}</ul>" if warnings else "")
        + f"<details><summary>Settings of the first arm</summary><pre>{_json(study.settings)}</pre></details>"
    )


def _json(value: Mapping[str, Any]) -> str:
    return escape(json.dumps(value, indent=1, ensure_ascii=False))


def _facts(study: Study, results: Sequence[Result]) -> str:
    facts = {name: value for each in results for name, value in each.facts.items()}
    told = {"plan (sha256)": study.sha256}
    told |= {f"data {name}": str(value) for name, value in study.settings.get("datasets", {}).items()}
    told |= {
        f"data {name}, looked at": str(value) for name, value in study.settings.get("measured_on", {}).items()
    }
    for part in ("plugins", "metrics"):
        told |= {f"code {name}": str(value) for name, value in study.settings.get(part, {}).items()}
    told |= facts | {"shown by": f"ACC {__version__}"}
    body = "".join(f"<tr><td>{escape(name)}<td><code>{escape(value)}</code>" for name, value in told.items())
    return f"<table>{body}</table>"


def values_of(study: Study, results: Sequence[Result], arm: str, outcome: Outcome) -> dict[int, float]:
    """Return seed -> value of an arm, of those seeds of the plan that have one."""
    found = {}
    for result in results:
        measured = result.values.get(outcome.name)
        if result.arm == arm and result.seed in study.seeds and measured and measured.value is not None:
            found[result.seed] = measured.value
    return found


def _number(value: float | None, unit: str = "") -> str:
    return "" if value is None else f"{value:.4g}{unit}"


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
