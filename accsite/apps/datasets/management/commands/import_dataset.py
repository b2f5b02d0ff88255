"""``manage.py import_dataset <path>``: a dataset from files on the server's disk."""

from __future__ import annotations

import os
import subprocess
import sys
from argparse import ArgumentParser
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from django.conf import settings
from numpy.typing import NDArray

from acc.data.importers import CLASSES, Answers, Look, disk_full, is_disk_full, read
from acc.errors import InvalidInput
from acc.names import clean_name
from accsite import blobs
from accsite.apps.datasets import services
from accsite.cli import SUCCEEDED, ServiceCommand


class Command(ServiceCommand):
    """Import one file or folder, or a file of images and one of labels."""

    help = (
        "Import images with their targets: IDX (gzipped or not) as MNIST comes, .npz, .npy, .pt (tensors only), a "
        "folder or zip of images with a subfolder for each class or a CSV file of targets, or a dataset of ACC. "
        "What is found is told first; then the address of the dataset is printed. Exit status 2 for a file that is "
        "refused, and for one that asks something (--scale): --look tells what, and keeps nothing."
    )

    def add_options(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path, help="file or folder; for IDX the one of images")
        parser.add_argument(
            "--labels",
            type=Path,
            help="file of targets: IDX, .npy or CSV (default: named alike for IDX, the CSV among images)",
        )
        parser.add_argument("--name", help="of the dataset (default: after the file)")
        parser.add_argument(
            "--pixels", default="uint8", choices=("uint8", "float32"), help="how floats are stored"
        )
        parser.add_argument("--look", action="store_true", help="tell what is found and asked; keep nothing")
        parser.add_argument(
            "--scale",
            default="",
            metavar="LOW..HIGH",
            help="the values that are black and white: 0..1, -1..1, 0..255 (default: as found, if that is clear)",
        )
        parser.add_argument(
            "--part", default="", help="the part of a split to take, such as train (default: all)"
        )
        parser.add_argument(
            "--classes",
            default="",
            choices=("", *CLASSES),
            help="whether folders are classes (default: as found)",
        )
        parser.add_argument(
            "--max-bytes",
            type=int,
            default=settings.ACC_MAX_DATASET_BYTES,
            help="refuse more (default: %(default)s)",
        )

    def run(self, **options: Any) -> int:
        """Import the file and print the slug of its dataset, alone on its line."""
        file: Path = options["file"]
        name = clean_name(options["name"] or services.name_of_file(file.name))
        answers = Answers(*(options[field] for field in ("scale", "part", "classes")))
        look = Look(answers, looking=options["look"])
        draft = blobs.scratch() / f"import-{os.getpid()}.safetensors"
        try:
            data, provenance = read(
                file,
                look,
                labels=options["labels"],
                max_bytes=options["max_bytes"],
                pixels=options["pixels"],
                read_tensors=read_tensors,
            )
            if options["look"]:
                self.tell(look.as_dict(), "\n".join(look.lines))
                return SUCCEEDED
            for line in look.lines:
                self.stderr.write(line)
            data.save(draft)
            dataset = services.create_dataset(
                actor=self.actor, name=name, dataset_path=draft, provenance=provenance
            )
        except OSError as error:
            if is_disk_full(error):
                raise disk_full(draft.parent) from error
            raise
        finally:
            draft.unlink(missing_ok=True)
        if dataset.name != name:
            self.stderr.write(f"these very images are here already, as '{dataset.name}'")
        self.tell({"slug": dataset.slug, "n": dataset.n, "content_hash": dataset.content_hash}, dataset.slug)
        return SUCCEEDED


def read_tensors(path: Path, max_bytes: int) -> Mapping[str, NDArray[Any]]:
    """Return the arrays of a ``.pt`` file, read by torch in a process of its own: this one has none."""
    found = blobs.scratch() / f"tensors-{os.getpid()}.npz"
    command = [sys.executable, "-m", "acc.data.tensor_files", str(path), str(found), str(max_bytes)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own module
        if done.returncode == 2:
            raise InvalidInput({"file": done.stderr})
        if done.returncode:
            raise InvalidInput({"file": f"'{path.name}' could not be read: {done.stderr.strip()[-500:]}"})
        with np.load(found, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    finally:
        found.unlink(missing_ok=True)
