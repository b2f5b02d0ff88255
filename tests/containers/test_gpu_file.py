"""What ``docker compose`` itself makes of the two files together; no GPU is needed to ask."""

from __future__ import annotations

import json

from tests.containers.conftest import Compose

GPUS = [{"driver": "nvidia", "count": -1, "capabilities": ["gpu"]}]


def test_the_gpu_file_gives_gpus_to_train_and_eval_workers_and_keeps_their_limits(compose: Compose) -> None:
    files = ("-f", "docker-compose.yml", "-f", "docker-compose.gpu.yml")
    services = json.loads(compose.run(*files, "config", "--format", "json").stdout)["services"]
    plain = json.loads(compose.run("config", "--format", "json").stdout)["services"]
    for name, service in services.items():
        resources = service["deploy"]["resources"]
        asks = resources.get("reservations", {}).get("devices")
        assert asks == (GPUS if name in {"worker-train", "worker-eval"} else None), name
        assert resources["limits"] == plain[name]["deploy"]["resources"]["limits"]
    for name in ("worker-train", "worker-eval"):
        command = services[name]["command"]
        assert command[command.index("--device") + 1] == "auto"
        assert services[name]["environment"]["ACC_SHARE_DEVICES"] == "1"
        kept = {**services[name]["environment"]}
        del kept["ACC_SHARE_DEVICES"]
        assert kept == plain[name]["environment"]
