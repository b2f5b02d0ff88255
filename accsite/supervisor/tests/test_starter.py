"""A starter is had where kernel and Python have handles on processes, and what it tells is read by who waits."""

from __future__ import annotations

import os
import signal
import socket
import time
from pathlib import Path

import pytest

from accsite.supervisor.processes import Process
from accsite.supervisor.starter import Starter, possible, send


def _refused(*_arguments: object) -> int:
    raise OSError("as a kernel without it")


@pytest.mark.parametrize(("module", "name"), [(os, "pidfd_open"), (signal, "pidfd_send_signal")])
def test_there_is_no_starter_without_handles_on_processes(monkeypatch, module, name):
    assert possible()
    before = len(list(Path("/proc/self/fd").iterdir()))
    with monkeypatch.context() as patched:
        patched.setattr(module, name, _refused)
        assert not possible()
    with monkeypatch.context() as patched:
        patched.delattr(module, name)
        assert not possible()
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_who_waits_for_news_reads_it_and_rests_the_next_time():
    starter = Starter(Process("starter", ()))
    starter._end, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        send(theirs, {"event": "ready"})
        starter.wait(5)
        assert starter._is_ready
        began = time.monotonic()
        starter.wait(0.3)
        assert time.monotonic() - began >= 0.25
    starter.lose()
