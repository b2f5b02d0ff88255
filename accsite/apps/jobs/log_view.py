"""Shows what a job prints in a shell, as it comes or as it is kept."""

from __future__ import annotations

import json
import time
from collections.abc import Collection
from typing import TextIO

from accsite.apps.jobs.models import Job
from accsite.apps.jobs.selectors import logs
from accsite.cli import SUCCEEDED

POLL_SECONDS = 0.5


def follow_log(
    job: Job,
    *,
    out: TextIO,
    as_json: bool = False,
    word: str = "",
    attempt: int | None = None,
    rank: int | None = None,
    go_on: bool = False,
) -> int:
    """Print the log of a job and return the exit status.

    word: only lines that hold it. go_on: print what comes until the job has ended, also of its next attempts unless
    ``attempt`` names one. As JSON, a line is an object with attempt, rank, offset and text.
    """
    told: dict[tuple[int, int], int] = {}  # attempt and rank -> up to where it was printed
    here: int | None = None  # the attempt that is being printed
    while True:
        job.refresh_from_db()
        ended = not job.is_active
        streams = _streams(job, attempt, rank, told)
        for stream in streams:
            key = (stream.attempt, stream.rank)
            if stream.bytes <= told.get(key, -1):
                continue
            if stream.attempt != here and (stream.attempt > 1 or here is not None) and not as_json:
                out.write(f"--- attempt {stream.attempt} ---\n")
            here = stream.attempt
            whole = not go_on or ended or stream != streams[-1]
            told[key] = _print(job, stream, told.get(key, 0), out, word, as_json=as_json, whole=whole)
        if ended or not go_on:
            return SUCCEEDED
        time.sleep(POLL_SECONDS)


def _streams(
    job: Job, attempt: int | None, rank: int | None, told: Collection[tuple[int, int]]
) -> list[logs.Stream]:
    """Return the streams to print: the chosen one, and later on its like of each attempt since.

    What an attempt printed last may be kept when the next one has begun, so that none of them is done with.
    """
    if not told:
        _, stream = logs.choose(job, attempt, rank)
        return [stream] if stream is not None else []
    first, _ = min(told)
    found: dict[int, logs.Stream] = {}
    for each in logs.streams(job):
        if each.attempt >= first and attempt in (None, each.attempt) and rank in (None, each.rank):
            found.setdefault(each.attempt, each)
    return list(found.values())


def _print(
    job: Job, stream: logs.Stream, offset: int, out: TextIO, word: str, *, as_json: bool, whole: bool
) -> int:
    """Print the lines from ``offset`` on and return where they end; whole: also one that is not ended yet."""
    for gap, at, line, is_ended in logs.lines_from(job, stream, offset):
        if not is_ended and not whole:
            return at
        offset = at + len(line) + is_ended
        if gap and not word and not as_json:
            out.write(f"[… {gap:,} bytes left out …]\n")
        text = logs.shown(line)
        if word and word.casefold() not in text.casefold():
            continue
        if as_json:
            said = {"attempt": stream.attempt, "rank": stream.rank, "offset": at, "text": text}
            out.write(json.dumps(said) + "\n")
        else:
            out.write(f"{text}\n")
    out.flush()
    return offset
