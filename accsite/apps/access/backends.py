"""What roles may do in the administration, without rows of permissions to keep in step with the models."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.backends import BaseBackend

from accsite.apps.access.permissions import is_administrator, may_operate


class RoleBackend(BaseBackend):
    """Administrators have every permission, operators may look at everything; nobody is signed in by it."""

    def has_perm(self, user_obj: Any, perm: str, obj: Any = None) -> bool:  # noqa: ARG002
        action = perm.partition(".")[2].partition("_")[0]
        return is_administrator(user_obj) or (action == "view" and may_operate(user_obj))

    def has_module_perms(self, user_obj: Any, app_label: str) -> bool:  # noqa: ARG002
        """Return whether the role alone lets them see an app of the administration."""
        return may_operate(user_obj)
