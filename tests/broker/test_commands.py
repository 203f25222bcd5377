"""
Tests of L{jobroute.broker.commands}, L{jobroute.broker.finder} and
L{jobroute.broker.counters}.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from msgspec import Raw
from twisted.internet.defer import fail
from twisted.trial.unittest import SynchronousTestCase

from jobroute import errors
from jobroute.broker.commands.base import Command, Denied, Registry
from jobroute.broker.counters import MEANINGS, counters
from jobroute.config import Limits
from jobroute.errors import (
    BadMessage,
    BadProperty,
    CommandError,
    StorageError,
    UnknownCommand,
)
from jobroute.interfaces import Caller
from tests.broker.kit import Kit, Reply

PROTOCOL = Path(__file__).resolve().parents[2] / "doc" / "protocol.rst"

COMMANDS = [
    "CALL",
    "CANCEL",
    "DRAIN",
    "INPUT",
    "JOB",
    "JOBS",
    "LIST",
    "PAUSE",
    "PING",
    "QUARANTINE",
    "QUARANTINE_DROP",
    "QUARANTINE_RETRY",
    "RESULT",
    "RESUME",
    "RETRY",
    "STATS",
    "SUBMIT",
    "SUBMIT_MANY",
    "WAIT",
    "WHY",
]


class RegistryTests(SynchronousTestCase):
    """
    The one registry.
    """

    def setUp(self) -> None:
        self.kit = Kit()
        self.registry: Registry = self.kit.broker.registry

    def test_commands(self) -> None:
        """
        All commands of the protocol are there, each with its help and a
        section in the specification, and nothing else.
        """
        self.assertEqual(self.registry.names(), COMMANDS)
        text = PROTOCOL.read_text("utf-8")
        for name in COMMANDS:
            command = self.registry._entries[name].command
            self.assertTrue((type(command).__doc__ or "").strip(), name)
            self.assertIn(f"\n``{name}``\n", text)

    def test_properties_described(self) -> None:
        """
        Each property of a command stands in the specification.
        """
        text = PROTOCOL.read_text("utf-8")
        for name in COMMANDS:
            properties = self.registry._entries[name].command.properties
            for member in properties.__struct_fields__:
                self.assertRegex(text, rf"``{member}``|{{\"{member}\"", (name, member))

    def test_unknown(self) -> None:
        """
        A command that is not there, however it is spelled.
        """
        caller = Caller("c")
        for name in ("ping", "__init__", "execute", "", "é", "x" * 1000):
            error = self.assertRaises(UnknownCommand, self.registry.prepare, name, b"{}", caller)
            self.assertLess(len(str(error)), 350)

    def test_twice(self) -> None:
        """
        A name is given once.
        """
        ping = self.registry._entries["PING"].command
        self.assertRaises(ValueError, self.registry.register, ping)

    def test_roles(self) -> None:
        """
        An observer may look; what changes something needs an operator.
        """
        allowed = []
        for name in COMMANDS:
            try:
                self.registry.prepare(name, b"{}", Caller("c", "observer"))
            except Denied as e:
                self.assertEqual(e.code, "denied")
                self.assertIn("operator, and this connection is observer", str(e))
                continue
            except BadProperty:
                pass
            allowed.append(name)
        looking = "JOB JOBS LIST PING QUARANTINE RESULT STATS WAIT WHY"
        self.assertEqual(allowed, looking.split())
        self.registry.prepare("SUBMIT", b'{"service": "s"}', Caller("c", "operator"))
        self.registry.prepare("SUBMIT", b'{"service": "s"}', Caller("c", "admin"))

    def test_denied(self) -> None:
        """
        An observer is told so, and nothing happened.
        """
        reply = Reply()
        self.kit.broker.controller.execute(
            "SUBMIT", b'{"service": "s"}', (), Caller("c", "observer"), reply
        )
        self.assertEqual((reply.code, self.kit.left()), ("denied", {}))

    def test_values(self) -> None:
        """
        Properties may be given as values, and are held to the same.
        """
        caller = Caller("c")
        properties: dict[str, Any] = {"service": "s", "header": {"h": [1]}, "priority": 3}
        _, checked = self.registry.prepare("SUBMIT", properties, caller)
        self.assertEqual((bytes(checked.header), checked.priority), (b'{"h":[1]}', 3))
        for wrong in ({"priority": True}, {"targt": 1}, {"header": object()}, {"job": "\ud800"}):
            given = {**properties, **wrong}
            self.assertRaises(BadProperty, self.registry.prepare, "SUBMIT", given, caller)

    def test_does_nothing(self) -> None:
        """
        A command that does nothing says so.
        """

        class Nothing(Command):
            """
            Do nothing.
            """

            name = "NOTHING"

        self.registry.register(Nothing())
        self.assertEqual(self.kit.ask("NOTHING").text, "NOTHING does nothing.")


class CodesTests(SynchronousTestCase):
    """
    The codes of errors.
    """

    def test_specified(self) -> None:
        """
        Each code that a client can be told stands in the specification, and
        each that stands there exists.
        """
        text = PROTOCOL.read_text("utf-8").partition("Error codes\n")[2]
        specified = set(re.findall(r"^``([a-z-]+)``  ", text.partition("When the broker")[0], re.M))
        bases = (CommandError, BadMessage, StorageError)
        kinds = [e for e in vars(errors).values() if isinstance(e, type) and issubclass(e, bases)]
        codes = {e.code for e in [*kinds, Denied]} - {CommandError.code, "storage-lost"}
        self.assertEqual(codes, specified)


class StatusTests(SynchronousTestCase):
    """
    C{PING}, C{LIST} and C{STATS}.
    """

    def test_ping(self) -> None:
        """
        C{PING} says what the service says, and the agents unless not wanted.
        """
        kit = Kit()
        kit.agent("a")
        said = kit.ask("PING").result
        self.assertEqual((said["pid"], list(said["agents"])), (1, ["a"]))
        self.assertNotIn("agents", kit.ask("PING", agents=False).result)
        self.assertEqual(kit.ask("PING", agents=1).code, "bad-property")

    def test_stats(self) -> None:
        """
        C{STATS} has every counter, what goes up and down, each queue, and the
        storage.
        """
        kit = Kit()
        kit.agent("a", "s", "idle")
        for _ in range(3):
            kit.submit()
        kit.call()
        kit.ask("NOPE")
        said = kit.ask("STATS").result
        self.assertEqual(list(said["counters"]), list(MEANINGS))
        self.assertEqual(
            {k: said["counters"][k] for k in ("requests", "jobs_accepted", "calls", "deliveries")},
            {"requests": 6, "jobs_accepted": 4, "calls": 1, "deliveries": 1},
        )
        self.assertEqual(
            said["gauges"],
            {
                "agents": 1,
                "registrations": 0,
                "jobs": 3,
                "calls": 1,
                "queued": 3,
                "waiting": 0,
                "running": 1,
                "clients": 1,
                "journal": 0,
                "epoch": 1,
            },
        )
        self.assertEqual(
            said["services"],
            {
                "s": {
                    "queued": 3,
                    "waiting": 0,
                    "agents": 1,
                    "paused": False,
                    "next": {"job": "4", "namespace": "default", "submitted": 1_700_000_000.0},
                },
                "idle": {"queued": 0, "waiting": 0, "agents": 1, "paused": False, "next": None},
            },
        )
        self.assertEqual((said["storage"]["jobs"], said["storage"]["parts"]), (3, 3))

    def test_counters(self) -> None:
        """
        All begin at 0, and say what they count.
        """
        self.assertEqual(set(counters().values()), {0})
        self.assertTrue(all(MEANINGS.values()))


class HistoryTests(SynchronousTestCase):
    """
    C{JOBS}, C{JOB} and C{WHY}.
    """

    def setUp(self) -> None:
        self.kit = Kit(Limits(page=5))

    def jobs(self, **filters: Any) -> list[str]:
        """
        The ids of a page of jobs.
        """
        return [job["job"] for job in self.kit.ask("JOBS", limit=5, **filters).result["jobs"]]

    def test_filters(self) -> None:
        """
        Each filter, and all together.
        """
        kit = self.kit
        agent = kit.agent()
        kit.submit(job="done", client="c")
        agent.result()
        kit.submit(job="other", service="t", namespace="n")
        kit.submit(job="dead", client="c", deadline=1, service="u")
        kit.advance(2, agent)
        self.assertEqual(self.jobs(), ["dead", "other", "done"])
        self.assertEqual(self.jobs(namespace="n"), ["other"])
        self.assertEqual(self.jobs(service="t"), ["other"])
        self.assertEqual(self.jobs(client="c"), ["dead", "done"])
        self.assertEqual(self.jobs(client="~c"), ["other"])
        self.assertEqual(self.jobs(state="open"), ["other"])
        self.assertEqual(self.jobs(state="ended"), ["dead", "done"])
        self.assertEqual(self.jobs(verdict="expired"), ["dead"])
        self.assertEqual(self.jobs(verdict="expired", service="s"), [])

    def test_pages(self) -> None:
        """
        Pages follow each other by the cursor, without a double or a gap, also
        when new jobs come.
        """
        for number in range(12):
            self.kit.submit(job=f"j{number}")
        seen: list[str] = []
        before = None
        while True:
            page = self.kit.ask("JOBS", limit=5, before=before).result
            seen += [job["job"] for job in page["jobs"]]
            before = page["next"]
            self.kit.submit()
            if before is None:
                break
        self.assertEqual(seen, [f"j{number}" for number in reversed(range(12))])

    def test_page_limit(self) -> None:
        """
        At the limit of a page, and one past it.
        """
        self.assertEqual(self.jobs(), [])
        refused = self.kit.ask("JOBS", limit=6)
        self.assertEqual(
            (refused.code, refused.text), ("too-large", "limit is 6, and 5 is the limit.")
        )
        more: list[dict[str, Any]] = [
            {"limit": 0}, {"limit": True}, {"before": -1}, {"before": 2**63}, {"state": "new"},
            {"verdict": "good"}, {"namespace": "~"}, {"client": 7},
        ]  # fmt: skip
        for wrong in more:
            refused = self.kit.ask("JOBS", **{"limit": 1, **wrong})
            self.assertEqual(refused.code, "bad-property", wrong)

    def test_job(self) -> None:
        """
        C{JOB} tells everything.
        """
        agent = self.kit.agent()
        self.kit.submit(
            b"x", job="j", header={"deep": [1.5, None]}, run_limit=9, queue_limit=8, deadline=7,
            priority=6, attempts=5, client="me",
        )  # fmt: skip
        agent.result(None, b"y")
        said = self.kit.ask("JOB", job="j").result
        self.assertEqual(
            {k: v for k, v in said.items() if k not in ("parts", "events", "number")},
            {
                "job": "j",
                "namespace": "default",
                "service": "s",
                "client": "me",
                "target": "any",
                "header": {"deep": [1.5, None]},
                "priority": 6,
                "attempts": 5,
                "queue_limit": 8.0,
                "run_limit": 9.0,
                "retry": None,
                "max_lost": None,
                "origin": None,
                "deadline": 1_700_000_007.0,
                "submitted": 1_700_000_000.0,
                "state": "ended",
                "ended": 1_700_000_000.0,
            },
        )
        self.assertEqual(
            said["parts"],
            [
                {
                    "index": 0,
                    "number": said["number"] + 1,
                    "agents": None,
                    "state": "done",
                    "attempts": 1,
                    "agent": "a",
                    "cancelling": False,
                    "verdict": "succeeded",
                    "reason": None,
                    "ended": 1_700_000_000.0,
                    "frames": 1,
                    "due": None,
                    "released": False,
                    "losses": 0,
                    "evidence": [],
                    "refused": [],
                }
            ],
        )
        self.assertEqual(
            [(e["kind"], e.get("attempt"), e.get("agent")) for e in said["events"]],
            [("job.accepted", None, None), ("part.delivered", 1, "a"), ("part.ended", 1, "a")],
        )

    def test_unknown(self) -> None:
        """
        A job that nobody knows.
        """
        for command in ("JOB", "WHY"):
            reply = self.kit.ask(command, job="j", namespace="n")
            self.assertEqual(
                (reply.code, reply.text),
                ("no-such-job", "There is no job j in namespace n, or it is past its retention."),
            )

    def test_unreadable(self) -> None:
        """
        When the store cannot be read, that is said.
        """
        self.patch(type(self.kit.disk), "find", lambda *_: fail(StorageError("Gone.")))
        for command in ("JOB", "WHY", "WAIT", "RESULT", "CANCEL", "INPUT"):
            self.assertEqual(self.kit.ask(command, job="j").code, "storage", command)


class UncommittedTests(SynchronousTestCase):
    """
    Nobody is told of a job that a crash can take back.
    """

    def setUp(self) -> None:
        self.kit = Kit()
        self.agent = self.kit.agent()
        self.kit.submit(job="old")

    def held(self, command: str, *payload: bytes) -> Any:
        """
        Ask while something is on its way to the disk.
        """
        self.kit.hold = True
        new = self.kit.submit()
        reply = self.kit.ask(command, *payload, job="old")
        self.assertEqual((new.answers, reply.answers), ([], []))
        self.kit.hold = False
        self.kit.settle()
        return reply.result

    def test_why(self) -> None:
        """
        C{WHY} is answered when what it says is on disk.
        """
        self.assertEqual([p["code"] for p in self.held("WHY")["parts"]], ["running"])

    def test_input(self) -> None:
        """
        So is C{INPUT} to a stored job; for a call no disk is on the way.
        """
        self.assertEqual(self.held("INPUT", b"x"), {"job": "old"})
        other = self.kit.agent("b", "t")
        self.kit.hold = True
        self.kit.submit()
        self.kit.call(service="t", token="t" * 16)
        self.assertTrue(self.kit.ask("INPUT", b"1", token="t" * 16).result)
        self.assertEqual(len(other.route.of("input")), 1)


class HeaderTests(SynchronousTestCase):
    """
    The header goes to the agent as it came.
    """

    def test_any(self) -> None:
        """
        Any JSON value; the default is null.
        """
        kit = Kit()
        agent = kit.agent(slots=20)
        for text in (
            b"1",
            b'"\\u00e9"',
            b"[ 1,\t2 ]",
            b'{"a": {"a": 1, "a": 2}}',
            b"-0.0e5",
            b"1e308",
        ):
            body = b'{"command": "CALL", "service": "s", "header": ' + text + b"}"
            kit.broker.controller.execute("CALL", body, (), Caller("c"), Reply())
            self.assertEqual(agent.last.header, text)
        kit.call()
        self.assertEqual(agent.last.header, b"null")

    def test_unreadable(self) -> None:
        """
        What others could not read is refused, though it is JSON.
        """
        kit = Kit()
        agent = kit.agent()
        for text in (b"1e999", b"[-1e309]"):
            body = b'{"command": "CALL", "service": "s", "header": ' + text + b"}"
            reply = Reply()
            kit.broker.controller.execute("CALL", body, (), Caller("c"), reply)
            self.assertEqual(reply.code, "bad-property")
            self.assertTrue(reply.text.startswith("header: "), reply.text)
        self.assertEqual(agent.deliveries, [])


class ExampleTests(SynchronousTestCase):
    """
    What the registry hands to commands.
    """

    def test_raw(self) -> None:
        """
        A property of any type comes as its text.
        """
        kit = Kit()
        _, checked = kit.broker.registry.prepare(
            "CALL", b'{"service": "s", "header": {"a" : 1}}', Caller("c")
        )
        self.assertIsInstance(checked.header, Raw)
        self.assertEqual(bytes(checked.header), b'{"a" : 1}')
