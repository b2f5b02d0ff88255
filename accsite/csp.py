"""The Content-Security-Policy: nothing but our own files, with narrow exceptions by address.

- ``/admin/``: the theme is written with Alpine, which evaluates the expressions in its templates, and has
  style attributes in them.
- ``/api/docs/redoc/``: Redoc writes its style sheet into the page.
- ``/api/docs/``: Swagger UI has its icons in its style sheet.
"""

from __future__ import annotations

from typing import Any

from csp.constants import SELF, UNSAFE_EVAL, UNSAFE_INLINE
from csp.middleware import CSPMiddleware, PolicyParts
from django.http import HttpRequest, HttpResponseBase

EXCEPTIONS: dict[str, dict[str, list[str]]] = {
    "/admin/": {"script-src": [SELF, UNSAFE_EVAL], "style-src": [SELF, UNSAFE_INLINE]},
    "/api/docs/redoc/": {
        "img-src": [SELF, "data:"],
        "style-src": [SELF, UNSAFE_INLINE],
    },
    "/api/docs/": {"img-src": [SELF, "data:"]},
}


class PolicyMiddleware(CSPMiddleware):
    """Sends the policy of the settings, replaced in part where an address needs it."""

    def get_policy_parts(
        self, request: HttpRequest, response: HttpResponseBase, report_only: bool = False
    ) -> PolicyParts:
        parts: PolicyParts = super().get_policy_parts(request, response, report_only)
        for prefix, directives in EXCEPTIONS.items():
            if request.path.startswith(prefix):
                replace: dict[str, Any] = dict(parts.replace or {})
                parts.replace = {**directives, **replace}
                break
        return parts
