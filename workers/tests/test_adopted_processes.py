"""What plugins start and leave behind is taken away once it is dead; what they wait for keeps its exit status."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CODE = """
import multiprocessing, os, subprocess, sys, time
from workers.machine import processes

def dead():
    return [each.pid for each in processes._all() if each.parent == os.getpid() and each.state == "Z"]

def until(count):
    end = time.monotonic() + 30
    while len(dead()) != count and time.monotonic() < end:
        time.sleep(0.01)

processes.adopt_orphans()
for _ in range(3):
    subprocess.run("true &", shell=True, check=True)
asked_later = subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"])
pooled = multiprocessing.get_context("fork").Process(target=os._exit, args=(4,))
pooled.start()
forked = os.fork()
if forked == 0:
    os._exit(5)
until(6)
print(len(dead()))
adopted = processes.Adopted()
adopted.look()
print(len(dead()))
adopted.look()
print(len(dead()))
print(asked_later.wait(), os.waitstatus_to_exitcode(os.waitpid(forked, 0)[1]))
pooled.join()
print(pooled.exitcode)
"""


def test_the_dead_that_were_adopted_are_taken_away_and_no_exit_status_is_lost():
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", CODE],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.stdout.splitlines() == ["6", "6", "3", "3 5", "4"], done.stderr
