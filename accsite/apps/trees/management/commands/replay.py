"""``manage.py replay CHECKPOINT``: run again all that led to a checkpoint, and compare."""

from __future__ import annotations

import subprocess
import sys
from argparse import ArgumentParser
from typing import Any

from accsite.apps.trees import selectors
from accsite.cli import ServiceCommand


class Command(ServiceCommand):
    """Replay the line of a checkpoint in a process of its own; the site itself never trains."""

    help = (
        "Run again everything from the root that led to a checkpoint, and say whether its weights are the same to "
        "the bit. Nothing is written. Exit status: 0 the same, 1 they differ, 2 it cannot be replayed."
    )

    def add_options(self, parser: ArgumentParser) -> None:
        parser.add_argument("checkpoint", help="id or tag")
        parser.add_argument(
            "--current-plugins", action="store_true", help="use the plugins as they are now, not as they were"
        )

    def run(self, **options: Any) -> int:
        checkpoint = selectors.find_checkpoint_named(self.actor, options["checkpoint"])
        command = [sys.executable, "-m", "workers.replay", str(checkpoint.pk)]
        command += [flag for flag in ("--json", "--current-plugins") if options[flag[2:].replace("-", "_")]]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)  # noqa: S603
        self.stdout.write(done.stdout.rstrip("\n"))
        return done.returncode
