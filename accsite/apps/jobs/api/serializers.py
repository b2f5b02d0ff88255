"""Rows as JSON."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from accsite.apps.jobs.models import JobEvent, Worker


class JobEventSerializer(serializers.ModelSerializer[JobEvent]):
    """Something asked of a job, or that happened to it."""

    actor = serializers.SlugRelatedField[Any](slug_field="username", read_only=True, allow_null=True)

    class Meta:
        model = JobEvent
        fields = ("id", "kind", "payload", "status", "message", "step", "actor", "created_at", "applied_at")


class WorkerSerializer(serializers.ModelSerializer[Worker]):
    """A worker as it last described itself."""

    class Meta:
        model = Worker
        fields = (
            "id",
            "name",
            "hostname",
            "address",
            "device",
            "queues",
            "state",
            "telemetry",
            "started_at",
            "heartbeat_at",
        )
