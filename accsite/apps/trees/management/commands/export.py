"""``manage.py export CHECKPOINT OUT``: a checkpoint as one portable file."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from acc.errors import InvalidInput
from accsite.apps.trees import selectors
from accsite.apps.trees.services import portable
from accsite.cli import ServiceCommand


class Command(ServiceCommand):
    """Export a checkpoint."""

    help = (
        "Write a checkpoint as one file: weights, specification, plugin sources, licence, provenance, and the "
        "sha256 of each. `manage.py import` and acc.load() read it. Exit status 2 for bad input."
    )

    def add_options(self, parser: ArgumentParser) -> None:
        parser.add_argument("checkpoint", help="id or tag")
        parser.add_argument("out", type=Path, help="the file to write, such as digits.acc.zip")
        parser.add_argument("--licence", default="", help="text for its LICENCE.txt, such as CC-BY-4.0")

    def run(self, **options: Any) -> None:
        """Write the file and print its name."""
        out: Path = options["out"]
        if not out.parent.is_dir() or out.is_dir():
            raise InvalidInput(
                {"out": f"'{out}' is no file that can be written; name one in a folder that exists"}
            )
        checkpoint = selectors.find_checkpoint_named(self.actor, options["checkpoint"])
        portable.export_checkpoint(checkpoint=checkpoint, path=out, licence=options["licence"])
        self.tell({"file": str(out), "bytes": out.stat().st_size}, str(out))
