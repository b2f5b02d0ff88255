"""Looks what is in files, or makes a dataset of them. What is refused leaves nothing behind, an upload included."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import structlog
from django.conf import settings
from numpy.typing import NDArray
from PIL import Image

from acc.data import AccDataset, importers, tensor_files
from acc.data.importers.mapping import ImportMapping, changed
from acc.data.pixels import as_uint8
from acc.errors import InvalidInput
from acc.render import sprite
from accsite import blobs
from accsite.apps.datasets.looks import Look, Picture
from accsite.apps.datasets.mapping_options import answered
from accsite.apps.datasets.services import imports, on_server
from accsite.apps.datasets.services.uploads import WORK_FOLDER
from accsite.apps.jobs.models import Job
from workers.job import promises
from workers.job.context import JobContext
from workers.job.interruptible import interruptible
from workers.job.interruption import Interrupted
from workers.job.progress import Progress
from workers.job.store import draft_path, store_dataset

log = structlog.get_logger(__name__)

PREVIEWED = 8
MOST_SHOWN = 192
"""Pixels of a side of an image of a preview; larger ones are shrunk."""


@interruptible
def take_in(context: JobContext) -> None:
    """Look at, or import, the files of a job and finish it."""
    spec = context.job.spec
    try:
        with ExitStack() as stack, folder_of(context.job.pk) as folder:
            path = _placed(folder / "source", spec["upload"], stack)
            labels = _placed(folder / "beside", spec["labels"], stack) if spec["labels"] else None
            how = {
                "labels": labels,
                "max_bytes": settings.ACC_MAX_DATASET_BYTES,
                "read_tensors": tensor_files.read,
                "scratch": folder,
            }
            if spec["look"]:
                _look(context, path, how)
            else:
                _import(context, path, how)
    except (InvalidInput, Interrupted) as error:
        goes_on = isinstance(error, Interrupted) and error.reason != "stop"
        if not goes_on and not spec.get("looked"):  # what was looked at may be asked for again within a day
            imports.drop_uploads(context.job, context.attempt)
        raise
    if not spec["look"]:
        imports.drop_uploads(context.job, context.attempt)


def _look(context: JobContext, path: Path, how: dict[str, Any]) -> None:
    spec = context.job.spec
    with context.interruption.raising(), Progress(context, None) as progress:
        source = importers.look(path, **how, progress=lambda done: progress(0.6 * done))
        errors: dict[str, list[str]] = {}
        mapping = (
            importers.propose(source) if spec.get("mapping") is None else ImportMapping.parse(spec["mapping"])
        )
        look = Look(context.job, source, mapping)
        try:
            mapping = changed(mapping, **(spec.get("changes") or {}))
            questions = tuple(importers.asked(source, mapping))
            # What has to be decided is filled in as it is proposed: that is shown, and nothing is kept by it.
            answers = {each.field: each.proposed for each in questions if each.needed and each.proposed}
            mapping = answered(mapping, answers)
            look = replace(look, mapping=mapping, questions=questions)
            found = importers.preview(
                path, mapping, PREVIEWED, **how, progress=lambda done: progress(0.6 + 0.4 * done)
            )
            look = _previewed(look, found)
        except InvalidInput as error:
            errors = {name: list(said) for name, said in error.fields.items()}
            look = replace(look, errors=errors)
        progress(1.0)
    promises.succeed(context, look.as_result(), proof=looked)


def _import(context: JobContext, path: Path, how: dict[str, Any]) -> None:
    spec, began, draft = context.job.spec, time.perf_counter(), draft_path(context)
    with context.interruption.raising(), Progress(context, None) as progress:
        if spec.get("mapping") is None:
            mapping = changed(importers.propose(importers.look(path, **how)), **(spec.get("changes") or {}))
        else:
            mapping = changed(ImportMapping.parse(spec["mapping"]), **(spec.get("changes") or {}))
        provenance = importers.read(path, mapping, draft, **how, progress=lambda done: progress(0.95 * done))
        progress(1.0)
    seconds = time.perf_counter() - began
    slug = store_dataset(
        context, AccDataset.load(draft), draft, name=spec["name"], provenance=provenance, seconds=seconds
    )
    log.info("imported", dataset=slug, seconds=round(seconds, 3))


def _previewed(look: Look, found: Any) -> Look:
    """Return the look with the images and histograms of a preview; the picture is stored beside the uploads."""
    shrunk = _shrunk(as_uint8(found.images))
    file, sha256 = blobs.write_bytes(sprite(shrunk, columns=len(shrunk)), imports.UPLOADS, ".png")
    picture: Picture = {
        "file": file,
        "sha256": sha256,
        "n": len(shrunk),
        "height": shrunk.shape[2],
        "width": shrunk.shape[3],
    }
    return replace(
        look,
        picture=picture,
        shape=tuple(found.images.shape[1:]),
        captions=tuple(found.captions),
        histograms=tuple(found.histograms),
    )


def _shrunk(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return images (N, C, H, W) whose sides are at most MOST_SHOWN pixels."""
    height, width = images.shape[2:]
    factor = MOST_SHOWN / max(height, width)
    if factor >= 1:
        return images
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    small = [
        np.stack(
            [np.asarray(Image.fromarray(channel).resize(size, Image.Resampling.BOX)) for channel in image]
        )
        for image in images
    ]
    return np.stack(small)


@contextmanager
def folder_of(job: int) -> Iterator[Path]:
    """Give a folder of this job alone; what an attempt that was killed left in it is removed first."""
    folder = blobs.scratch() / f"{WORK_FOLDER}{job}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _placed(folder: Path, upload: Mapping[str, Any], stack: ExitStack) -> Path:
    """Return where the files lie under the names that their owner gave them; an ending tells what one claims to be."""
    if "path" in upload:
        return on_server.pinned(upload["path"], folder, stack)
    if "files" in upload:
        place: Path = folder / upload["name"]
        for file in upload["files"]:
            _link(file, place / file["name"])
        return place
    path: Path = folder / upload["name"]
    _link(upload, path)
    return path


def _link(upload: Mapping[str, str], path: Path) -> None:
    source = blobs.open_local(upload["file"], upload["sha256"])
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, path)
    except OSError:  # another file system, or one without links
        shutil.copyfile(source, path)


def looked(_job: Job, result: dict[str, Any], _message: str) -> None:
    if not result.get("source"):
        raise promises.PromiseBroken("what was found in the file was not told")
