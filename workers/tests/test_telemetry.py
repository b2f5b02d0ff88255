"""What a worker tells of its machine is true of this one."""

from __future__ import annotations

import os
import time

import pytest

from acc.errors import InvalidInput
from workers.machine import devices
from workers.machine.processes import describe_exit, is_alive, threads
from workers.machine.telemetry import (
    HISTORY_KEPT,
    HISTORY_SECONDS,
    History,
    Telemetry,
    cpu_ticks,
    memory_bytes,
)


def test_figures_of_a_processor_have_units_and_sane_values():
    reader = Telemetry("cpu")
    until = time.monotonic() + 0.2
    while time.monotonic() < until:
        pass
    figures = reader.read()
    assert figures["device_name"]
    assert 0 < float(figures["cpu_percent"]) <= 100
    assert 0 < int(figures["host_memory_used_bytes"]) < int(figures["host_memory_total_bytes"])
    assert figures["cores"] == len(os.sched_getaffinity(0))
    assert figures["history"]["cpu_percent"] == [figures["cpu_percent"]]
    assert "temperature_celsius" not in figures


def test_ticks_only_rise_and_busy_ones_are_fewer_than_all():
    before = cpu_ticks()
    time.sleep(0.05)
    after = cpu_ticks()
    assert before[1] <= after[1]
    assert after[0] < after[1]
    assert memory_bytes()["MemAvailable"] <= memory_bytes()["MemTotal"]


def test_auto_is_the_processor_where_torch_has_no_cuda():
    assert devices.resolve("auto", cuda=False) == "cpu"
    assert devices.resolve("cpu", cuda=True) == "cpu"


@pytest.mark.parametrize("wanted", ["cuda:99", "cuda", "tpu", "cuda:x", ""])
def test_a_device_that_is_not_there_is_refused_with_those_that_are(wanted):
    with pytest.raises(InvalidInput, match=r"device: .*(it has: cpu|use auto, cpu, cuda)"):
        devices.resolve(wanted, cuda=False)


def test_ends_of_processes_are_told_in_words():
    assert describe_exit(3) == "exited with status 3"
    assert describe_exit(-15) == "was killed by SIGTERM"
    assert "memory" in describe_exit(-9)
    assert describe_exit(-250) == "was killed by signal 250"


def test_a_process_that_runs_is_alive_and_one_that_ended_is_not():
    assert is_alive(os.getpid())
    assert threads() >= 1
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    until = time.monotonic() + 5
    while is_alive(pid) and time.monotonic() < until:  # a zombie counts as dead
        time.sleep(0.01)
    assert not is_alive(pid)
    os.waitpid(pid, 0)


def test_the_history_has_a_mean_for_every_15_seconds_and_gaps_where_nobody_looked():
    clock = [100.0]
    history = History(lambda: clock[0])
    assert history.add({"cpu_percent": 10.0}) == {"cpu_percent": [10.0]}
    clock[0] += 5
    assert history.add({"cpu_percent": 30.0}) == {"cpu_percent": [20.0]}
    clock[0] += 10
    told = {"cpu_percent": 50.0, "memory_used_bytes": 1, "memory_total_bytes": 4, "load": 2.0}
    assert history.add(told) == {"cpu_percent": [20.0, 50.0], "memory_percent": [None, 25.0]}
    clock[0] += 3 * HISTORY_SECONDS
    assert history.add({"cpu_percent": 5.0})["cpu_percent"] == [20.0, 50.0, None, None, 5.0]
    for _ in range(2 * HISTORY_KEPT):
        clock[0] += HISTORY_SECONDS
        kept = history.add({"cpu_percent": 7.0})
    assert kept == {"cpu_percent": [7.0] * HISTORY_KEPT, "memory_percent": [None] * HISTORY_KEPT}
    clock[0] += 1e6
    assert history.add({"cpu_percent": 1.0})["cpu_percent"] == [None] * (HISTORY_KEPT - 1) + [1.0]
