"""Versioned topics: what lets a page that was away ask for exactly what it missed."""

from __future__ import annotations

from django.db import models


class Topic(models.Model):
    """A thing that pages watch (``registry``, ``tasks:7``, ``job:41``) and how often it has changed."""

    name = models.CharField(max_length=120, primary_key=True)
    version = models.PositiveBigIntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.name} v{self.version}"
