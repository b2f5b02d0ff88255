"""Questions about the latents of checkpoints, and their answers: both go through Redis, and neither is kept.

The site asks, the process ``latent`` (``workers.latent``) answers in milliseconds. A question is a header and numbers:
``ask`` is ``open`` (how far the latent reaches), ``start`` (a latent, drawn or encoded), ``decode`` (pictures of
latents), or ``file`` (have the decoder written as a file). Nothing here imports torch.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Mapping
from typing import Any
from weakref import WeakKeyDictionary

import redis
import redis.asyncio
from django.conf import settings
from redis.exceptions import RedisError

from acc.errors import AccError

QUESTIONS = "acc:latent:questions"
ALIVE = "acc:latent:alive"
ALIVE_SECONDS = 15
MAX_QUESTIONS = 200
MAX_LATENT_BYTES = 96 * 1024
"""The most that latents of one question may have; a datagram between two processes has twice as many."""
MAX_LATENT_NUMBERS = MAX_LATENT_BYTES // 4
"""Of float32; a checkpoint whose latent has more is refused in a sentence when it is opened."""
QUESTION_SECONDS = 5  # what nobody has taken by then is forgotten
WAIT_SECONDS = 15.0
"""The first question about a checkpoint waits until it is read, and a file until it is written. It is well above
the time after which a process that is stuck is ended, so that this is told rather than silence."""
NOBODY = (
    "nothing answers here: the process 'latent' does not run; `manage.py up` starts it with all others, "
    "`python -m workers.latent` alone"
)
LATE = f"no answer came within {WAIT_SECONDS:g} s; the process 'latent' is busy or has ended: try again"
NO_REDIS = "nothing can be drawn now: Redis cannot be reached"


class NoAnswer(AccError):
    """Nobody answered, or nobody could; the text says what to do."""


def pack(header: Mapping[str, Any], body: bytes = b"") -> bytes:
    """Return a message: a line of JSON, then numbers as they lie in memory."""
    return json.dumps(header, separators=(",", ":")).encode() + b"\n" + body


def unpack(message: bytes) -> tuple[dict[str, Any], bytes]:
    """Return header and body of a message; raises ValueError for anything else."""
    line, newline, body = message.partition(b"\n")
    header = json.loads(line)
    if not newline or not isinstance(header, dict):
        raise ValueError("a message is an object of JSON, a line break, and numbers")
    return header, body


async def ask(header: Mapping[str, Any], body: bytes = b"") -> tuple[dict[str, Any], bytes]:
    """Return the answer to a question as header and body; raises NoAnswer with a sentence where there is none."""
    ticket = secrets.token_hex(8)
    client = _client()
    try:
        async with client.pipeline(transaction=False) as pipeline:
            pipeline.exists(ALIVE)
            pipeline.rpush(QUESTIONS, pack({**header, "ticket": ticket}, body))
            pipeline.ltrim(QUESTIONS, -MAX_QUESTIONS, -1)
            pipeline.expire(QUESTIONS, QUESTION_SECONDS)
            alive, *_ = await pipeline.execute()
        if not alive:
            raise NoAnswer(NOBODY)
        found: Any = await client.blpop([answers(ticket)], timeout=WAIT_SECONDS)
    except (RedisError, OSError) as error:
        raise NoAnswer(NO_REDIS) from error
    if found is None:
        raise NoAnswer(LATE)
    told, numbers = unpack(found[1])
    if "error" in told:
        raise NoAnswer(told["error"])
    return told, numbers


def take(client: redis.Redis, seconds: float) -> bytes | None:
    """Return the next question, waiting up to ``seconds``; called by who answers."""
    found: Any = client.blpop([QUESTIONS], timeout=seconds)
    return found[1] if found else None


def say_alive(client: redis.Redis) -> None:
    """Tell the site that somebody answers."""
    client.set(ALIVE, 1, ex=ALIVE_SECONDS)


def answer(client: redis.Redis, ticket: str, header: Mapping[str, Any], body: bytes = b"") -> None:
    """Tell the one who waits."""
    with client.pipeline(transaction=False) as pipeline:
        pipeline.rpush(answers(ticket), pack(header, body))
        pipeline.expire(answers(ticket), QUESTION_SECONDS)
        pipeline.execute()


def answers(ticket: str) -> str:
    return f"acc:latent:answer:{ticket}"


def decoder_file(sha256: str) -> str:
    """Return the name in storage of the decoder of the checkpoint file with this hash."""
    return f"decoders/{sha256}.onnx"


_clients: WeakKeyDictionary[asyncio.AbstractEventLoop, redis.asyncio.Redis] = WeakKeyDictionary()


def _client() -> redis.asyncio.Redis:
    """Return the connections of the running event loop."""
    loop = asyncio.get_running_loop()
    if loop not in _clients:
        _clients[loop] = redis.asyncio.Redis.from_url(
            settings.REDIS_URL, socket_timeout=WAIT_SECONDS + 5, socket_connect_timeout=1
        )
    return _clients[loop]
