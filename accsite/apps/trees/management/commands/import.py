# ruff: noqa: N999 - the command is called import
"""``manage.py import FILE``: an exported checkpoint as an experiment of its own."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from accsite.apps.trees.services import portable
from accsite.cli import ServiceCommand


class Command(ServiceCommand):
    """Import a checkpoint."""

    help = (
        "Take in a checkpoint that an ACC exported. Plugin sources in the file are kept and not run before you "
        "train or evaluate it. Exit status 2 for a file that is refused."
    )

    def add_options(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path, help="written by `manage.py export`")
        parser.add_argument("--name", help="of the new experiment (default: as it was called)")

    def run(self, **options: Any) -> None:
        """Import, and print experiment and checkpoint."""
        made = portable.import_checkpoint(actor=self.actor, path=options["file"], name=options["name"])
        checkpoint = made.checkpoint
        for note in made.notes:
            self.stderr.write(note)
        if self.json:
            fields = {"experiment": checkpoint.experiment.slug, "branch": checkpoint.branch_id}
            self.print_json({**fields, "checkpoint": checkpoint.pk, "notes": list(made.notes)})
        else:
            self.stdout.write(f"checkpoint {checkpoint.pk} of experiment {checkpoint.experiment.slug}")
