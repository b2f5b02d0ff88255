"""Who did what to which object: rows that are written once and never changed."""

from __future__ import annotations

from typing import Any, NoReturn

from django.conf import settings
from django.db import models


class Via(models.TextChoices):
    PAGE = "page"
    API = "api"
    ADMIN = "admin"
    COMMAND = "command"


class AppendOnly(models.QuerySet["AuditEntry"]):
    def update(self, **_: Any) -> NoReturn:
        raise TypeError("the audit log is only added to")

    def delete(self) -> NoReturn:
        raise TypeError("the audit log is only added to")


class AuditEntry(models.Model):
    """One thing that was done, once it was done. What was refused is not here."""

    at = models.DateTimeField(auto_now_add=True)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    actor_name = models.CharField(
        max_length=150, blank=True, help_text="as it was; empty: nobody, from a shell"
    )
    via = models.CharField(max_length=8, choices=Via)
    action = models.CharField(max_length=120)
    detail = models.JSONField(default=dict)
    address = models.CharField(max_length=64, blank=True)

    objects = AppendOnly.as_manager()

    class Meta:
        ordering = ["-id"]
        verbose_name_plural = "audit entries"

    def __str__(self) -> str:
        return f"{self.actor_name or 'nobody'}: {self.action}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Write a new row; raises TypeError for one that is there."""
        if not self._state.adding:
            raise TypeError("the audit log is only added to")
        super().save(*args, **kwargs)

    def delete(self, *_: Any, **__: Any) -> NoReturn:
        raise TypeError("the audit log is only added to")


class AuditObject(models.Model):
    """Something that an entry is about, such as ``experiment:3``, ``job:41`` or ``dataset:digits``."""

    entry = models.ForeignKey(AuditEntry, on_delete=models.CASCADE, related_name="about")
    name = models.CharField(max_length=120)

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["name", "entry"], name="one_audit_object_per_entry")]

    def __str__(self) -> str:
        return self.name
