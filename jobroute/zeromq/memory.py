# -*- test-case-name: tests.zeromq.test_memory -*-
"""
A network in memory, for tests and simulations.

It routes as libzmq does where jobroute relies on it, and fails on demand:
messages are late, overtake those of other peers, are lost with a connection,
come twice; hosts are cut off, crash, or go without a sign.  With the same
clock, the same seed and the same calls, the same happens.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from attrs import define, field
from twisted.internet import defer
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from jobroute.errors import CannotListen, NotConnected
from jobroute.interfaces import (
    IMessageEndpoint,
    IMessageFactory,
    IMessagePort,
    IMessageProtocol,
    INetwork,
    SocketKind,
    SocketOptions,
)
from jobroute.zeromq.addresses import Address, parse, parse_remote
from jobroute.zeromq.links import Conditions, Link
from jobroute.zeromq.sockets import MemorySocket
from jobroute.zeromq.timeline import Timeline

#: The first port that a wildcard is resolved to.
_FIRST_PORT = 49152


def _name(host: str, port: int | None) -> str:
    return f"tcp://{'127.0.0.1' if host == 'localhost' else host}:{port}"


@implementer(IMessagePort)
@define(eq=False)
class MemoryPort:
    """
    A bound socket.
    """

    _socket: MemorySocket
    _host: str

    def getHost(self) -> str:
        """
        The address where it can be reached, wildcards resolved.
        """
        return self._host

    def resumeReading(self) -> None:
        """
        Read what comes, from now on.
        """
        self._socket.resume()

    def pauseReading(self) -> None:
        """
        Read nothing more.
        """
        self._socket.pause()

    def stopListening(self) -> Deferred[None]:
        """
        Close it.
        """
        self._socket.loseConnection()
        return defer.succeed(None)


@implementer(IMessageEndpoint)
@define(eq=False)
class MemoryEndpoint:
    """
    An address in memory.
    """

    _host: MemoryHost
    _kind: SocketKind
    _address: Address
    _options: SocketOptions

    def listen(self, factory: IMessageFactory, paused: bool = False) -> Deferred[IMessagePort]:
        """
        Bind a socket.
        """
        return defer.execute(self._listen, factory, paused)

    def connect(self, factory: IMessageFactory) -> Deferred[IMessageProtocol]:
        """
        Connect a socket.
        """
        return defer.execute(self._connect, factory)

    def _listen(self, factory: IMessageFactory, paused: bool) -> IMessagePort:
        address = self._address
        trouble = address.too_long
        if trouble is not None:
            raise CannotListen(f"Cannot listen on {address.url}: {trouble}; choose a shorter one.")
        try:
            socket = self._host.socket(self._kind, self._options, None)
        except NotConnected as e:
            raise CannotListen(f"Cannot listen on {address.url}: the network is closed.") from e
        try:
            url = self._host.network.bind(socket, address)
            socket.build(factory, url)
        except BaseException:
            socket.loseConnection()
            raise
        if not paused:
            socket.resume()
        return MemoryPort(socket, url)

    def _connect(self, factory: IMessageFactory) -> IMessageProtocol:
        address = parse_remote(self._address.url)
        socket = self._host.socket(self._kind, self._options, address)
        self._host.network.seek(socket, False)
        try:
            protocol = socket.build(factory, address.url)
        except BaseException:
            socket.loseConnection()
            raise
        socket.resume()
        return protocol


@implementer(INetwork)
@define(eq=False)
class MemoryHost:
    """
    The network as one host sees it, until it is closed or crashes.
    """

    network: MemoryNetwork
    name: str
    sockets: dict[MemorySocket, None] = field(factory=dict, init=False)
    closed: bool = field(default=False, init=False)

    def endpoint(
        self, kind: SocketKind, address: str, options: SocketOptions = SocketOptions()
    ) -> IMessageEndpoint:
        """
        The endpoint of an address.
        """
        return MemoryEndpoint(self, kind, parse(address), options)

    def close(self) -> Deferred[None]:
        """
        Close the host's sockets.
        """
        self.closed = True
        for socket in list(self.sockets):
            socket.loseConnection()
        return defer.succeed(None)

    def crash(self) -> None:
        """
        Let the sockets vanish.
        """
        self.closed = True
        for socket in list(self.sockets):
            socket.crash()

    def socket(
        self, kind: SocketKind, options: SocketOptions, remote: Address | None
    ) -> MemorySocket:
        """
        Make a socket on this host.
        """
        if self.closed or self.network.closed:
            raise NotConnected("The network is closed.")
        identity = options.identity or b"j" + self.network.random.randbytes(15)
        socket = MemorySocket(
            kind, options, self.name, identity, remote, self.network, self.network.random
        )
        self.sockets[socket] = None
        return socket


@implementer(INetwork)
class MemoryNetwork:
    """
    Hosts, and what is between them.

    @ivar random: the seed of everything that may happen.
    @ivar delivered: how many messages have come to a protocol.
    @ivar closed: there are no sockets any more.
    """

    def __init__(
        self,
        clock: IReactorTime,
        random: Random,
        *,
        delay: tuple[float, float] = (0.0, 0.0),
        duplicate: float = 0.0,
        reconnect: float = 0.1,
    ) -> None:
        """
        @param delay: the shortest and the longest time that a message takes.
        @param duplicate: how probable it is that a message comes twice.
        @param reconnect: the longest pause before a socket connects again.
        """
        self.random = random
        self.delivered = 0
        self.closed = False
        self._timeline = Timeline(clock)
        self._conditions = Conditions(self._timeline, random, delay, duplicate)
        self._reconnect = reconnect
        self._hosts: dict[str, MemoryHost] = {}
        self._listeners: dict[str, MemorySocket] = {}
        self._seekers: dict[MemorySocket, None] = {}
        self._partitioned: dict[str, None] = {}
        self._port = _FIRST_PORT

    # -- For its users -------------------------------------------------------

    def host(self, name: str) -> MemoryHost:
        """
        The network as a host sees it.  After L{crash} or the close of the
        old one, a new one.
        """
        host = self._hosts.get(name)
        if host is None or host.closed:
            host = self._hosts[name] = MemoryHost(self, name)
        return host

    def endpoint(
        self, kind: SocketKind, address: str, options: SocketOptions = SocketOptions()
    ) -> IMessageEndpoint:
        """
        The endpoint of an address, on the host without a name.
        """
        return self.host("").endpoint(kind, address, options)

    def close(self) -> Deferred[None]:
        """
        Close all sockets of all hosts; messages on their way are lost.
        """
        self.closed = True
        for host in self._hosts.values():
            host.close()
        self._timeline.close()
        return defer.succeed(None)

    def partition(self, name: str) -> None:
        """
        Cut a host off from all others.  What is sent waits; sockets that
        heartbeat give their connections up in time.
        """
        self._partitioned[name] = None
        self._reconsider(name)

    def heal(self, name: str) -> None:
        """
        End L{partition}.
        """
        self._partitioned.pop(name, None)
        self._reconsider(name)
        self._encourage(lambda socket: True)

    def half_open(self, name: str) -> None:
        """
        Let the present connections of a host with others go silent for ever,
        with nobody told; new ones work.
        """
        for link in self._links(name):
            link.kill()

    def crash(self, name: str) -> None:
        """
        Let all sockets of a host vanish at once.  The protocols there do not
        hear of it; the peers do, except through half-open connections.
        """
        host = self._hosts.get(name)
        if host is not None:
            host.crash()

    # -- For its sockets -----------------------------------------------------

    def bind(self, socket: MemorySocket, address: Address) -> str:
        """
        Let a socket listen.

        @return: the address, wildcards resolved.
        @raise CannotListen: if another one does.
        """
        url = address.url
        if address.scheme == "tcp":
            port = address.port
            if port is None:
                port = self._port
                self._port += 1
            url = _name(address.host, port)
            taken = any(
                known.endswith(f":{port}") and "*" in (address.host, parse(known).host)
                for known in self._listeners
                if known.startswith("tcp:")
            )
        else:
            taken = False
        if taken or url in self._listeners:
            raise CannotListen(
                f"Cannot listen on {address.url}: somebody listens there already; stop that "
                "one or choose another address."
            )
        self._listeners[url] = socket
        self._encourage(lambda seeker: self._listener(seeker) is socket)
        return url

    def seek(self, socket: MemorySocket, again: bool) -> None:
        """
        Connect a socket as soon as somebody listens.
        """
        self._seekers[socket] = None
        if self._listener(socket) is not None:
            self._try_soon(socket, again)

    def forget(self, socket: MemorySocket) -> None:
        """
        A socket was closed.
        """
        self._seekers.pop(socket, None)
        for url, known in list(self._listeners.items()):
            if known is socket:
                del self._listeners[url]
        host = self._hosts.get(socket.host)
        if host is not None:
            host.sockets.pop(socket, None)

    def _listener(self, socket: MemorySocket) -> MemorySocket | None:
        address = socket.remote
        if address is None:
            return None
        if address.scheme != "tcp":
            return self._listeners.get(address.url)
        exact = self._listeners.get(_name(address.host, address.port))
        return exact or self._listeners.get(_name("*", address.port))

    def _encourage(self, which: Callable[[MemorySocket], bool]) -> None:
        for socket in self._seekers:
            if which(socket) and self._listener(socket) is not None:
                self._try_soon(socket, True)

    def _try_soon(self, socket: MemorySocket, again: bool) -> None:
        due = self._conditions.arrival()
        if again:
            due += self._reconnect * self.random.random()
        self._timeline.schedule(due, lambda: self._try(socket))

    def _try(self, socket: MemorySocket) -> None:
        listener = self._listener(socket)
        if (
            socket not in self._seekers
            or listener is None
            or self._apart(socket, listener)
            or not socket.fits(listener)
        ):
            return
        del self._seekers[socket]
        limit = socket.options.high_water + listener.options.high_water
        link = Link(socket, listener, limit, self._conditions)
        listener.linked(link, socket)
        socket.linked(link, listener)

    # -- Faults --------------------------------------------------------------

    def _apart(self, one: MemorySocket, other: MemorySocket) -> bool:
        return one.host != other.host and (
            one.host in self._partitioned or other.host in self._partitioned
        )

    def _links(self, name: str) -> list[Link]:
        host = self._hosts.get(name)
        return [] if host is None else [link for one in host.sockets for link in one.links]

    def _reconsider(self, name: str) -> None:
        for link in self._links(name):
            one, other = link.connector, link.listener
            if isinstance(one, MemorySocket) and isinstance(other, MemorySocket):
                link.block(self._apart(one, other))
