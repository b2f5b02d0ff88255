"""The table of runs by REST: rows, columns, groups and files, each of what its user may see."""

from __future__ import annotations

from typing import Any

from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from acc.errors import InvalidInput
from accsite.api.common import REFUSALS, query
from accsite.api.pages import Pages
from accsite.apps.runs import answers, selectors
from accsite.apps.runs.api import schema
from accsite.apps.runs.models import Run
from accsite.apps.runs.selectors import Col
from accsite.apps.training import exporting
from accsite.streaming import download

FILTER = query("filter", "Such as `ufr > .5 and (lr = .001 or lr = .002) and not state = failed`.")
COLUMNS = query(
    "columns",
    "Names with commas between them, as `lr,metric/ufr on digits`; else what the page shows at first.",
)
SORT = query("sort", "A column; with `-` before it from its end. Runs without a value come last.")


class _View(APIView):
    permission_classes = [IsAuthenticated]

    def asked(self, request: Request) -> tuple[Any, dict[str, Col], list[Col]]:
        """Return the runs that the request means, all columns by name, and those that it wants; raises InvalidInput."""
        known = selectors.columns_of(request.user)
        visible = selectors.all_runs(request.user)
        names = answers.listed(request.query_params.get("columns", ""))
        cols = selectors.shown_columns(known, names, visible)
        return selectors.matching(visible, known, request.query_params.get("filter", "")), known, cols


class RunsView(_View):
    """Runs, one a row."""

    @extend_schema(
        operation_id="runs_list",
        parameters=[
            FILTER,
            SORT,
            COLUMNS,
            query("limit", "runs on a page, 50 by default, at most 500", OpenApiTypes.INT),
            query("offset", "first run of the page, from 0", OpenApiTypes.INT),
        ],
        responses={200: schema.RunPage, 422: REFUSALS[422]},
    )
    def get(self, request: Request) -> Response:
        """List runs with their parameters, losses, metrics and cost."""
        runs, known, cols = self.asked(request)
        ordered = selectors.sorted_by(runs, known, request.query_params.get("sort", ""))
        pages = Pages()
        part: list[Run] | None = pages.paginate_queryset(
            ordered.select_related("experiment", "branch", "created_by"), request, self
        )
        answer = pages.get_paginated_response(
            [answers.run_as_json(row) for row in selectors.rows_of(part or [], cols)]
        )
        answer.data["columns"] = [col.name for col in cols]
        return answer


class ColumnsView(_View):
    """What runs have values of."""

    @extend_schema(operation_id="runs_columns", responses=schema.RunColumns)
    def get(self, request: Request) -> Response:
        """List the columns of the runs that one may see."""
        known = selectors.columns_of(request.user)
        told = [{"name": col.name, "kind": col.kind, "family": col.family} for col in known.values()]
        return Response({"columns": told})


class GroupsView(_View):
    """Runs in groups, as means with intervals."""

    @extend_schema(
        operation_id="runs_groups",
        parameters=[
            query("by", "A column, such as `experiment`, `branch` or `lr`.", required=True),
            FILTER,
            query("sort", "`n`, `group` or a column that is a number; with `-` before it from its end."),
            COLUMNS,
        ],
        responses={200: schema.RunGroups, 422: REFUSALS[422]},
    )
    def get(self, request: Request) -> Response:
        """Return of each group and column the mean, its 95 % interval, and of how many runs."""
        by = request.query_params.get("by", "")
        if not by:
            raise InvalidInput({"by": "name a column to group by, such as branch or lr"})
        runs, known, cols = self.asked(request)
        selectors.resolve(known, by, "by")
        found = selectors.groups(runs, known, cols, by, request.query_params.get("sort", ""))
        told = [answers.group_as_json(group) for group in found.groups]
        return Response({"by": found.by.name, "groups": told})


class ExportView(_View):
    """The table as a file."""

    @extend_schema(
        operation_id="runs_export",
        parameters=[query("form", "The form of the file.", enum=list(answers.FILES)), FILTER, SORT, COLUMNS],
        responses={
            (200, "text/csv"): OpenApiTypes.STR,
            (200, exporting.FORMS["parquet"].media_type): OpenApiTypes.BINARY,
            422: REFUSALS[422],
        },
    )
    def get(self, request: Request) -> HttpResponseBase:
        """Send all runs that a filter means as CSV or Parquet, a line or row each."""
        form = request.query_params.get("form", "csv")
        if form not in answers.FILES:
            raise InvalidInput({"form": f"{form[:40]!r} is none of: {', '.join(answers.FILES)}"})
        exporting.check(form)
        runs, known, cols = self.asked(request)
        ordered = selectors.sorted_by(runs, known, request.query_params.get("sort", ""))
        media_type, pieces = answers.FILES[form]
        made = pieces(ordered, answers.with_names(known, cols))
        return download(request._request, made, name=f"runs.{form}", content_type=media_type)
