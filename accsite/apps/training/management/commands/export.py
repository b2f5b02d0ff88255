"""``manage.py export CHECKPOINT OUT``: a checkpoint as one portable file."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from typing_extensions import override

from acc.errors import InvalidInput
from accsite.apps.training import selectors
from accsite.apps.training.services import portable
from accsite.cli import SUCCEEDED, ServiceCommand, find_user


class Command(ServiceCommand):
    """Export a checkpoint."""

    help = (
        "Write a checkpoint as one file: weights, specification, plugin sources, licence, provenance, and the "
        "sha256 of each. `manage.py import` and acc.load() read it. Exit status 2 for bad input."
    )

    @override
    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("checkpoint", help="id or tag")
        parser.add_argument("out", type=Path, help="the file to write, such as digits.acc.zip")
        parser.add_argument("--licence", default="", help="text for its LICENCE.txt, such as CC-BY-4.0")

    @override
    def run(self, **options: Any) -> int:
        """Write the file and print its name."""
        out: Path = options["out"]
        if not out.parent.is_dir() or out.is_dir():
            raise InvalidInput(
                {"out": f"'{out}' is no file that can be written; name one in a folder that exists"}
            )
        checkpoint = selectors.find_checkpoint_named(find_user(options["user"]), options["checkpoint"])
        portable.export_checkpoint(checkpoint=checkpoint, path=out, licence=options["licence"])
        if options["json"]:
            self.print_json({"file": str(out), "bytes": out.stat().st_size})
        else:
            self.stdout.write(str(out))
        return SUCCEEDED
