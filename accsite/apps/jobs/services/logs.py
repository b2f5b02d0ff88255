"""What the processes of a job print, kept in rows: its beginning, its end, and how much lay between.

The worker's process reads it from a file (``workers.job.joblog``) and hands it in; asked for the same again, nothing is
written twice. The first HEAD_BYTES of a stream stay, and of the rest the last TAIL_BYTES. All streams of a job together
keep JOB_BYTES: where they would be more, the oldest attempts give first.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby

from django.db.models import F, QuerySet, Sum

from accsite.apps.jobs.models import Job, JobLog
from accsite.apps.jobs.services.unit import touch, unit_of_work

HEAD_BYTES = 2**20
TAIL_BYTES = 2**20
LIVE_TAIL_BYTES = 2**17
"""While a job prints faster than it is read, so much of its newest is kept at a time; at its end, the whole tail."""
ROW_BYTES = 2**15
JOB_BYTES = 2**24
"""Of a job, whatever the number of its attempts and ranks."""

Read = Callable[[int, int], bytes]
"""Returns the bytes of a stream from one place up to another."""


@unit_of_work()
def keep(job_id: int, attempt: int, rank: int, *, size: int, read: Read, ended: bool = False) -> bool:
    """Keep what is new of a stream of ``size`` bytes; return False if there is no such job any more.

    ended: nothing more will come, and the tail is to be whole.
    """
    if not Job.objects.filter(pk=job_id).exists():
        return False
    stream = {"job_id": job_id, "attempt": attempt, "rank": rank}
    rows = JobLog.objects.filter(**stream)
    last = rows.order_by("start").last()
    kept = last.start + last.size if last is not None else 0
    tail = max(HEAD_BYTES, size - TAIL_BYTES)
    if size <= kept and not (ended and size > HEAD_BYTES):
        return True
    if kept < HEAD_BYTES:
        _append(rows, stream, last, read(kept, min(size, HEAD_BYTES)), kept)
        last, kept = None, min(size, HEAD_BYTES)
    if size > HEAD_BYTES:
        if ended:
            rows.filter(start__gte=HEAD_BYTES).delete()
            last, begin = None, tail
        else:
            begin = max(kept, size - LIVE_TAIL_BYTES)
            last = last if begin == kept else None
        _append(rows, stream, last, read(begin, size), begin)
        rows.filter(start__gte=HEAD_BYTES, start__lt=tail - F("size")).delete()
    _bound(job_id)
    touch(f"log:{job_id}")
    return True


def _append(
    rows: QuerySet[JobLog], stream: dict[str, int], last: JobLog | None, data: bytes, start: int
) -> None:
    """Write ``data``, which begins at ``start``, into the last row while that is small, and then into new ones."""
    if (
        last is not None
        and last.start + last.size == start
        and last.size < ROW_BYTES
        and not last.start
        < HEAD_BYTES
        <= start  # the beginning and the tail share no row: tails are replaced
    ):
        more = data[: ROW_BYTES - last.size]
        rows.filter(pk=last.pk).update(data=bytes(last.data) + more, size=last.size + len(more))
        data, start = data[len(more) :], start + len(more)
    parts = [(start + at, data[at : at + ROW_BYTES]) for at in range(0, len(data), ROW_BYTES)]
    rows.bulk_create(JobLog(**stream, start=at, size=len(part), data=part) for at, part in parts)


def _bound(job_id: int) -> None:
    """Leave out what the streams of a job have beyond JOB_BYTES: what is missed least goes first.

    Of the attempts before the newest that is the middle of each stream, and then its beginning; then the middles of
    the newest attempt, and last the ends of those before it: each from the oldest on. A row stays at the end of every
    stream, if an empty one: by its place what was left out is counted.
    """
    rows = JobLog.objects.filter(job_id=job_id)
    beyond = (rows.aggregate(kept=Sum("size"))["kept"] or 0) - JOB_BYTES
    if beyond <= 0:
        return
    places = rows.order_by("attempt", "rank", "start").values_list("attempt", "rank", "pk", "size")
    streams = [
        (attempt, [(pk, size) for _, _, pk, size in of])
        for (attempt, _), of in groupby(places, key=lambda row: row[:2])
    ]
    newest = streams[-1][0]
    older = [of for attempt, of in streams if attempt < newest]
    middles = [row for of in older for row in _from_the_middle(of[1:-1])]
    beginnings = [of[0] for of in older if len(of) > 1]
    middles_of_newest = [row for at, of in streams if at == newest for row in _from_the_middle(of[1:-1])]
    gone = []
    for pk, size in (*middles, *beginnings, *middles_of_newest):
        if beyond <= 0:
            break
        gone.append(pk)
        beyond -= size
    rows.filter(pk__in=gone).delete()
    for pk, size in (of[-1] for of in older):
        if beyond <= 0:
            break
        rows.filter(pk=pk).update(start=F("start") + F("size"), size=0, data=b"")
        beyond -= size


def _from_the_middle(rows: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return rows in another order: those in the middle first, so that one gap grows from there."""
    middle = (len(rows) - 1) / 2
    return [rows[place] for place in sorted(range(len(rows)), key=lambda place: abs(place - middle))]
