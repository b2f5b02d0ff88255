"""Takes in the journals of loops that are not ACC's own: their runs, points, checkpoints, alarms and ends.

All may be sent again: a run is known by the digest of its first record, and what came in by how many records that were
and the digest of the last.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from django.core.files.storage import default_storage
from django.db import transaction
from django.db.models import F
from django.utils import timezone
from numpy.typing import NDArray

from acc import journal, wire
from acc.errors import CheckpointError, InvalidInput
from acc.expansion import STAGES
from acc.hashes import file_sha256
from acc.journal import DamagedJournal, Points, Record
from acc.messages import PointsHeader, checked
from acc.names import clean_name
from acc.specs import TrainJobSpec
from acc.text import DETAIL_CHARS, clean, clean_data
from acc.training.checkpoints.header import METADATA_KEY, WEIGHTS_KEY, read_header, read_metadata
from acc.training.losses import series
from accsite import blobs
from accsite.api.lookup import MOST
from accsite.apps.access.permissions import may_change
from accsite.apps.jobs.models import Job, JobKind
from accsite.apps.jobs.services import leases, lifecycle
from accsite.apps.jobs.services.queueing import note
from accsite.apps.jobs.services.unit import announce, touch, unit_of_work
from accsite.apps.jobs.states import HELD, JobState
from accsite.apps.live import frames
from accsite.apps.registry import approval
from accsite.apps.registry.models import Plugin, PluginKind
from accsite.apps.training import blocks
from accsite.apps.training.models import Branch, Checkpoint, CheckpointKind, Experiment, LossBlock, TrackedRun
from accsite.apps.training.selectors.jobs import seen_experiments
from accsite.apps.training.selectors.loss import last_losses, loss_history
from accsite.apps.training.services import checkpoints
from accsite.apps.training.services.code import naming_code
from accsite.apps.training.services.experiments import free_branch_slug, new_experiment
from accsite.apps.training.services.locks import lock_experiment
from accsite.apps.training.services.points import rate
from accsite.errors import WrongState

ATTEMPT = 1
"""A loop has its job once: nobody else can claim it."""
FRAME_STEPS = 65_536
ROWS_AT_ONCE = 500
"""Rows that one query names: databases take no more than some thousands."""
MOST_ALARMS = 1_000
"""Of a run; what comes beyond is not kept, and an alarm says so."""
MOST_CHECKPOINTS = 1_000
"""Of a run, those that were deleted and may be restored among them."""
MOST_WAITING = 16
"""Files of weights of a run whose records have not come yet."""
WAITING_KEPT = timedelta(days=1)
"""How long a file of weights waits for the record that names it; a sender that tries again sends it again."""
TOTALS = ("total", "loss")
"""A series called so is also the total that lists and trees show, the first of them that a run has."""
OWN = "its loop tells what it does"
CUT = "its loop ended without saying how"


@unit_of_work()
def begin(*, actor: Any, told: Mapping[str, Any]) -> TrackedRun:
    """Return the run that begins so, made if it is not known yet, with its experiment and branch where they are not.

    told: the first record of its journal, with ``digest`` and whether its loop is at it (``live``). Raises InvalidInput
    naming each wrong field, also for an experiment that the user may not change.
    """
    first = _clean_beginning(told)
    known = _known(actor, first)
    if known is not None:
        return known
    experiment, branch = _place(actor, *first["branch"].split("/"))
    known = _known(actor, first)  # another sender may have begun it before the experiment was locked
    if known is not None:
        return known
    live, began = first["live"], datetime.fromtimestamp(first["wall"], UTC)
    job = Job.objects.create(
        kind=JobKind.TRACK,
        queue="",
        state=JobState.RUNNING if live else JobState.LOST,
        attempt=ATTEMPT,
        title=f"Track {experiment.slug}/{branch.slug}: {first['run']}",
        branch=branch,
        spec={name: first[name] for name in ("run", "host", "version", "config")},
        total_steps=first["steps"] or 0,
        lease_expires_at=leases.end() if live else None,
        message=OWN if live else CUT,
        created_by=actor,
        started_at=min(began, timezone.now()),
        finished_at=None if live else timezone.now(),
    )
    note(job.pk, "state", {"state": job.state, "attempt": ATTEMPT}, job.message, 0)
    announce(job)
    return TrackedRun.objects.create(
        job=job, name=first["run"], beginning=first["digest"], digest=first["digest"]
    )


def _known(actor: Any, first: Mapping[str, Any]) -> TrackedRun | None:
    rows = TrackedRun.objects.select_related("job__branch__experiment")
    known = rows.filter(beginning=first["digest"]).first()
    if known is not None and (known.job.branch is None or not _may_change(actor, known.job.branch)):
        raise InvalidInput(branch=f"{first['branch']!r} has this run already, and you may not change it")
    return known


@unit_of_work()
def take(*, actor: Any, job_id: int, first: int, data: bytes, live: bool) -> TrackedRun:
    """Return the run with the records in ``data`` taken in, the first of which is number ``first`` of its journal.

    Those that have come in before are passed over. live: its loop is at it, which keeps it running for a lease, and an
    empty ``data`` says only that. Raises WrongState when records before them are missing or are others than those that
    came in, InvalidInput(blocks) for what is no journal; then nothing is taken.
    """
    tracked = find(actor, job_id, lock=True)
    job = tracked.job
    records = _new_records(tracked, first, data)
    taker = _Taker(actor, job, tracked)
    try:
        for record in records:
            taker.take(record, live)
        taker.write()
    except DamagedJournal as error:
        raise InvalidInput(blocks=str(error)) from None
    if records:
        tracked.taken, tracked.digest = tracked.taken + len(records), records[-1].digest.hex()
        tracked.save(update_fields=["taken", "digest", "series", "weights"])
    if live and not taker.ended and job.state in {JobState.LOST, *_GOES_ON}:
        lifecycle.go_on(job.pk, ATTEMPT)
    if live:
        lifecycle.renew(job.pk, ATTEMPT)
    tracked.job.refresh_from_db()
    return tracked


def keep_weights(*, actor: Any, job_id: int, path: Path, sha256: str) -> None:
    """Keep a file of weights, which a record of a checkpoint will name; raises InvalidInput for another file."""
    _check_room(find(actor, job_id), sha256)
    found = file_sha256(path)  # before anything is locked: it may be large
    if found != sha256:
        raise InvalidInput(sha256=f"the file that came is {found}, not {sha256!r}; send it again")
    _spec_of(path)
    _keep_file(actor, job_id, path, sha256)


@unit_of_work()
def _keep_file(actor: Any, job_id: int, path: Path, sha256: str) -> None:
    tracked = find(actor, job_id, lock=True)
    _check_room(tracked, sha256)
    _keep_code(path, actor)
    checkpoints.store(path, sha256)
    if sha256 not in tracked.weights:
        tracked.weights = [*tracked.weights, sha256]
        tracked.save(update_fields=["weights"])


def _check_room(tracked: TrackedRun, sha256: str) -> None:
    """Raise InvalidInput (file) for weights that are one too many for their run."""
    if sha256 in tracked.weights:
        return
    if len(tracked.weights) >= MOST_WAITING:
        raise InvalidInput(
            file=f"{MOST_WAITING} files of weights of this run wait for the records of their checkpoints; send these"
        )
    if Checkpoint.everything.filter(job=tracked.job_id).count() + len(tracked.weights) >= MOST_CHECKPOINTS:
        raise InvalidInput(
            file=f"a run has at most {MOST_CHECKPOINTS:,} checkpoints; save fewer, or begin another run"
        )


def purge() -> list[str]:
    """Delete the weights whose record has not come within a day; return their names in storage."""
    gone: list[str] = []
    due = timezone.now() - WAITING_KEPT
    for pk in TrackedRun.objects.exclude(weights=[]).values_list("pk", flat=True):
        gone += _purge_waiting(pk, due)
    return gone


@unit_of_work()
def _purge_waiting(pk: int, due: datetime) -> list[str]:
    """Forget the weights of one run that came before ``due``, its row locked as by who takes its records in."""
    Branch.objects.select_for_update(no_key=True).filter(jobs__tracked=pk).first()
    tracked = TrackedRun.objects.select_for_update(of=("self",)).filter(pk=pk).first()
    if tracked is None:
        return []
    names = {sha256: blobs.name_of(checkpoints.FOLDER, sha256) for sha256 in tracked.weights}
    late = [
        sha256
        for sha256, name in names.items()
        if not default_storage.exists(name) or default_storage.get_modified_time(name) < due
    ]
    if late:
        tracked.weights = [sha256 for sha256 in tracked.weights if sha256 not in late]
        tracked.save(update_fields=["weights"])
    for sha256 in late:
        drop_weights(sha256)
    return [names[sha256] for sha256 in late]


def drop_weights(sha256: str) -> None:
    """Delete a file of weights, once this is committed, unless a checkpoint needs it or a run waits for its record."""
    waiting = TrackedRun.objects.exclude(weights=[]).values_list("weights", flat=True)
    if not any(sha256 in each for each in waiting):
        name = blobs.name_of(checkpoints.FOLDER, sha256)
        transaction.on_commit(partial(checkpoints.delete_unused, name), robust=True)


def named(actor: Any, name: str) -> TrackedRun | None:
    """Return the first run that is called so, of those that ``actor`` may change; None: a shell, which may all."""
    rows = TrackedRun.objects.select_related("job__branch__experiment").filter(name=name)
    if actor is not None:
        rows = rows.filter(job__branch__experiment__in=Experiment.objects.changeable_by(actor))
    return rows.order_by("pk").first()


def _may_change(actor: Any, thing: Any) -> bool:
    """Return whether ``actor`` may change something; None, a shell, may."""
    return actor is None or may_change(actor, thing)


def find(actor: Any, job_id: int, *, lock: bool = False) -> TrackedRun:
    """Return the run of a job that ``actor`` may change; raises InvalidInput(job). lock: its row, to the end."""
    if job_id > MOST:
        raise InvalidInput(job=f"{job_id} is no run of a loop that you may use")
    rows = TrackedRun.objects.select_related("job__branch__experiment")
    if lock:  # the branch before what hangs on it, as everywhere
        Branch.objects.select_for_update(no_key=True).filter(jobs=job_id).first()
    found = (rows.select_for_update(of=("self",)) if lock else rows).filter(job=job_id).first()
    if found is None or found.job.branch is None or not _may_change(actor, found.job.branch):
        raise InvalidInput(job=f"job {job_id} is no run of a loop that you may use")
    return found


class _Taker:
    """Takes records in, one after another; points are gathered and written together."""

    def __init__(self, actor: Any, job: Job, tracked: TrackedRun) -> None:
        self.actor, self.job, self.tracked = actor, job, tracked
        self.ended = False
        self._points: list[Points] = []
        self._alarms: int | None = None  # that the run has; None before they were counted

    def take(self, record: Record, live: bool) -> None:
        if record.says == "points":
            self._points.append(journal.points_of(record))
            return
        self.write()
        if record.says == "alarm":
            step, message = _whole(record, "step"), clean(str(record.header.get("message", "")))
            about = _about(record)
            self._alarm("note", series.raw(about) if about else "", step, message)
        elif record.says == "checkpoint":
            self._checkpoint(record)
        elif record.says == "end":
            self._end(record)
            self.ended = True
            return
        self.ended = self.ended and not live

    def write(self) -> None:
        """Write the points gathered so far, and tell open pages of them."""
        if not self._points:
            return
        several, self._points, self.ended = self._points, [], False
        names = [name for points in several for name in points.series]
        more = [name for name in dict.fromkeys(names) if name not in self.tracked.series]
        if len(self.tracked.series) + len(more) > journal.MOST_SERIES:
            raise DamagedJournal(f"a run has at most {journal.MOST_SERIES} series, this one names more")
        self.tracked.series = [*self.tracked.series, *more]
        if more:
            announce(self.job)
        self._not_numbers(several)
        merge(self.job, several, total=next((name for name in TOTALS if name in self.tracked.series), None))

    def _not_numbers(self, several: Sequence[Points]) -> None:
        """Tell once of each series that a value of it was no number: it has no place on a chart."""
        found: dict[str, int] = {}
        for points in several:
            for name, values in zip(points.series, points.values, strict=True):
                wrong = np.flatnonzero(~np.isfinite(values))
                if wrong.size and name not in found:
                    found[name] = int(points.steps[wrong[0]])
        told = (
            set(self.job.events.filter(kind="alarm").values_list("payload__series", flat=True))
            if found
            else set()
        )
        for name, step in found.items():
            if series.raw(name) not in told:
                self._alarm("nan", series.raw(name), step, f"{name} is no finite number at step {step}")

    def _alarm(self, kind: str, about: str, step: int, message: str) -> None:
        """Keep an alarm; of more than MOST_ALARMS only that there were more."""
        if self._alarms is None:
            self._alarms = self.job.events.filter(kind="alarm").count()
        self._alarms += 1
        if self._alarms == MOST_ALARMS + 1:
            kind, about = "note", ""
            message = f"more alarms came than the {MOST_ALARMS:,} that are kept of a run; this is the last"
        elif self._alarms > MOST_ALARMS:
            return
        event = note(self.job.pk, "alarm", {"alarm": kind, "series": about}, message, step)
        announce(event.job)

    def _checkpoint(self, record: Record) -> None:
        step, sha256 = _whole(record, "step"), str(record.header.get("sha256", ""))
        name = blobs.name_of(checkpoints.FOLDER, sha256)
        if sha256 not in self.tracked.weights or not default_storage.exists(name):
            self._alarm(
                "autosave",
                "",
                step,
                f"the weights of step {step} did not come: their file was gone, or refused",
            )
            return
        assert self.job.branch is not None
        branch, path = self.job.branch, blobs.open_local(name, sha256)
        spec, why = _spec_of(path)
        self.tracked.weights = [each for each in self.tracked.weights if each != sha256]
        before = Checkpoint.objects.filter(job=self.job).order_by("-job_step", "-id").first()
        Checkpoint.objects.create(
            experiment_id=branch.experiment_id,
            branch=branch,
            parent=before,
            job=self.job,
            kind=CheckpointKind.MANUAL,
            step=step,
            job_step=step,
            file=name,
            sha256=sha256,
            size_bytes=path.stat().st_size,
            losses={name: loss for name, loss in last_losses(self.job).items() if np.isfinite(loss)},
            spec=spec,
            note=why,
            created_by=self.actor,
        )
        if "model" in spec:  # of an experiment that was made for a loop, its first model is the one
            Experiment.objects.filter(pk=branch.experiment_id, model_spec={}).update(model_spec=spec["model"])
        touch("experiments", f"checkpoints:{branch.experiment_id}")
        announce(self.job)

    def _end(self, record: Record) -> None:
        state = record.header.get("state")
        if state not in journal.ENDS:
            raise DamagedJournal(f"a run ended {state!r}; it can end {', '.join(journal.ENDS)}")
        self.job.refresh_from_db(fields=["state"])
        if self.job.state not in HELD and not lifecycle.go_on(self.job.pk, ATTEMPT):
            return
        message, pk = clean(str(record.header.get("message", ""))), self.job.pk
        if state == JobState.FAILED:
            detail = clean(str(record.header.get("detail", "")), DETAIL_CHARS)
            lifecycle.fail(pk, ATTEMPT, message or "its loop failed", detail)
        elif state == JobState.CANCELLED:
            lifecycle.cancelled(pk, ATTEMPT, message=message or "its loop was stopped")
        else:
            lifecycle.finish(pk, ATTEMPT, message=message)
        wall = record.header.get("wall")
        if isinstance(wall, int | float) and 0 <= wall < timezone.now().timestamp():
            Job.objects.filter(pk=pk).update(finished_at=datetime.fromtimestamp(wall, UTC))
        self.job.refresh_from_db()


_GOES_ON = (JobState.FAILED, JobState.CANCELLED)


def merge(job: Job, several: Sequence[Points], *, total: str | None) -> None:
    """Write points of any steps into the blocks of a job; of a series at a step, the one that comes last counts.

    A row holds what there is of one multiple of CHUNK_STEPS; where nothing was told there is no row. total: the series
    that is kept as the job's total, too.
    """
    steps = np.concatenate([points.steps for points in several])
    parts = _by_chunk(several, total)
    wanted = list(parts)
    job.refresh_from_db(fields=["step", "points_seq", "points_wall", "steps_per_second", "total_steps"])
    there: dict[int, LossBlock] = {}
    if wanted[0] * blocks.CHUNK_STEPS < job.step:
        begin, end = wanted[0] * blocks.CHUNK_STEPS, (wanted[-1] + 1) * blocks.CHUNK_STEPS
        rows = LossBlock.objects.filter(job=job, start__gte=begin, start__lt=end)
        if len(wanted) <= ROWS_AT_ONCE:  # what lies between two that are far apart need not be read
            rows = rows.annotate(chunk=F("start") / blocks.CHUNK_STEPS).filter(chunk__in=wanted)
        there = {row.start // blocks.CHUNK_STEPS: row for row in rows}
    gone = [row.pk for chunk, row in there.items() if chunk in parts]
    made = [_chunk(part, there.get(chunk)) for chunk, part in parts.items()]
    job.points_seq += 1
    begin, end = int(steps.min()), int(steps.max())
    newest = blocks.Steps(begin, (), np.empty((0, len(steps)), "<f4"), _clock_of(several))
    job.steps_per_second = rate(job, newest) if begin >= job.step else job.steps_per_second
    first_new = min(begin, job.step)
    job.step, job.points_wall = max(job.step, end + 1), max(job.points_wall or 0, several[-1].wall[1])
    for place in range(0, len(gone), ROWS_AT_ONCE):
        LossBlock.objects.filter(pk__in=gone[place : place + ROWS_AT_ONCE]).delete()
    LossBlock.objects.bulk_create(
        LossBlock(job=job, attempt=ATTEMPT, seq=job.points_seq, **blocks.fields(each)) for each in made
    )
    job.save(update_fields=["step", "points_seq", "points_wall", "steps_per_second"])
    _tell(job, first_new, several)


def _tell(job: Job, begin: int, several: Sequence[Points]) -> None:
    """Send open pages what is new, once it is committed; one that has missed something asks for it."""
    begin = max(begin, job.step - FRAME_STEPS)
    _, columns = found = loss_history(job, start=begin)
    header = PointsHeader(
        job=job.pk,
        attempt=ATTEMPT,
        seq=job.points_seq,
        start=begin,
        wall=(several[0].wall[0], several[-1].wall[1]),
        series=list(found[0]["series"]),
        step=job.step,
        total=job.total_steps,
        rate=job.steps_per_second,
    )
    frame = wire.encode(checked(PointsHeader, header), columns)
    transaction.on_commit(partial(frames.publish, job.pk, frame), robust=True)


_Part = tuple[list[tuple[str, int]], Points, NDArray[np.intp]]
"""(series of the site, row) of points, these, and which of them lie in a chunk, as they came."""


def _by_chunk(several: Sequence[Points], total: str | None) -> dict[int, list[_Part]]:
    """Return points by the number of their chunk, rising; each is looked at once, however far apart they are."""
    found: dict[int, list[_Part]] = {}
    for points in several:
        chunks = points.steps // blocks.CHUNK_STEPS
        order = np.argsort(chunks, kind="stable")
        numbers, firsts = np.unique(chunks[order], return_index=True)
        names = _series_of(points, total)
        for number, inside in zip(numbers.tolist(), np.split(order, firsts[1:]), strict=True):
            found.setdefault(number, []).append((names, points, inside))
    return dict(sorted(found.items()))


def _series_of(points: Points, total: str | None) -> list[tuple[str, int]]:
    """Return (series of the site, row) of points: each is a raw loss, and one of them the total besides."""
    found = [(series.raw(name), row) for row, name in enumerate(points.series)]
    return [*found, *((series.TOTAL, row) for row, name in enumerate(points.series) if name == total)]


def _chunk(parts: Sequence[_Part], old: LossBlock | None) -> blocks.Steps:
    """Return the steps of one row: what it had, and over it what came, in its order."""
    known = blocks.load(old.start, old.series, old.values, old.clock) if old else None
    names = blocks.union(
        [*([known.series] if known else []), *((name for name, _ in part[0]) for part in parts)]
    )
    lows = [int(points.steps[inside].min()) for _, points, inside in parts]
    highs = [int(points.steps[inside].max()) for _, points, inside in parts]
    start = min([*lows, *([known.start] if known else [])])
    stop = max([*highs, *([known.stop - 1] if known else [])]) + 1
    values = np.full((len(names), stop - start), np.nan, "<f4")
    place = {name: row for row, name in enumerate(names)}
    knots: dict[int, float] = {}
    if known:
        values[[place[name] for name in known.series], known.start - start : known.stop - start] = (
            known.values
        )
        knots = {int(step): float(wall) for step, wall in known.clock}
    for found, points, inside in parts:
        at = points.steps[inside] - start
        for name, row in found:
            values[place[name], at] = points.values[row, inside]
        begun, ended = points.wall
        each = (ended - begun) / max(1, len(points.steps) - 1)
        for end in {int(at.argmin()), int(at.argmax())}:
            knots[int(at[end]) + start] = begun + each * int(inside[end])
    clock = np.asarray(sorted(knots.items()), "<f8")
    clock[:, 1] = np.maximum.accumulate(clock[:, 1])
    return blocks.Steps(start, names, values, clock)


def _clock_of(several: Sequence[Points]) -> NDArray[np.float64]:
    return np.asarray(
        [(several[0].steps[0], several[0].wall[0]), (several[-1].steps[-1], several[-1].wall[1])], "<f8"
    )


def _new_records(tracked: TrackedRun, first: int, data: bytes) -> list[Record]:
    """Return the records that have not come in yet, held against those that have."""
    if first > tracked.taken:
        raise WrongState(
            first=f"record {first} came, but record {tracked.taken} is the next that is missing here; send from there"
        )
    if first < 1:
        raise InvalidInput(
            first=f"{first} is not a record that can be sent; the first of a run is sent as its beginning"
        )
    before = bytes.fromhex(tracked.digest) if first == tracked.taken else None
    try:
        records = list(journal.read(io.BytesIO(data), before))
    except DamagedJournal as error:
        if before is not None and _is_whole(data):
            raise _another(tracked) from None
        raise InvalidInput(blocks=str(error)) from None
    if sum(record.size for record in records) != len(data):
        raise InvalidInput(blocks=f"they end within record {first + len(records)}; send whole records")
    passed = tracked.taken - first
    if 0 < passed <= len(records) and records[passed - 1].digest.hex() != tracked.digest:
        raise _another(tracked)
    if any(record.says == "begin" for record in records):
        raise InvalidInput(blocks="a run begins once")
    return records[passed:]


def _is_whole(data: bytes) -> bool:
    try:
        return bool(list(journal.read(io.BytesIO(data), None)))
    except DamagedJournal:
        return False


def _another(tracked: TrackedRun) -> WrongState:
    return WrongState(
        first=f"what came in of run {tracked.name!r} up to record {tracked.taken - 1} is not what the file has there; "
        "two copies of it were written"
    )


def _place(actor: Any, experiment_name: str, branch_name: str) -> tuple[Experiment, Branch]:
    """Return experiment and branch by address or name, made where there is none that ``actor`` sees."""
    seen = seen_experiments(actor)
    experiment = _named(seen, experiment_name)
    if experiment is None:
        try:
            experiment = new_experiment(actor, experiment_name, model_spec={})
        except InvalidInput:
            experiment = _named(seen, experiment_name)  # made by another loop at this very moment
            if experiment is None:
                raise
        touch("experiments", f"checkpoints:{experiment.pk}")
    if not _may_change(actor, experiment):
        raise InvalidInput(
            branch=f"{experiment_name!r} is an experiment that you may not change; name another"
        )
    lock_experiment(experiment.pk)
    branch = _named(experiment.branches.all(), branch_name)
    if branch is None:
        name, slug = free_branch_slug(experiment, branch_name, field="branch")
        branch = Branch.objects.create(experiment=experiment, name=name, slug=slug, created_by=actor)
        touch("experiments", f"checkpoints:{experiment.pk}", f"tasks:{branch.pk}")
    return experiment, branch


def _named(rows: Any, name: str) -> Any:
    return rows.filter(slug=name).first() or rows.filter(name__iexact=name).first()


def _spec_of(path: Path) -> tuple[dict[str, Any], str]:
    """Return the specification of a file of weights, and if so why it cannot be measured here; raises InvalidInput."""
    try:
        told = read_metadata(path)
        header = read_header(path) if METADATA_KEY in told else None
    except CheckpointError as error:
        raise InvalidInput(file=str(error)) from None
    if header is None:
        name = _class_of(told)
        return {"weights": {"class": name}}, _alone(name)
    model = header.spec.model
    known = Plugin.objects.filter(kind=PluginKind.MODEL, name=model.architecture, available=True).exists()
    if model.architecture not in STAGES and not (known and model.architecture in header.plugins):
        return {"weights": {"class": model.architecture}}, _alone(model.architecture, known=known)
    spec = TrainJobSpec(model=model, tasks=(), datasets={}, train=header.spec.train)
    # What the file carries is run when it is measured, once it may run here: see ``require_code``.
    kept = naming_code(spec.model_dump(mode="json"), header.plugins)
    if clean_data(kept) != kept:
        raise InvalidInput(file="the specification of its model holds a text that cannot be kept")
    return kept, ""


def _keep_code(path: Path, actor: Any) -> None:
    """Keep the plugin sources that a file of weights carries; none runs that this server's disk has not provided."""
    if METADATA_KEY in read_metadata(path):
        origin = f"came with weights that {actor} tracked"
        for each in read_header(path).plugins.values():
            approval.keep(sha256=each["sha256"], path=each["path"], text=each["source"], origin=origin)


def _alone(name: str, *, known: bool = False) -> str:
    what = f"of {name}, which is no model plugin of this site" if name else "without the class of their model"
    if known:
        what = f"of {name}, without the source of that class"
    return f"weights alone, {what}: they can be downloaded, but not be measured, drawn or trained on"


def _class_of(told: Mapping[str, str]) -> str:
    try:
        return clean(str(json.loads(told.get(WEIGHTS_KEY, "{}"))["class"]), 120)
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""


def _clean_beginning(told: Mapping[str, Any]) -> dict[str, Any]:
    """Return the first record of a run as it is kept; raises InvalidInput naming each wrong field."""
    errors: dict[str, str] = {}
    found: dict[str, Any] = {}
    parts = str(told.get("branch", "")).split("/")
    if len(parts) != 2:
        errors["branch"] = f"{told.get('branch')!r} is not of the form experiment/branch"
    else:
        found["branch"] = "/".join(clean_name(part, field="branch") for part in parts)
    rules: dict[str, tuple[bool, str]] = {
        "run": (
            bool(re.fullmatch(r"[\w.-]{1,64}", str(told.get("run", "")), re.ASCII)),
            "1 to 64 letters, digits, -, _ or .",
        ),
        "digest": (bool(re.fullmatch(r"[0-9a-f]{64}", str(told.get("digest", "")))), "64 hex digits"),
        "format": (
            told.get("format") == journal.FORMAT,
            f"{journal.FORMAT}: bring ACC up to date there or here",
        ),
        "config": (isinstance(told.get("config"), Mapping), "an object"),
        "live": (isinstance(told.get("live"), bool), "true or false"),
        "wall": (_is_number(told.get("wall"), journal.MOST_WALL), "seconds since the epoch"),
        "steps": (
            told.get("steps") is None or _is_number(told["steps"], journal.MOST_STEP),
            "a number of steps, or null",
        ),
    }
    for name, (right, what) in rules.items():
        if not right:
            errors[name] = f"{told.get(name)!r} is refused; it is {what}"
    if errors:
        raise InvalidInput(errors)
    found |= {name: told[name] for name in ("run", "digest", "live", "wall")}
    found["config"] = clean_data(dict(told["config"]))
    found["steps"] = None if told.get("steps") is None else int(told["steps"])
    return found | {name: clean(str(told.get(name, "")), 120) for name in ("host", "version")}


def _is_number(value: Any, most: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= most


def _about(record: Record) -> str:
    """Return the series that an alarm is about, '' for none; raises DamagedJournal for what is no name of one."""
    name = record.header.get("series", "")
    if name != "" and (fault := journal.name_fault(name)):
        raise DamagedJournal(fault)
    return str(name)


def _whole(record: Record, field: str) -> int:
    value = record.header.get(field)
    if type(value) is not int or not 0 <= value <= journal.MOST_STEP:
        raise DamagedJournal(
            f"a record of kind {record.says!r} has {field} {value!r}; it is from 0 to {journal.MOST_STEP:,}"
        )
    return value
