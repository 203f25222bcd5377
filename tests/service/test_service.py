"""
L{jobroute.service}: started, used, stopped, started again.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable
from typing import Any

from attrs import evolve
from twisted.application.service import IService, MultiService
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from zope.interface import implementer
from zope.interface.verify import verifyObject

from jobroute.broker.heartbeat import Heartbeat
from jobroute.broker.routing import LeastLoaded
from jobroute.errors import (
    BrokerAlreadyRunning,
    CannotListen,
    ConfigurationError,
    JobrouteError,
    StorageError,
    StorageLost,
)
from jobroute.interfaces import (
    AnswerKind,
    Caller,
    ICandidate,
    IController,
    IObserver,
    IReplyTo,
    IStorage,
)
from jobroute.model import Event, Frames, Restored
from jobroute.service import BrokerService
from jobroute.storage.memory import MemoryStorage
from tests.service.kit import ServiceCase, ask, settings, until


class Busiest(LeastLoaded):
    """
    Picks the agent with the most to do that has credit left.
    """

    def pick(self) -> ICandidate | None:
        """
        See L{IPolicy.pick}.
        """
        fit = [candidate for candidate in self._live if candidate.credit > 0]
        return max(fit, key=lambda c: (c.outstanding, c.name), default=None)


def in_memory() -> MemoryStorage:
    """
    A storage of its own.
    """
    return MemoryStorage(lambda call: reactor.callLater(0, call))


@implementer(IObserver)
class Listener:
    """
    Remembers the kinds of what it was told.
    """

    def __init__(self) -> None:
        self.kinds: list[str] = []

    def observed(self, event: Event) -> None:
        """
        Remember.
        """
        self.kinds.append(event.kind)


@implementer(IController)
class OneAnswer:
    """
    Answers everything with the same.
    """

    def execute(
        self,
        name: str,
        properties: bytes | dict[str, Any],
        payload: Frames,
        caller: Caller,
        reply_to: IReplyTo,
    ) -> None:
        """
        Answer.
        """
        reply_to.answer(AnswerKind.RESULT, {"pong": name})


class ServiceTests(ServiceCase):
    """
    A broker in this process.
    """

    async def test_calls(self) -> None:
        """
        A call goes to an agent and its result comes back.
        """
        broker = await self.broker(settings(self.folder()))
        url = broker.endpoints["frontend"]
        await self.agent(url)
        outcome = await self.client(url).call("echo", b"hello")
        self.assertEqual((outcome.succeeded, outcome.data), (True, b"hello"))

    async def test_again(self) -> None:
        """
        A stopped broker can be started again, in a new epoch, with the same
        agent under the same number, and what was submitted before.
        """
        given = settings(self.folder(), storage="sqlite")
        broker = await self.broker(given)
        url = broker.endpoints["frontend"]
        client = self.client(url)
        await client.submit("echo", b"1", job="before")
        await self.agent(url)
        first = (await client.agents())["a1"]
        stopped = broker.whenStopped()
        await broker.stopService()
        await stopped
        self.assertEqual(os.listdir(given.data_dir).count("frontend.ipc"), 0)
        broker.startService()
        await broker.whenReady()
        await until(lambda: broker.broker.roster.get("a1") is not None)
        outcome = await client.wait("before")
        self.assertEqual(outcome.data, b"1")
        second = (await client.agents())["a1"]
        self.assertEqual(first["number"], second["number"])
        self.assertEqual((await client.ping())["epoch"], 2)

    async def test_ping_lists_endpoints(self) -> None:
        """
        C{PING} lists the sockets that exist, and no other.
        """
        broker = await self.broker(settings(self.folder(), heartbeat="none"))
        said = await self.client(broker.endpoints["frontend"]).ping()
        self.assertEqual(sorted(said["endpoints"]), ["backend", "frontend", "register"])
        self.assertEqual((said["pid"], said["protocol"], said["agents"]), (os.getpid(), 1, {}))

    async def test_wildcard(self) -> None:
        """
        What is bound to all addresses is advertised under a name that can be
        reached.
        """
        given = settings(self.folder(), frontend="tcp://0.0.0.0:*", insecure=True)
        broker = await self.broker(evolve(given, advertise="127.0.0.1"))
        url = broker.endpoints["frontend"]
        self.assertTrue(url.startswith("tcp://127.0.0.1:"))
        self.assertEqual((await self.client(url).ping())["endpoints"]["frontend"], url)

    async def test_in_a_multiservice(self) -> None:
        """
        It is a service like any other.
        """
        services = MultiService()
        broker = BrokerService(settings(self.folder()), reactor)
        verifyObject(IService, broker)
        broker.setServiceParent(services)
        services.startService()
        self.addCleanup(services.stopService)
        await broker.whenReady()
        await broker.whenReady()

    async def test_given_parts(self) -> None:
        """
        Any storage, heartbeat and controller can be given.
        """
        listener = Listener()
        broker = await self.broker(
            settings(self.folder()),
            heartbeat=Heartbeat(0.2, 3),
            storage=in_memory(),
            observers=[listener],
        )
        await until(lambda: listener.kinds)
        self.assertEqual(listener.kinds, ["broker.started"])
        await broker.stopService()
        other = await self.broker(settings(self.folder()), controller=OneAnswer())
        said = await self.client(other.endpoints["frontend"]).ping()
        self.assertEqual(said, {"pong": "PING"})

    async def test_given_policy(self) -> None:
        """
        Any policy can be given: this one picks the busiest.
        """
        broker = await self.broker(settings(self.folder()), policy=Busiest)
        url = broker.endpoints["frontend"]
        for name in ("a1", "a2"):
            await self.agent(
                url, name=name, slots=2, services={"nap": "jobroute.agent.builtin:sleep"}
            )
        client = self.client(url)
        naps = [client.call("nap", b"0.1") for _ in range(2)]
        agents = {(await nap).parts[0].agent for nap in naps}
        self.assertEqual(len(agents), 1)

    async def test_drains(self) -> None:
        """
        A stop waits for calls, and takes no new ones meanwhile.
        """
        broker = await self.broker(settings(self.folder()))
        url = broker.endpoints["frontend"]
        await self.agent(url, services={"nap": "jobroute.agent.builtin:sleep"})
        client = self.client(url, timeout=5)
        call = client.call("nap", b"0.3")
        await until(lambda: broker.broker.verdicts.open_calls)
        stopping = broker.stopService()
        with self.assertRaises(JobrouteError) as caught:
            await client.call("nap", b"0")
        self.assertEqual(caught.exception.code, "stopping")
        self.assertTrue((await call).succeeded)
        await stopping

    async def test_stop_answers(self) -> None:
        """
        A stop leaves nobody without an answer: an open call's outcome is
        unknown, and who waits for a job is told to wait again.
        """
        broker = await self.broker(evolve(settings(self.folder()), drain=0.1))
        url = broker.endpoints["frontend"]
        await self.client(url).submit("nobody", b"", job="j")
        call = deferToThread(ask, url, b'{"command": "CALL", "service": "nobody"}')
        wait = deferToThread(ask, url, b'{"command": "WAIT", "job": "j"}')
        verdicts = broker.broker.verdicts
        await until(lambda: verdicts.open_calls and verdicts.jobs["default", "j"].waits)
        await broker.stopService()
        self.assertEqual(json.loads((await call)[0])["code"], "unknown-outcome")
        self.assertEqual(json.loads((await wait)[0])["code"], "stopping")

    async def test_stop_now(self) -> None:
        """
        A stop in a hurry waits for nothing.
        """
        broker = await self.broker(evolve(settings(self.folder()), drain=1000.0))
        url = broker.endpoints["frontend"]
        await self.agent(url, services={"nap": "jobroute.agent.builtin:sleep"})
        call = self.client(url, timeout=1).call("nap", b"1000")
        call.addErrback(lambda _: None)
        await until(lambda: broker.broker.verdicts.open_calls)
        stopping = broker.stopService()
        self.assertNoResult(stopping)
        broker.stopNow()
        await stopping


@implementer(IStorage)
class Failing:
    """
    A storage that does what a test wants to see survived.
    """

    def __init__(self, storage: IStorage, error: StorageError | None) -> None:
        self._storage = storage
        self._error = error

    def mend(self) -> None:
        """
        Open from now on.
        """
        self._error = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage, name)

    def open(
        self,
        committed: Callable[[int], None],
        trouble: Callable[[StorageError | None], None],
    ) -> Deferred[Restored]:
        """
        Keep what trouble is reported to.
        """
        self.trouble = trouble
        if self._error is not None:
            raise self._error
        return self._storage.open(committed, trouble)


class StartTests(ServiceCase):
    """
    Starts that fail: one sentence, everything given back, the reactor goes on.
    """

    def fails(self, service: BrokerService, kind: type[Exception]) -> Any:
        """
        Start, and return the failure.
        """
        service.privilegedStartService()
        service.startService()
        self.addCleanup(service.stopService)
        return self.assertFailure(service.whenReady(), kind)

    async def test_same_directory(self) -> None:
        """
        A second broker is refused with the pid of the first, which notices
        nothing.
        """
        given = settings(self.folder())
        first = await self.broker(given)
        second = BrokerService(given, reactor)
        error = await self.fails(second, BrokerAlreadyRunning)
        self.assertEqual(error.pid, os.getpid())
        self.assertIn(str(os.getpid()), str(error))
        await second.stopService()
        await self.client(first.endpoints["frontend"]).ping()

    async def test_same_endpoints(self) -> None:
        """
        A broker does not take over the sockets of one with another data
        directory.
        """
        first = await self.broker(settings(self.folder()))
        frontend = first.endpoints["frontend"]
        second = BrokerService(settings(self.folder(), frontend=frontend), reactor)
        error = await self.fails(second, CannotListen)
        self.assertIn(frontend, str(error))
        await self.client(frontend).ping()

    async def test_half_bound(self) -> None:
        """
        When one port is taken, those that were bound are given back.
        """
        with socket.socket() as free, socket.socket() as taken:
            free.bind(("127.0.0.1", 0))
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            mine = f"tcp://127.0.0.1:{free.getsockname()[1]}"
            theirs = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        with socket.socket() as other:
            other.bind(("127.0.0.1", int(theirs.rpartition(":")[2])))
            other.listen()
            given = settings(self.folder(), frontend=mine, backend=theirs)
            await self.fails(BrokerService(given, reactor), CannotListen)
        await self.broker(settings(self.folder(), frontend=mine, backend=theirs))

    async def test_directory_is_a_file(self) -> None:
        """
        A data directory that is none has its sentence.
        """
        path = os.path.join(self.folder(), "file")
        with open(path, "w"):
            pass
        given = settings(os.path.join(path, "in"))
        error = await self.fails(BrokerService(given, reactor), ConfigurationError)
        self.assertIn("data_dir", str(error))

    async def test_store_fails(self) -> None:
        """
        A store that does not open ends the start; its sockets are given back
        and a later start can use them.
        """
        given = settings(self.folder())
        memory = in_memory()
        broken = Failing(memory, StorageError("It is broken; mend it."))
        error = await self.fails(BrokerService(given, reactor, storage=broken), StorageError)
        self.assertEqual(str(error), "It is broken; mend it.")
        await self.broker(given)

    async def test_trouble(self) -> None:
        """
        While the storage cannot write, nothing new is accepted, calls go on,
        and afterwards all is as before.
        """
        storage = Failing(in_memory(), None)
        broker = await self.broker(settings(self.folder()), storage=storage)
        url = broker.endpoints["frontend"]
        await self.agent(url)
        client = self.client(url)
        storage.trouble(StorageError("The disk is full."))
        with self.assertRaises(JobrouteError) as caught:
            await client.submit("echo", b"")
        self.assertEqual(caught.exception.code, "storage-unavailable")
        self.assertIn("The disk is full.", str(caught.exception))
        self.assertTrue((await client.call("echo", b"x")).succeeded)
        storage.trouble(None)
        await client.submit("echo", b"", job="later")
        self.assertTrue((await client.wait("later")).succeeded)

    async def test_lost_storage(self) -> None:
        """
        A broker whose storage is lost ends, and says so.
        """
        storage = Failing(in_memory(), None)
        broker = await self.broker(settings(self.folder()), storage=storage)
        stopped = broker.whenStopped()
        storage.trouble(StorageLost("fsync failed."))
        await self.assertFailure(stopped, StorageLost)
        self.assertEqual(broker.endpoints, {})
