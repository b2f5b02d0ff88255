"""The network that ranks use is named by its interface; one that is not there, or has no address, is told."""

from __future__ import annotations

import socket

import pytest

from acc.errors import InvalidInput
from workers.machine.network import address_of


def test_the_loopback_has_its_address() -> None:
    assert address_of("lo") == "127.0.0.1"


@pytest.mark.parametrize("name", ["eth99", "", "a name that is far too long for an interface", "lo\n"])
def test_an_interface_that_is_not_there_is_told_with_those_that_are(name: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        address_of(name)
    (sentence,) = caught.value.fields["ACC_RANKS_INTERFACE"]
    assert f"{name!r} is no network interface of this machine" in sentence
    assert all(known in sentence for _, known in socket.if_nameindex())
