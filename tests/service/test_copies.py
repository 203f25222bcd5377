"""
Brokers that go on with a copy of their store, and brokers that begin anew,
with clients and agents that outlived the one before.
"""

from __future__ import annotations

import os
import shutil
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.threads import deferToThread
from twisted.logger import capturedLogs, formatEvent

from jobroute.agent import Agent
from jobroute.config import frontend_url
from jobroute.errors import NoSuchJob, StorageDamaged
from jobroute.service import BrokerService
from jobroute.storage.copies import backup, restore
from jobroute.storage.fsck import check
from jobroute.storage.schema import FILE
from tests.service.kit import ServiceCase, settings, until


class Worker:
    """
    A service that ends when the test says so.

    @ivar began: what it was given.
    @ivar stopped: what of that it was told to stop.
    """

    def __init__(self) -> None:
        self.began: list[bytes] = []
        self.stopped: list[bytes] = []
        self.waiting: list[Deferred[Any]] = []

    async def work(self, payload: bytes) -> bytes:
        """
        Begin.
        """
        done: Deferred[None] = Deferred()
        self.began.append(payload)
        self.waiting.append(done)
        try:
            await done
        except CancelledError:
            self.stopped.append(payload)
            raise
        return payload.upper()

    def end(self) -> None:
        """
        End all that was begun.
        """
        waiting, self.waiting = self.waiting, []
        for deferred in waiting:
            if not deferred.called:
                deferred.callback(None)


class CopyCase(ServiceCase):
    """
    A broker on a disk, and agents.
    """

    def setUp(self) -> None:
        """
        Choose a data directory.
        """
        self.data = self.folder()
        self.store = os.path.join(self.data, FILE)
        self.url = frontend_url(self.data)
        self.worker = Worker()

    def on_disk(self, **given: Any) -> Any:
        """
        A running broker.
        """
        return self.broker(settings(self.data, storage="sqlite", **given))

    def working(self, name: str = "a1", **given: Any) -> Any:
        """
        A registered agent.
        """
        return self.agent(
            self.url, name=name, services={"work": self.worker.work}, slots=50, **given
        )

    async def kill(self, service: BrokerService) -> dict[str, bytes]:
        """
        End a broker in order, with what was on its disk when it was killed.
        """
        kept = {}
        for name in os.listdir(self.data):
            if name.startswith(FILE):
                with open(os.path.join(self.data, name), "rb") as file:
                    kept[name] = file.read()
        await service.stopService()
        return kept


class RestoreTests(CopyCase):
    """
    C{jobroute backup} of a broker that works, and a broker that goes on with
    it.
    """

    async def test_go_on(self) -> None:
        """
        A copy is made under load.  The broker that goes on with it has the
        results of what had ended, gets done what was open, and is joined by
        the agents of the lost broker.  No number is used twice, though the
        lost broker used many after the copy.
        """
        service = await self.on_disk()
        first = await self.working()
        client = self.client(self.url)
        ended = [(await client.submit("work", b"%d" % n)).job for n in range(20)]
        await until(lambda: len(self.worker.began) == 20)
        self.worker.end()
        for job in ended:
            await client.wait(job)
        held = (await client.submit("work", b"held")).job
        twice = (await client.submit("work", b"twice")).job
        queued = (await client.submit("none", b"queued")).job
        await until(lambda: self.worker.began[-2:] == [b"held", b"twice"])
        copy = os.path.join(self.data, "copy")
        load = [client.submit("work", b"later") for _ in range(300)]
        await deferToThread(backup, self.store, copy, service._clock.wall())
        self.assertEqual(await deferToThread(check, self.store), ())
        highest = max([(await each).number for each in load])
        self.worker.waiting.pop(1).callback(None)
        await client.wait(twice)
        epoch = service.broker.agents.epoch
        await service.stopService()
        self.assertEqual(check(copy), ())

        for name in os.listdir(self.data):
            if name.startswith(FILE):
                os.unlink(os.path.join(self.data, name))
        restore(copy, self.store, service._clock.wall())
        again = await self.on_disk()
        self.assertGreater(again.broker.agents.epoch, epoch + 1_000_000)
        await until(lambda: not again.broker.roster.get("a1").suspect)
        for place, job in enumerate(ended):
            outcome = await client.wait(job)
            self.assertEqual(outcome.data, b"%d" % place)
        new = await client.submit("work", b"new")
        self.assertGreater(new.number, highest)
        await until(lambda: b"new" in self.worker.began)
        self.worker.end()
        self.assertEqual((await client.wait(held)).data, b"HELD")
        # If the lost broker has acknowledged it the agent does it again.
        outcomes: list[Any] = []
        waiting: Any = client.wait(twice)
        waiting.addCallback(outcomes.append)

        def ended_again() -> list[Any]:
            self.worker.end()
            return outcomes

        await until(ended_again)
        self.assertEqual(outcomes[0].data, b"TWICE")
        self.assertEqual(self.worker.began.count(b"held"), 1)
        self.assertEqual((await client.wait(new.job)).data, b"NEW")
        self.assertEqual((await client.job(queued))["state"], "open")
        self.assertTrue(first.running)
        await again.stopService()
        self.assertEqual(check(self.store), ())

    async def test_plain_copy(self) -> None:
        """
        A copy of the file alone, made with C{cp} while the broker worked, is
        refused with a sentence that says what is missing.
        """
        service = await self.on_disk()
        client = self.client(self.url)
        await client.submit("work", b"x")
        kept = await self.kill(service)
        for name in os.listdir(self.data):
            if name.startswith(FILE):
                os.unlink(os.path.join(self.data, name))
        with open(self.store, "wb") as file:
            file.write(kept[FILE])
        os.chmod(self.store, 0o600)
        refused = BrokerService(settings(self.data, storage="sqlite"), reactor)
        self.addCleanup(refused.stopService)
        refused.startService()
        error = await self.failing(refused.whenReady(), StorageDamaged)
        self.assertIn("write-ahead log", str(error))
        with open(self.store, "rb") as file:
            self.assertEqual(file.read(), kept[FILE])


class NoRestoreTests(CopyCase):
    """
    C{--no-restore}.
    """

    async def test_anew(self) -> None:
        """
        The broker knows nothing of before, and says where that is.  An agent
        that works for the broker before is told to stop that, and gets new
        work under numbers that it has never seen.
        """
        service = await self.on_disk()
        agent: Agent = await self.working()
        client = self.client(self.url)
        old = await client.submit("work", b"old")
        queued = await client.submit("none", b"queued")
        await until(lambda: self.worker.began == [b"old"])
        old_part = (await client.job(old.job))["parts"][0]["number"]
        await service.stopService()

        with capturedLogs() as logged:
            again = await self.on_disk(no_restore=True)
        (kept,) = [name for name in os.listdir(self.data) if name.startswith("aside-")]
        where = os.path.join(self.data, kept)
        said = f"Began anew: the store, with 2 open jobs and 1 agents, is in {where}."
        self.assertIn(said, map(formatEvent, logged))
        self.assertEqual(os.listdir(os.path.join(self.data, kept)), [FILE])
        for job in (old, queued):
            await self.assertFailure(client.job(job.job), NoSuchJob)
        await until(lambda: self.worker.stopped == [b"old"])
        new = await client.submit("work", b"new")
        await until(lambda: self.worker.began == [b"old", b"new"])
        history = await client.job(new.job)
        self.assertGreater(history["parts"][0]["number"], old_part + 1_000_000)
        self.worker.end()
        self.assertEqual((await client.wait(new.job)).data, b"NEW")
        await until(lambda: not again.broker.roster.get("a1").held)
        self.assertTrue(agent.running)

        # Started again it goes on with what it has.
        await again.stopService()
        again.startService()
        await again.whenReady()
        self.assertEqual((await client.wait(new.job)).data, b"NEW")
        self.assertEqual(len([n for n in os.listdir(self.data) if n.startswith("aside-")]), 1)

    async def test_damaged(self) -> None:
        """
        A store that cannot be read does not keep a broker from beginning
        anew.
        """
        with open(self.store, "wb") as file:
            file.write(b"\x00" * 8192)
        refused = BrokerService(settings(self.data, storage="sqlite"), reactor)
        self.addCleanup(refused.stopService)
        refused.startService()
        error = await self.failing(refused.whenReady(), StorageDamaged)
        self.assertIn("--no-restore", str(error))
        with capturedLogs() as logged:
            await self.on_disk(no_restore=True)
        said = [formatEvent(event) for event in logged]
        self.assertTrue(any("which cannot be read" in (line or "") for line in said), said)
        await self.working()
        outcome = self.client(self.url).call("work", b"x")
        await until(lambda: self.worker.began)
        self.worker.end()
        self.assertEqual((await outcome).data, b"X")
        (kept,) = [name for name in os.listdir(self.data) if name.startswith("aside-")]
        self.assertEqual(os.path.getsize(os.path.join(self.data, kept, FILE)), 8192)
        shutil.rmtree(os.path.join(self.data, kept))
