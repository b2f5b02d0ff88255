"""A thin, typed client of a running site: ``Client(url, token)``. Needs no torch and no Django."""

from acc.client.client import Client
from acc.client.following import Points, State, Update
from acc.client.transport import ApiError, Unreachable

__all__ = ["ApiError", "Client", "Points", "State", "Unreachable", "Update"]
