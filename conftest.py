"""Fixtures of the whole suite: one thread for tensors, and a private Redis that tests may break.

No test changes anything outside of temporary folders: ``tests/untouched.py`` sees to that.
"""

from __future__ import annotations

import gc
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
from django.conf import settings

from accsite.supervisor.redis import RedisServer, use

# Little of what is imported is garbage, and to look for it meanwhile takes a tenth of the time.
gc.disable()

# OpenMP and the BLAS libraries read these when they are first loaded, which no import above does.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

# A busy machine is no failing example.
hypothesis.settings.register_profile("acc", hypothesis.settings(), deadline=None)
hypothesis.settings.load_profile("acc")

pytest_plugins = ["tests.untouched", "tests.durations", "tests.emptied"]

MARK_BY_FOLDER = {"faults": "fault", "e2e": "e2e", "gpu": "gpu", "containers": "containers"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what lies under tests/faults, e2e, gpu and containers, so that each pass selects its own."""
    root = Path(__file__).parent / "tests"
    for item in items:
        if item.path.is_relative_to(root):
            mark = MARK_BY_FOLDER.get(item.path.relative_to(root).parts[0])
            if mark:
                item.add_marker(mark)


def pytest_collection_finish() -> None:
    """Leave what was imported to itself: looking through all of it for cycles, again and again, takes 4 % of a pass."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 50)
    gc.enable()


def pytest_unconfigure() -> None:
    """Remove the throw-away home that the test settings made."""
    home = Path(settings.HOME)
    if home.name.startswith("acc-test-"):
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """Return a private, running Redis with start, stop, restart, kill, pause and resume."""
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    use(server.url)
    yield server
    server.stop()


@pytest.fixture(scope="session")
def redis_url(redis_server: RedisServer) -> str:
    """Return the URL of the session's private Redis; Django and Celery already point at it."""
    return redis_server.url
