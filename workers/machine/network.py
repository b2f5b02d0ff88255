"""The network over which ranks on several machines talk to each other."""

from __future__ import annotations

import fcntl
import socket
import struct

from acc.errors import InvalidInput

SIOCGIFADDR = 0x8915
"""Linux: asks for the IPv4 address of an interface (netdevice(7))."""


def address_of(interface: str) -> str:
    """Return the IPv4 address of a network interface; raises InvalidInput if it is not there or has none."""
    names = [name for _, name in socket.if_nameindex()]
    if interface not in names:
        raise InvalidInput(
            ACC_RANKS_INTERFACE=f"{interface!r} is no network interface of this machine; it has: "
            f"{', '.join(names)}"
        )
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        try:
            answer = fcntl.ioctl(asking, SIOCGIFADDR, struct.pack("256s", interface.encode()))
        except OSError as error:
            raise InvalidInput(
                {"ACC_RANKS_INTERFACE": f"{interface!r} has no IPv4 address ({error.strerror})"}
            ) from error
    return socket.inet_ntoa(answer[20:24])
