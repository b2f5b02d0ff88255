"""Logs of every process of the site and the workers: coloured lines in a terminal, JSON lines anywhere else.

Each line carries what is bound to its context: ``request_id`` in the web process, ``job_id`` in a worker. A line
``job_queued`` carries both, so that a job can be followed from the request that asked for it.
"""

from __future__ import annotations

import logging
import logging.config
import re
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import structlog
from django.http import HttpRequest, HttpResponse

_job: dict[str, Any] = {}


def _merge_job(_logger: Any, _name: str, event: Any) -> Any:
    """Add what the whole process works at, which threads of a job do not inherit with its context."""
    for name, value in _job.items():
        event.setdefault(name, value)
    return event


_shared: list[Any] = [
    structlog.contextvars.merge_contextvars,
    _merge_job,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.stdlib.PositionalArgumentsFormatter(),
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.stdlib.ExtraAdder(),
]
_REQUEST_ID = re.compile(r"[A-Za-z0-9_-]{8,64}")


def setup(options: dict[str, Any]) -> None:
    """Configure structlog and the standard library alike; Django calls it with ``settings.LOGGING``.

    ``options``: ``level``; ``format``: console, json, or auto (console in a terminal); ``loggers``.
    """
    console = options["format"] == "console" or (options["format"] == "auto" and sys.stderr.isatty())
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_shared[:-1],
            structlog.processors.StackInfoRenderer(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"line": {"()": _formatter, "console": console}},
            "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
            "root": {"handlers": ["stderr"], "level": options["level"]},
            "loggers": {
                name: {"level": level, "handlers": [], "propagate": True}
                for name, level in options.get("loggers", {}).items()
            },
        }
    )


def _formatter(*, console: bool) -> logging.Formatter:
    tail: list[Any] = (
        [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
        if console
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(default=str)]
    )
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=_shared,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *tail],
    )


@contextmanager
def job_context(job_id: int, **more: Any) -> Iterator[None]:
    """Bind ``job_id`` (and ``more``) to every line that is logged inside, also by threads: a process has one job."""
    before = dict(_job)
    _job.update(job_id=job_id, **more)
    try:
        with structlog.contextvars.bound_contextvars(job_id=job_id, **more):
            yield
    finally:
        _job.clear()
        _job.update(before)


class RequestIdMiddleware:
    """Gives each request an id, which its log lines carry and its answer names in ``X-Request-ID``."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response
        self.log = structlog.get_logger("accsite.requests")

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Bind, answer, and log what took how long."""
        given = request.headers.get("X-Request-ID", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        started = time.perf_counter()
        with structlog.contextvars.bound_contextvars(request_id=request_id):
            response = self.get_response(request)
            # A one-time link is a secret as long as it has not been used.
            path = re.sub(r"^/sign-in/link/.*", "/sign-in/link/...", request.path)
            self.log.debug(
                "request",
                method=request.method,
                path=path,
                status=response.status_code,
                ms=round((time.perf_counter() - started) * 1000, 1),
            )
        response["X-Request-ID"] = request_id
        return response
