"""Reads loss points: whole, in part, or as min/max/mean envelopes in which no spike is lost."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from django.db.models import Case, F, Q, TextField, When, Window
from django.db.models.functions import Cast, RowNumber
from numpy.typing import NDArray

from acc.errors import InvalidInput
from acc.messages import LossHistoryHeader, checked
from acc.training.losses.health import far_above
from accsite.apps.jobs.models import Job
from accsite.apps.training import blocks
from accsite.apps.training.models import LossBlock

MAX_CLOCK_KNOTS = 512
DIVERGENCE_LOOKS = 64
MOST_VALUES = 2**27
"""Values that are read at once, 512 MiB: a loop of one's own may tell steps that lie as far apart as it likes."""
LAST_BLOCKS = 8
"""How many of a job's newest blocks are searched for the last value of a series."""


def loss_history(
    job: Job,
    *,
    after: int | None = None,
    start: int | None = None,
    stop: int | None = None,
    points: int | None = None,
    series: Collection[str] | None = None,
    clock: bool = False,
) -> tuple[LossHistoryHeader, NDArray[np.float32]]:
    """Return header and columns, ready for ``acc.wire.encode``, of the steps in ``[start, stop)``.

    after: only steps behind this one. points: the most columns wanted. If there are more steps, the answer is
    an envelope: three rows (min, max, mean) a series and one column a bucket of ``header['bucket']`` steps, a
    power of two; column i covers steps ``start + i*bucket`` to ``start + (i+1)*bucket - 1`` as far as they
    lie in the range; NaN in all three where no step of it has a value. ``header['last']`` of an envelope: series ->
    [step, value], the newest of the job as it was measured. Otherwise one row a series and one column a step, NaN
    where there is no value. series: the names wanted, all by default; one without a value in the range is left out, as
    ``header['series']`` says. ``clock`` adds ``header['clock']``: [[step, ...], [seconds since the epoch, ...]],
    linear in between. Raises InvalidInput (points) for more than MOST_VALUES.
    """
    head = Job.objects.values("attempt", "step", "points_seq", "total_steps").get(pk=job.pk)
    begin = max(start or 0, 0 if after is None else after + 1, 0)
    end = head["step"] if stop is None else min(stop, head["step"])
    begin = min(begin, end)
    bucket = bucket_steps(begin, end, points)
    rows = list(_rows(job.pk, begin, end, bucket)) if end > begin else []
    names = blocks.union(dict.fromkeys(row.series for row in rows))
    if series is not None:
        names = tuple(name for name in names if name in series)
    header: LossHistoryHeader = {
        "job": job.pk,
        "attempt": head["attempt"],
        "seq": head["points_seq"],
        "step": head["step"],
        "total": head["total_steps"],
        "kind": "raw" if bucket == 1 else "envelope",
        "start": begin // bucket * bucket,
        "stop": end,
        "series": list(names),
        "bucket": bucket,
    }
    width = -(-end // bucket) - begin // bucket
    if width * len(names) > MOST_VALUES:
        raise InvalidInput(
            points=f"{width:,} steps of {len(names)} series are more than is read at once; "
            "ask for fewer points (points=2000), a part (from=, to=), or some series"
        )
    if bucket == 1:
        columns = _raw(rows, names, begin, end)
    else:
        columns = _envelope(rows, names, begin, end, bucket)
        header["last"] = {
            name: last
            for name, last in last_points(job).items()
            if math.isfinite(last[1]) and (series is None or name in series)
        }
    if clock:
        header["clock"] = _clock(rows, begin, end)
    return checked(LossHistoryHeader, header), columns


def diverged(job: Job) -> bool:
    """Return whether a loss that raised an alarm of divergence is still far above the best that it had reached.

    Far: as the alarm means it (``acc.training.losses.alarms``), by the means of windows of the job's steps.
    """
    alarms = job.events.filter(kind="alarm", payload__alarm="divergence")
    named = {payload.get("series", "") for payload in alarms.values_list("payload", flat=True)}
    if not named:
        return False
    header, columns = loss_history(job, points=DIVERGENCE_LOOKS)
    statistics = 1 if header["kind"] == "raw" else 3
    for place, name in enumerate(header["series"]):
        means = columns[place * statistics + statistics - 1]
        means = means[np.isfinite(means)].astype(np.float64)
        if name in named and len(means):
            best = float(means.min())
            if float(means[-1]) > best + far_above(float(means[0]), best):
                return True
    return False


def loss_means(jobs: Collection[int], name: str, bucket: int, stop: int) -> dict[int, NDArray[np.float64]]:
    """Return by job the mean of a series in each bucket of steps before ``stop``, by one query for them all.

    bucket: a power of two. Each (ceil(stop / bucket),), NaN where there is no finite value; a job without any is left
    out. Values are read only of rows that lie in more than one bucket.
    """
    count = -(-stop // bucket)
    sums: dict[int, NDArray[np.float64]] = defaultdict(lambda: np.zeros(count))
    counts: dict[int, NDArray[np.float64]] = defaultdict(lambda: np.zeros(count))
    rows = LossBlock.objects.filter(job__in=jobs, start__lt=stop).order_by()
    rows = rows.annotate(inside=F("start") % bucket + F("count"), names=Cast("series", TextField()))
    rows = rows.annotate(needed=Case(When(inside__gt=bucket, then=F("values")), default=None))
    places: dict[str, int | None] = {}
    found = rows.values_list("job_id", "start", "count", "names", "sums", "counts", "needed")
    for job, start, steps, names, summed, counted, needed in found.iterator():
        if names not in places:
            known = json.loads(names)
            places[names] = known.index(name) if name in known else None
        place = places[names]
        if place is None:
            continue
        if needed is None:
            total, n = np.frombuffer(summed, "<f8")[place], np.frombuffer(counted, "<u4")[place]
            if n and np.isfinite(total):
                sums[job][start // bucket] += total
                counts[job][start // bucket] += n
            continue
        values = np.frombuffer(needed, "<f4", steps, 4 * place * steps)
        at = np.arange(start, start + steps) // bucket
        fine = np.isfinite(values) & (at < count)
        sums[job] += np.bincount(at[fine], values[fine], count)
        counts[job] += np.bincount(at[fine], minlength=count)
    with np.errstate(invalid="ignore", divide="ignore"):
        return {job: sums[job] / counts[job] for job in sums}


def last_losses(job: Job) -> dict[str, float]:
    """Return the newest value of each series of the job, from its last hundreds of steps."""
    return {name: value for name, (_, value) in last_points(job).items()}


def last_points(job: Job) -> dict[str, tuple[int, float]]:
    """Return step and value of the newest point of each series of the job, from its last hundreds of steps."""
    return _last(LossBlock.objects.filter(job_id=job.pk).order_by("-start")[:LAST_BLOCKS])


def last_losses_of(jobs: Sequence[Job]) -> dict[int, dict[str, float]]:
    """Return ``last_losses`` by id of job, with two queries for them all."""
    rank = Window(RowNumber(), partition_by=F("job_id"), order_by=F("start").desc())
    blocks_of = LossBlock.objects.filter(job__in=[job.pk for job in jobs]).annotate(rank=rank)
    # Ranked by their ids alone: the values of all other blocks need not be read.
    newest = list(blocks_of.filter(rank__lte=LAST_BLOCKS).values_list("pk", flat=True))
    found: dict[int, list[LossBlock]] = defaultdict(list)
    for row in LossBlock.objects.filter(pk__in=newest).order_by("-start"):
        found[row.job_id].append(row)
    return {job.pk: {name: value for name, (_, value) in _last(found[job.pk]).items()} for job in jobs}


def _last(newest_first: Iterable[LossBlock]) -> dict[str, tuple[int, float]]:
    """Return step and value of the newest point of each series."""
    last: dict[str, tuple[int, float]] = {}
    for row in newest_first:
        values = blocks.load(row.start, row.series, row.values, row.clock).values
        for name, series in zip(row.series, values, strict=True):
            known = np.flatnonzero(~np.isnan(series))
            if name not in last and known.size:
                last[name] = row.start + int(known[-1]), float(series[known[-1]])
    return last


def bucket_steps(start: int, stop: int, points: int | None) -> int:
    """Return the smallest power of two by which ``[start, stop)`` falls into at most ``points`` buckets."""
    if points is None or stop - start <= points:
        return 1
    bucket = 2
    while -(-stop // bucket) - start // bucket > max(points, 1) and bucket < stop:
        bucket *= 2
    return bucket


@dataclass(frozen=True)
class _Row:
    start: int
    count: int
    series: tuple[str, ...]
    minima: bytes
    maxima: bytes
    sums: bytes
    counts: bytes
    clock: bytes
    values: bytes | None


def _rows(job_id: int, start: int, stop: int, bucket: int) -> Iterator[_Row]:
    """Yield the rows that touch the range, ``values`` only of those that lie in no single bucket of it."""
    needs_values = Q(inside__gt=bucket if bucket > 1 else 0) | Q(start__lt=start) | Q(end__gt=stop)
    rows = (
        LossBlock.objects.filter(job_id=job_id, start__lt=stop)
        .annotate(inside=F("start") % bucket + F("count"), end=F("start") + F("count"))
        .filter(end__gt=start)
        .annotate(needed=Case(When(needs_values, then=F("values")), default=None))
        .order_by("start")
    )
    # Old rows are skipped by the index: no row is longer than a chunk.
    rows = rows.filter(start__gt=start - blocks.CHUNK_STEPS)
    # As text, since most rows have the same series and need not be parsed one by one.
    rows = rows.annotate(names=Cast("series", TextField()))
    known: dict[str, tuple[str, ...]] = {}
    for first, count, names, *binaries in rows.values_list(*_COLUMNS):
        if names not in known:
            known[names] = tuple(json.loads(names))
        yield _Row(first, count, known[names], *binaries)


_COLUMNS = ("start", "count", "names", "minima", "maxima", "sums", "counts", "clock", "needed")


def _raw(rows: list[_Row], names: tuple[str, ...], start: int, stop: int) -> NDArray[np.float32]:
    columns = np.full((len(names), stop - start), np.nan, np.float32)
    places: dict[tuple[str, ...], list[tuple[int, int]]] = {}  # of the same series in rows and in columns
    for row in rows:
        if row.series not in places:
            places[row.series] = [(names.index(s), at) for at, s in enumerate(row.series) if s in names]
        values = np.frombuffer(row.values or b"", "<f4").reshape(len(row.series), row.count)
        first, last = max(row.start, start), min(row.start + row.count, stop)
        for to, of in places[row.series]:
            columns[to, first - start : last - start] = values[of, first - row.start : last - row.start]
    return columns


def _envelope(
    rows: list[_Row], names: tuple[str, ...], start: int, stop: int, bucket: int
) -> NDArray[np.float32]:
    first = start // bucket
    envelope = _Envelope(names, -(-stop // bucket) - first)
    whole: dict[tuple[str, ...], list[_Row]] = defaultdict(list)
    partial: dict[tuple[str, ...], list[blocks.Steps]] = defaultdict(list)
    for row in rows:
        if row.values is None:
            whole[row.series].append(row)
        else:
            partial[row.series].append(_steps(row, start, stop))
    for series, group in whole.items():
        at = np.array([row.start // bucket - first for row in group])
        chosen = [place for place, name in enumerate(series) if name in envelope.place]
        if not chosen:
            continue

        def stack(
            name: str, kind: str, group: list[_Row] = group, chosen: list[int] = chosen
        ) -> NDArray[Any]:
            packed = b"".join(getattr(row, name) for row in group)
            return np.frombuffer(packed, kind).reshape(len(group), -1).T[chosen]

        minima, maxima = stack("minima", "<f4"), stack("maxima", "<f4")
        sums, counts = stack("sums", "<f8"), stack("counts", "<u4")
        names_of = tuple(series[place] for place in chosen)
        envelope.add(names_of, bucket=at, minima=minima, maxima=maxima, sums=sums, counts=counts)
    for series, parts in partial.items():
        at = np.concatenate([np.arange(part.start, part.stop) // bucket - first for part in parts])
        chosen = [place for place, name in enumerate(series) if name in envelope.place]
        if not chosen:
            continue
        values = np.concatenate([part.values[chosen] for part in parts], axis=1)
        known = ~np.isnan(values)
        sums = np.where(known, values, 0)
        names_of = tuple(series[place] for place in chosen)
        envelope.add(names_of, bucket=at, minima=values, maxima=values, sums=sums, counts=known)
    return envelope.columns()


class _Envelope:
    """Buckets that take in samples, each a (min, max, sum, count) of one or more steps."""

    def __init__(self, names: tuple[str, ...], buckets: int) -> None:
        self.place = {name: index for index, name in enumerate(names)}
        shape = (len(names), buckets)
        self.minima = np.full(shape, np.nan, np.float32)
        self.maxima = np.full(shape, np.nan, np.float32)
        self.sums = np.zeros(shape, np.float64)
        self.counts = np.zeros(shape, np.int64)

    def add(
        self,
        series: tuple[str, ...],
        *,
        bucket: NDArray[np.int64],
        minima: NDArray[np.float32],
        maxima: NDArray[np.float32],
        sums: NDArray[Any],
        counts: NDArray[Any],
    ) -> None:
        """Take in samples ``(series, sample)``; ``bucket (sample,)`` must not fall."""
        edges = np.flatnonzero(np.diff(bucket, prepend=-1))
        where = np.ix_(np.array([self.place[name] for name in series]), bucket[edges])
        self.minima[where] = np.fmin(self.minima[where], np.fmin.reduceat(minima, edges, axis=1))
        self.maxima[where] = np.fmax(self.maxima[where], np.fmax.reduceat(maxima, edges, axis=1))
        with np.errstate(invalid="ignore"):
            self.sums[where] += np.add.reduceat(sums, edges, axis=1, dtype=np.float64)
        self.counts[where] += np.add.reduceat(counts, edges, axis=1, dtype=np.int64)

    def columns(self) -> NDArray[np.float32]:
        """Return ``(3 * series, buckets)``: min, max, mean of the first series, then of the next."""
        with np.errstate(invalid="ignore", divide="ignore"):
            means = (self.sums / self.counts).astype(np.float32)
        stacked: NDArray[np.float32] = np.stack([self.minima, self.maxima, means], axis=1)
        return stacked.reshape(-1, self.minima.shape[1])


def _steps(row: _Row, start: int, stop: int) -> blocks.Steps:
    return blocks.cut(blocks.load(row.start, row.series, row.values or b"", row.clock), start, stop)


def _clock(rows: list[_Row], start: int, stop: int) -> tuple[list[float], list[float]]:
    if not rows:
        return [], []
    knots = np.concatenate([np.frombuffer(row.clock, "<f8").reshape(-1, 2) for row in rows])
    inner = knots[(knots[:, 0] > start) & (knots[:, 0] < stop - 1), 0]
    if inner.size > MAX_CLOCK_KNOTS - 2:
        inner = inner[np.linspace(0, inner.size - 1, MAX_CLOCK_KNOTS - 2).astype(int)]
    at = np.unique(np.concatenate([[start], inner, [stop - 1]]))
    return at.tolist(), np.interp(at, knots[:, 0], knots[:, 1]).tolist()
