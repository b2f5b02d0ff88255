"""Production names what is missing and passes Django's own check; embedded settings make their own secret."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from accsite.settings import env
from accsite.settings.embedded import own_secret

pytestmark = pytest.mark.one_database

ROOT = Path(__file__).resolve().parents[2]
SECRETS = {
    "SECRET_KEY": "k9!vT2#pQ8@wZ4$xL7%mN1^rB5&yC3*hF6(jD0)sG",
    "ALLOWED_HOSTS": "acc.example",
    "DATABASE_URL": "postgresql://acc:secret@db.example/acc",
    "REDIS_URL": "redis://redis.example:6379/0",
}
SECRETS["SECRET_KEY"] += "aE3dW8uI5oP2lK7"


def _manage(tmp_path: Path, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if name not in SECRETS}
    return subprocess.run(
        [sys.executable, "manage.py", *command],
        cwd=ROOT,
        env={
            **kept,
            "DJANGO_SETTINGS_MODULE": "accsite.settings.production",
            "ACC_HOME": str(tmp_path),
            **environment,
        },
        capture_output=True,
        text=True,
        check=False,
    )


def test_every_missing_variable_is_named_at_once(tmp_path):
    done = _manage(tmp_path, "check", SECRET_KEY="x")
    assert done.returncode != 0
    assert "these environment variables must be set: ALLOWED_HOSTS, DATABASE_URL, REDIS_URL" in done.stderr


def test_the_deployment_check_is_clean(tmp_path):
    (tmp_path / "static").mkdir()
    done = _manage(tmp_path, "check", "--deploy", "--fail-level", "DEBUG", **SECRETS)
    assert done.returncode == 0, done.stderr
    assert "no issues (0 silenced)" in done.stdout


@pytest.mark.long(7)
def test_static_files_are_collected_under_hashed_names(tmp_path):
    done = _manage(tmp_path, "collectstatic", "--no-input", **SECRETS)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "static" / "staticfiles.json").is_file()


def test_two_processes_that_start_at_once_agree_on_one_secret(tmp_path):
    path = tmp_path / "home" / "secret_key"
    with ThreadPoolExecutor(8) as pool:
        secrets = set(pool.map(own_secret, [path] * 32))
    assert len(secrets) == 1
    assert len(secrets.pop()) >= 50
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == ["secret_key"]


@pytest.mark.parametrize(
    ("read", "value", "sentence"),
    [
        (lambda: env.number("ACC_TRIAL", 1), "many", "ACC_TRIAL is 'many'; use a number"),
        (lambda: env.flag("ACC_TRIAL", default=True), "maybe", "ACC_TRIAL is 'maybe'; use 1 or 0"),
        (lambda: env.choice("ACC_TRIAL", ("a", "b"), "a"), "c", "ACC_TRIAL is 'c'; use a, b"),
        (lambda: env.json_object("ACC_TRIAL", {}), "[1]", "ACC_TRIAL is not a JSON object"),
    ],
)
def test_a_wrong_value_is_refused_with_a_sentence(monkeypatch, read, value, sentence):
    monkeypatch.setenv("ACC_TRIAL", value)
    with pytest.raises(ImproperlyConfigured, match=sentence):
        read()


def test_values_are_read_in_the_forms_people_write(monkeypatch):
    monkeypatch.setenv("ACC_TRIAL", " a, b ,,c ")
    assert env.words("ACC_TRIAL") == ["a", "b", "c"]
    for text, value in {"1": True, "On": True, "no": False, "FALSE": False}.items():
        monkeypatch.setenv("ACC_TRIAL", text)
        assert env.flag("ACC_TRIAL", default=not value) is value
    monkeypatch.delenv("ACC_TRIAL")
    assert env.number("ACC_TRIAL", 2.5) == 2.5
