"""How many changes one user may ask for in a while; reading is not limited."""

from __future__ import annotations

from typing import Any

from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request
from rest_framework.throttling import UserRateThrottle


class WriteThrottle(UserRateThrottle):
    """``ACC_WRITE_RATE`` changes for each user, whatever tokens and browsers they use; beyond that, 429."""

    scope = "writes"

    def allow_request(self, request: Request, view: Any) -> bool:
        return request.method in SAFE_METHODS or bool(super().allow_request(request, view))
