"""Shapes of requests and answers, for the OpenAPI schema. What is right and wrong is decided by the services."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field


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
