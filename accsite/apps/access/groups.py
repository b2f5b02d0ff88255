"""The roles as Django groups, made after every migration."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import Group

from accsite.apps.access.permissions import Role


def make_groups(using: str = "default", **_: Any) -> None:
    Group.objects.using(using).bulk_create([Group(name=role) for role in Role], ignore_conflicts=True)
