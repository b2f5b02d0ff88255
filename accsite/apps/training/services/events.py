"""The worker's side of commands, under the name that workers know."""

from accsite.apps.training.services.control import (
    pending_commands,
    record_alarm,
    record_baseline,
    record_command_result,
    replay_commands,
)

__all__ = [
    "pending_commands",
    "record_alarm",
    "record_baseline",
    "record_command_result",
    "replay_commands",
]
