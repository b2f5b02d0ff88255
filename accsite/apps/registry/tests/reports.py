"""Reports of plugin files as the watcher makes them, for tests that must not run plugin code."""

from __future__ import annotations

import hashlib
from typing import Any

from acc.params import Param
from accsite.apps.registry.services import FileReport, SyncResult, sync

BUILT_IN = "acc/models/autoencoder.py"


def described(name: str, kind: str = "task", **fields: Any) -> dict[str, Any]:
    """Return a class as it describes itself."""
    params = fields.pop("params", {"steps": Param(9, min=2, max=64, unit="px", help="columns")})
    for key, param in params.items():
        param.__set_name__(object, key)
    return {
        "kind": kind,
        "name": name,
        "label": fields.pop("label", name),
        "description": fields.pop("description", f"What {name} does."),
        "params": [param.as_dict() for param in params.values()],
        "requires": fields.pop("requires", {"target": "class", "posterior": False}),
    }


def good(path: str, *names: str, text: str = "", **fields: Any) -> FileReport:
    """Return the report of a file that loaded and defines ``names``, tasks unless a ``kind`` is given."""
    text = text or f"# {path} {names}\n"
    return FileReport(
        path=path,
        sha256=hashlib.sha256(text.encode()).hexdigest(),
        text=text,
        classes=[described(name, **fields) for name in names],
    )


def bad(path: str, error: str = "cannot import 'nowhere'", *, line: int | None = 2) -> FileReport:
    """Return the report of a file that could not be loaded."""
    text = "import this\nimport nowhere\n"
    return FileReport(
        path=path,
        sha256=hashlib.sha256((text + error).encode()).hexdigest(),
        text=text,
        error=error,
        line=line,
        context="     1 | import this\n>    2 | import nowhere",
        detail="Traceback: ...",
    )


def look(*reports: FileReport, present: list[str] | None = None) -> SyncResult:
    """Sync ``reports`` as one look at a disk on which only those files are, unless ``present`` says others."""
    return sync(reports, present=present if present is not None else [report.path for report in reports])
