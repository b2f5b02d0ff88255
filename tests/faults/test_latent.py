"""What answers about latents is killed in the middle: a sentence, and the next question is answered."""

from __future__ import annotations

import json
import os
import signal
from typing import Any

import numpy as np
import pytest
from django.contrib.auth import get_user_model
from websockets.sync.client import connect
from websockets.typing import Origin

from accsite.apps.access.tokens import make_token
from tests.stack import PATIENCE, Stack, children_of


class Hand:
    """A page's socket to the latent, as a script has it."""

    def __init__(self, url: str) -> None:
        user, _ = get_user_model()._default_manager.get_or_create(
            username="hand", defaults={"is_superuser": True}
        )
        token = make_token(user=user, name="hand", scope="read")[1]
        address, headers = f"{url.replace('http', 'ws')}/ws/latent/", {"Authorization": f"Token {token}"}
        self.socket = connect(address, origin=Origin(url), additional_headers=headers).__enter__()

    def ask(self, ask: str, checkpoint: int, latents: Any = (), **more: Any) -> tuple[dict[str, Any], bytes]:
        """Return header and body of an answer."""
        self.send(ask, checkpoint, latents, **more)
        return self.told()

    def send(self, ask: str, checkpoint: int, latents: Any = (), **more: Any) -> None:
        header = json.dumps({"id": 1, "ask": ask, "checkpoint": checkpoint, **more}).encode()
        self.socket.send(header + b"\n" + np.asarray(latents, "<f4").tobytes())

    def told(self) -> tuple[dict[str, Any], bytes]:
        answer = self.socket.recv(60 * PATIENCE)
        assert isinstance(answer, bytes)
        header, _, body = answer.partition(b"\n")
        return json.loads(header), body


def trained(stack: Stack, seed: int = 0) -> Any:
    """Return the end of a short training; of another seed it has other weights."""
    branch = stack.branch()
    stack.worker()
    stack.state(stack.submit(branch, 5, seed=seed), "SUCCEEDED")
    branch.refresh_from_db()
    return branch.head


def test_a_latent_whose_process_is_killed_is_told_of_in_a_sentence_and_comes_again(stack: Stack):
    head = trained(stack)
    hand = Hand(stack.web())
    assert "python -m workers.latent" in hand.ask("open", head.pk)[0]["error"]

    desk = stack.latent()
    stack.until(lambda: "shape" in hand.ask("open", head.pk)[0], what="an answer")
    latent = np.frombuffer(hand.ask("start", head.pk, seed=3)[1], "<f4")
    first = hand.ask("decode", head.pk, latent)[1]
    assert len(first) == 32 * 32

    (reader,) = children_of(desk.popen.pid)
    os.kill(reader, signal.SIGSTOP)  # as one that computes for long
    hand.send("decode", head.pk, latent)
    os.kill(reader, signal.SIGKILL)
    header, _ = hand.told()
    assert "by SIGKILL" in header["error"]
    assert "ask again" in header["error"]
    assert hand.ask("decode", head.pk, latent)[1] == first

    desk.kill()
    stack.until(lambda: not children_of(desk.popen.pid), what="what it started to be gone")
    stack.latent()
    assert hand.ask("decode", head.pk, latent)[1] == first


@pytest.mark.long(30)
def test_a_checkpoint_that_hangs_is_ended_and_keeps_no_other_waiting(stack: Stack):
    head, other = trained(stack), trained(stack, seed=1)
    hand, beside = (Hand(stack.web()) for _ in range(2))
    desk = stack.latent()
    assert "shape" in hand.ask("open", head.pk)[0]
    (reader,) = children_of(desk.popen.pid)
    os.kill(reader, signal.SIGSTOP)
    hand.send("open", head.pk)
    assert "shape" in beside.ask("open", other.pk)[0]
    assert "took longer than" in hand.told()[0]["error"]
    assert "shape" in hand.ask("open", head.pk)[0]
