"""A process forked from one that has sent goes on sending, on a thread and a connection of its own."""

from __future__ import annotations

import os
import time

import redis

from accsite.apps.live import frames, sender


def test_a_forked_child_sends_and_its_parent_goes_on(redis_server):
    redis_server.start()
    with redis.Redis.from_url(redis_server.url) as client, client.pubsub() as listener:
        listener.psubscribe(f"{sender.FRAME_CHANNEL}*")
        listener.get_message(timeout=1)
        frames.publish(1, b"parent")
        # The sender of this process may have met a Redis that was away, in another test; it then waits a little.
        patience = time.monotonic() + 20
        while not frames.flush(5):
            assert time.monotonic() < patience
            time.sleep(0.1)
        child = os.fork()
        if child == 0:
            frames.publish(1, b"child")
            os._exit(0 if frames.flush(5) else 1)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        frames.publish(1, b"parent again")
        assert frames.flush(5)
        seen = [listener.get_message(timeout=2)["data"] for _ in range(3)]
    assert seen == [b"parent", b"child", b"parent again"]
