"""What a training hands over arrives whole and in order, never makes it wait, and outlives it."""

from __future__ import annotations

import os
import signal
import time
from typing import Any, cast

import numpy as np

from acc.messages import Block
from acc.training.protocols import PointBlock
from workers.job.records import Pipe, block_message, block_of

MANY = 2_000


def block(start: int) -> PointBlock:
    values = np.arange(start, start + 200, dtype=np.float32).reshape(2, 100)
    return PointBlock(start, ("total", "raw/kl"), values, 1.5, 2.5)


def test_a_block_arrives_as_it_was():
    one, other = Pipe.pair()
    sent = block(7)
    sent.values[0, 3] = np.nan
    one.send(*block_message(sent))
    heard = other.receive()
    assert heard is not None
    got = block_of(cast(Block, heard[0]), heard[1])
    assert (got.start, got.series, got.wall_start, got.wall_end) == (7, sent.series, 1.5, 2.5)
    np.testing.assert_array_equal(got.values, sent.values)


def test_numbers_of_numpy_are_numbers():
    one, other = Pipe.pair()
    message: Any = {
        "say": "baseline",
        "task": "a",
        "loss": np.float32(0.5),
        "words": "its mean",
        "floor": np.bool_(True),
    }
    one.send(message)
    assert other.receive() == ({**message, "loss": 0.5, "floor": True}, b"")


def test_nobody_waits_for_a_reader_that_stands_still_and_nothing_is_dropped():
    one, other = Pipe.pair()
    slowest = 0.0
    for number in range(MANY):
        began = time.perf_counter()
        one.send(*block_message(block(number)))
        slowest = max(slowest, time.perf_counter() - began)
    assert slowest < 1, "1.6 MB are more than the kernel takes"
    for number in range(MANY):
        heard = other.receive()
        assert heard is not None
        assert cast(Block, heard[0])["start"] == number
    one.send({"say": "end"})
    assert other.receive() == ({"say": "end"}, b"")


def test_what_was_sent_is_read_though_the_sender_was_killed():
    one, other = Pipe.pair()
    pid = os.fork()
    if pid == 0:
        for number in range(20):
            one.send(*block_message(block(number)))
        os.kill(os.getpid(), signal.SIGKILL)
    one.forget()
    os.waitpid(pid, 0)
    found = []
    while (heard := other.receive()) is not None:
        found.append(cast(Block, heard[0])["start"])
    assert found == list(range(20))


def test_half_a_message_is_no_message():
    one, other = Pipe.pair()
    one.send({"say": "end"})
    one._end.send(b"\x10\x00\x00\x00\x00\x00\x00\x00{")
    one.close()
    assert other.receive() == ({"say": "end"}, b"")
    assert other.receive() is None


def test_sending_to_an_end_that_is_gone_is_no_error():
    one, other = Pipe.pair()
    other.close()
    for number in range(3):
        one.send(*block_message(block(number)))
    assert one.receive() is None


def test_who_reads_an_end_that_is_closed_meanwhile_has_reached_its_end():
    one, other = Pipe.pair()
    other.forget()
    assert other.receive() is None
    one.close()
    one.close()
    assert one.receive() is None
