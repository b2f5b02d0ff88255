"""Actions in the API: ``POST /api/v1/<objects>/{id}/<verb>/``, on the view set of their objects."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse

from accsite.actions import ActionType, every, perform, things_of
from accsite.api.common import KEY, REFUSALS
from accsite.api.lookup import body
from accsite.api.permissions import RolePermission
from accsite.apps.jobs.models import Job


def offer(viewset: Any, basename: str) -> None:
    """Give a view set an operation for each action on its objects; ``basename``: of its addresses."""
    for kind in every():
        if things_of(kind.on).name == basename:
            setattr(viewset, kind.verb, _operation(kind))


def _operation(kind: ActionType) -> Any:
    made = things_of(kind.makes or kind.on)
    schema, as_json = made.answer()
    code: int = status.HTTP_200_OK if kind.makes is None else status.HTTP_201_CREATED
    if kind.ends:
        schema, code = None, status.HTTP_204_NO_CONTENT

    def operation(self: Any, request: Request, **_: Any) -> Response:
        thing = self.get_object()
        key = request.headers.get("Idempotency-Key")
        row = perform(kind, actor=request.user, thing=thing, data=body(request, *kind.model_fields), key=key)
        if kind.ends:
            return Response(status=code)
        row = made.seen_by(request.user).get(pk=row.pk)
        where = reverse(f"api:{made.name}-detail", args=[made.key(row)], request=request)
        headers = {} if kind.makes is None else {"Location": where}
        return Response(as_json(row), status=code, headers=headers)

    operation.__name__ = kind.verb
    operation.__doc__ = kind.__doc__
    described = extend_schema(
        request=kind if kind.model_fields else None,
        responses={code: schema, **REFUSALS},
        parameters=[KEY] if kind.makes is Job else [],
    )
    routed = action(
        detail=True,
        methods=["post"],
        url_path=kind.verb,
        url_name=kind.verb,
        permission_classes=[_permission(kind)],
    )
    return described(routed(operation))


def _permission(kind: ActionType) -> type[RolePermission]:
    class MayAct(RolePermission):
        message = kind.not_allowed

        def has_object_permission(self, request: Request, view: Any, obj: Any) -> bool:  # noqa: ARG002
            return kind.may(request.user, obj)

    return MayAct
