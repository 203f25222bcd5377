"""
Real processes that are killed, stopped and started again, on real sockets.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Sequence
from typing import Any

import zmq
from twisted.internet.defer import gatherResults
from twisted.internet.threads import deferToThread

from jobroute.client import TwistedClient
from jobroute.config import frontend_url
from jobroute.errors import NoSuchJob
from tests.service.kit import Process, twistd, until
from tests.service.test_process import ProcessCase

NAP = "jobroute.agent.builtin:sleep"


class KillCase(ProcessCase):
    """
    Has a broker's folder, and a client.
    """

    def setUp(self) -> None:
        self.directory = self.folder()
        self.url = frontend_url(self.directory)
        self.visitor = self.client(self.url, timeout=30)

    async def serve(self) -> Process:
        """
        Start the broker.
        """
        return await self.broker_process(self.directory)

    async def kill(self, process: Process) -> None:
        """
        As C{kill -9}.
        """
        process.send(signal.SIGKILL)
        await deferToThread(process.wait)

    def agent_of(self, name: str, slots: int, *more: str) -> Process:
        """
        Start an agent that naps.
        """
        arguments = ["--broker", self.url, "agent", "--name", name, "--slots", str(slots)]
        return self.start(Process("jobroute", *arguments, "--service", f"nap={NAP}", *more))

    async def registered(self, *names: str) -> dict[str, Any]:
        """
        Wait until these, and only these, are agents that the broker has heard.
        """

        async def there() -> dict[str, Any] | None:
            agents = await self.visitor.agents()
            heard = {n for n, a in agents.items() if a["state"] != "suspect"}
            return agents if heard == set(agents) == set(names) else None

        found: dict[str, Any] = await until(there)
        return found

    async def gauge(self, name: str, value: int) -> None:
        """
        Wait until a gauge of the broker has this value.
        """

        async def so() -> bool:
            stats = await self.visitor.stats()
            return bool(stats["gauges"][name] == value)

        await until(so)

    async def events(self, job: str, kind: str) -> list[dict[str, Any]]:
        """
        The events of a job of a kind.
        """
        said = await self.visitor.job(job)
        return [event for event in said["events"] if event["kind"] == kind]


class BrokerTests(KillCase):
    """
    The broker dies.
    """

    async def test_nothing_lost(self) -> None:
        """
        Two parts were running, twenty queued, and five results not fetched:
        each of the 27 results is there, once, and the right one.
        """
        broker = await self.serve()
        self.agent_of("a1", 2)
        await self.registered("a1")
        done = {f"d{n}": b"0.00%d" % n for n in range(5)}
        more = {f"m{n}": b"0.2%03d" % n for n in range(22)}
        for job, payload in done.items():
            await self.visitor.submit("nap", payload, job=job)
        await self.gauge("jobs", 0)
        for job, payload in more.items():
            await self.visitor.submit("nap", payload, job=job)
        await self.gauge("running", 2)
        await self.kill(broker)
        await self.serve()
        for job, payload in {**done, **more}.items():
            outcome = await self.visitor.wait(job)
            self.assertEqual((outcome.data, outcome.parts[0].attempts), (payload, 1))
            self.assertEqual(len(await self.events(job, "part.ended")), 1)

    async def test_other_order(self) -> None:
        """
        Four clients wait while the broker dies; their waits go on, and who
        comes back in another order gets its own results and nobody else's.
        """
        broker = await self.serve()
        self.agent_of("a1", 4)
        await self.registered("a1")
        clients = {name: self.client(self.url, name=name, timeout=30) for name in "wxyz"}
        waits = {}
        for number, (name, client) in enumerate(clients.items()):
            await client.submit("nap", b"2.%d" % number, job=name)
            waits[name] = client.wait(name)
        await self.gauge("running", 4)
        await self.kill(broker)
        await self.serve()
        again: dict[str, TwistedClient] = {}
        for name in reversed("wxyz"):
            again[name] = self.client(self.url, name=name, timeout=30)
            await again[name].ping()
        for number, name in enumerate("wxyz"):
            self.assertEqual((await waits[name]).data, b"2.%d" % number)
            self.assertEqual((await again[name].wait(name)).data, b"2.%d" % number)

    async def test_at_once(self) -> None:
        """
        What is handed in the instant that the broker answers again is done,
        and every slot is free afterwards.
        """
        broker = await self.serve()
        self.agent_of("a1", 2)
        await self.registered("a1")
        await self.visitor.submit("nap", b"0.3", job="before")
        await self.kill(broker)
        self.start(twistd(self.directory, "--config", self.quick(self.directory)))
        jobs = [self.visitor.submit("nap", b"0.01", job=f"j{n}") for n in range(10)]
        await gatherResults(jobs)
        for job in ("before", *(f"j{n}" for n in range(10))):
            self.assertTrue((await self.visitor.wait(job)).succeeded)
        await self.gauge("running", 0)
        self.assertEqual((await self.visitor.agents())["a1"]["outstanding"], 0)

    async def test_agent_died_meanwhile(self) -> None:
        """
        An agent that died while the broker was down is lost when the grace
        period is over, and another does its work.
        """
        broker = await self.serve()
        one = self.agent_of("a1", 1)
        await self.registered("a1")
        await self.visitor.submit("nap", b"2.5", job="j", attempts=2)
        await self.gauge("running", 1)
        self.agent_of("a2", 1)
        await self.registered("a1", "a2")
        await self.kill(broker)
        await self.kill(one)
        await self.serve()
        outcome = await self.visitor.wait("j")
        self.assertTrue(outcome.succeeded)
        self.assertEqual((outcome.parts[0].agent, outcome.parts[0].attempts), ("a2", 2))
        await self.registered("a2")

    async def test_numbers(self) -> None:
        """
        After two crashes in a row agents have their numbers still, and a new
        one gets a new one.
        """
        broker = await self.serve()
        self.agent_of("a1", 1)
        self.agent_of("a2", 1)
        before = {n: a["number"] for n, a in (await self.registered("a1", "a2")).items()}
        await self.kill(broker)
        broker = await self.serve()
        await self.kill(broker)
        await self.serve()
        self.agent_of("a3", 1)
        after = {n: a["number"] for n, a in (await self.registered("a1", "a2", "a3")).items()}
        self.assertEqual({n: after[n] for n in before}, before)
        self.assertNotIn(after["a3"], before.values())


class StoreTests(KillCase):
    """
    What is on disk is not what it was.
    """

    @property
    def store(self) -> str:
        """
        The file of the store.
        """
        return os.path.join(self.directory, "store.sqlite")

    async def known(self, job: str) -> dict[str, Any]:
        """
        All that is known of a job, but that its agent said again what the
        broker that died had not acknowledged.
        """
        said = await self.visitor.job(job)
        said["events"] = [e for e in said["events"] if e["kind"] != "reply.refused"]
        return said

    async def test_history(self) -> None:
        """
        After a restart a job that was done is what it was, with its history
        and its result.
        """
        broker = await self.serve()
        self.agent_of("a1", 1)
        await self.visitor.submit("nap", b"0.01", job="j", header={"x": 1}, priority=3)
        await self.visitor.wait("j")
        before = await self.known("j"), await self.visitor.result("j")
        pages = await self.visitor.jobs()
        await self.kill(broker)
        await self.serve()
        self.assertEqual((await self.known("j"), await self.visitor.result("j")), before)
        self.assertEqual(await self.visitor.jobs(), pages)

    async def test_without(self) -> None:
        """
        A broker that knows nothing any more: agents register by themselves,
        and stop what nobody waits for.
        """
        broker = await self.serve()
        self.agent_of("a1", 1)
        await self.registered("a1")
        await self.visitor.submit("nap", b"600", job="j")
        await self.gauge("running", 1)
        await self.kill(broker)
        for name in os.listdir(self.directory):
            if name.startswith("store.sqlite"):
                os.remove(os.path.join(self.directory, name))
        await self.serve()
        await self.registered("a1")
        await self.visitor.submit("nap", b"0.01", job="k")
        self.assertTrue((await self.visitor.wait("k")).succeeded)
        await self.assertFailure(self.visitor.wait("j"), NoSuchJob)

    async def test_wrong(self) -> None:
        """
        A store that is cut in half is refused with one sentence and an exit
        status, and left as it is, and so is an empty one; it can be set aside.
        """
        broker = await self.serve()
        broker.send(signal.SIGTERM)
        await deferToThread(broker.wait)
        with open(self.store, "rb") as file:
            whole = file.read()
        with open(self.store, "wb") as file:
            file.write(whole[: len(whole) // 2])
        status, said = await deferToThread(self.start(twistd(self.directory)).wait)
        self.assertEqual(status, 1, said)
        self.assertNotIn("Traceback", said)
        self.assertIn("store.sqlite", said)
        self.assertEqual(os.path.getsize(self.store), len(whole) // 2)
        os.truncate(self.store, 0)
        status, said = await deferToThread(self.start(twistd(self.directory)).wait)
        self.assertEqual(status, 1, said)
        self.assertIn("nothing in it", said)
        await self.broker_process(self.directory, "--no-restore")
        self.assertEqual((await self.visitor.jobs()).jobs, ())


class AgentTests(KillCase):
    """
    An agent is not dead, but looks like it.
    """

    async def test_thawed(self) -> None:
        """
        One that was stopped for longer than its lease: another does its work,
        its own late result is refused, and it is in service again.
        """
        await self.serve()
        one = self.agent_of("a1", 1)
        await self.registered("a1")
        await self.visitor.submit("nap", b"0.3", job="j", attempts=2)
        await self.gauge("running", 1)
        one.send(signal.SIGSTOP)
        self.agent_of("a2", 1)
        outcome = await self.visitor.wait("j")
        self.assertEqual((outcome.parts[0].agent, outcome.parts[0].attempts), ("a2", 2))
        one.send(signal.SIGCONT)
        await self.registered("a1", "a2")
        await self.visitor.submit("nap", b"0.01", job="k", target=["a1"])
        self.assertTrue((await self.visitor.wait("k")).succeeded)
        self.assertEqual(len(await self.events("j", "part.ended")), 1)
        self.assertEqual((await self.visitor.result("j")).agent, "a2")

    async def test_holds_the_interpreter(self) -> None:
        """
        A function that lets no other thread run for longer than a lease: in
        a process of its own it costs nobody anything.
        """
        await self.serve()
        hog = ("--service", "hog=tests.scenarios.functions:hog", "--processes", "1")
        self.agent_of("a1", 1, *hog)
        await self.registered("a1")
        outcome = await self.visitor.call("hog", b"1.2")
        self.assertGreater(float(outcome.check().data), 1.2)
        self.assertEqual((await self.visitor.stats())["counters"]["agents_lost"], 0)

    async def test_stuck(self) -> None:
        """
        One whose reactor does not turn: the list of agents says for how long
        it has been silent, then it is lost with that reason, and what it had
        is told; when it turns again it is back.
        """
        await self.serve()
        self.agent_of("a1", 1, "--service", "stuck=tests.scenarios.functions:stuck")
        await self.registered("a1")
        await self.visitor.submit("stuck", b"2.5", job="j")

        async def silent() -> bool:
            agents = await self.visitor.agents()
            return "a1" not in agents or agents["a1"]["silent"] > 0.3

        await until(silent)
        outcome = await self.visitor.wait("j")
        self.assertEqual(outcome.parts[0].verdict, "lost")
        self.assertIn("It was silent for too long", outcome.parts[0].reason or "")
        self.assertNotIn("a1", await self.visitor.agents())
        await self.registered("a1")
        await self.gauge("running", 0)
        self.assertEqual(len(await self.events("j", "part.ended")), 1)

    async def test_crowd(self) -> None:
        """
        Two hundred that register in the same moment are all welcome.
        """
        await self.serve()
        endpoints = (await self.visitor.ping())["endpoints"]
        welcomed = await deferToThread(_crowd, endpoints["register"], endpoints["backend"], 200)
        self.assertEqual(len(set(welcomed)), 200)


def _crowd(register: str, backend: str, count: int) -> list[int]:
    """
    Register so many agents, and tell their numbers.
    """
    numbers: list[int] = []
    with zmq.Context() as context:
        context.set(zmq.MAX_SOCKETS, 1024)
        push = context.socket(zmq.PUSH)
        push.linger = 0
        push.connect(register)
        poller = zmq.Poller()
        sockets = [_Fake(context, backend, f"{n:032x}") for n in range(count)]
        for fake in sockets:
            poller.register(fake.socket, zmq.POLLIN)
        for number, fake in enumerate(sockets):
            push.send_multipart(fake.announcement(f"f{number}"))
        left = {fake.socket: fake for fake in sockets}
        while left:
            ready = poller.poll(15_000)
            if not ready:
                break
            for socket, _ in ready:
                given = left[socket].hear()
                if given is not None:
                    numbers.append(given)
                    poller.unregister(socket)
                    del left[socket]
        for fake in sockets:
            fake.socket.close(0)
        push.close(0)
    return numbers


class _Fake:
    """
    The socket of an agent that only registers.
    """

    def __init__(self, context: zmq.Context[Any], backend: str, incarnation: str) -> None:
        self.incarnation = incarnation
        self.socket = context.socket(zmq.DEALER)
        self.socket.setsockopt(zmq.IDENTITY, incarnation.encode())
        self.socket.linger = 0
        self.socket.connect(backend)

    def announcement(self, name: str) -> Sequence[bytes]:
        """
        What it says on register.
        """
        said = {"version": 1, "name": name, "incarnation": self.incarnation}
        return [b"REGISTER", json.dumps({**said, "services": ["s"], "slots": 1}).encode()]

    def hear(self) -> int | None:
        """
        Answer the ping.

        @return: the number that it was given.
        """
        said: dict[str, Any] = json.loads(self.socket.recv_multipart()[0])
        if said["message"] == "ping":
            pong = {"message": "pong", "nonce": said["nonce"], "held": []}
            self.socket.send_multipart([json.dumps(pong).encode()])
        return said.get("number")
