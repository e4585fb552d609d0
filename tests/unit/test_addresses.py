"""Addresses: what is accepted, and what an error tells whoever wrote a wrong one."""

import socket

import pytest
from scaler import errors
from scaler.transport.addresses import (
    IpcAddress,
    TcpAddress,
    is_this_machine,
    parse_address,
    parse_tcp_address,
    reachable_address,
    resolve,
)
from scaler.transport.errors import AddressError


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("tcp://127.0.0.1:8516", TcpAddress("127.0.0.1", 8516)),
        ("tcp://scheduler.example.org:1", TcpAddress("scheduler.example.org", 1)),
        ("tcp://my_host-2:65535", TcpAddress("my_host-2", 65535)),
        ("tcp://[::1]:8516", TcpAddress("::1", 8516)),
        ("tcp://*:8516", TcpAddress("*", 8516)),
        ("tcp://127.0.0.1:0", TcpAddress("127.0.0.1", 0)),
        ("ipc:///tmp/a.sock", IpcAddress("/tmp/a.sock")),
        ("ipc://relative.sock", IpcAddress("relative.sock")),
    ],
)
def test_address_is_parsed_and_formatted_back(text: str, address: object) -> None:
    assert parse_address(text) == address
    assert str(parse_address(text)) == text


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("127.0.0.1:8516", "tcp://127.0.0.1:8516"),
        ("tcp://127.0.0.1", "has no port"),
        ("tcp://127.0.0.1:", "has no port"),
        ("tcp://:8516", "has no host"),
        ("tcp://host:port", "no number from 0 to 65535"),
        ("tcp://host:65536", "no number from 0 to 65535"),
        ("tcp://host:-1", "no number from 0 to 65535"),
        ("tcp://host:٣", "no number from 0 to 65535"),
        ("tcp://::1:8516", "tcp://[::1]:8516"),
        ("tcp://[::1:8516", "bracket"),
        ("tcp://[::1]", "tcp://[::1]:8516"),
        ("tcp://[zz]:1", "no IPv6 address"),
        ("tcp://300.0.0.1:1", "no IPv4 address"),
        ("tcp://a b:1", "no host name"),
        ("tcp://-a:1", "no host name"),
        ("udp://host:1", "use tcp:// or ipc://"),
        ("inproc://name", "inside one process"),
        ("ipc://", "no file name"),
        ("ipc:///tmp/", "no file name"),
        ("ipc:///" + "x" * 107, "at most 107"),
        ("", "has no scheme"),
    ],
)
def test_wrong_address_is_refused_with_the_mend(text: str, told: str) -> None:
    with pytest.raises(AddressError, match=r"(?s).*") as caught:
        parse_address(text)
    assert told in str(caught.value)
    assert isinstance(caught.value, errors.AddressError)
    assert isinstance(caught.value, ValueError)


def test_longest_ipc_path_is_accepted() -> None:
    path = "/" + "x" * 106
    assert parse_address(f"ipc://{path}") == IpcAddress(path)


def test_only_tcp_where_only_tcp_will_do() -> None:
    with pytest.raises(AddressError, match="not of the form"):
        parse_tcp_address("ipc:///tmp/a.sock")


@pytest.mark.parametrize(
    ("advertised", "reached_by", "result"),
    [
        ("tcp://0.0.0.0:8517", "tcp://10.0.0.5:8516", "tcp://10.0.0.5:8517"),
        ("tcp://*:8517", "tcp://10.0.0.5:8516", "tcp://10.0.0.5:8517"),
        ("tcp://127.0.0.1:8517", "tcp://head:8516", "tcp://head:8517"),
        ("tcp://localhost:8517", "tcp://head:8516", "tcp://head:8517"),
        ("tcp://127.0.0.1:8517", "tcp://localhost:8516", "tcp://127.0.0.1:8517"),
        ("tcp://0.0.0.0:8517", "tcp://0.0.0.0:8516", "tcp://127.0.0.1:8517"),
        ("tcp://[::]:8517", "tcp://[fe80::1]:8516", "tcp://[fe80::1]:8517"),
        ("tcp://10.0.0.9:8517", "tcp://10.0.0.5:8516", "tcp://10.0.0.9:8517"),
        ("ipc:///tmp/a", "tcp://10.0.0.5:8516", "ipc:///tmp/a"),
        ("tcp://127.0.0.1:8517", "ipc:///tmp/s", "tcp://127.0.0.1:8517"),
        ("", "tcp://10.0.0.5:8516", ""),
    ],
)
def test_advertised_wildcard_or_loopback_means_the_host_that_was_reached(
    advertised: str, reached_by: str, result: str
) -> None:
    assert reachable_address(advertised, reached_by) == result


def test_own_addresses_are_this_machine_and_others_are_not() -> None:
    assert is_this_machine(TcpAddress("127.0.0.1", 1))
    assert is_this_machine(TcpAddress("127.8.8.8", 1))
    # TEST-NET-3: belongs to nobody.
    assert not is_this_machine(TcpAddress("203.0.113.7", 1))


def test_wildcard_resolves_to_loopback() -> None:
    assert resolve(TcpAddress("0.0.0.0", 5)) == [TcpAddress("127.0.0.1", 5)]
    assert resolve(TcpAddress("*", 5)) == [TcpAddress("127.0.0.1", 5)]


def test_unknown_host_name_does_not_resolve() -> None:
    with pytest.raises(socket.gaierror):
        resolve(TcpAddress("no-such-host.invalid", 1))
