"""Addresses of datasets in the API."""

from __future__ import annotations

from accsite.apps.datasets.api.views import DatasetViewSet

router_entries = [("datasets", DatasetViewSet, "dataset")]
