"""What a page shows of a replay: what it found to be otherwise than when the checkpoint was made."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from accsite.apps.training.selectors.replays import Replayed


@dataclass(frozen=True)
class Change:
    """One line of the difference from a parent; ``before`` and ``after`` are texts, empty for none."""

    what: str
    before: str
    after: str


def replay_changes(replayed: Replayed | None) -> list[Change]:
    """Return the lines of what a replay found to be otherwise than when the checkpoint was made."""
    found = replayed["changes"] if replayed else {}
    lines = [Change(f"library {name}", *map(text, pair)) for name, pair in found.get("libraries", {}).items()]
    if "device" in found:
        lines.append(Change("device", *map(text, found["device"])))
    for name, pair in found.get("plugins", {}).items():
        lines.append(Change(f"source of {name}", *(str(sha256 or "")[:12] for sha256 in pair)))
    lines += [Change(f"dataset {name}", "", what) for name, what in found.get("data", {}).items()]
    return lines


def text(value: Any) -> str:
    return "" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
