"""``manage.py import_dataset <path>``: what is in files on the server's disk, and a dataset of it."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from argparse import ArgumentParser, BooleanOptionalAction
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from django.conf import settings
from numpy.typing import NDArray

from acc.data import importers
from acc.data.importers import disk_full, is_disk_full
from acc.data.importers.mapping import ImportMapping, Source
from acc.errors import InvalidInput
from acc.names import clean_name
from accsite import blobs
from accsite.apps.datasets import mapping_options, services
from accsite.apps.datasets.mapping_form import use_of, values_words
from accsite.apps.datasets.mapping_options import Options
from accsite.apps.datasets.services import imports
from accsite.cli import SUCCEEDED, ServiceCommand


class Command(ServiceCommand):
    """Look at one file or folder, or import it as is proposed, or as the options say."""

    help = (
        "Import images with their targets from a file or folder. --look says what is in it, what is proposed for each "
        "array and column, and the command that takes it; nothing is kept. The options change what is proposed; "
        "--mapping says all of it, as a dataset that was imported keeps it. The address of the dataset is printed. "
        "Exit status 2 for a file that is refused, and for one that asks something (--scale)."
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
            "--look", action="store_true", help="say what is found and proposed; keep nothing"
        )
        whole = parser.add_mutually_exclusive_group()
        whole.add_argument(
            "--mapping", metavar="JSON", help="a mapping, or a file of one; what --look --json prints is one"
        )
        whole.add_argument("--like", metavar="DATASET", help="the mapping by which this dataset was imported")
        parser.add_argument("--images", metavar="ARRAY", help="the array that is the images")
        parser.add_argument(
            "--channels", choices=("none", "first", "last"), help="where their channel axis is"
        )
        parser.add_argument("--flat", metavar="CxHxW", help="the shape of images that are rows: 1x28x28")
        parser.add_argument(
            "--scale",
            metavar="LOW..HIGH",
            help="the values that are black and white: 0..1, -1..1, 0..255 (default: as found, if that is clear)",
        )
        parser.add_argument("--pixels", choices=("uint8", "float32"), help="how pixels are stored")
        parser.add_argument(
            "--targets",
            action="append",
            metavar="COLUMN,...",
            help="the targets; ARRAY:NAME,NAME for the columns of one array by their order (- for one that is none); "
            "COLUMN:NAME renames one; none for no target; may be repeated",
        )
        parser.add_argument(
            "--kind",
            action="append",
            metavar="NAME=KIND",
            help="of a target: class, real, or circular:PERIOD for an angle; may be repeated",
        )
        parser.add_argument(
            "--measure",
            action="append",
            metavar="NAME=UNIT",
            help="what a target is measured in; may be repeated",
        )
        parser.add_argument(
            "--drop",
            action="append",
            metavar="COLUMN,...",
            help="columns, or arrays of them, to leave out; may be repeated",
        )
        parser.add_argument("--id", metavar="COLUMN", help="the column that names the rows, or none")
        parser.add_argument("--split", metavar="COLUMN", help="the column of a split, or none")
        parser.add_argument(
            "--parts", "--part", metavar="PART,...", help="parts of the split to take (default: all)"
        )
        parser.add_argument(
            "--units", metavar="COLUMN", help="the column that says which rows belong together, or none"
        )
        parser.add_argument(
            "--grid",
            metavar="NAME:SIZE,...",
            help="factors in whose order the images come, the last the fastest",
        )
        parser.add_argument("--crop", metavar="SIDE", help="cut from the middle: 64, or 64x48, or none")
        parser.add_argument("--resize", metavar="SIDE", help="scale to 64, or 64x48, after the crop; or none")
        for step, words in (("grey", "one channel"), ("transpose", "height and width change places")):
            parser.add_argument(f"--{step}", action=BooleanOptionalAction, help=words)
        parser.add_argument(
            "--background", choices=("black", "white", "none"), help="what lies behind transparent pixels"
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
        how = {"labels": options["labels"], "max_bytes": options["max_bytes"], "read_tensors": read_tensors}
        whole = _whole(options)
        said = Options(**{field.name: options[field.name] for field in fields(Options)})
        if whole is not None and said == Options() and not options["look"]:
            return self._take(file, whole, name, how)
        source = importers.look(file, **how)
        mapping = mapping_options.applied(said, whole or importers.propose(source), source)
        if options["look"]:
            self._show(source, mapping, options)
            return SUCCEEDED
        for line in _lines(source, mapping):
            self.stderr.write(line)
        return self._take(file, mapping, name, how)

    def _take(self, file: Path, mapping: ImportMapping, name: str, how: dict[str, Any]) -> int:
        draft = blobs.scratch() / f"import-{os.getpid()}.safetensors"
        try:
            provenance = importers.read(file, mapping, draft, **how)
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

    def _show(self, source: Source, mapping: ImportMapping, options: Mapping[str, Any]) -> None:
        questions = importers.asked(source, mapping)
        needed = {each.field: each.proposed for each in questions if each.needed and each.proposed}
        answered = mapping_options.answered(mapping, needed)
        agreed = [
            key for each in questions if each.needed and each.field == "left_out" for key in each.choices
        ]
        answered = answered.model_copy(update={"left_out": (*answered.left_out, *agreed)})
        command = ["import_dataset", str(options["file"]), *_kept(options)]
        command += mapping_options.spelled(answered, source, importers.propose(source))
        if self.json:
            self.print_json(
                {
                    "source": source.model_dump(mode="json"),
                    "mapping": mapping.model_dump(mode="json"),
                    "questions": [each.model_dump(mode="json") for each in questions],
                    "command": command,
                }
            )
            return
        self.stdout.write("\n".join(_lines(source, mapping)))
        self.print_table(*_arrays(source))
        if source.columns:
            self.stdout.write("")
            self.print_table(*_columns(source, mapping))
        self.stdout.write("")
        for each in questions:
            if each.needed:
                self.stdout.write(f"asks for {each.field}: {each.words}")
        self.stdout.write(shlex.join(["manage.py", *command]))


def _whole(options: Mapping[str, Any]) -> ImportMapping | None:
    """Return the mapping that is told whole."""
    if options["mapping"] is not None:
        return mapping_options.given(options["mapping"])
    if options["like"] is not None:
        return ImportMapping.parse(imports.mapping_of(options["like"]))
    return None


def _kept(options: Mapping[str, Any]) -> list[str]:
    """Return the options beside the mapping that a look was given."""
    told = [("--labels", options["labels"]), ("--name", options["name"])]
    return [str(word) for flag, value in told if value is not None for word in (flag, value)]


def _lines(source: Source, mapping: ImportMapping) -> list[str]:
    """Return what a source is and what becomes of its images, a line for each."""
    kind = importers.FORMATS.get(source.format, source.format)
    layout = f"{source.layout}, {kind}" if source.layout else kind
    lines = [f"{source.file}: {layout}, {source.rows:,} images"]
    lines += [f"split '{split.column}': {_counted(split.parts)}" for split in source.splits]
    if source.folders:
        lines.append(f"folders: {_counted({folder.name: folder.files for folder in source.folders[:20]})}")
    lines += [f"passed over: '{passed.name}', {passed.why}" for passed in source.passed_over[:20]]
    lines += [f"note: {note}" for note in source.notes]
    array = source.array(mapping.images)
    if array is not None and array.least is not None:
        lines.append(
            f"pixels: {array.dtype}, {array.least:g} to {array.greatest:g}; scale {mapping.scale or 'not known'}"
        )
    return lines


def _counted(parts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in parts.items())


def _arrays(source: Source) -> tuple[list[str], list[list[str]]]:
    """Return the headings and rows of the table of arrays."""
    rows = [
        [
            array.name,
            " x ".join(map(str, array.shape)),
            array.dtype,
            "" if array.least is None else f"{array.least:g} to {array.greatest:g}",
            array.role,
        ]
        for array in source.arrays
    ]
    return ["array", "shape", "type", "values", "it may be"], rows


def _columns(source: Source, mapping: ImportMapping) -> tuple[list[str], list[list[str]]]:
    """Return the headings and rows of the table of columns: what each is, and what becomes of it."""
    targets = {target.key: target for target in mapping.targets}
    rows = []
    for column in source.columns:
        target = targets.get(column.key)
        use = f"target '{target.name}'" if target else use_of(mapping, column.key) or "left out"
        kind = target.kind if target else column.kind
        rows.append(
            [column.key, values_words(column), use, kind, target.unit if target else column.unit, column.why]
        )
    return ["column", "values", "used as", "kind", "unit", "why"], rows


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
