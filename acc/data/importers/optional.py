"""Libraries that only some installations have: a missing one is a sentence with the command that installs it."""

from __future__ import annotations

import importlib
from typing import Any

from acc.data.importers.limits import refuse

INSTALL = 'pip install "acc[data]"'


def library(name: str, file: str, what: str) -> Any:
    """Return a module that reads ``what``; raises InvalidInput (file) where it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        package = name.split(".", maxsplit=1)[0]
        raise refuse(file, f"is {what}, which is read by {package}; install it by: {INSTALL}") from error
