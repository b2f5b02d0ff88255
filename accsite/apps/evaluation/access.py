"""Who may send forms to the pages of evaluation: each is about a branch or a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db.models import Model

from accsite.apps.training import access


def page_object(user: Any, _name: str, arguments: Mapping[str, Any]) -> Model | None:
    """Return what the address names; raises Http404 if the user may not see it."""
    if "checkpoint" in arguments:
        return access.page_object(user, "checkpoint", {"pk": arguments["checkpoint"]})
    return access.page_object(user, "branch", arguments)
