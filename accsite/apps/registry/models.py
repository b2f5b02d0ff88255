"""Plugin rows: the shadow in the database of the classes in ``plugins/``, and the sources kept for ever."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from acc.text import DETAIL_CHARS
from accsite.fields import CleanCharField, CleanJSONField, CleanTextField


class PluginKind(models.TextChoices):
    TASK = "task"
    GENERATOR = "generator"
    RECIPE = "recipe"
    MODEL = "model"
    METHOD = "method"
    METRIC = "metric"


class SourceQuerySet(models.QuerySet["PluginSource"]):
    """Sources, by whether they may run."""

    def approved(self) -> SourceQuerySet:
        """Return those that may run here."""
        return self.exclude(on_disk_at=None, approved_at=None)

    def waiting(self) -> SourceQuerySet:
        """Return those that came from elsewhere and that nobody has approved."""
        return self.filter(on_disk_at=None, approved_at=None)


class PluginSource(models.Model):
    """The text of one plugin file, by content. Jobs and checkpoints refer to it, so it is never changed or deleted.

    Whether it may run is decided by ``accsite.apps.registry.approval`` alone.
    """

    sha256 = models.CharField(max_length=64, primary_key=True)
    path = models.CharField(max_length=255, help_text="where the file was, relative to the plugin root")
    text = models.TextField()
    first_seen_at = models.DateTimeField(auto_now_add=True)
    on_disk_at = models.DateTimeField(
        null=True, blank=True, help_text="when it was first found in this server's own plugin folders"
    )
    approved_at = models.DateTimeField(null=True, blank=True, help_text="when an administrator approved it")
    approved_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    origin = models.CharField(max_length=255, blank=True, help_text="how it came, if not from the disk")

    objects = SourceQuerySet.as_manager()

    def __str__(self) -> str:
        return f"{self.path} {self.sha256[:8]}"

    @property
    def may_run(self) -> bool:
        """Whether this server's own disk has provided it, or an administrator has approved it."""
        return self.on_disk_at is not None or self.approved_at is not None


class PluginFile(models.Model):
    """One ``.py`` file under ``plugins/`` as it is on disk now, and the error of its last load if it failed."""

    path = models.CharField(max_length=255, unique=True)
    sha256 = models.CharField(max_length=64, help_text="of what is on disk now, good or broken")
    error = CleanTextField(blank=True, help_text="one sentence; empty when the file loaded")
    error_line = models.PositiveIntegerField(null=True, blank=True)
    error_context = CleanTextField(
        blank=True, limit=DETAIL_CHARS, help_text="the source lines around the error"
    )
    error_detail = CleanTextField(blank=True, limit=DETAIL_CHARS, help_text="the traceback")
    output = CleanTextField(blank=True, limit=DETAIL_CHARS, help_text="what it printed while it was loaded")
    loaded_at = models.DateTimeField(null=True, blank=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["path"]

    def __str__(self) -> str:
        return self.path


class Plugin(models.Model):
    """One plugin class: its last good version, what it needs, and its parameters."""

    kind = models.CharField(max_length=16, choices=PluginKind)
    name = models.CharField(max_length=120, help_text="the class name")
    label = CleanCharField(max_length=120)
    description = CleanTextField(blank=True, limit=DETAIL_CHARS)
    path = models.CharField(max_length=255, help_text="the file that defines it, relative to the plugin root")
    source = models.ForeignKey(PluginSource, on_delete=models.PROTECT, related_name="plugins")
    params = CleanJSONField(default=list, help_text="acc.params.Param.as_dict() of each parameter")
    requires = CleanJSONField(default=dict, help_text="tasks: acc.plugins.PluginClass.requires")
    built_in = models.BooleanField(default=False)
    available = models.BooleanField(default=True, help_text="false once its file or class is gone")
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["kind", "name"]
        constraints = [models.UniqueConstraint(fields=["kind", "name"], name="one_plugin_per_kind_and_name")]

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"
