"""Which address of this machine the other nodes can reach, and the interface that carries it."""

from __future__ import annotations

import socket

import psutil

from raybayes.errors import ClusterError


def own_address(interface: str | None, toward: str | None) -> str:
    """This machine's IPv4 address.

    Args:
        interface: take it from this one.
        toward: else take the one from which this address is reached (the head's); none: what the host name says,
            else the one of the default route.

    Raises:
        ClusterError: there is no such interface, or it has no address.
    """
    if interface is not None:
        return _address_of(interface)
    if toward is None:
        named = _named_address()
        if named is not None:
            return named
    return _source_address(toward or "192.0.2.1")  # an address of documentation: nothing is sent to it


def _address_of(interface: str) -> str:
    known = psutil.net_if_addrs()
    found = [entry.address for entry in known.get(interface, []) if entry.family == socket.AF_INET]
    if not found:
        shown = ", ".join(
            f"{name} {entry.address}"
            for name, entries in known.items()
            for entry in entries
            if entry.family == socket.AF_INET
        )
        raise ClusterError(
            f"interface {interface!r} has no IPv4 address on {socket.gethostname()}; there are: {shown}."
        )
    return str(found[0])


def _named_address() -> str | None:
    try:
        found = socket.gethostbyname(socket.gethostname())
    except OSError:
        return None
    return None if found.startswith("127.") or interface_of(found) is None else found


def _source_address(toward: str) -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((toward, 9))
            return str(probe.getsockname()[0])
        except OSError:
            return "127.0.0.1"


def interface_of(address: str) -> str | None:
    """The interface that has the address."""
    for name, entries in psutil.net_if_addrs().items():
        if any(entry.address == address for entry in entries):
            return str(name)
    return None


def answers(address: str, port: int, timeout_s: float = 1.0) -> bool:
    """Whether something listens there."""
    try:
        with socket.create_connection((address, port), timeout_s):
            return True
    except OSError:
        return False
