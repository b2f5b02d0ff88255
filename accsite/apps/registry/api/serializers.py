"""What the API shows of plugins; all of it is read only, since the disk alone provides plugins."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field, inline_serializer
from rest_framework import serializers

from accsite.apps.registry.models import Plugin, PluginFile, PluginSource


class ParamSerializer(serializers.Serializer[Any]):
    """One declared parameter: what a form, a flag or a client needs to ask for it."""

    name = serializers.CharField()
    type = serializers.ChoiceField(choices=["int", "float", "bool", "str"])
    default = serializers.JSONField()
    min = serializers.FloatField(allow_null=True, help_text="inclusive")
    max = serializers.FloatField(allow_null=True, help_text="inclusive")
    choices = serializers.ListField(allow_null=True)
    help = serializers.CharField()
    unit = serializers.CharField()


class PluginSerializer(serializers.ModelSerializer[Plugin]):
    """One plugin class: its last good version."""

    sha256 = serializers.CharField(source="source_id", help_text="of the source; see plugin-sources")
    params = serializers.SerializerMethodField()

    class Meta:
        model = Plugin
        fields = (
            "kind",
            "name",
            "label",
            "description",
            "path",
            "sha256",
            "params",
            "requires",
            "built_in",
            "available",
            "updated_at",
        )

    @extend_schema_field(ParamSerializer(many=True))
    def get_params(self, plugin: Plugin) -> list[dict[str, Any]]:
        return list(plugin.params)


PLUGIN_ERROR = inline_serializer(
    "PluginError",
    {
        "message": serializers.CharField(),
        "line": serializers.IntegerField(allow_null=True, help_text="1-based"),
        "context": serializers.CharField(help_text="the numbered lines around it"),
        "detail": serializers.CharField(help_text="the traceback"),
    },
    allow_null=True,
)


class PluginFileSerializer(serializers.ModelSerializer[PluginFile]):
    """One file under the plugin folder. ``error`` is null when it loaded."""

    error = serializers.SerializerMethodField()

    class Meta:
        model = PluginFile
        fields = ("path", "sha256", "error", "output", "loaded_at", "updated_at")

    @extend_schema_field(PLUGIN_ERROR)
    def get_error(self, file: PluginFile) -> dict[str, Any] | None:
        """Return why the file as it is now could not be loaded, or None."""
        if not file.error:
            return None
        return {
            "message": file.error,
            "line": file.error_line,
            "context": file.error_context,
            "detail": file.error_detail,
        }


class PluginSourceSerializer(serializers.ModelSerializer[PluginSource]):
    """The text of one plugin file, kept for ever by its content, and whether it may run here."""

    may_run = serializers.BooleanField(
        read_only=True, help_text="this server's disk has provided it, or an administrator has approved it"
    )
    approved_by = serializers.CharField(
        source="approved_by.username", default=None, allow_null=True, read_only=True
    )

    class Meta:
        model = PluginSource
        fields = (
            "sha256",
            "path",
            "text",
            "first_seen_at",
            "may_run",
            "on_disk_at",
            "approved_at",
            "approved_by",
            "origin",
        )
