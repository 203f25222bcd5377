"""
The broker as a process: signals, exit statuses, crashes.
"""

from __future__ import annotations

import os
import runpy
import signal
import subprocess
import sys
from io import BytesIO

from twisted.internet import reactor
from twisted.internet.threads import deferToThread
from twisted.web.client import Agent as WebAgent
from twisted.web.client import FileBodyProducer, readBody

from jobroute.client import Client
from jobroute.client.outcomes import Outcome
from jobroute.config import frontend_url
from jobroute.errors import JobrouteError
from tests.service.kit import Process, ServiceCase, twistd, until, wait_until_served

#: The twistd command, wherever it is installed.
TWISTD = "from twisted.scripts.twistd import run; run()"


class ProcessCase(ServiceCase):
    """
    Ends the processes that a test started.
    """

    def start(self, process: Process) -> Process:
        """
        Have a process ended at the end.
        """
        self.addCleanup(process.kill)
        return process

    def quick(self, folder: str) -> str:
        """
        A configuration that notices lost agents quickly.
        """
        path = os.path.join(folder, "jobroute.toml")
        with open(path, "w") as file:
            file.write("heartbeat_interval = 0.2\nliveness = 4\ngrace = 2.0\ndrain = 2.0\n")
        return path

    async def broker_process(self, folder: str, *options: str) -> Process:
        """
        A broker that serves.
        """
        process = self.start(twistd(folder, "--config", self.quick(folder), *options))
        await deferToThread(wait_until_served, frontend_url(folder))
        return process

    def agent_process(self, folder: str, name: str, **services: str) -> Process:
        """
        An agent's process.
        """
        arguments = ["--broker", frontend_url(folder), "agent", "--name", name, "--slots", "4"]
        for service, function in services.items():
            arguments += ["--service", f"{service}={function}"]
        return self.start(Process("jobroute", *arguments))


class SignalTests(ProcessCase):
    """
    It ends when it is told to, and leaves nothing behind.
    """

    async def test_term(self) -> None:
        """
        SIGTERM stops it in order: no socket stays, and another can start.
        """
        folder = self.folder()
        broker = await self.broker_process(folder)
        broker.send(signal.SIGTERM)
        status, output = await deferToThread(broker.wait)
        self.assertEqual(status, -signal.SIGTERM, output)
        self.assertEqual(
            sorted(os.listdir(folder)), ["broker.lock", "jobroute.toml", "store.sqlite"]
        )
        self.assertNotIn("Traceback", output)
        await self.broker_process(folder)

    async def test_second_term(self) -> None:
        """
        A second signal ends a stop that would wait.
        """
        folder = self.folder()
        with open(os.path.join(folder, "slow.toml"), "w") as file:
            file.write("drain = 1000.0\n")
        broker = self.start(twistd(folder, "--config", os.path.join(folder, "slow.toml")))
        url = frontend_url(folder)
        await deferToThread(wait_until_served, url)
        client = self.client(url, timeout=5)
        call = client.call("nobody", b"")
        call.addErrback(lambda _: None)

        async def called() -> bool:
            return bool((await client.stats())["gauges"]["calls"])

        await until(called)
        broker.send(signal.SIGTERM)

        async def stopping() -> bool:
            try:
                await client.submit("x", b"")
            except JobrouteError as e:
                return e.code == "stopping"
            return False

        await until(stopping)
        broker.send(signal.SIGTERM)
        status, output = await deferToThread(broker.wait)
        self.assertEqual(status, -signal.SIGTERM, output)

    async def test_second_broker(self) -> None:
        """
        A second one on the same directory ends with one sentence that has
        the pid of the first.
        """
        folder = self.folder()
        first = await self.broker_process(folder)
        second = self.start(twistd(folder))
        status, output = await deferToThread(second.wait)
        self.assertEqual(status, 1, output)
        self.assertIn(f"process {first.pid}", output)
        self.assertNotIn("Traceback", output)
        await deferToThread(wait_until_served, frontend_url(folder))

    async def test_stale_lock(self) -> None:
        """
        A lock file of a process that is gone, or is another now, is nobody's.
        """
        folder = self.folder()
        with open(os.path.join(folder, "broker.lock"), "w") as file:
            file.write(f"{os.getpid()}\n")
        await self.broker_process(folder)

    async def test_damaged_store(self) -> None:
        """
        A store that is none is refused with a sentence, and left alone.
        """
        folder = self.folder()
        path = os.path.join(folder, "store.sqlite")
        with open(path, "wb") as file:
            file.write(b"This is no database." * 1000)
        broker = self.start(twistd(folder))
        status, output = await deferToThread(broker.wait)
        self.assertEqual(status, 1, output)
        self.assertNotIn("Traceback", output)
        self.assertIn("store.sqlite", output)
        with open(path, "rb") as file:
            self.assertEqual(file.read(4), b"This")

    async def test_daemon_that_cannot_start(self) -> None:
        """
        A daemon that cannot start tells so whoever started it, and leaves no
        pid file.
        """
        folder = self.folder()
        await self.broker_process(folder)
        pidfile = os.path.join(folder, "twistd.pid")
        command = [
            sys.executable,
            "-c",
            TWISTD,
            f"--pidfile={pidfile}",
            f"--logfile={folder}/log",
            f"--rundir={folder}",
            "jobroute",
            f"--data-dir={folder}",
        ]
        done = await deferToThread(
            subprocess.run, command, capture_output=True, check=False, timeout=30
        )
        self.assertEqual(done.returncode, 1, done)
        self.assertIn(b"A broker runs with the data directory", done.stdout + done.stderr)
        self.assertFalse(os.path.exists(pidfile))

    async def test_daemon(self) -> None:
        """
        It works behind C{twistd} too, which forks before it starts services.
        """
        folder = self.folder()
        pidfile = os.path.join(folder, "twistd.pid")
        arguments = [
            f"--pidfile={pidfile}",
            f"--logfile={folder}/log",
            f"--rundir={folder}",
            "jobroute",
            f"--data-dir={folder}",
        ]
        command = [sys.executable, "-c", TWISTD, *arguments]
        await deferToThread(subprocess.run, command, check=True, timeout=30)
        said = await deferToThread(wait_until_served, frontend_url(folder))
        with open(pidfile) as file:
            self.assertEqual(int(file.read()), said["pid"])
        os.kill(said["pid"], signal.SIGTERM)
        await until(lambda: not os.path.exists(pidfile))


class CrashTests(ProcessCase):
    """
    C{kill -9}, of brokers and agents, with jobs outstanding.
    """

    async def test_resume(self) -> None:
        """
        A broker that was killed comes back with its queue, its running parts
        and its agents; the agent never stopped working.
        """
        folder = self.folder()
        url = frontend_url(folder)
        broker = await self.broker_process(folder)
        self.agent_process(folder, "a1", nap="jobroute.agent.builtin:sleep")
        client = self.client(url, timeout=30)
        jobs = [(await client.submit("nap", b"0.5", job=f"j{n}")).job for n in range(12)]

        async def busy() -> bool:
            return bool((await client.stats())["gauges"]["running"] == 4)

        await until(busy)
        before = (await client.agents())["a1"]["number"]
        broker.send(signal.SIGKILL)
        await deferToThread(broker.wait)
        await self.broker_process(folder)
        for job in jobs:
            outcome: Outcome = await client.wait(job)
            self.assertTrue(outcome.succeeded, outcome)
            self.assertEqual(outcome.parts[0].attempts, 1)
        self.assertEqual((await client.agents())["a1"]["number"], before)

    async def test_killed_in_turn(self) -> None:
        """
        Under load, with broker and agents killed in turn, every job that was
        accepted has one verdict, the same for everybody.
        """
        folder = self.folder()
        url = frontend_url(folder)
        broker = await self.broker_process(folder)
        agents = {
            name: self.agent_process(folder, name, nap="jobroute.agent.builtin:sleep")
            for name in ("a1", "a2")
        }
        client = self.client(url, timeout=60)
        accepted: list[str] = []
        for turn in range(4):
            for n in range(50):
                job = f"j{turn}-{n}"
                accepted.append((await client.submit("nap", b"0.02", job=job, attempts=5)).job)
            if turn % 2:
                name = f"a{1 + turn // 2}"
                agents[name].kill()
                agents[name] = self.agent_process(folder, name, nap="jobroute.agent.builtin:sleep")
            else:
                broker.send(signal.SIGKILL)
                await deferToThread(broker.wait)
                broker = await self.broker_process(folder)
        first = {job: await client.wait(job) for job in accepted}
        with_others = await deferToThread(_verdicts, url)
        self.assertEqual(len(first), 200)
        for job, outcome in first.items():
            self.assertEqual(list(outcome.verdicts), ["succeeded"], outcome)
            self.assertEqual(with_others[job], {"succeeded": 1})


def _verdicts(url: str) -> dict[str, dict[str, int]]:
    with Client(url) as client:
        return {
            line.job: {str(v): n for v, n in line.verdicts.items()}
            for line in client.jobs(limit=1000).jobs
        }


class ExampleTests(ProcessCase):
    """
    The examples of the documentation.
    """

    def example(self, name: str) -> str:
        """
        Where one is.
        """
        here = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
        return os.path.join(here, "doc", "examples", name)

    async def test_tac(self) -> None:
        """
        The C{.tac} file runs a broker and an agent in one process.
        """
        folder = self.folder()
        process = subprocess.Popen(
            [
                sys.executable,
                "-c",
                TWISTD,
                "--nodaemon",
                "--pidfile=",
                f"--rundir={folder}",
                f"--python={self.example('embedded.tac')}",
            ],
            env={**os.environ, "DATA_DIR": folder},
            stdout=subprocess.DEVNULL,
        )
        self.addCleanup(process.wait, 30)
        self.addCleanup(process.terminate)
        client = self.client(frontend_url(folder))
        outcome = await client.call("echo", b"from inside")
        self.assertEqual(outcome.data, b"from inside")

    async def test_web(self) -> None:
        """
        The web application answers with what an agent makes of the request.
        """
        source = runpy.run_path(self.example("webapp.py"))
        folder = self.folder()
        listening, stop = await source["serve"](reactor, 0, folder)
        try:
            agent = await self.agent(frontend_url(folder))
            web = WebAgent(reactor)
            url = f"http://127.0.0.1:{listening.getHost().port}/echo".encode()
            response = await web.request(b"POST", url, None, FileBodyProducer(BytesIO(b"posted")))
            self.assertEqual((response.code, await readBody(response)), (200, b"posted"))
            await agent.stopService()
        finally:
            await stop()
