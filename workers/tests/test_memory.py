"""A process has the memory it was given and no more; what has failed for want of it can still be recorded."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from acc.text import is_out_of_memory
from workers.machine import memory

HALF = 2**29


def in_child(body: Any) -> Any:
    """Return what ``body`` returns in a fork of this process, whose limits are its own."""
    read, write = os.pipe()
    if (pid := os.fork()) == 0:
        try:
            os.write(write, json.dumps(body()).encode())
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as answers:
        answer = answers.read()
    os.waitpid(pid, 0)
    return json.loads(answer)


def take(size: int) -> str:
    """Return what asking for ``size`` bytes comes to."""
    try:
        return f"{len(bytearray(size))} bytes"
    except Exception as error:
        return memory.sentence(error, 0.25) if is_out_of_memory(error) else repr(error)


def test_what_goes_beyond_the_limit_is_refused_until_it_is_lifted():
    def body() -> list[str]:
        memory.limit(0.25)
        refused = [take(2**20), take(HALF)]
        memory.lift()
        return [*refused, take(HALF)]

    within, beyond, after = in_child(body)
    assert within == f"{2**20} bytes"
    assert beyond.startswith("the job asked for more than the 0.25 GiB of memory that one job may have")
    assert "ACC_JOB_MEMORY_GIB (MemoryError)" in beyond
    assert after == f"{HALF} bytes"


def test_the_limit_counts_from_what_the_process_has_already():
    def body() -> list[str]:
        held = bytearray(HALF)
        memory.limit(0.75)
        return [take(HALF), str(len(held))]

    assert in_child(body) == [f"{HALF} bytes", str(HALF)]


def test_the_kernel_is_told_to_end_a_job_first():
    def body() -> str:
        memory.limit(1)
        return Path("/proc/self/oom_score_adj").read_text().strip()

    assert in_child(body) == str(memory.OOM_SCORE)


def test_a_job_may_have_four_fifths_of_the_machine_unless_told_otherwise(monkeypatch):
    monkeypatch.setattr(memory, "memory_bytes", lambda: {"MemTotal": 10 * memory.GIB})
    monkeypatch.setattr(memory, "_container_bytes", lambda: float("inf"))
    assert memory.allowed_gib(0) == 8
    assert memory.allowed_gib(2.5) == 2.5
    monkeypatch.setattr(memory, "_container_bytes", lambda: 5.0 * memory.GIB)
    assert memory.allowed_gib(0) == 4


@pytest.mark.parametrize(
    ("error", "refusal"),
    [
        (MemoryError(), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"), True),
        (OSError(12, "Cannot allocate memory"), True),
        (RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"), False),
        (ValueError("not enough memory of last week"), False),
    ],
)
def test_a_refusal_is_told_from_other_errors(error, refusal):
    assert is_out_of_memory(error) is refusal
