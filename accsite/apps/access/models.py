"""Who may come in: sign-in links and API tokens, kept as hashes only, and attempts with a password."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models
from knox.models import AbstractAuthToken


class SignInLink(models.Model):
    """A link that signs one browser in, once, before it expires. Only the SHA-256 of its token is kept."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="sign_in_links")
    token_sha256 = models.CharField(max_length=64, unique=True)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = "sign-in link"
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"sign-in link for {self.user}"


class TokenScope(models.TextChoices):
    READ = "read", "read"
    WRITE = "write", "read and write"


class ApiToken(AbstractAuthToken):  # type: ignore[misc]
    """A key by which a program acts as its user, within their role, until it expires or is revoked.

    Only a SHA-512 of it is kept. ``token_key``: its first characters, by which people know it again.
    """

    id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    name = models.CharField(max_length=80)
    scope = models.CharField(max_length=8, choices=TokenScope, default=TokenScope.READ)
    last_used_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = "API token"
        ordering = ["-created"]

    def __str__(self) -> str:
        return f"{self.name} ({self.token_key}…)"


class SignInAttempt(models.Model):
    """An attempt to sign in with a password that failed, or is still being checked; success removes it.

    The name is kept as a SHA-256 only: people type their password into the wrong field.
    """

    name_sha256 = models.CharField(max_length=64)
    address = models.CharField(max_length=64)
    at = models.DateTimeField()

    class Meta:
        verbose_name = "sign-in attempt"
        ordering = ["-id"]
        indexes = [models.Index(fields=["address", "at"]), models.Index(fields=["at"])]

    def __str__(self) -> str:
        return f"sign-in attempt from {self.address}"
