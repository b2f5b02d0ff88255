"""``manage.py import_runs mlruns``: take over runs of TensorBoard or MLflow, or what they have beyond the last time."""

from __future__ import annotations

from argparse import ArgumentParser
from dataclasses import asdict
from pathlib import Path
from typing import Any

from accsite.apps.training.services import stores
from accsite.cli import FAILED, SUCCEEDED, ServiceCommand


class Command(ServiceCommand):
    """Take over the runs of a store as jobs of the kind ``track``."""

    help = (
        "Take over runs of TensorBoard (a folder of event files, or one) or MLflow (mlruns, or its SQLite file). One "
        "that was taken over before is continued. Exit status: 0 done, 1 not all could be read, 2 bad input."
    )

    def add_options(self, parser: ArgumentParser) -> None:
        parser.add_argument("path", type=Path, help="of the store, on this machine")
        parser.add_argument("--experiment", default="", help="where they go; default: as the store names it")

    def run(self, **options: Any) -> int:
        """Print a line for each run, and on standard error what could not be read."""
        status = SUCCEEDED
        for run in stores.take_over(actor=self.actor, path=options["path"], experiment=options["experiment"]):
            self.tell(asdict(run), str(run))
            for fault in run.faults:
                self.stderr.write(f"{run.branch}: {fault}")
                status = FAILED
        return status
