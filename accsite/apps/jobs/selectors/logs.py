"""Reads what the processes of a job printed: a part of it, the lines that hold a word, or its last lines."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypedDict

from django.db.models import F, Max, Sum

from acc.errors import InvalidInput
from acc.text import clean
from accsite.apps.jobs.models import Job, JobLog

PART_BYTES = 2**16
MOST_BYTES = 2**20
LINES_FOUND = 500
LAST_LINES = 20
TAIL_READ_BYTES = 2**15
LINE_CHARS = 2_000

LEVELS = {"warning": "warnings and errors", "error": "errors"}
"""Of lines that are grave -> what those that are at least so are called."""
GRAVER = {"warning": ("warning", "error"), "error": ("error",)}
_ERROR = re.compile(
    r"\b(?:ERROR|CRITICAL|FATAL)\b|\[(?:error|critical) *\]|^Traceback \(most recent|^[\w.]*(?:Error|Exception)(?::|$)"
)
_WARNING = re.compile(r"\bWARN(?:ING)?\b|\[warning *\]|\b\w*Warning:|^[Ww]arning\b")


@dataclass(frozen=True)
class Stream:
    """What one rank printed in one attempt: how many bytes, and how many of them were left out."""

    attempt: int
    rank: int
    bytes: int
    left_out: int


class LogStream(TypedDict):
    """A ``Stream`` as plain data."""

    attempt: int
    rank: int
    bytes: int
    left_out: int


class LogLine(TypedDict):
    """A line, and the byte at which it begins."""

    offset: int
    text: str


class LogText(TypedDict):
    """The text from byte ``offset`` to before ``next_offset``; left_out: bytes of it that were not kept."""

    offset: int
    next_offset: int
    left_out: int
    text: str


class LogPart(LogText):
    """A part of what a job printed, or the lines that hold a word: the last of the ``found`` ones.

    ``attempt`` and ``rank``: whose it is, None if nothing was printed; ``bytes``: of all that they printed.
    """

    attempt: int | None
    rank: int | None
    bytes: int
    found: int
    lines: list[LogLine]


class LogAnswer(LogPart):
    """The same, and of which job, whether that has ended, and what other streams it has."""

    job: int
    ended: bool
    streams: list[LogStream]


def streams(job: Job) -> list[Stream]:
    rows = JobLog.objects.filter(job=job).order_by("attempt", "rank").values("attempt", "rank")
    found = rows.annotate(end=Max(F("start") + F("size")), kept=Sum("size"))
    return [Stream(row["attempt"], row["rank"], row["end"], row["end"] - row["kept"]) for row in found]


def choose(
    job: Job, attempt: int | None = None, rank: int | None = None
) -> tuple[list[Stream], Stream | None]:
    """Return all streams and the one asked for: by default of the newest attempt that printed, its lowest rank.

    None if nothing was printed at all. Raises InvalidInput for an attempt or rank that printed nothing.
    """
    known = streams(job)
    if attempt is None and known:
        attempt = known[-1].attempt
    of_attempt = [stream for stream in known if stream.attempt == attempt]
    if not of_attempt:
        if attempt is not None and (attempt < 1 or attempt > max(job.attempt, 1)):
            had = {0: "none yet", 1: "1 attempt"}.get(job.attempt, f"attempts 1 to {job.attempt}")
            raise InvalidInput({"attempt": f"job {job.pk} had no attempt {attempt}; it had {had}"})
        return known, None
    if rank is None:
        return known, of_attempt[0]
    chosen = next((stream for stream in of_attempt if stream.rank == rank), None)
    if chosen is None:
        right = ", ".join(str(stream.rank) for stream in of_attempt)
        raise InvalidInput(rank=f"rank {rank} printed nothing in attempt {attempt}; those that did: {right}")
    return known, chosen


def raw(job: Job, stream: Stream) -> Iterator[bytes]:
    """Give what is kept of a stream as it was printed; a line says where and how much was left out."""
    yield from (data if gap == 0 else _left_out(gap) + data for gap, _, data in _rows(job, stream, 0))


def part(job: Job, stream: Stream, *, offset: int = 0, limit: int = PART_BYTES) -> LogText:
    """Return the text from byte ``offset`` on, of at most ``limit`` bytes."""
    end = max(0, offset)
    left_out, data = 0, b""
    for _, start, kept in _rows(job, stream, offset):
        begin = max(start, end)
        left_out += begin - end
        new = kept[begin - start :][: limit - len(data)]
        data += new
        end = begin + len(new)
        if len(data) >= limit:
            whole = _whole(data)
            end -= len(data) - len(whole)
            data = whole
            break
    text = clean(data.decode("utf-8", "replace"), MOST_BYTES)
    return {"offset": offset, "next_offset": end, "left_out": left_out, "text": text}


def _whole(data: bytes) -> bytes:
    """Return the whole lines of ``data``; of a line that is longer, its whole characters."""
    lines, ending, _ = data.rpartition(b"\n")
    if ending:
        return lines + ending
    last = next((at for at in range(1, min(4, len(data)) + 1) if data[-at] & 0xC0 != 0x80), 1)
    wanted = {0xC0: 2, 0xD0: 2, 0xE0: 3, 0xF0: 4}.get(data[-last] & 0xF0, 1)  # bytes of its last character
    return data[:-last] if last < wanted and last < len(data) else data


def asked_part(
    job: Job, stream: Stream | None, *, offset: int = 0, limit: int | None = None, word: str = ""
) -> LogPart:
    """Return a part of a stream, or with ``word`` its lines that hold it, as plain data of one shape.

    ``offset`` below 0: so many bytes before the end.
    """
    text: LogText = {"offset": max(0, offset), "next_offset": 0, "left_out": 0, "text": ""}
    if stream is None:
        return {"attempt": None, "rank": None, "bytes": 0, "found": 0, "lines": [], **text}
    lines: list[LogLine] = []
    count = 0
    if word:
        lines, count = search(job, stream, word)
        text = {"offset": 0, "next_offset": stream.bytes, "left_out": stream.left_out, "text": ""}
    else:
        begin = max(0, stream.bytes + offset) if offset < 0 else offset
        text = part(job, stream, offset=begin, limit=min(limit or PART_BYTES, MOST_BYTES))
    return {
        "attempt": stream.attempt,
        "rank": stream.rank,
        "bytes": stream.bytes,
        "found": count,
        "lines": lines,
        **text,
    }


def whole_answer(job: Job, streams: Sequence[Stream], part: LogPart) -> LogAnswer:
    """Return a part with what the API says around it."""
    return {
        "job": job.pk,
        "ended": not job.is_active,
        "streams": [
            {"attempt": each.attempt, "rank": each.rank, "bytes": each.bytes, "left_out": each.left_out}
            for each in streams
        ],
        **part,
    }


def search(job: Job, stream: Stream, word: str, limit: int = LINES_FOUND) -> tuple[list[LogLine], int]:
    """Return the lines that hold ``word`` in any case, each with its ``offset``, and how many there are of them.

    Of more than ``limit`` the last are returned.
    """
    found, count = graded(job, stream, word, limit)
    return [line for line, _ in found], count


def graded(
    job: Job, stream: Stream, word: str, limit: int = LINES_FOUND, *, least: str = ""
) -> tuple[list[tuple[LogLine, str]], int]:
    """Return the same, each line with its level, which may come from lines before it that are not among them.

    least: only of this level (``LEVELS``) or a graver one.
    """
    wanted = word.casefold()
    grave = GRAVER.get(least, ())
    found: deque[tuple[LogLine, str]] = deque(maxlen=limit)
    count, level = 0, ""
    for _, at, line, _ in lines_from(job, stream):
        text = shown(line)
        level = level_of(text, level)
        if wanted in text.casefold() and (not least or level in grave):
            found.append((LogLine(offset=at, text=text), level))
            count += 1
    return list(found), count


def with_levels(lines: Iterable[str]) -> list[tuple[str, str]]:
    """Return each of some lines that follow each other, with its level."""
    found: list[tuple[str, str]] = []
    for line in lines:
        found.append((line, level_of(line, found[-1][1] if found else "")))
    return found


def level_of(line: str, before: str = "") -> str:
    """Return how grave a line is: ``error``, ``warning``, or empty.

    before: that of the line before it, to which one belongs that is indented, as those of a traceback are.
    """
    if line[:1] in {" ", "\t"}:
        return before
    if _ERROR.search(line):
        return "error"
    return "warning" if _WARNING.search(line) else ""


def last_lines(job: Job, count: int = LAST_LINES, stream: Stream | None = None) -> list[str]:
    """Return the last lines that a job printed: of ``stream``, or of its newest attempt."""
    chosen = stream or choose(job)[1]
    if chosen is None:
        return []
    data = b"".join(data for _, _, data in _rows(job, chosen, max(0, chosen.bytes - TAIL_READ_BYTES)))
    text = clean(data[-TAIL_READ_BYTES:].decode("utf-8", "replace"), TAIL_READ_BYTES)
    return (
        [clean(line, LINE_CHARS) for line in text.rstrip("\n").split("\n")[-count:]] if text.strip() else []
    )


def _rows(job: Job, stream: Stream, offset: int) -> Iterator[tuple[int, int, bytes]]:
    """Give (bytes left out before it, start, data) of each row that reaches beyond ``offset``."""
    rows = JobLog.objects.filter(job=job, attempt=stream.attempt, rank=stream.rank).order_by("start")
    end = 0
    for start, size, data in rows.values_list("start", "size", "data").iterator(32):
        if start + size > offset:
            yield start - end, start, bytes(data)
        end = start + size


def lines_from(job: Job, stream: Stream, offset: int = 0) -> Iterator[tuple[int, int, bytes, bool]]:
    """Give (bytes left out before it, offset, line, whether it is ended) of each line from ``offset`` on."""
    rest, at, before = b"", offset, 0
    for _, start, data in _rows(job, stream, offset):
        new = data[max(0, offset - start) :]
        begin = max(start, offset)
        if begin > at + len(rest):
            if rest:
                yield before, at, rest, True
            before, at, rest = begin - at - len(rest), begin, b""
        *whole, rest = (rest + new).split(b"\n")
        for line in whole:
            yield before, at, line, True
            before, at = 0, at + len(line) + 1
    if rest or before:  # nothing at all may be left of an old attempt but how much it was
        yield before, at, rest, False


def shown(line: bytes) -> str:
    return clean(line.decode("utf-8", "replace").rstrip("\r"), LINE_CHARS)


def _left_out(gap: int) -> bytes:
    return f"\n[… {gap:,} bytes left out …]\n".encode()
