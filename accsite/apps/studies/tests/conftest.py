"""Rows that the tests of studies begin with: those of training, and two branches that differ in a weight."""

from __future__ import annotations

from typing import Any

import pytest

from accsite.apps.training.models import Branch
from accsite.apps.training.tests import rows
from accsite.apps.training.tests.conftest import branch, page, plugins, user

__all__ = ["arms", "branch", "page", "plugins", "user"]


@pytest.fixture
def arms(branch: Branch, user: Any) -> list[Branch]:
    """Two branches of one experiment that differ in a weight."""
    data = rows.make_dataset()
    other = Branch.objects.create(experiment=branch.experiment, name="heavier", slug="heavier")
    rows.make_task(branch, data)
    rows.make_task(other, data, weight=3.0)
    return [branch, other]
