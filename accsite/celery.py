"""The Celery application. The site only sends messages by name; the bodies live in ``workers.tasks``."""

from __future__ import annotations

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "accsite.settings.embedded")

app = Celery("acc", include=["workers.tasks"])
app.config_from_object("django.conf:settings", namespace="CELERY")
