"""What a job has found in files, as its result keeps it: the source, the mapping, and how the images come out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypedDict

from acc.data.importers import FORMATS
from acc.data.importers.mapping import Histogram, ImportMapping, Question, Source
from accsite import blobs
from accsite.apps.datasets import plots
from accsite.apps.jobs.models import Job
from accsite.apps.jobs.states import ACTIVE


class Picture(TypedDict):
    """The images of a preview in one row of storage: ``file`` there, of ``n`` images of ``height`` x ``width``."""

    file: str
    sha256: str
    n: int
    height: int
    width: int


@dataclass(frozen=True)
class Bars:
    """The histogram of one target, as it is drawn."""

    histogram: Histogram
    bars: list[plots.Bar]

    @property
    def ends(self) -> tuple[str, str]:
        """The least and the greatest value, or the first and the last class."""
        told = self.histogram
        if told.edges:
            return plots.figure(told.edges[0]), plots.figure(told.edges[-1])
        return (told.labels[0], told.labels[-1]) if told.labels else ("", "")

    @property
    def words(self) -> str:
        """What it shows, for who cannot see it."""
        return f"Histogram of {self.histogram.target}: " + "; ".join(
            f"{bar.words} {bar.counts[0]:,}" for bar in self.bars[:12]
        )


@dataclass(frozen=True)
class Look:
    """What ``job`` has found. errors: why the mapping does not fit, by its fields.

    shape: (channels, height, width) of the images as they will be; () without a preview.
    """

    job: Job
    source: Source
    mapping: ImportMapping
    questions: tuple[Question, ...] = ()
    errors: dict[str, list[str]] = field(default_factory=dict)
    picture: Picture | None = None
    shape: tuple[int, ...] = ()
    captions: tuple[str, ...] = ()
    histograms: tuple[Histogram, ...] = ()

    def as_result(self) -> dict[str, Any]:
        """Return it as the result of its job keeps it."""
        return {
            "source": self.source.model_dump(mode="json"),
            "mapping": self.mapping.model_dump(mode="json"),
            "questions": [question.model_dump(mode="json") for question in self.questions],
            "errors": self.errors,
            "preview": {
                "picture": self.picture,
                "shape": list(self.shape),
                "captions": list(self.captions),
                "histograms": [each.model_dump(mode="json") for each in self.histograms],
            }
            if self.picture
            else None,
        }

    @property
    def bars(self) -> list[Bars]:
        """The histograms of the targets."""
        return [Bars(each, _bars(each)) for each in self.histograms]

    @property
    def open(self) -> list[Question]:
        """What has to be decided before anything is imported."""
        return [each for each in self.questions if each.needed]

    @property
    def format(self) -> str:
        """What kind of file it is, in words."""
        return FORMATS.get(self.source.format, self.source.format)

    @property
    def row_width(self) -> int:
        """Of the picture, in pixels."""
        return self.picture["n"] * self.picture["width"] if self.picture else 0

    @property
    def images(self) -> list[tuple[int, str]]:
        """Of each image its place in the picture, in pixels from the left, and what it is."""
        if self.picture is None:
            return []
        words = [*self.captions, *[""] * self.picture["n"]]
        return [(-place * self.picture["width"], words[place]) for place in range(self.picture["n"])]


def of(job: Job) -> Look | None:
    """Return what a job has found, or, until it has, what the one before it found; None if there is nothing."""
    found = _read(job, job.result)
    if found is not None or job.spec.get("looked") is None:
        return found
    before = Job.objects.filter(pk=job.spec["looked"]).first()
    look = _read(before, before.result) if before is not None else None
    if before is None or look is None:
        return None
    given = job.spec.get("mapping")
    mapping = ImportMapping.parse(given) if given else look.mapping
    busy = job.state in ACTIVE
    return Look(
        before, look.source, mapping, picture=look.picture if busy else None, shape=look.shape if busy else ()
    )


def picture_of(job: Job) -> bytes | None:
    """Return the PNG of a job's own preview; None if there is none, or it is kept no longer."""
    look = _read(job, job.result)
    if look is None or look.picture is None:
        return None
    try:
        return blobs.open_local(look.picture["file"], look.picture["sha256"]).read_bytes()
    except blobs.BlobDamaged:
        return None


def _read(job: Job, result: Mapping[str, Any] | None) -> Look | None:
    if not result or "source" not in result:
        return None
    preview = result.get("preview") or {}
    return Look(
        job,
        Source.model_validate(result["source"]),
        ImportMapping.model_validate(result["mapping"]),
        tuple(Question.model_validate(each) for each in result.get("questions", ())),
        dict(result.get("errors") or {}),
        preview.get("picture"),
        tuple(preview.get("shape", ())),
        tuple(preview.get("captions", ())),
        tuple(Histogram.model_validate(each) for each in preview.get("histograms", ())),
    )


def _bars(histogram: Histogram) -> list[plots.Bar]:
    edges = histogram.edges or tuple(range(len(histogram.counts) + 1))
    target = {"kind": "real" if histogram.edges else "class", "labels": histogram.labels}
    return plots.bars(list(edges), list(histogram.counts), target=target)
