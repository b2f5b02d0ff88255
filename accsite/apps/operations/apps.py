"""Registers the commands and addresses of operators; there are no models here."""

from __future__ import annotations

from django.apps import AppConfig


class OperationsConfig(AppConfig):
    """What keeps an installation well: doctor, backup, restore, metrics."""

    name = "accsite.apps.operations"
    label = "operations"
