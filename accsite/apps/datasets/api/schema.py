"""Shapes of requests and answers, for the OpenAPI schema. What is right and wrong is decided by the services."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field

from acc.data.importers.mapping import Histogram, ImportMapping, Question, Source


class GenerateRequest(BaseModel):
    """Make a dataset."""

    kind: Literal["generate"] = "generate"
    generator: str
    name: str = ""
    n: int | None = Field(default=None, ge=1)
    seed: int = 0
    params: dict[str, Any] = Field(default_factory=dict)
    force: bool = Field(default=False, description="make anew what the same parameters and seed have made")


class PreviewRequest(BaseModel):
    """Eight images for the parameters of a form."""

    generator: str
    params: dict[str, Any] = Field(default_factory=dict)
    seed: int = 0
    form: str = Field(default="", description="names the page that asks: of one page, the last request wins")


class GeneratorPreview(BaseModel):
    """Images in one row at ``url``, with the targets of each."""

    key: str
    url: str
    n: int
    columns: int
    channels: int
    height: int
    width: int
    targets: list[dict[str, Any]] = Field(description="acc.specs.TargetSpec of each column")
    values: dict[str, list[float]]


class ImportRequest(BaseModel):
    """Import what a job has looked at, or what lies on the server; or only look, once more by another mapping."""

    job: int | None = Field(default=None, description="that has looked at files")
    path: str = Field(default="", description="in place of a job: of a file or folder below ACC_IMPORT_ROOTS")
    labels: str = Field(default="", description="with path: of a file of targets there")
    mapping: ImportMapping | None = Field(default=None, description="whole; default: as the look proposes")
    like: str = Field(default="", description="a dataset, whose mapping is taken")
    scale: str = Field(default="", description="in place of the mapping's: LOW..HIGH")
    pixels: Literal["uint8", "float32"] | None = None
    parts: list[str] | None = Field(
        default=None, description="of the split that comes with the data; []: all"
    )
    name: str = Field(default="", description="default: after the file")
    look: bool = Field(default=False, description="only look, and keep nothing")


class ImportHistogram(Histogram):
    """How often a target has its values: between ``edges``, or of each of ``labels``."""


class ImportPreview(BaseModel):
    """Images as they will be, in one row at ``url``, and how the targets lie."""

    url: str
    n: int
    shape: list[int] = Field(description="channels, height, width of the images as they will be")
    captions: list[str] = Field(description="the targets of each image, in words")
    histograms: list[ImportHistogram]


class ImportLook(BaseModel):
    """What a job has found in files, what it proposes, and how that comes out."""

    job: int
    state: str
    message: str = Field(description="why it failed")
    source: Source | None = Field(description="null until it has looked")
    mapping: ImportMapping | None = Field(description="as it was given, else as it is proposed")
    questions: list[Question] = Field(description="what can be decided, and, if needed, has to be")
    errors: dict[str, list[str]] = Field(description="why the mapping does not fit, by its fields")
    preview: ImportPreview | None
    command: list[str] = Field(description="options of manage.py import_dataset that say this mapping")
    imported: str | None = Field(description="the dataset that it became")
