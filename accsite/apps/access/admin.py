"""Users, groups, and a look at the links and attempts to sign in."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group, User
from django.db.models import QuerySet
from django.http import HttpRequest
from typing_extensions import override
from unfold.admin import ModelAdmin
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from accsite.apps.access.admin_parts import ReadOnlyAdmin, as_json, badged
from accsite.apps.access.models import ApiToken, SignInAttempt, SignInLink
from accsite.apps.access.permissions import is_administrator
from accsite.apps.audit.models import AuditEntry

admin.site.unregister(User)
admin.site.unregister(Group)


@admin.register(User)
class UserAdmin(DjangoUserAdmin, ModelAdmin):  # type: ignore[misc, type-arg]
    """Users, in the site's theme."""

    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    list_display = ["username", "email", "roles", "is_active", "is_staff", "is_superuser", "last_login"]
    list_filter = ["groups", "is_active", "is_staff", "is_superuser"]

    @override
    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        return super().get_queryset(request).prefetch_related("groups")

    @admin.display(description="roles")
    def roles(self, user: User) -> str:
        """Return the groups that somebody is in."""
        return (
            ", ".join(group.name for group in user.groups.all())
            or f"{settings.ACC_DEFAULT_ROLE} (by default)"
        )


@admin.register(Group)
class GroupAdmin(DjangoGroupAdmin, ModelAdmin):  # type: ignore[misc]
    """Groups, in the site's theme."""


@admin.register(SignInLink)
class SignInLinkAdmin(ReadOnlyAdmin):
    """One-time links; the token is nowhere to be seen. Deleting one takes it back."""

    list_display = ["user", "created_at", "expires_at", "used_at"]
    list_filter = ["used_at"]
    list_select_related = ["user"]
    fields = ["user", "created_at", "expires_at", "used_at"]


@admin.register(SignInAttempt)
class SignInAttemptAdmin(ReadOnlyAdmin):
    """Failed attempts of the last day; deleting them lets that address try again at once."""

    list_display = ["address", "at"]
    list_filter = ["address"]


@admin.register(ApiToken)
class ApiTokenAdmin(ReadOnlyAdmin):
    """API tokens; the token itself is nowhere to be seen. Deleting one revokes it."""

    list_display = ["name", "user", "token_key", "scope", "created", "expiry", "last_used_at"]
    list_filter = ["scope", "expiry"]
    list_select_related = ["user"]
    search_fields = ["name", "user__username"]
    fields = ["name", "user", "token_key", "scope", "created", "expiry", "last_used_at"]


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnlyAdmin):
    """Who did what to which object."""

    list_display = ["at", "actor_name", "route", "action", "objects_touched", "address"]
    list_filter = ["via", "at"]
    search_fields = ["actor_name", "action", "about__name"]
    date_hierarchy = "at"
    fields = ["at", "actor_name", "route", "action", "objects_touched", "detail_text", "address"]
    detail_text = as_json("detail")
    route = badged("via", {"page": "info", "api": "info", "admin": "warning", "command": "primary"})

    @override
    def get_queryset(self, request: HttpRequest) -> QuerySet[AuditEntry]:
        rows: QuerySet[AuditEntry] = super().get_queryset(request)
        return rows.prefetch_related("about")

    @override
    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return whether the user is an administrator: it names what is private."""
        return is_administrator(request.user)

    @admin.display(description="objects")
    def objects_touched(self, entry: AuditEntry) -> str:
        return ", ".join(about.name for about in entry.about.all())

    @override
    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
