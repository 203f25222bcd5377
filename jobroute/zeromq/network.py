# -*- test-case-name: tests.zeromq -*-
"""
Endpoints on libzmq.

Importing this installs the default reactor, because importing txZMQ does.
libzmq's threads do not survive a fork: a network makes none of them before its
first endpoint listens or connects.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from contextlib import closing, nullcontext

import zmq
from attrs import define, field
from twisted.internet import defer
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorCore
from zope.interface import implementer

from jobroute.errors import BadEndpoint, CannotListen, NotConnected, TransportError
from jobroute.interfaces import (
    IMessageEndpoint,
    IMessageFactory,
    IMessagePort,
    IMessageProtocol,
    INetwork,
    SocketKind,
    SocketOptions,
)
from jobroute.log import Logger
from jobroute.zeromq import ipc
from jobroute.zeromq.addresses import Address, parse, parse_remote, readable
from jobroute.zeromq.connection import Connection, Extra, Factory

_IN_USE = "somebody listens there already; stop that one or choose another address"

#: What the errors of a bind mean to whoever chose the address.
_REASONS = {
    errno.EADDRINUSE: _IN_USE,
    errno.EADDRNOTAVAIL: "this machine has no such address; choose one of its own, or *",
    errno.ENODEV: "this machine has no such address or interface; choose one of its own, or *",
    errno.EACCES: "permission denied; choose a port over 1023 or a directory of your own",
    errno.EPERM: "permission denied; choose a directory of your own",
    errno.EPROTONOSUPPORT: "this libzmq does not have that protocol; use tcp:// or ipc://",
    errno.ENOENT: "there is no such directory; make it or choose another path",
    errno.ENOTDIR: "a part of the path is no directory; choose another path",
    errno.EEXIST: "a file that is no socket stands there; remove it or choose another path",
    errno.EROFS: "the file system is read-only; choose another path",
    errno.ENAMETOOLONG: "the path is too long; choose a shorter one",
    errno.EMFILE: "too many files or sockets are open; raise the limit of open files",
    errno.EINVAL: "ZeroMQ does not understand the address; check host and port",
}

#: How long closing waits until the system has the address back, in
#: milliseconds; it takes less than one.
_PATIENCE = 500


def _cannot_listen(address: Address, error: OSError | zmq.ZMQError) -> CannotListen:
    reason = _REASONS.get(error.errno or 0, f"{error.strerror}; choose another address")
    if isinstance(error, ipc.InUse) and error.pid:
        reason = f"process {error.pid} listens there already; stop it or choose another address"
    return CannotListen(f"Cannot listen on {address.url}: {reason}.")


@implementer(IMessagePort)
@define(eq=False)
class Port:
    """
    A bound socket of libzmq.
    """

    _log = Logger()

    _network: TxNetwork
    _connection: Connection
    _bound: str
    _path: str | None
    _mark: ipc.FileMark | None

    def getHost(self) -> str:
        """
        The address where it can be reached, wildcards resolved.
        """
        return readable(self._bound)

    def resumeReading(self) -> None:
        """
        Read what comes, from now on.
        """
        self._connection.resume()

    def pauseReading(self) -> None:
        """
        Read nothing more.
        """
        self._connection.pause()

    def stopListening(self) -> Deferred[None]:
        """
        Close it, and give its address back.
        """
        if self._connection.factory is not None:
            self._network.stopped(self)
            self._unbind()
            self._connection.shutdown()
        return defer.succeed(None)

    def _unbind(self) -> None:
        """
        Wait until the address is free: libzmq closes it in another thread,
        and who binds it again at once would find it in use.
        """
        # Not ours to remove any more once another one may bind it.
        if self._path is not None:
            ipc.remove(self._path, self._mark)
        socket = self._connection.socket
        try:
            with closing(socket.get_monitor_socket(zmq.EVENT_CLOSED)) as monitor:
                socket.unbind(self._bound)
                if not self._bound.startswith("inproc:"):
                    monitor.poll(_PATIENCE)
                socket.disable_monitor()
        except zmq.ZMQError:
            # Closing the socket gives it back as well, a little later.
            self._log.failure("{host} was not unbound.", host=self._bound)


@implementer(IMessageEndpoint)
@define(eq=False)
class Endpoint:
    """
    An address on libzmq.
    """

    _network: TxNetwork
    _kind: SocketKind
    _address: Address
    _options: SocketOptions

    def listen(self, factory: IMessageFactory, paused: bool = False) -> Deferred[IMessagePort]:
        """
        Bind a socket.  What was bound is closed again if anything fails.
        """
        return defer.execute(self._listen, factory, paused)

    def connect(self, factory: IMessageFactory) -> Deferred[IMessageProtocol]:
        """
        Connect a socket.
        """
        return defer.execute(self._connect, factory)

    def _listen(self, factory: IMessageFactory, paused: bool) -> IMessagePort:
        address = self._address
        if address.too_long is not None:
            raise CannotListen(
                f"Cannot listen on {address.url}: {address.too_long}; choose a shorter one."
            )
        try:
            connection = self._network.open(self._kind, address, self._options)
        except zmq.ZMQError as e:
            raise _cannot_listen(address, e) from e
        except NotConnected as e:
            raise CannotListen(f"Cannot listen on {address.url}: the network is closed.") from e
        try:
            port = self._bind(connection)
        except (OSError, zmq.ZMQError) as e:
            connection.shutdown()
            raise _cannot_listen(address, e) from e
        self._network.listening(port)
        try:
            connection.build(factory, port.getHost())
        except BaseException:
            port.stopListening()
            raise
        if not paused:
            connection.resume()
        return port

    def _bind(self, connection: Connection) -> Port:
        path = self._address.path
        if path is not None:
            directory = os.path.dirname(path) or "."
            if not os.path.isdir(directory):
                problem = errno.ENOTDIR if os.path.exists(directory) else errno.ENOENT
                raise OSError(problem, os.strerror(problem))
            ipc.clear(path)
        with nullcontext() if path is None else ipc.private():
            connection.socket.bind(self._address.url)
        bound = connection.socket.get(zmq.LAST_ENDPOINT).decode()
        return Port(
            self._network, connection, bound, path, None if path is None else ipc.mark(path)
        )

    def _connect(self, factory: IMessageFactory) -> IMessageProtocol:
        address = self._address
        parse_remote(address.url)
        try:
            connection = self._network.open(self._kind, address, self._options)
        except zmq.ZMQError as e:
            raise TransportError(f"Cannot connect to {address.url}: {e.strerror}.") from e
        try:
            connection.socket.connect(address.url)
            protocol = connection.build(factory, address.url)
        except BaseException as e:
            connection.shutdown()
            if isinstance(e, zmq.ZMQError):
                raise BadEndpoint(f"Cannot connect to {address.url}: {e.strerror}.") from e
            raise
        connection.resume()
        return protocol


@implementer(INetwork)
@define(eq=False)
class TxNetwork:
    """
    libzmq in a reactor.

    @ivar clock: measures how long reading takes in a turn of the reactor.
    """

    _reactor: IReactorCore
    _io_threads: int = 1
    _clock: Callable[[], float] = time.perf_counter
    _factory: Factory | None = field(default=None, init=False)
    _closed: bool = field(default=False, init=False)
    _ports: list[Port] = field(factory=list, init=False)

    def endpoint(
        self, kind: SocketKind, address: str, options: SocketOptions = SocketOptions()
    ) -> IMessageEndpoint:
        """
        The endpoint of an address.
        """
        return Endpoint(self, kind, parse(address), options)

    def open(self, kind: SocketKind, address: Address, options: SocketOptions) -> Connection:
        """
        Make a socket that has no endpoint yet.
        """
        if self._closed:
            raise NotConnected("The network is closed.")
        if self._factory is None:
            self._factory = Factory(self._reactor, self._io_threads, self._clock)
        return Connection(self._factory, kind, options, _extra(kind, address, options))

    def listening(self, port: Port) -> None:
        """
        A port to stop when the network is closed.
        """
        self._ports.append(port)

    def stopped(self, port: Port) -> None:
        """
        A port was stopped.
        """
        if port in self._ports:
            self._ports.remove(port)

    def close(self) -> Deferred[None]:
        """
        Close all sockets, and end libzmq's threads.  Waits for what was sent
        as long as the sockets' options say.
        """
        self._closed = True
        factory, self._factory = self._factory, None
        if factory is not None:
            for port in list(self._ports):
                port.stopListening()
            factory.shutdown()
        return defer.succeed(None)


def _extra(kind: SocketKind, address: Address, options: SocketOptions) -> Extra:
    """
    What is set for an address or by default.  CURVE's keys belong here too:
    after the endpoint they have no effect.
    """
    extra: list[tuple[int, int | bytes]] = [(zmq.IPV6, int(address.ipv6))]
    if kind is SocketKind.DEALER and not options.identity:
        # Automatic identities repeat in every process; the first byte must
        # not be zero.
        extra.append((zmq.IDENTITY, b"j" + os.urandom(15)))
    return extra
