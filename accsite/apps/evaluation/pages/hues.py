"""The hue of a factor group: that of its place among the model's groups, wherever the group is shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from accsite.hues import HUES


def of_spec(spec: Mapping[str, Any]) -> dict[str, int]:
    """Return group -> slot of its hue for the specification of a checkpoint."""
    groups = sorted(spec.get("model", {}).get("factor_groups", ()), key=lambda group: group["start"])
    return {group["name"]: place % HUES for place, group in enumerate(groups)}
