"""Users, groups, and a look at the links and attempts to sign in."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group, User
from django.http import HttpRequest
from typing_extensions import override
from unfold.admin import ModelAdmin
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from accsite.apps.access.models import SignInAttempt, SignInLink

admin.site.unregister(User)
admin.site.unregister(Group)


@admin.register(User)
class UserAdmin(DjangoUserAdmin, ModelAdmin):  # type: ignore[misc, type-arg]
    """Users, in the site's theme."""

    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm


@admin.register(Group)
class GroupAdmin(DjangoGroupAdmin, ModelAdmin):  # type: ignore[misc]
    """Groups, in the site's theme."""


class ReadOnlyAdmin(ModelAdmin):  # type: ignore[misc]
    """Rows that only services write."""

    @override
    def has_add_permission(self, request: HttpRequest) -> bool:
        """Return no."""
        return False

    @override
    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return no."""
        return False


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
