"""Which address of this machine the other nodes can reach, and which interface carries it."""

from __future__ import annotations

import socket

import psutil

from raybayes.errors import ClusterError


def find_own_address(interface: str | None, toward: str | None) -> str:
    """This machine's IPv4 address.

    Args:
        interface: return the address of this interface.
        toward: without `interface`: return the address from which this one (the head's) is reached. None: the address
            that the host name resolves to, or else the one of the default route.

    Raises:
        ClusterError: the interface does not exist, or it has no address.
    """
    if interface is not None:
        return _address_of_interface(interface)
    if toward is None:
        named = _address_of_host_name()
        if named is not None:
            return named
    return _source_address(toward or "192.0.2.1")  # an address of documentation: nothing is sent to it


def own_addresses() -> list[str]:
    """All IPv4 addresses of this machine."""
    return [address for _, address in _interface_addresses()]


def _interface_addresses() -> list[tuple[str, str]]:
    return [
        (str(name), str(entry.address))
        for name, entries in psutil.net_if_addrs().items()
        for entry in entries
        if entry.family == socket.AF_INET
    ]


def _address_of_interface(interface: str) -> str:
    known = _interface_addresses()
    found = [address for name, address in known if name == interface]
    if not found:
        shown = ", ".join(f"{name} {address}" for name, address in known)
        raise ClusterError(
            f"interface {interface!r} has no IPv4 address on {socket.gethostname()}; valid interfaces: {shown}."
        )
    return found[0]


def _address_of_host_name() -> str | None:
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
    """The interface that has an address; None if this machine does not have it."""
    for name, entries in psutil.net_if_addrs().items():
        if any(entry.address == address for entry in entries):
            return str(name)
    return None


def is_listening(address: str, port: int, timeout_s: float = 1.0) -> bool:
    """Whether a process accepts connections at an address."""
    try:
        with socket.create_connection((address, port), timeout_s):
            return True
    except OSError:
        return False
