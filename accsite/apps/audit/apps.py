"""The app of who did what."""

from django.apps import AppConfig


class AuditConfig(AppConfig):
    """Knows no other app: requests tell it by ``accsite.apps.access.auditing``, services by their topics."""

    name = "accsite.apps.audit"
    label = "audit"
    verbose_name = "Audit log"
