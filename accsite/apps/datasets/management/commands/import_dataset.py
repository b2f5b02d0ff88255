"""``manage.py import_dataset <file>``: a dataset from IDX or .npz files on the server's disk."""

from __future__ import annotations

import os
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from typing_extensions import override

from acc.data.importers import MAX_DATASET_BYTES, import_file
from accsite import blobs
from accsite.apps.datasets import services
from accsite.cli import SUCCEEDED, ServiceCommand, find_user


class Command(ServiceCommand):
    """Import one file, or a file of images and one of labels."""

    help = (
        "Import images with their targets: .npz, or IDX (gzipped or not) as MNIST comes. Prints the slug of the "
        "dataset. Exit status 2 for a file that is refused."
    )

    @override
    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the arguments."""
        super().add_arguments(parser)
        parser.add_argument("file", type=Path, help=".npz, or the IDX file of images")
        parser.add_argument(
            "--labels", type=Path, help="IDX file of labels (default: named alike, if there is one)"
        )
        parser.add_argument("--name", help="of the dataset (default: after the file)")
        parser.add_argument(
            "--max-bytes", type=int, default=MAX_DATASET_BYTES, help="refuse more (default: %(default)s)"
        )

    @override
    def run(self, **options: Any) -> int:
        """Import the file and print the slug of its dataset, alone on its line."""
        file: Path = options["file"]
        name = options["name"] or name_of(file)
        services.check_name(name)
        actor = find_user(options["user"])
        data, provenance = import_file(file, labels=options["labels"], max_bytes=options["max_bytes"])
        draft = blobs.scratch() / f"import-{os.getpid()}.safetensors"
        try:
            data.save(draft)
            dataset = services.create_dataset(
                actor=actor, name=name, dataset_path=draft, provenance=provenance
            )
        finally:
            draft.unlink(missing_ok=True)
        if dataset.name != name:
            self.stderr.write(f"these very images are here already, as '{dataset.name}'")
        if options["json"]:
            self.print_json({"slug": dataset.slug, "n": dataset.n, "content_hash": dataset.content_hash})
        else:
            self.stdout.write(dataset.slug)
        return SUCCEEDED


def name_of(file: Path) -> str:
    """Return a name for the dataset of a file: ``train-images-idx3-ubyte.gz`` gives ``train images``."""
    stem = file.name.split(".")[0].replace("idx3", "").replace("ubyte", "")
    words = " ".join(stem.replace("_", "-").split("-")).strip()
    return " ".join(words.split())
