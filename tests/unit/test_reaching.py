"""What listens where, on this machine."""

from __future__ import annotations

import ipaddress
import socket

import pytest
from scaler.managers.reaching import listening


@pytest.mark.parametrize(
    ("family", "host"),
    [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::1"), (socket.AF_INET6, "::")],
)
def test_a_listening_socket_is_found_with_its_address(family: socket.AddressFamily, host: str) -> None:
    with socket.socket(family) as listener:
        try:
            listener.bind((host, 0))
        except OSError:
            pytest.skip("this machine has no such address")
        port = listener.getsockname()[1]
        assert listening(port) == []
        listener.listen()
        assert listening(port) == [ipaddress.ip_address(host)]
    assert listening(port) == []


def test_a_machine_without_tables_has_nothing() -> None:
    assert listening(80, ("/no/such/table",)) == []
