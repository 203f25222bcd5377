"""
Tests of agents whose functions run in processes: real agents, a real broker.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

from twisted.internet.task import deferLater
from twisted.trial.unittest import SynchronousTestCase

from jobroute.agent import Agent
from jobroute.agent.command import DONE, REFUSED, UNFINISHED, USAGE
from jobroute.agent.keeper import descendants
from jobroute.errors import ConfigurationError
from tests.agent import services
from tests.agent.hosts import lives
from tests.agent.live import AgentProcess, LiveCase, reactor
from tests.agent.test_programs import DAEMON


def parent(pid: int) -> int:
    """
    The parent of a process.
    """
    stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
    return int(stat.rpartition(")")[2].split()[1])


class OptionsTests(SynchronousTestCase):
    """
    What an agent is told of processes.
    """

    def test_slots(self) -> None:
        """
        There are as many slots as processes, if nothing else is said.
        """
        url = "tcp://127.0.0.1:1"
        for asked, slots in ((None, 3), (5, 5)):
            agent = Agent(url, services=[services], processes=3, slots=asked)
            self.assertEqual(agent._slots, slots)

    def test_no_function(self) -> None:
        """
        A function that no process can import is refused, at the start and
        later.
        """

        def local(payload: bytes) -> bytes:
            return payload

        url = "tcp://127.0.0.1:1"
        self.assertRaises(ConfigurationError, Agent, url, services={"x": local}, processes=1)
        self.assertRaises(ConfigurationError, Agent, url, services=[services], processes=0)
        agent = Agent(url, services=[services], processes=1)
        self.assertRaises(ConfigurationError, agent.service("x"), local)
        self.assertNotIn("x", agent._functions)

    def test_command(self) -> None:
        """
        Programs are a service only if they are allowed, and then nothing else
        can have its name; an agent may offer nothing else.
        """
        url = "tcp://127.0.0.1:1"
        agent = Agent(url, services=[services])
        self.assertNotIn("command", agent._functions)
        agent = Agent(url, allow_command=True)
        self.assertEqual(list(agent._functions), ["command"])
        taken = {"command": "zlib:crc32"}
        self.assertRaises(ConfigurationError, Agent, url, services=taken, allow_command=True)
        for grace in (-1.0, float("nan"), float("inf")):
            self.assertRaises(ConfigurationError, Agent, url, allow_command=True, grace=grace)


class LiveTests(LiveCase):
    """
    Agents with processes.
    """

    def spawn(self, **options: Any) -> Any:
        """
        Start one.
        """
        names = ("pid", "here", "ends", "wait", "stubborn")
        dotted = [f"tests.agent.services:{name}" for name in names]
        return super().spawn(**{"processes": 2, "services": dotted, **options})

    def path(self) -> Path:
        """
        Where there is no file yet.
        """
        return Path(self.folder, "f").absolute()

    async def written(self, path: Path) -> list[int]:
        """
        The processes that are written there, once they are.
        """
        await self.until(path.exists)
        return [int(number) for number in path.read_text(encoding="ascii").split()]

    async def gone(self, *pids: int) -> None:
        """
        Wait until there are no such processes.
        """
        await self.until(lambda: not any(map(lives, pids)))

    async def test_where(self) -> None:
        """
        Plain functions run in as many processes, others in the agent's own.
        """
        await self.begin()
        agent = self.spawn()
        own = agent.transport.pid
        pids = set()
        for _ in range(10):
            numbers = [self.client.ask("CALL", b"", service="pid") for _ in range(4)]
            pids |= {int((await self.final(number))[1][0]) for number in numbers}
        self.assertEqual(len(pids), 2)
        self.assertNotIn(own, pids)
        self.assertEqual((await self.ask("CALL", b"", service="here"))[1], [str(own).encode()])
        answer, _ = await self.ask("LIST")
        self.assertEqual(answer["result"]["a1"]["slots"], 2)
        agent.transport.signalProcess("TERM")
        self.assertEqual(await agent.ended, DONE)
        self.assertFalse(any(map(lives, pids)))

    async def test_one_of_a_hundred(self) -> None:
        """
        A process that is killed in a hundred parts costs one attempt of one
        part, and the second succeeds.
        """
        await self.begin()
        self.spawn()
        (await self.ask("CALL", b"", service="pid"))[1]
        path = self.path()
        numbers = [self.client.ask("CALL", b"", service="pid", attempts=2) for _ in range(50)]
        victim = self.client.ask("CALL", str(path).encode(), service="wait", attempts=2)
        numbers += [self.client.ask("CALL", b"", service="pid", attempts=2) for _ in range(49)]
        pid, _ = await self.written(path)
        os.kill(pid, signal.SIGKILL)
        path.unlink()
        again, _ = await self.written(path)
        self.assertNotEqual(again, pid)
        for number in numbers:
            answer, _ = await self.final(number)
            (part,) = answer["result"]["parts"]
            self.assertEqual((part["verdict"], part["attempts"]), ("succeeded", 1))
        os.kill(again, signal.SIGKILL)
        answer, _ = await self.final(victim)
        (part,) = answer["result"]["parts"]
        self.assertEqual((part["verdict"], part["attempts"]), ("lost", 2))
        self.assertEqual(part["reason"], "The process in which it ran was ended by SIGKILL.")
        stats, _ = await self.ask("STATS")
        self.assertEqual(stats["result"]["counters"]["replies_refused"], 0)

    async def test_run_limit(self) -> None:
        """
        A run limit ends the process, also one that does not mind; its slot is
        free again afterwards.
        """
        await self.begin()
        self.spawn(processes=1, grace=0.2)
        path = self.path()
        number = self.client.ask("CALL", str(path).encode(), service="stubborn", run_limit=4.0)
        pids = await self.written(path)
        answer, _ = await self.final(number)
        self.assertEqual(answer["result"]["verdicts"], {"timed_out": 1})
        await self.gone(*pids)
        answer, _ = await self.ask("CALL", b"", service="pid")
        self.assertEqual(answer["result"]["verdicts"], {"succeeded": 1})

    async def test_cancel(self) -> None:
        """
        So does cancelling.
        """
        await self.begin()
        self.spawn(processes=1)
        path = self.path()
        await self.ask("SUBMIT", str(path).encode(), service="wait", job="j")
        pids = await self.written(path)
        await self.ask("CANCEL", job="j")
        answer, _ = await self.ask("WAIT", job="j")
        self.assertEqual(answer["result"]["verdicts"], {"cancelled": 1})
        await self.gone(*pids)
        answer, _ = await self.ask("CALL", b"", service="pid")
        self.assertEqual(answer["result"]["verdicts"], {"succeeded": 1})

    async def test_stopped(self) -> None:
        """
        An agent that is told to stop at once ends its processes.
        """
        await self.begin()
        agent = self.spawn()
        path = self.path()
        self.client.ask("CALL", str(path).encode(), service="stubborn")
        pids = await self.written(path)
        agent.transport.signalProcess("TERM")
        await deferLater(reactor, 0.3)
        self.assertFalse(agent.ended.called)
        self.assertTrue(all(map(lives, pids)))
        agent.transport.signalProcess("TERM")
        self.assertEqual(await agent.ended, UNFINISHED)
        await self.gone(*pids)

    async def test_drained(self) -> None:
        """
        When the time to drain is over, functions are interrupted before the
        agent ends.
        """
        await self.begin()
        agent = self.spawn(drain=0.1)
        path = self.path()
        self.client.ask("CALL", str(path).encode(), service="wait")
        pids = await self.written(path)
        agent.transport.signalProcess("TERM")
        self.assertEqual(await agent.ended, UNFINISHED)
        self.assertEqual(path.read_text(), "tidy")
        await self.gone(*pids)

    async def test_killed(self) -> None:
        """
        When the agent is killed, so are its processes.
        """
        await self.begin()
        agent = self.spawn()
        path = self.path()
        self.client.ask("CALL", str(path).encode(), service="wait")
        pid, helper = await self.written(path)
        self.addCleanup(os.kill, helper, signal.SIGKILL)
        agent.transport.signalProcess("KILL")
        await agent.ended
        await self.gone(pid)

    async def test_cannot_start(self) -> None:
        """
        An agent whose processes cannot import a service says so and ends; the
        broker never hears of it.
        """
        await self.begin()
        agent = self.spawn(services=["tests.agent.broken:echo"])
        self.assertEqual(await agent.ended, REFUSED)
        self.assertIn(b"cannot be imported: RuntimeError: not here", agent.errors)
        answer, _ = await self.ask("LIST")
        self.assertEqual(answer["result"], {})
        agent = self.spawn(memory_limit=1, processes=None)
        self.assertEqual(await agent.ended, USAGE)

    async def test_programs(self) -> None:
        """
        An agent runs programs if that is allowed; their output and how they
        ended are in the verdict, and what is no program is refused.
        """
        await self.begin()
        self.spawn(services=[], processes=None, allow_command=True)
        answer, frames = await self.ask("CALL", b"in", service="command", header={"args": ["cat"]})
        self.assertEqual((answer["result"]["verdicts"], frames[0]), ({"succeeded": 1}, b"in"))
        args = ["sh", "-c", "echo out; echo oh no >&2; exit 3"]
        await self.ask("SUBMIT", service="command", header={"args": args}, job="j")
        answer, frames = await self.ask("WAIT", job="j")
        (part,) = answer["result"]["parts"]
        self.assertEqual((part["verdict"], part["reason"]), ("failed", "exit status 3: oh no"))
        self.assertEqual(frames[:2], [b"out\n", b"oh no\n"])
        answer, _ = await self.ask("CALL", service="command", header={"args": "ls"})
        (part,) = answer["result"]["parts"]
        self.assertEqual(part["verdict"], "refused")
        self.assertIn("$.args", part["reason"])

    async def run_daemon(self, name: str, **more: Any) -> tuple[AgentProcess, list[int]]:
        """
        Have an agent run a program that ignores SIGTERM and has left behind
        what ignores it as well, has forked twice and has a session of its own.

        @return: the agent, and the keeper, the program and the rest.
        """
        await self.begin()
        agent = self.spawn(services=[], processes=None, allow_command=True, grace=0.3)
        path = self.path()
        code = DAEMON.format(path=str(path), stubborn=True, main="0")
        code += "\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\ntime.sleep(600)"
        header = {"args": [sys.executable, "-c", code]}
        await self.ask("SUBMIT", service="command", header=header, job=name, **more)
        daemon, _ = await self.written(path)
        own = agent.transport.pid
        await self.until(lambda: parent(parent(daemon)) == own)
        keeper = parent(daemon)
        pids = [keeper, *descendants(keeper)]
        self.assertEqual((len(pids), daemon in pids), (3, True))
        self.assertTrue(all(map(lives, pids)))
        return agent, pids

    async def test_program_cancelled(self) -> None:
        """
        Nothing is left of a program that is cancelled.
        """
        _, pids = await self.run_daemon("j")
        await self.ask("CANCEL", job="j")
        await self.gone(*pids)

    async def test_program_limited(self) -> None:
        """
        Nor of one that runs for too long.
        """
        _, pids = await self.run_daemon("j", run_limit=4.0)
        answer, _ = await self.ask("WAIT", job="j")
        self.assertEqual(answer["result"]["verdicts"], {"timed_out": 1})
        await self.gone(*pids)

    async def test_program_stopped(self) -> None:
        """
        Nor of one whose agent is told to stop, at once.
        """
        agent, pids = await self.run_daemon("j")
        agent.transport.signalProcess("TERM")  # type: ignore[union-attr]
        await deferLater(reactor, 0.2)
        self.assertTrue(all(map(lives, pids)))
        agent.transport.signalProcess("TERM")  # type: ignore[union-attr]
        self.assertEqual(await agent.ended, UNFINISHED)
        await self.gone(*pids)

    async def test_program_of_the_dead(self) -> None:
        """
        Nor of one whose agent was killed.
        """
        agent, pids = await self.run_daemon("j")
        agent.transport.signalProcess("KILL")  # type: ignore[union-attr]
        await agent.ended
        await self.gone(*pids)
