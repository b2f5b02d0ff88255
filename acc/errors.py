"""Errors that reach a person: each names the field, the value, and what would be right. Torch-free."""

from __future__ import annotations

from collections.abc import Iterable, Mapping


class AccError(Exception):
    """Base of every error whose text is meant for the user."""


class InvalidInput(AccError):
    """Input that was refused, with one or more sentences for each field.

    The web form, the API (problem detail) and the command line (exit status 2) all show ``fields``;
    ``__all__`` holds what belongs to no single field. ``InvalidInput(n="must be 1 or more")`` is short for
    ``InvalidInput({"n": "must be 1 or more"})``.
    """

    def __init__(
        self, fields: Mapping[str, str | Iterable[str]] | None = None, /, **named: str | Iterable[str]
    ) -> None:
        self.fields: dict[str, list[str]] = {
            name: [message] if isinstance(message, str) else list(message)
            for name, message in {**(fields or {}), **named}.items()
        }
        super().__init__(
            "; ".join(
                message if name == "__all__" else f"{name}: {message}"
                for name, messages in self.fields.items()
                for message in messages
            )
        )


class TaskError(InvalidInput):
    """A task that cannot be attached: wrong dataset, latent range, factor or parameter.

    ``TaskError("needs class targets", field="dataset")``
    """

    def __init__(self, message: str, *, field: str = "__all__") -> None:
        super().__init__({field: message})


class CheckpointError(AccError):
    """A checkpoint file that cannot be used: truncated, altered, or made for another model."""


class TrainingFailed(AccError):
    """Training that cannot go on: a loss or weight that is no longer a finite number.

    Attributes: ``step`` (0-based step where it was seen), ``series`` (loss series, or the tensor's name).
    """

    def __init__(self, message: str, *, step: int, series: str = "") -> None:
        super().__init__(message)
        self.step, self.series = step, series


class DatasetLost(AccError):
    """The file of a dataset that can no longer be read while it is in use: it was cut, or its disk failed."""


class PluginFailed(AccError):
    """Code of a plugin, a task's or a model's, that raised or returned what it must not while it was at work."""


class PluginError(AccError):
    """A plugin file that could not be loaded; carries where it failed.

    Attributes: ``path`` (relative to the plugin root), ``line`` (1-based or None), ``detail`` (traceback text).
    """

    def __init__(self, message: str, *, path: str = "", line: int | None = None, detail: str = "") -> None:
        super().__init__(message)
        self.message, self.path, self.line, self.detail = message, path, line, detail
