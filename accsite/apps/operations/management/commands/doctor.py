"""``manage.py doctor``: what is well with this installation, what is not, and what to do."""

from __future__ import annotations

from typing import Any

from rich.markup import escape

from accsite.apps.operations.doctor import examine
from accsite.cli import FAILED, SUCCEEDED, ServiceCommand

MARKS = {"ok": "[green]✓[/green]", "warning": "[yellow]![/yellow]", "failure": "[red]✗[/red]"}


class Command(ServiceCommand):
    """Look the installation over."""

    help = "Check database, Redis, storage, workers, jobs, devices, plugins and clock. Exit status 1 if one fails."

    def run(self, **_: Any) -> int:
        """Print each finding; fail if one is a failure."""
        findings = examine()
        for finding in findings:
            if self.json:
                self.print_json(finding.as_dict())
                continue
            remedy = [f"    → {escape(finding.remedy)}"] if finding.remedy else []
            self.print_lines(
                [f"{MARKS[finding.state]} [bold]{finding.check}[/bold] {escape(finding.text)}", *remedy]
            )
        return FAILED if any(finding.state == "failure" for finding in findings) else SUCCEEDED
