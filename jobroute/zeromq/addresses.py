# -*- test-case-name: tests.zeromq.test_addresses -*-
"""
The addresses of sockets, as ZeroMQ writes them.
"""

from __future__ import annotations

import os
from ipaddress import ip_address

from attrs import frozen

from jobroute.errors import BadEndpoint

#: How many bytes the path of a Unix socket may have.
PATH_LIMIT = 107

_EXAMPLES = "write it as tcp://127.0.0.1:7780 or ipc:///path/to/socket"


@frozen
class Address:
    """
    An address, taken apart.

    @ivar url: all of it.
    @ivar scheme: C{tcp}, C{ipc} or C{inproc}.
    @ivar rest: what stands behind C{://}.
    @ivar host: of C{tcp}; C{*} is every interface.
    @ivar port: of C{tcp}; L{None} is any that is free.
    """

    url: str
    scheme: str
    rest: str
    host: str = ""
    port: int | None = None

    @property
    def path(self) -> str | None:
        """
        The file of an C{ipc} address, L{None} if there is no file.
        """
        return self.rest if self.scheme == "ipc" and not self.rest.startswith("@") else None

    @property
    def ipv6(self) -> bool:
        """
        Whether libzmq shall use IPv6 (and IPv4 with it).

        Not where the host is IPv4 anyway, since it would be written as
        C{::ffff:127.0.0.1}; and not for C{localhost}, for which libzmq would
        take C{::1} alone, where neither a broker on 127.0.0.1 nor a peer
        without IPv6 is found.
        """
        if self.scheme != "tcp" or self.host == "localhost":
            return False
        try:
            return ip_address(self.host).version == 6
        except ValueError:
            return True

    @property
    def too_long(self) -> str | None:
        """
        What is wrong with the length of an C{ipc} path, L{None} if nothing.
        """
        size = len(os.fsencode(self.rest))
        if self.scheme != "ipc" or size <= PATH_LIMIT:
            return None
        return f"the path has {size} bytes and a socket's may have {PATH_LIMIT}"


def parse(url: str) -> Address:
    """
    Take an address apart.

    @raise BadEndpoint: if no socket can be bound or connected there.
    """
    if not isinstance(url, str):
        raise BadEndpoint(f"An address must be text, not {url!r}; {_EXAMPLES}.")
    scheme, separator, rest = url.partition("://")
    if not separator or not rest or "\0" in rest or scheme not in ("tcp", "ipc", "inproc"):
        raise BadEndpoint(f"The address {url!r} is none for ZeroMQ; {_EXAMPLES}.")
    if scheme != "tcp":
        if scheme == "ipc" and rest == "*":
            raise BadEndpoint(f"The address {url} names no file; {_EXAMPLES}.")
        return Address(url, scheme, rest)
    host, colon, text = rest.rpartition(":")
    number = text.isascii() and text.isdecimal()
    if not host or not colon or not (number or text == "*"):
        raise BadEndpoint(f"The address {url!r} must be tcp://HOST:PORT; {_EXAMPLES}.")
    if ":" in host and not (host.startswith("[") and host.endswith("]")):
        raise BadEndpoint(f"The address {url} needs brackets around its host: tcp://[::1]:7780.")
    if number and int(text) > 65535:
        raise BadEndpoint(f"The address {url} has a port over 65535; choose a smaller one.")
    return Address(url, scheme, rest, host, int(text) or None if number else None)


def readable(url: str) -> str:
    """
    An address as libzmq gives it back, with IPv4 written as such.
    """
    scheme, separator, rest = url.partition("://[::ffff:")
    host, bracket, port = rest.partition("]")
    return f"{scheme}://{host}{port}" if separator and bracket and "." in host else url


def parse_remote(url: str) -> Address:
    """
    Take an address apart to which a socket shall be connected.

    @raise BadEndpoint: if none can.
    """
    address = parse(url)
    if address.scheme == "tcp" and (address.host == "*" or address.port is None):
        raise BadEndpoint(f"The address {url} names no host and port to connect to.")
    if address.too_long is not None:
        raise BadEndpoint(f"Cannot connect to {url}: {address.too_long}; use a shorter one.")
    return address
