"""What pages may watch of studies."""

from __future__ import annotations

from typing import Any

from accsite.apps.live import topics
from accsite.apps.studies.models import Study


def register() -> None:
    topics.register("studies")
    topics.register("study", may_see=_sees_study)


def _sees_study(user: Any, key: str) -> bool:
    return key.isdecimal() and Study.objects.visible_to(user).filter(pk=int(key)).exists()
