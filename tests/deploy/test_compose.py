"""docker-compose.yml runs the launcher's processes with the same commands, queues and environment."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from accsite.supervisor import health
from accsite.supervisor.processes import SHARED_ENVIRONMENT, Process, table

ROOT = Path(__file__).resolve().parents[2]
SERVICES_BESIDE = {"postgres", "redis", "migrate"}
PROCESSES = table(python="python", host="0.0.0.0")


def interpolated(text: str) -> str:
    """Return ``text`` as docker compose would read it with nothing set but what must be."""
    text = re.sub(r"\$\{(\w+):\?[^}]*\}", r"the-\1", text)
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)


@pytest.fixture(scope="module")
def compose() -> Any:
    return yaml.safe_load(interpolated((ROOT / "docker-compose.yml").read_text()))


def seconds(text: str) -> float:
    assert text.endswith("s")
    return float(text[:-1])


def test_every_process_has_its_service_and_there_is_no_other(compose):
    assert set(compose["services"]) - SERVICES_BESIDE == {process.name for process in PROCESSES}


@pytest.mark.parametrize("process", PROCESSES, ids=lambda process: process.name)
def test_a_service_runs_the_launcher_s_command(compose, process):
    service = compose["services"][process.name]
    assert service["command"] == list(process.command)
    assert seconds(service["stop_grace_period"]) >= process.grace_seconds


@pytest.mark.parametrize("process", [p for p in PROCESSES if p.queues], ids=lambda process: process.name)
def test_a_worker_serves_the_launcher_s_queues(compose, process: Process):
    command = compose["services"][process.name]["command"]
    assert tuple(command[command.index("--queues") + 1].split(",")) == process.queues


def test_every_celery_queue_is_served_exactly_once():
    served = sorted(queue for process in PROCESSES for queue in process.queues)
    assert served == ["default", "eval", "recipe", "train"]


@pytest.mark.parametrize("name", [*(p.name for p in PROCESSES), "migrate"])
def test_a_service_is_told_all_that_a_process_needs(compose, name):
    environment = compose["services"][name]["environment"]
    assert [key for key in SHARED_ENVIRONMENT if not environment.get(key)] == []
    assert environment["DJANGO_SETTINGS_MODULE"] == "accsite.settings.production"


def test_the_environment_satisfies_the_production_settings(compose):
    environment = {key: str(value) for key, value in compose["services"]["web"]["environment"].items()}
    code = (
        "import accsite.settings.production as s; "
        "print(s.DATABASES['default']['HOST'], s.REDIS_URL, s.SESSION_COOKIE_SECURE)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == ["postgres", "redis://redis:6379/0", "True"], done.stderr


@pytest.mark.parametrize("name", [*(p.name for p in PROCESSES), "migrate"])
def test_a_service_runs_as_nobody_in_particular_and_cannot_write_its_own_code(compose, name):
    service = compose["services"][name]
    assert not service["user"].startswith(("0", "root"))
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]


@pytest.mark.parametrize("process", PROCESSES, ids=lambda process: process.name)
def test_a_service_waits_for_the_database_redis_and_the_migrations(compose, process):
    waits = compose["services"][process.name]["depends_on"]
    assert waits["postgres"]["condition"] == "service_healthy"
    assert waits["redis"]["condition"] == "service_healthy"
    assert waits["migrate"]["condition"] == "service_completed_successfully"


def test_only_the_web_is_reachable_and_only_from_its_host(compose):
    published = {name: s["ports"] for name, s in compose["services"].items() if "ports" in s}
    assert list(published) == ["web"]
    assert all(port.startswith("127.0.0.1:") for port in published["web"])
    assert compose["networks"]["inside"]["internal"] is True


@pytest.mark.parametrize("name", [*(p.name for p in PROCESSES), *sorted(SERVICES_BESIDE)])
def test_a_service_can_take_only_so_much(compose, name):
    limits = compose["services"][name]["deploy"]["resources"]["limits"]
    assert re.fullmatch(r"\d+g", limits["memory"])
    assert 50 <= limits["pids"] <= 2000


@pytest.mark.parametrize("name", [*(p.name for p in PROCESSES), "postgres", "redis"])
def test_a_service_is_asked_whether_it_is_well_and_has_time_to_end(compose, name):
    service = compose["services"][name]
    assert service["healthcheck"]["test"][0] == "CMD"
    assert seconds(service["stop_grace_period"]) >= 10
    assert name == "web" or "http" not in str(service["healthcheck"])


def test_what_is_asked_of_a_process_without_a_port_is_what_it_says(compose, tmp_path):
    asked = compose["services"]["sweeper"]["healthcheck"]["test"]
    assert asked[:4] == ["CMD", "python", "-m", "accsite.supervisor.health"]
    assert compose["services"]["sweeper"]["environment"]["ACC_ALIVE_FILE"] == asked[4]
    file = tmp_path / "alive"
    assert health.main([str(file), asked[5]]) == 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ACC_ALIVE_FILE", str(file))
        health.say_alive()
    assert health.main([str(file), asked[5]]) == 0
    os.utime(file, (0, 0))
    assert health.main([str(file), asked[5]]) == 1


def test_every_variable_of_the_stack_is_explained():
    told = (ROOT / "docs" / "deploy.md").read_text() + (ROOT / ".env.example").read_text()
    names = set(re.findall(r"\$\{(\w+)", (ROOT / "docker-compose.yml").read_text()))
    assert sorted(name for name in names if name not in told) == []


def test_secrets_have_no_default():
    text = (ROOT / "docker-compose.yml").read_text()
    for name in ("SECRET_KEY", "POSTGRES_PASSWORD"):
        assert f"${{{name}:?" in text
        assert f"${{{name}:-" not in text
        assert f"\n{name}=\n" in (ROOT / ".env.example").read_text()


def test_cuda_is_a_build_argument(compose):
    arguments = compose["services"]["worker-train"]["build"]["args"]
    assert arguments["TORCH"] == "cpu"
    assert {compose["services"][p.name]["image"] for p in PROCESSES} == {"acc:cpu"}
    dockerfile = (ROOT / "Dockerfile").read_text()
    for name in arguments:
        assert f"ARG {name}=" in dockerfile
    assert "USER 10001:10001" in dockerfile


def test_the_gpu_overlay_gives_gpus_to_the_workers_that_compute_and_to_no_other(compose):
    overlay = yaml.safe_load(interpolated((ROOT / "docker-compose.gpu.yml").read_text()))["services"]
    assert set(overlay) == {"worker-train", "worker-eval"} <= set(compose["services"])
    for name, service in overlay.items():
        (devices,) = service["deploy"]["resources"]["reservations"]["devices"]
        assert devices == {"driver": "nvidia", "count": "all", "capabilities": ["gpu"]}
        command = service.get("command", compose["services"][name]["command"])
        assert command[command.index("--device") + 1] == "auto"
        assert [word for word in command if word not in {"auto", "cpu"}] == [
            word for word in compose["services"][name]["command"] if word not in {"auto", "cpu"}
        ]


def test_a_command_within_the_stack_asks_the_site_at_the_address_that_it_has_there(compose):
    port = compose["services"]["web"]["command"][-2]
    for process in PROCESSES:
        assert compose["services"][process.name]["environment"]["ACC_INTERNAL_URL"] == f"http://web:{port}"


def test_an_address_that_nobody_set_is_that_of_the_first_host(compose):
    environment = {key: str(value or "") for key, value in compose["services"]["web"]["environment"].items()}
    code = "import accsite.settings.production as s; print(s.ACC_PUBLIC_URL, s.ACC_INTERNAL_URL)"
    for given, expected in (
        ("", "https://localhost"),
        ("https://acc.example.org", "https://acc.example.org"),
    ):
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env={**environment, "ACC_PUBLIC_URL": given},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.stdout.split() == [expected, "http://web:8000"], done.stderr
