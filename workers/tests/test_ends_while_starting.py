"""A worker that is told to end while its fork server still starts ends at once; its doorbells ring elsewhere."""

from __future__ import annotations

import socket
import threading

from workers.fork.channel import Channel
from workers.fork.client import ForkServerClient, Work


def test_what_waits_for_the_fork_server_is_let_go():
    forks = ForkServerClient("w")
    ends: list[int | None] = []
    waiting = threading.Thread(target=lambda: ends.append(forks.run(Work(1), "cpu")), daemon=True)
    waiting.start()
    try:
        forks.end_jobs()
        waiting.join(30)
        assert ends == [None]
        assert forks.jobs() == set()
    finally:
        forks.stop()


def test_a_fork_server_has_the_time_it_needs_whatever_limit_new_sockets_get():
    # Celery sets one for the process while it ends.
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(0.1)
    try:
        ours, theirs = Channel.pair()
    finally:
        socket.setdefaulttimeout(before)
    threading.Timer(0.5, theirs.send, [{"event": "ready"}]).start()
    assert ours.receive() == {"event": "ready"}
    ours.close()
    theirs.close()
