"""Loss points, which lie in blocks of steps."""

from __future__ import annotations

from typing import Any

import numpy as np
from django.contrib import admin
from django.db.models import QuerySet
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from typing_extensions import override

from accsite.apps.access.admin_parts import KeptAdmin, linked
from accsite.apps.jobs.models import Job
from accsite.apps.training import blocks
from accsite.apps.training.models import LossBlock

STEPS_SHOWN = 200


@admin.register(LossBlock)
class LossBlockAdmin(KeptAdmin):
    """Loss points, which lie in blocks of steps, shown as rows of (step, series, value)."""

    list_display = ["id", "of", "start", "count", "names", "attempt", "seq"]
    list_select_related = ["job"]
    search_fields = ["=job__id"]
    fields = ["of", "start", "count", "attempt", "seq", "points"]
    large = ("values", "clock", "sums", "counts", "minima", "maxima", "job__spec", "job__traceback")
    show_full_result_count = False  # counting millions of rows takes longer than showing a page of them
    of = linked("job", ordering="job")

    @override
    def seen(self, user: Any) -> QuerySet[LossBlock]:
        return LossBlock.objects.filter(job__in=Job.objects.visible_to(user))

    @admin.display(description="series")
    def names(self, block: LossBlock) -> str:
        return ", ".join(block.series)

    @admin.display(description="points")
    def points(self, block: LossBlock) -> SafeString:
        """Return the values as a table, a line a step."""
        steps = blocks.load(block.start, block.series, block.values, block.clock)
        head = format_html_join("", "<th scope=col>{}</th>", ((name,) for name in steps.series))
        rows = (
            (
                steps.start + index,
                format_html_join("", "<td>{}</td>", (("" if np.isnan(v) else f"{v:.6g}",) for v in column)),
            )
            for index, column in enumerate(steps.values.T[:STEPS_SHOWN])
        )
        body = format_html_join("", "<tr><th scope=row>{}</th>{}</tr>", rows)
        more = f"and {steps.count - STEPS_SHOWN} more steps" if steps.count > STEPS_SHOWN else ""
        return format_html(
            "<table><thead><tr><th scope=col>step</th>{}</tr></thead><tbody>{}</tbody></table>{}",
            head,
            body,
            more,
        )
