"""What a note can show: ``![[checkpoint 58]]`` and others. Each asks anew what its reader may see."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from acc.training.losses import series
from accsite.apps.datasets.models import Dataset
from accsite.apps.evaluation.models import Artifact, Metric
from accsite.apps.jobs.models import TRAININGS, Job
from accsite.apps.training.models import Checkpoint, Experiment
from accsite.apps.trees.names import numbered
from accsite.ids import row_id
from accsite.numbers import compact

RAW = series.raw("")
Show = Callable[[Any, list[str]], SafeString | None]
"""user, the words behind the kind -> what is shown; None where there is no such thing that the user may see."""


def panel(user: Any, what: str) -> SafeString:
    """Return what ``checkpoint 58`` shows; a sentence where that is nothing."""
    kind, *words = what.split()
    show = KINDS.get(kind.lower())
    if show is None:
        return refusal(f"“{what}” shows nothing; a panel begins with {', '.join(KINDS)}")
    shown = show(user, words)
    return shown if shown is not None else refusal(f"there is no {what} that you may see")


def refusal(why: str) -> SafeString:
    return format_html('<p class="note-panel none">{}</p>', why)


def _checkpoints(user: Any) -> Any:
    seen = Experiment.objects.visible_to(user)
    return Checkpoint.objects.filter(experiment__in=seen).select_related("branch__experiment").defer("spec")


def _number(words: list[str]) -> int | None:
    """Return the number that the first word is; ``#58`` and ``58`` are numbers."""
    return row_id(words[0].removeprefix("#")) if words else None


def _find_checkpoint(user: Any, words: list[str]) -> Checkpoint | None:
    number = _number(words)
    found: Checkpoint | None = _checkpoints(user).filter(pk=number).first() if number else None
    return found


def _title(node: Checkpoint) -> SafeString:
    return format_html(
        '<a href="{}">{}</a> <span class="quiet">{}, step {}</span>',
        reverse("trees:checkpoint", args=[node.pk]),
        numbered(node),
        node.branch,
        f"{node.step:,}",
    )


def _framed(title: SafeString, body: SafeString) -> SafeString:
    return format_html('<figure class="note-panel"><figcaption>{}</figcaption>{}</figure>', title, body)


def checkpoint(user: Any, words: list[str]) -> SafeString | None:
    """Show a checkpoint: where it stands, and its losses."""
    node = _find_checkpoint(user, words)
    if node is None:
        return None
    losses = sorted(node.losses.items()) if isinstance(node.losses, dict) else []
    shown = [(name, value) for name, value in losses if name == series.TOTAL or name.startswith(RAW)][:8]
    rows = format_html_join(
        "",
        "<div><dt>{}</dt><dd>{}</dd></div>",
        ((name.removeprefix(RAW), compact(value)) for name, value in shown),
    )
    return _framed(_title(node), format_html("<dl>{}</dl>", rows))


def metric(user: Any, words: list[str]) -> SafeString | None:
    """Show one metric of a checkpoint: its newest value, with its interval."""
    node = _find_checkpoint(user, words)
    if node is None or len(words) < 2:
        return None
    rows = Metric.objects.on().filter(evaluation__checkpoint=node, name=words[1])
    if len(words) > 2:
        rows = rows.filter(task_key=words[2]) | rows.filter(concept=words[2]) | rows.filter(group=words[2])
    found = rows.order_by("-evaluation_id", "id").first()
    if found is None:
        return None
    between = "" if found.low is None else f"95 % {compact(found.low)} to {compact(found.high)}"
    body = format_html(
        '<p class="value"><b>{}</b> <span class="quiet">{} {}</span></p>',
        compact(found.value),
        found.words,
        between or found.reason,
    )
    return _framed(_title(node), body)


def _picture(kind: str) -> Show:
    def show(user: Any, words: list[str]) -> SafeString | None:
        node = _find_checkpoint(user, words)
        if node is None:
            return None
        rows = Artifact.objects.filter(evaluation__checkpoint=node, kind=kind, media_type="image/png")
        if len(words) > 1:
            rows = rows.filter(name=words[1])
        found = rows.order_by("-pk" if len(words) > 1 else "pk").first()
        if found is None or not {"width", "height"} <= found.meta.keys():
            return None
        body = format_html(
            '<img class="pixels" src="{}" alt="{}" width="{}" height="{}" loading="lazy">',
            reverse("evaluation:artifact", args=[found.pk]),
            f"{kind.removesuffix('s')} of {found.name} at step {node.step:,}",
            found.meta["width"] * 2,
            found.meta["height"] * 2,
        )
        return _framed(format_html("{} <b>{} {}</b>", _title(node), kind, found.name), body)

    return show


def _find_job(user: Any, words: list[str]) -> Job | None:
    number = _number(words)
    jobs = Job.objects.visible_to(user).select_related("branch__experiment")
    if number:
        return jobs.filter(pk=number).first()
    experiment, slash, branch = words[0].partition("/") if words else ("", "", "")
    trained = jobs.filter(
        kind__in=TRAININGS, branch__experiment__slug=experiment, branch__slug=branch, points_seq__gt=0
    )
    return trained.order_by("-pk").first() if slash else None


def _job_title(job: Job) -> SafeString:
    return format_html(
        '<a href="{}">Job {}: {}</a> <span class="quiet">{}</span>',
        reverse("training:job", args=[job.pk]),
        job.pk,
        job.title,
        job.words.label,
    )


def job(user: Any, words: list[str]) -> SafeString | None:
    """Show a job: what it is and how far."""
    found = _find_job(user, words)
    if found is None:
        return None
    steps = f"{found.step:,} of {found.total_steps:,} steps" if found.total_steps else ""
    return _framed(_job_title(found), format_html("<p>{} {}</p>", steps, found.message))


def loss(user: Any, words: list[str]) -> SafeString | None:
    """Show the loss curves of a training: of a job, or of the newest job of a branch that has any."""
    from accsite.apps.training.admin.curve import curve

    found = _find_job(user, words)
    return None if found is None or not found.makes_points else _framed(_job_title(found), curve(found))


def dataset(_user: Any, words: list[str]) -> SafeString | None:
    """Show a dataset: how many images of what size."""
    found = Dataset.objects.filter(slug=words[0]).first() if words else None
    if found is None:
        return None
    title = format_html('<a href="{}">{}</a>', reverse("datasets:detail", args=[found.slug]), found.name)
    targets = ", ".join(each.get("name", "") for each in found.targets if isinstance(each, dict))
    size = f"{found.n:,} images of {found.height} x {found.width}"
    return _framed(title, format_html("<p>{}{}</p>", size, f"; targets: {targets}" if targets else ""))


KINDS: dict[str, Show] = {
    "checkpoint": checkpoint,
    "metric": metric,
    "traversal": _picture("traversals"),
    "reconstruction": _picture("reconstructions"),
    "loss": loss,
    "job": job,
    "dataset": dataset,
}
EXAMPLES = (
    ("![[checkpoint {checkpoint}]]", "a checkpoint and its losses"),
    ("![[metric {checkpoint} ufr]]", "a metric of it; a third word names its task, concept or group"),
    ("![[traversal {checkpoint} {group}]]", "its traversal of a factor group"),
    ("![[reconstruction {checkpoint}]]", "its reconstructions"),
    ("![[loss {branch}]]", "the curves of a branch, or of a job by its number"),
    ("![[job {job}]]", "how far a job is"),
    ("![[dataset {dataset}]]", "a dataset"),
)
"""What can be written, and what it shows; the names in braces are filled in from what a note is about."""
