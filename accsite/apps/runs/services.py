"""Keeps the rows of runs as jobs, losses and evaluations change, and the views that people save."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone

from acc.errors import InvalidInput
from accsite.apps.jobs.models import TRAININGS, Job
from accsite.apps.jobs.states import TERMINAL
from accsite.apps.runs.facts import as_row, facts_of
from accsite.apps.runs.models import Column, Run, SavedView, Value

SECONDS_BETWEEN = 10.0
"""How often, at most, the losses of a run are read while it is under way and its state stays what it was."""
AT_ONCE = 200
MOST_VIEWS = 100


def keep(topics: frozenset[str]) -> None:
    """Bring the rows of the runs up to date that these topics are about; within the transaction of the change.

    What measures a checkpoint, or takes that back, touches the topic of the job that made it.
    """
    jobs = _keys(topics, "job")
    if not jobs:
        return
    trainings = Job.objects.filter(kind__in=TRAININGS, branch__isnull=False, pk__in=jobs)
    measured = set(_keys(topics, "evaluations"))
    found = trainings.select_related("branch", "run")
    write([job for job in found if job.branch_id in measured or _is_due(job)])


def _keys(topics: Iterable[str], prefix: str) -> list[int]:
    split = (topic.partition(":") for topic in topics)
    return sorted(int(key) for name, _, key in split if name == prefix and key.isdecimal())


def _is_due(job: Job) -> bool:
    kept: Run | None = getattr(job, "run", None)
    if kept is None or kept.state != job.state or job.state in TERMINAL:
        return True
    return timezone.now() - kept.kept_at > timedelta(seconds=SECONDS_BETWEEN)


@transaction.atomic
def write(jobs: Sequence[Job]) -> None:
    """Write the rows of these trainings as they are now; each works on a branch."""
    if not jobs:
        return
    ids = [job.pk for job in jobs]
    # Two that write the same runs wait for each other, in one order. Then jobs are read: what was read before that
    # may have changed, and the end of a training would be undone here by an evaluation that had seen it running.
    list(Run.objects.select_for_update().filter(job__in=ids).order_by("job").values_list("job"))
    jobs = list(Job.objects.filter(pk__in=ids).select_related("branch").order_by("pk"))
    now = timezone.now()
    rows = [_row(job, now) for job in jobs]
    fields = [field.name for field in Run._meta.concrete_fields if field.name != "job"]
    Run.objects.bulk_create(rows, update_conflicts=True, unique_fields=["job"], update_fields=fields)
    facts = facts_of(jobs)
    columns = _columns(jobs, facts)
    wanted = {
        (job, columns[name].pk): as_row(fact) for job, found in facts.items() for name, fact in found.items()
    }
    kept = {(row.run_id, row.column_id): row for row in Value.objects.filter(run__in=ids)}
    Value.objects.filter(pk__in=[row.pk for place, row in kept.items() if place not in wanted]).delete()
    changed = []
    for place, row in kept.items():
        if place in wanted and wanted[place] != (row.number, row.text):
            row.number, row.text = wanted[place]
            changed.append(row)
    Value.objects.bulk_update(changed, ["number", "text"], batch_size=AT_ONCE)
    new = ((place, told) for place, told in wanted.items() if place not in kept)
    Value.objects.bulk_create(
        [
            Value(run_id=run, column_id=column, number=number, text=text)
            for (run, column), (number, text) in new
        ],
        batch_size=1000,
        ignore_conflicts=True,  # of two that write the same run for the first time, the later one changes nothing
    )


def _row(job: Job, now: Any) -> Run:
    assert job.branch is not None
    end = job.finished_at or (now if job.started_at else None)
    return Run(
        job_id=job.pk,
        experiment_id=job.branch.experiment_id,
        branch_id=job.branch.pk,
        created_by_id=job.created_by_id,
        kind=job.kind,
        state=job.state,
        step=job.step,
        total_steps=job.total_steps,
        seconds=(end - job.started_at).total_seconds() if end and job.started_at else None,
        created_at=job.created_at,
        started_at=job.started_at,
        finished_at=job.finished_at,
        kept_at=now,
    )


def _columns(jobs: Sequence[Job], facts: dict[int, dict[str, Any]]) -> dict[str, Column]:
    """Return the columns that these runs have, by name; new ones are made, and told of their experiments."""
    numbers = {name for found in facts.values() for name, fact in found.items() if not isinstance(fact, str)}
    names = {name for found in facts.values() for name in found}
    columns = _named(names)
    missing = sorted(names - columns.keys())
    if missing:
        made = [Column(name=name, is_number=name in numbers) for name in missing]
        Column.objects.bulk_create(made, ignore_conflicts=True)
        columns = _named(names)
    turned = [column.pk for name, column in columns.items() if name in numbers and not column.is_number]
    if turned:
        Column.objects.filter(pk__in=turned).update(is_number=True)
    experiments = {job.pk: job.branch.experiment_id for job in jobs if job.branch}
    uses = {(columns[name].pk, experiments[job]) for job, found in facts.items() for name in found}
    through = Column.experiments.through
    known = through.objects.filter(experiment__in=set(experiments.values()))
    new = uses - set(known.values_list("column_id", "experiment_id"))
    through.objects.bulk_create(
        [through(column_id=column, experiment_id=experiment) for column, experiment in sorted(new)],
        ignore_conflicts=True,
    )
    return columns


def _named(names: Collection[str]) -> dict[str, Column]:
    return {column.name: column for column in Column.objects.filter(name__in=names)}


def write_all(*, missing: bool = False) -> int:
    """Write the rows of all trainings there are, or of those that have none yet, and return how many."""
    trainings = Job.objects.filter(kind__in=TRAININGS, branch__isnull=False).order_by("pk")
    trainings = trainings.filter(run=None) if missing else trainings
    done, last = 0, 0
    while batch := list(trainings.filter(pk__gt=last).select_related("branch")[:AT_ONCE]):
        write(batch)
        done, last = done + len(batch), batch[-1].pk
    return done


def save_view(*, owner: Any, name: str, query: str) -> SavedView:
    """Return the view of that name, made or changed; raises InvalidInput (name)."""
    name = " ".join(name.split())
    if not name or len(name) > 80:
        raise InvalidInput({"name": "give the view a name of 1 to 80 characters"})
    own = SavedView.objects.filter(owner=owner)
    if own.count() >= MOST_VIEWS and not own.filter(name=name).exists():
        raise InvalidInput({"name": f"you have {MOST_VIEWS} saved views; delete one first"})
    try:
        with transaction.atomic():
            return SavedView.objects.update_or_create(owner=owner, name=name, defaults={"query": query})[0]
    except IntegrityError:  # saved twice at once
        return SavedView.objects.get(Q(owner=owner) & Q(name=name))


def delete_view(view: SavedView) -> None:
    """Forget a saved view."""
    view.delete()
