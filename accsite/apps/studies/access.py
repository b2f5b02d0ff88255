"""Who may start, stop, extend, rename, hand over and remove which study."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db.models import Model
from django.http import Http404

from accsite.apps.access import permissions
from accsite.apps.studies.models import Study


def register() -> None:
    permissions.register(Study, may_change_study)
    permissions.register_pages("studies", _page_object)


def may_change_study(user: Any, study: Study) -> bool:
    """Return whether a user may change a study, and end it: its owner."""
    return permissions.may_write(user) and study.owner_id in (None, user.pk)


def _page_object(user: Any, name: str, arguments: Mapping[str, Any]) -> Model | None:
    if "slug" not in arguments:
        return None
    found: Model | None = Study.objects.visible_to(user).filter(slug=arguments["slug"]).first()
    if found is None:
        raise Http404(f"there is nothing at this address, or you may not see it: {dict(arguments)}")
    return None if name == "study-copy" else found  # whoever sees it and may make one may copy it
