"""Questions that only a plugin's own code can answer, such as a preview: asked through Redis, answered by the watcher.

The web process asks and waits a moment; whatever the plugin does, it runs elsewhere, for two seconds at most. A good
answer is kept for a while by all that it depends on; of one asker the last question wins.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Literal

import redis
from django.conf import settings
from redis.exceptions import RedisError

from acc.errors import AccError
from accsite.apps.registry import approval, selectors

REQUESTS = "acc:previews"
SECONDS = 2.0
WAIT_SECONDS = 3.0  # the fork server ends a question after two, and says so
KEPT_SECONDS = 600
REQUEST_SECONDS = 5  # what nobody has taken by then is forgotten
MAX_REQUESTS = 50
VERSION = 2  # of what is kept

Kind = Literal["preview", "describe", "setup"]
CALLED: dict[Kind, str] = {"preview": "preview", "describe": "drawing", "setup": "answer of the method"}


class NoAnswer(AccError):
    """Nobody answered in time: the watcher or Redis is away."""


def ask(
    kind: Kind, *, who: str, sha256: str, asked: Mapping[str, Any], field: str, without: str
) -> tuple[str, dict[str, Any]]:
    """Return the key under which the answer is kept, and the answer.

    sha256: of the source whose code is asked; '' for what comes with ACC. ``superseded`` is true in it when ``who``
    has asked for something else meanwhile. ``without``: what can be done all the same when nobody answers. Raises
    NoAnswer.
    """
    key = _key(kind, sha256, asked)
    request = {
        "key": key,
        "kind": kind,
        "ticket": secrets.token_hex(8),
        "who": who,
        "sha256": sha256,
        "field": field,
        "seconds": SECONDS,
        "asked": dict(asked),
    }
    try:
        known = kept(key)
        return key, known if known is not None else _ask(request, without)
    except RedisError as error:
        raise NoAnswer(f"no {kind_words(kind)} could be made: Redis cannot be reached") from error


def kept(key: str) -> dict[str, Any] | None:
    """Return the answer that is kept under a key, or None; raises RedisError."""
    found: Any = _redis(settings.REDIS_URL).get(_kept(key))
    return json.loads(found) if found else None


def kind_words(kind: Kind) -> str:
    """Return what an answer is called."""
    return CALLED[kind]


def take(client: redis.Redis, seconds: float) -> dict[str, Any] | None:
    """Return the next question, waiting up to ``seconds``; called by who answers."""
    found: Any = client.blpop([REQUESTS], timeout=seconds)
    return json.loads(found[1]) if found else None


def source_of(request: Mapping[str, Any]) -> dict[str, str]:
    """Return path and text of the source that a request names; what may not run, or is not kept, raises InvalidInput.

    They are read here and do not travel with the request, so that Redis brings no code.
    """
    if not request["sha256"]:  # of ACC itself
        return {"path": "", "text": ""}
    approval.require([request["sha256"]], field=request.get("field", "generator"))
    source = selectors.source(request["sha256"])
    return {"path": source.path, "text": source.text}


def answer(client: redis.Redis, request: Mapping[str, Any], report: Mapping[str, Any]) -> None:
    """Keep a good answer, and tell the one who waits; a picture is fetched from where it is kept."""
    with client.pipeline() as pipeline:
        if report.get("png") or report.get("description") or report.get("setup"):
            pipeline.set(_kept(request["key"]), json.dumps(report), ex=KEPT_SECONDS)
        place = _answers(request["ticket"])
        told = {**report, "png": True} if report.get("png") else report
        pipeline.rpush(place, json.dumps(told))
        pipeline.expire(place, REQUEST_SECONDS)
        pipeline.execute()


def _ask(request: Mapping[str, Any], without: str) -> dict[str, Any]:
    client = _redis(settings.REDIS_URL)
    with client.pipeline() as pipeline:
        pipeline.rpush(REQUESTS, json.dumps(request))
        pipeline.ltrim(REQUESTS, -MAX_REQUESTS, -1)
        pipeline.expire(REQUESTS, REQUEST_SECONDS)
        pipeline.execute()
    found: Any = client.blpop([_answers(request["ticket"])], timeout=WAIT_SECONDS)
    if found is None:
        raise NoAnswer(
            f"no {kind_words(request['kind'])} came within {WAIT_SECONDS:g} s; is the plugin watcher running? {without}"
        )
    report: dict[str, Any] = json.loads(found[1])
    return report


def _key(kind: Kind, source: str, asked: Mapping[str, Any]) -> str:
    made_of = json.dumps([VERSION, kind, source, asked], sort_keys=True)
    return hashlib.sha256(made_of.encode()).hexdigest()[:40]


def _kept(key: str) -> str:
    return f"acc:preview:{key}"


def _answers(ticket: str) -> str:
    return f"acc:preview:answer:{ticket}"


@lru_cache(maxsize=2)
def _redis(url: str) -> redis.Redis:
    return redis.Redis.from_url(url, socket_timeout=WAIT_SECONDS + 2, socket_connect_timeout=1)
