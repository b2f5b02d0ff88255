"""Logs are JSON lines off a terminal, carry their context, and never a secret link."""

from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys

import pytest
import structlog
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client
from rest_framework.test import APIClient

from accsite.apps.training.tests import rows
from accsite.logging import job_context

pytestmark = pytest.mark.one_database

SCRIPT = """
import logging, django
django.setup()
import structlog
from accsite.logging import job_context
import threading
with job_context(41, attempt=2):
    thread = threading.Thread(target=lambda: logging.getLogger("lease").warning("renewed"))
    thread.start()
    thread.join()
    logging.getLogger("engine").warning("loss is %s", "high", extra={"step": 7})
    structlog.get_logger("worker").info("checkpoint", sha256="abc")
try:
    1 / 0
except ZeroDivisionError:
    logging.getLogger("engine").exception("broken")
"""


def _run(**environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "accsite.settings.test", **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stderr


def test_lines_are_json_with_the_job_they_belong_to():
    lines = [json.loads(line) for line in _run().splitlines()]
    assert [line["event"] for line in lines] == ["renewed", "loss is high", "checkpoint", "broken"]
    assert [line.get("job_id") for line in lines] == [41, 41, 41, None]
    assert [line.get("attempt") for line in lines] == [2, 2, 2, None]
    assert lines[1]["step"] == 7
    assert lines[2]["sha256"] == "abc"
    assert "ZeroDivisionError" in lines[3]["exception"]


def test_lines_can_be_made_readable():
    text = _run(ACC_LOG_FORMAT="console")
    assert "checkpoint" in text
    assert "job_id=41" in text
    assert "{" not in text.splitlines()[0]


def test_a_wrong_format_is_refused_at_start():
    with pytest.raises(subprocess.CalledProcessError) as error:
        _run(ACC_LOG_FORMAT="xml")
    assert "ACC_LOG_FORMAT is 'xml'; use auto, console, json" in error.value.stderr


def test_the_context_ends_with_the_block():
    with job_context(41):
        assert structlog.contextvars.get_contextvars()["job_id"] == 41
    assert "job_id" not in structlog.contextvars.get_contextvars()


@pytest.mark.django_db
def test_the_token_of_a_link_is_not_logged(caplog):
    with caplog.at_level(logging.DEBUG):
        Client().get("/sign-in/link/very-secret-token/")
    assert "sign-in/link/..." in caplog.text
    assert "very-secret-token" not in caplog.text


@pytest.mark.django_db
def test_the_line_of_a_queued_job_names_the_request_that_asked_for_it():
    user = User.objects.create_superuser("ada")
    rows.make_plugins()
    rows.make_worker("w")
    branch = rows.make_branch(user)
    rows.make_task(branch, rows.make_dataset())
    client = APIClient()
    client.force_authenticate(user)
    with structlog.testing.capture_logs([structlog.contextvars.merge_contextvars]) as lines:
        answer = client.post(
            "/api/v1/jobs/",
            {"kind": "train", "branch": branch.pk, "train": {"steps": 5}},
            format="json",
            headers={"X-Request-ID": "from-the-proxy-1"},
        )
    assert answer["X-Request-ID"] == "from-the-proxy-1"
    queued = next(line for line in lines if line["event"] == "job_queued")
    assert (queued["request_id"], queued["job_id"]) == ("from-the-proxy-1", answer.json()["id"])


@pytest.mark.django_db
def test_a_command_on_a_terminal_leaves_the_log_to_those_who_ask_for_it(monkeypatch):
    ours = logging.getLogger("accsite")
    monkeypatch.setattr(ours, "level", ours.level)
    rows.make_worker("w")
    levels = []
    for arguments in ([], ["-v", "2"]):
        ours.setLevel(logging.NOTSET)
        monkeypatch.setattr(sys, "stderr", Terminal())
        call_command("devices", *arguments, stdout=io.StringIO())
        levels.append(ours.level)
    assert levels == [logging.WARNING, logging.NOTSET]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True
