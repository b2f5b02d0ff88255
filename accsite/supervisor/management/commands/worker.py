"""``manage.py worker --queue train --device cuda:0``: one worker process bound to one device."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser
from typing import Any, NoReturn

from django.core.management.base import BaseCommand
from typing_extensions import override

from accsite.supervisor.platform import child_environment


class Command(BaseCommand):
    """Become one worker: this process is replaced by it."""

    help = "Run one worker process, bound to one device, until SIGTERM drains it. Exit status 2 for bad arguments."
    requires_system_checks: list[str] = []

    @override
    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--queue",
            "--queues",
            default="train",
            help="train, eval, default or recipe; several by commas (default: %(default)s)",
        )
        parser.add_argument(
            "--device", default="auto", help="auto, cpu, cuda or cuda:<n> (default: %(default)s)"
        )
        parser.add_argument(
            "--name", default="", help="stable over restarts; default: host, queues and device"
        )
        add_log_argument(parser)

    @override
    def handle(self, *_: Any, **options: Any) -> NoReturn:
        """Replace this process by the worker, so that signals and the exit status are its own."""
        sys.stdout.flush()
        command = [sys.executable, "-m", "workers.launch", "--queues", options["queue"]]
        command += ["--device", options["device"], "--name", options["name"]]
        become(command, as_json=options["json"])


def add_log_argument(parser: ArgumentParser) -> None:
    """Add ``--json``, which for a process that runs on and on says how it logs."""
    parser.add_argument("--json", action="store_true", help="log JSON, one object a line (on stderr)")


def become(command: list[str], *, as_json: bool) -> NoReturn:
    """Replace this process by ``command``, with the settings that it runs with."""
    environment = child_environment() | ({"ACC_LOG_FORMAT": "json"} if as_json else {})
    os.execve(sys.executable, command, environment)  # noqa: S606 - our own interpreter
