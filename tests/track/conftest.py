"""What is tracked is sent to a real site in a process of its own."""

from tests.site_in_a_process import ada, client, site_url, token

__all__ = ["ada", "client", "site_url", "token"]
