"""What a generated dataset was made from, as one hash: the same generator, version, parameters, n and seed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

MADE_FROM = ("generator", "version", "params", "n", "seed")


def recipe_hash(provenance: Mapping[str, Any]) -> str:
    """Return the hash of what a dataset was generated from; empty for one that no generator made."""
    if any(name not in provenance for name in MADE_FROM):
        return ""
    made_from = {name: provenance[name] for name in MADE_FROM}
    return hashlib.sha256(json.dumps(made_from, sort_keys=True).encode()).hexdigest()
