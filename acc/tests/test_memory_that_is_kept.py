"""A process that does nothing but train keeps the memory that a step frees for the next one."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

MEASURE = """
import resource
from acc.training.settings import keep_freed_memory

def step():
    return [bytearray(16 << 20) for _ in range(4)]

def faults():
    for _ in range(3):
        step()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        step()
    return (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) // 10

given_back = faults()
keep_freed_memory()
print(given_back, faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc gives the end of its heap back")
def test_a_step_takes_no_page_of_the_system_that_the_last_one_freed() -> None:
    done = subprocess.run([sys.executable, "-c", MEASURE], capture_output=True, text=True, check=True)
    given_back, kept = map(int, done.stdout.split())
    assert given_back > 1_000
    assert kept < 100
