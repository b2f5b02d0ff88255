"""Holds what the API is asked against the roles and what each object says of who may change it."""

from __future__ import annotations

from typing import Any

from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request

from accsite.apps.access import permissions


class RolePermission(BasePermission):
    """Reading is for everybody who is signed in, what is visible being the views' business; changing is not."""

    message = "your role, or what was shared with you, lets you look but not change"

    def has_permission(self, request: Request, view: Any) -> bool:
        user = request.user
        if not user.is_authenticated:
            return False
        if request.method in SAFE_METHODS or permissions.may_write(user):
            return True
        # What an operator may do is done to one object, which is asked next.
        model = getattr(getattr(view, "queryset", None), "model", None)
        return bool(getattr(view, "detail", False)) and permissions.may_steer(user, model)

    def has_object_permission(self, request: Request, view: Any, obj: Any) -> bool:  # noqa: ARG002
        return request.method in SAFE_METHODS or permissions.may_change(request.user, obj)
