"""Previews of generators: eight images for the parameters of a half-filled form, made by the watcher's fork server.

The web process asks through Redis and waits a moment; whatever the plugin does, it runs elsewhere, for two seconds at
most. What was made once is kept for a while by source, parameters and seed; of one asker the last request wins.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import redis
from django.conf import settings
from redis.exceptions import RedisError

from acc.errors import AccError, InvalidInput
from acc.params import Param, clean_params
from accsite.apps.registry import approval, selectors
from accsite.apps.registry.models import PluginKind
from accsite.errors import WrongState

REQUESTS = "acc:previews"
SECONDS = 2.0
WAIT_SECONDS = 3.0  # the fork server ends a preview after two, and says so
KEPT_SECONDS = 600
REQUEST_SECONDS = 5  # what nobody has taken by then is forgotten
MAX_REQUESTS = 50
VERSION = 1  # of what is kept


class NoPreview(AccError):
    """Nobody made the preview in time: the watcher or Redis is away."""


@dataclass(frozen=True)
class Preview:
    """Eight images in one row. ``values``: target -> one value for each; ``targets``: acc.specs.TargetSpec of each."""

    key: str
    n: int
    channels: int
    height: int
    width: int
    targets: list[dict[str, Any]]
    values: dict[str, list[float]]


def make(*, who: str, generator: object, params: Mapping[str, Any], seed: Any = 0) -> Preview:
    """Return the preview of a generator for ``who``, a name of the page that asks.

    Raises InvalidInput naming each wrong field (``preview`` for what the generator itself does wrong), WrongState when
    the same page has asked for another meanwhile, and NoPreview when none came in time.
    """
    plugin = selectors.get(PluginKind.GENERATOR, generator)
    cleaned = clean_params(plugin.params, params)
    try:
        number = Param(0, min=0, max=2**31 - 1, type="int").clean(seed if seed not in (None, "") else 0)
    except ValueError as error:
        raise InvalidInput({"seed": str(error)}) from error
    key = _key(plugin.source_id, plugin.name, cleaned, number)
    ticket = secrets.token_hex(8)
    request = {
        "key": key,
        "ticket": ticket,
        "who": who,
        "sha256": plugin.source_id,
        "name": plugin.name,
        "params": cleaned,
        "seed": number,
        "seconds": SECONDS,
    }
    try:
        kept = _redis(settings.REDIS_URL).get(_kept(key))
        return _preview(key, json.loads(kept) if kept else _ask(request))
    except RedisError as error:
        raise NoPreview("no preview could be made: Redis cannot be reached") from error


def picture(key: str) -> bytes | None:
    """Return the PNG of a preview that is still kept."""
    try:
        kept = _redis(settings.REDIS_URL).get(_kept(key))
    except RedisError:
        return None
    report = json.loads(kept) if kept else {}
    return base64.b64decode(report["png"]) if report.get("png") else None


def take(client: redis.Redis, seconds: float) -> dict[str, Any] | None:
    """Return the next request, waiting up to ``seconds``; called by who makes previews."""
    found: Any = client.blpop([REQUESTS], timeout=seconds)
    return json.loads(found[1]) if found else None


def source_of(request: Mapping[str, Any]) -> dict[str, str]:
    """Return path and text of the source that a request names; what may not run, or is not kept, raises InvalidInput.

    They are read here and do not travel with the request, so that Redis brings no code.
    """
    approval.require([request["sha256"]], field="generator")
    source = selectors.source(request["sha256"])
    return {"path": source.path, "text": source.text}


def answer(client: redis.Redis, request: Mapping[str, Any], report: Mapping[str, Any]) -> None:
    """Keep a good preview, and tell the one who waits."""
    with client.pipeline() as pipeline:
        if report.get("png"):
            pipeline.set(_kept(request["key"]), json.dumps(report), ex=KEPT_SECONDS)
        place = _answers(request["ticket"])
        pipeline.rpush(place, json.dumps({**report, "png": bool(report.get("png"))}))
        pipeline.expire(place, REQUEST_SECONDS)
        pipeline.execute()


def _ask(request: Mapping[str, Any]) -> dict[str, Any]:
    client = _redis(settings.REDIS_URL)
    with client.pipeline() as pipeline:
        pipeline.rpush(REQUESTS, json.dumps(request))
        pipeline.ltrim(REQUESTS, -MAX_REQUESTS, -1)
        pipeline.expire(REQUESTS, REQUEST_SECONDS)
        pipeline.execute()
    found: Any = client.blpop([_answers(request["ticket"])], timeout=WAIT_SECONDS)
    if found is None:
        raise NoPreview(
            f"no preview came within {WAIT_SECONDS:g} s; is the plugin watcher running? The dataset can be made without"
        )
    report: dict[str, Any] = json.loads(found[1])
    return report


def _preview(key: str, report: Mapping[str, Any]) -> Preview:
    if report.get("superseded"):
        raise WrongState({"preview": "another preview was asked for meanwhile"})
    if report["error"]:
        raise InvalidInput(report.get("fields") or {"preview": report["error"]})
    return Preview(
        key, **{name: report[name] for name in ("n", "channels", "height", "width", "targets", "values")}
    )


def _key(source: str, name: str, params: Mapping[str, Any], seed: int) -> str:
    made_of = json.dumps([VERSION, source, name, params, seed], sort_keys=True)
    return hashlib.sha256(made_of.encode()).hexdigest()[:40]


def _kept(key: str) -> str:
    return f"acc:preview:{key}"


def _answers(ticket: str) -> str:
    return f"acc:preview:answer:{ticket}"


@lru_cache(maxsize=2)
def _redis(url: str) -> redis.Redis:
    return redis.Redis.from_url(url, socket_timeout=WAIT_SECONDS + 2, socket_connect_timeout=1)
