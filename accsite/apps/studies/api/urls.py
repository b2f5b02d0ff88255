"""Routes of studies below ``/api/v1/``."""

from __future__ import annotations

from accsite.apps.studies.api import views

router_entries = [("studies", views.StudyViewSet, "study")]
