"""
Tests of the C{jobroute} command as people use it: real processes, a broker and
an agent in a temporary folder.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys

from click.testing import CliRunner
from twisted.trial.unittest import SynchronousTestCase

from jobroute.cli.command import jobroute
from tests.cli.support import Processes


def run_here(processes: Processes, *arguments: str, input: str = "") -> tuple[int, str, str]:
    """
    Status, output and errors of a command, run in this process.
    """
    environment: dict[str, str | None] = {k: None for k in os.environ if k[:9] == "JOBROUTE_"}
    environment["JOBROUTE_DATA_DIR"] = str(processes.folder)
    done = CliRunner().invoke(jobroute, arguments, input=input, env=environment)
    return done.exit_code, done.stdout, done.stderr


class EndToEndTests(SynchronousTestCase):
    """
    A broker and an agent run.
    """

    def setUp(self) -> None:
        """
        Start them.
        """
        self.processes = Processes()
        self.addCleanup(shutil.rmtree, self.processes.folder)
        self.addCleanup(self.processes.end)
        self.processes.start_all()

    def told(self, *arguments: str, input: str = "") -> tuple[int, str, str]:
        """
        Status, output and errors of a command.
        """
        return run_here(self.processes, *arguments, input=input)

    def test_statuses(self) -> None:
        """
        0 done, 1 the job failed, 3 the broker refused.
        """
        done = self.processes.run("call", "echo", "-", input="hello")
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "hello\n", ""))
        status, out, err = self.told("call", "fail", "oh")
        self.assertEqual((status, out), (1, ""))
        self.assertIn("ended as failed on agent a1: RuntimeError: oh", err)
        self.assertEqual(self.told("submit", "echo", "x", "--job", "j1")[:2], (0, "j1\n"))
        status, out, err = self.told("submit", "echo", "another", "--job", "j1")
        self.assertEqual((status, out, err.count("\n")), (3, "", 1))
        self.assertEqual(self.told("wait", "j1"), (0, "x\n", ""))
        status, out, _ = self.told("--json", "wait", "j2")
        self.assertEqual((status, json.loads(out)["code"]), (3, "no-such-job"))
        self.assertEqual(self.told("wait", "j1", "--namespace", "other")[0], 3)

    def test_map(self) -> None:
        """
        A line for each line, until nobody reads on: then it ends without a
        word.
        """
        lines = "".join(f"{i}\n" for i in range(300))
        self.assertEqual(self.told("map", "echo", input=lines), (0, lines, ""))
        self.assertEqual(self.told("map", "--durable", "echo", "a", "b"), (0, "a\nb\n", ""))
        reading, writing = os.pipe()
        os.close(reading)
        process = subprocess.Popen(
            self.processes.line("map", "echo", "a", "b", "c"),
            env=self.processes.environment,
            stdout=writing,
            stderr=subprocess.PIPE,
        )
        os.close(writing)
        _, err = process.communicate()
        self.assertEqual((process.returncode, err), (1, b""))

    def test_submitted(self) -> None:
        """
        A job from its submission to its end, as a script sees it.
        """
        submitted = self.told("submit", "sleep", "1000", "--client", "me")
        job = submitted[1].strip()
        self.assertIn(job, self.told("jobs", "--state", "open", "--client", "me")[1])
        self.assertIn("job.accepted", self.told("job", job)[1])
        self.assertEqual(self.told("why", job)[0], 0)
        self.assertEqual(self.told("wait", job, "--timeout", "50ms")[0], 3)
        self.assertEqual(self.told("result", job)[0], 3)
        self.assertIn("will be cancelled", self.told("cancel", job)[1])
        status, out, _ = self.told("--json", "wait", job)
        self.assertEqual((status, json.loads(out)["verdicts"]), (1, {"cancelled": 1}))
        self.assertEqual(self.told("result", job)[0], 1)
        self.assertIn("epoch", json.loads(self.told("--json", "ping")[1]))
        self.assertEqual(list(json.loads(self.told("--json", "agents")[1])), ["a1"])
        self.assertIn("counters", json.loads(self.told("--json", "stats")[1]))

    def test_interrupted(self) -> None:
        """
        130: a call that is interrupted is cancelled, without a word.
        """
        process = self.processes.start("--json", "call", "sleep", "1000", "--stream")
        while not json.loads(self.told("--json", "agents")[1])["a1"]["outstanding"]:
            self.assertIsNone(process.poll())
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.communicate(), ("", ""))
        self.assertEqual(process.returncode, 130)
        while json.loads(self.told("--json", "agents")[1])["a1"]["outstanding"]:
            self.assertIsNone(self.processes.running[0].poll())

    def test_second_broker(self) -> None:
        """
        A second broker with the same data is refused, and says whose it is.
        """
        done = self.processes.run("broker")
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertIn(f"process {self.processes.running[0].pid}", done.stderr)
        self.assertNotIn("Traceback", done.stderr)
        self.assertEqual(self.told("ping")[0], 0)


class AloneTests(SynchronousTestCase):
    """
    Nobody else runs.
    """

    def setUp(self) -> None:
        """
        An empty folder.
        """
        self.processes = Processes()
        self.addCleanup(shutil.rmtree, self.processes.folder)
        self.addCleanup(self.processes.end)

    def test_no_broker(self) -> None:
        """
        4: there is no broker.
        """
        done = self.processes.run("--patience", "200ms", "call", "echo", "x")
        self.assertEqual((done.returncode, done.stdout), (4, ""))
        self.assertEqual(
            done.stderr,
            f"No broker answers at ipc://{self.processes.folder}/frontend.ipc; start one with: "
            "jobroute broker, or say with --broker URL where it is.\n",
        )

    def test_broker_options(self) -> None:
        """
        C{broker} has the options of twistd jobroute, and 2 for what is none.
        """
        self.assertEqual(
            run_here(self.processes, "broker", "--check"), (0, "The settings are good.\n", "")
        )
        said = run_here(self.processes, "broker", "--help")[1]
        self.assertIn("Usage: jobroute broker [options]", said)
        self.assertIn("--data-dir=", said)
        for wrong in (["--nope"], ["--tcp", "127.0.0.1:99999"], ["--config", "nowhere"]):
            status, out, err = run_here(self.processes, "broker", *wrong)
            self.assertEqual((status, out, err.count("\n")), (2, "", 2))
        self.assertEqual(run_here(self.processes, "--broker", "tcp://a:1", "broker")[0], 2)

    def test_agent_options(self) -> None:
        """
        2: an agent without a service, or with one that is none.
        """
        self.patch(sys, "path", [*sys.path])
        for wrong in ([], ["--service", "x=nowhere:f"], ["--label", "x", "--service", "os:getpid"]):
            status, out, err = run_here(self.processes, "agent", *wrong)
            self.assertEqual((status, out, err.count("\n")), (2, "", 1))

    def test_stop(self) -> None:
        """
        0: a broker and an agent that are told to stop do so, and leave no
        socket behind.
        """
        self.processes.start_all()
        for process in reversed(self.processes.running):
            process.send_signal(signal.SIGTERM)
            self.assertEqual(
                (process.wait(30), "Traceback" in process.communicate()[1]), (0, False)
            )
        self.assertEqual(list(self.processes.folder.glob("*.ipc")), [])
