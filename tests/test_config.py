"""
Tests of L{jobroute.config}.
"""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Any

import attrs
from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from jobroute.config import (
    DEFAULT_PORT,
    SERVED,
    SOCKETS,
    Limits,
    Settings,
    check_endpoint,
    default_data_dir,
    frontend_url,
    is_private,
    load,
    read_file,
    tcp_endpoints,
)
from jobroute.errors import ConfigurationError

PACKAGE = Path(__file__).resolve().parent.parent / "jobroute"


class Case(SynchronousTestCase):
    """
    Looks at what is refused.
    """

    def refused(self, file: dict[str, Any] | None = None, **command_line: Any) -> str:
        """
        Why settings are refused.
        """
        return str(self.assertRaises(ConfigurationError, load, command_line, file, {}))


class LoadTests(Case):
    """
    Settings are put together.
    """

    def test_no_restore(self) -> None:
        """
        Beginning anew is for one start, and so for the command line only.
        """
        self.assertFalse(load({"data_dir": "/d"}).no_restore)
        self.assertTrue(load({"data_dir": "/d", "no_restore": True}).no_restore)
        with self.assertRaises(ConfigurationError) as caught:
            load({"data_dir": "/d"}, {"no_restore": True})
        self.assertIn("for the command line", str(caught.exception))

    def test_sockets_to_come(self) -> None:
        """
        What is said of sockets that are not served yet is checked too; what
        nobody said is not.
        """
        self.assertIn("receiver", self.refused(receiver="garbage"))
        self.assertIn("publisher", self.refused({"publisher": "tcp://0.0.0.0:7784"}))
        # The path of publisher.ipc alone would be too long there.
        room = 107 - len("/register.ipc")
        load({"data_dir": "/" + "x" * (room - 1), "heartbeat": "none"})

    def test_defaults(self) -> None:
        """
        Without a word all sockets are in the data directory.
        """
        settings = load({}, None, {"HOME": "/home/me"})
        self.assertEqual(settings.data_dir, "/home/me/.local/state/jobroute")
        self.assertEqual(
            settings.endpoints["frontend"], "ipc:///home/me/.local/state/jobroute/frontend.ipc"
        )
        self.assertEqual(settings.endpoints["frontend"], frontend_url(settings.data_dir))
        self.assertEqual(set(settings.endpoints), set(SOCKETS))
        self.assertEqual((settings.storage, settings.insecure), ("sqlite", False))
        self.assertEqual(settings.limits, Limits())

    def test_order(self) -> None:
        """
        The command line wins over the file, the file over the default; a
        socket of its own wins over C{tcp} of the same source.
        """
        file = {"storage": "memory", "io_threads": 2, "tcp": "127.0.0.1", "grace": 5.0}
        settings = load(
            {"data_dir": "/d", "io_threads": 3, "frontend": "tcp://127.0.0.1:9", "grace": None},
            file,
        )
        self.assertEqual(
            (settings.storage, settings.io_threads, settings.grace), ("memory", 3, 5.0)
        )
        self.assertEqual(settings.endpoints["frontend"], "tcp://127.0.0.1:9")
        self.assertEqual(settings.endpoints["backend"], f"tcp://127.0.0.1:{DEFAULT_PORT + 1}")
        settings = load({"data_dir": "/d", "tcp": "127.0.0.1:8000"}, {"frontend": "ipc:///x"})
        self.assertEqual(settings.endpoints["frontend"], "tcp://127.0.0.1:8000")

    def test_unknown(self) -> None:
        """
        A key that is not known is refused by name.
        """
        self.assertIn("'storrage'", self.refused({"storrage": "memory"}))
        self.assertIn("'fremes'", self.refused({"limits": {"fremes": 3}}))
        self.assertEqual(self.refused({"limits": 3}), "limits must be a table of limits.")

    def test_wrong(self) -> None:
        """
        What is wrong is refused by name.
        """
        wrong: list[tuple[str, Any]] = [
            ("io_threads", 0),
            ("io_threads", True),
            ("io_threads", 1.5),
            ("io_threads", 65),
            ("heartbeat_interval", 0),
            ("heartbeat_interval", "2"),
            ("heartbeat_interval", float("nan")),
            ("heartbeat_interval", float("inf")),
            ("liveness", 1),
            ("retention", -1),
            ("log_level", "loud"),
            ("log_level", 3),
            ("storage", 7),
            ("advertise", ["x"]),
            ("insecure", "yes"),
            ("data_dir", ""),
            ("data_dir", 7),
            ("tcp", 7780),
            ("frontend", 7),
        ]
        for key, value in wrong:
            said = self.refused({key: value})
            self.assertTrue(said.startswith(key), said)
            self.assertTrue(said.endswith("."), said)

    def test_whole_numbers(self) -> None:
        """
        A whole number is a number.
        """
        self.assertEqual(load({"data_dir": "/d"}, {"grace": 7}).grace, 7)

    def test_twice(self) -> None:
        """
        An endpoint is given once, unless its port is chosen.
        """
        one = "tcp://127.0.0.1:7000"
        self.assertIn("given to two sockets", self.refused(frontend=one, backend=one))
        any_port = "tcp://127.0.0.1:*"
        load({"data_dir": "/d", "frontend": any_port, "backend": any_port})

    def test_private(self) -> None:
        """
        What others can reach needs to be wanted.
        """
        for url in ("tcp://0.0.0.0:7000", "tcp://*:7000", "tcp://192.0.2.1:7000", "tcp://box:7000"):
            self.assertIn("--insecure", self.refused(frontend=url))
            self.assertTrue(load({"data_dir": "/d", "frontend": url, "insecure": True}).insecure)
        self.assertIn("--insecure", self.refused(tcp="0.0.0.0"))

    def test_no_heartbeat(self) -> None:
        """
        The heartbeat can be turned off.
        """
        for word in ("none", ""):
            settings = load({"data_dir": "/d", "heartbeat": word})
            self.assertEqual(settings.endpoints["heartbeat"], "")

    def test_data_dir(self) -> None:
        """
        Where data goes if nobody says.
        """
        for environ, path in (
            ({"JOBROUTE_DATA_DIR": "/x", "HOME": "/h"}, "/x"),
            ({"XDG_STATE_HOME": "/s", "HOME": "/h"}, "/s/jobroute"),
            ({"HOME": "/h"}, "/h/.local/state/jobroute"),
        ):
            self.assertEqual(default_data_dir(environ), path)
        self.assertTrue(os.path.isabs(load({"data_dir": "here"}).data_dir))


class FileTests(Case):
    """
    Configuration files.
    """

    def read(self, content: bytes) -> dict[str, Any]:
        """
        Read a file with this content.
        """
        path = self.mktemp()
        Path(path).write_bytes(content)
        return read_file(path)

    def test_read(self) -> None:
        """
        A file is TOML.
        """
        read = self.read(b'storage = "memory"\n[limits]\nframes = 10\n')
        settings = load({"data_dir": "/d"}, read)
        self.assertEqual((settings.storage, settings.limits.frames), ("memory", 10))

    def test_wrong(self) -> None:
        """
        One that is none, or is not there.
        """
        for content in (b"storage = ", b"\xff", b"x"):
            error = self.assertRaises(ConfigurationError, self.read, content)
            self.assertIn("is not TOML", str(error))
        error = self.assertRaises(ConfigurationError, read_file, "/nowhere/at/all")
        self.assertIn("cannot be read: No such file or directory.", str(error))


class EndpointTests(Case):
    """
    Endpoints.
    """

    def test_tcp(self) -> None:
        """
        Consecutive ports, in the order of the sockets.
        """
        self.assertEqual(
            tcp_endpoints("127.0.0.1"),
            {name: f"tcp://127.0.0.1:{DEFAULT_PORT + i}" for i, name in enumerate(SOCKETS)},
        )
        for value, first in (
            ("box:1", "tcp://box:1"),
            ("[::1]:5", "tcp://[::1]:5"),
            ("[::1]", "tcp://[::1]:7780"),
            ("::1", "tcp://[::1]:7780"),
        ):
            self.assertEqual(tcp_endpoints(value)["frontend"], first)
        self.assertEqual(tcp_endpoints("box:65530")["heartbeat"], "tcp://box:65535")

    def test_wrong_tcp(self) -> None:
        """
        What is no host with a port, or has no room for six.
        """
        for value in ("", ":1", "box:", "box:x", "box:-1", "[::1]x", "box:65531", "box:0", "box:²"):
            self.assertRaises(ConfigurationError, tcp_endpoints, value)

    def test_path(self) -> None:
        """
        A path of a socket has at most 107 bytes.
        """
        check_endpoint("frontend", "ipc://" + "x" * 107)
        error = self.assertRaises(
            ConfigurationError, check_endpoint, "frontend", "ipc://" + "x" * 108
        )
        self.assertIn("has 108 bytes", str(error))

    def test_wrong(self) -> None:
        """
        What is no endpoint.
        """
        for url in (
            "", "x", "tcp://", "tcp://box", "tcp://:1", "tcp://box:", "tcp://box:x", "udp://box:1",
            "tcp://box:65536", "ipc://", None, 7,
        ):  # fmt: skip
            error = self.assertRaises(ConfigurationError, check_endpoint, "frontend", url)
            self.assertTrue(str(error).startswith("frontend"), str(error))
        check_endpoint("frontend", "tcp://box:65535")

    def test_private(self) -> None:
        """
        Which only this machine can reach.
        """
        for url, private in (
            ("ipc:///x", True),
            ("inproc://x", True),
            ("tcp://127.0.0.1:1", True),
            ("tcp://127.9.9.9:*", True),
            ("tcp://[::1]:1", True),
            ("tcp://localhost:1", True),
            ("tcp://0.0.0.0:1", False),
            ("tcp://*:1", False),
            ("tcp://[::]:1", False),
            ("tcp://box:1", False),
            ("tcp://localhost.example:1", False),
        ):
            self.assertEqual(is_private(url), private, url)


class LimitsTests(Case):
    """
    Limits.
    """

    def test_types(self) -> None:
        """
        Each is a whole number in its range, or refused by name.
        """
        for attribute in attrs.fields(Limits):
            name = attribute.name
            values: list[Any] = [True, "1", 1.5, None, -1, 2**53 + 1]
            for wrong in values:
                error = self.assertRaises(ConfigurationError, partial(Limits, **{name: wrong}))
                self.assertTrue(str(error).startswith(name), str(error))
            self.assertTrue(attribute.metadata["help"])
            default: Any = {name: attribute.default}
            self.assertEqual(evolve(Limits(), **default), Limits())

    def test_each_is_enforced(self) -> None:
        """
        There is no limit that nobody looks at.
        """
        looks = "".join(
            path.read_text("utf-8")
            for path in PACKAGE.rglob("*.py")
            if path.name not in ("config.py",) and "agent" not in path.parts
        )
        for attribute in attrs.fields(Limits):
            self.assertIn(f"imits.{attribute.name}", looks)

    def test_served(self) -> None:
        """
        What is served is a socket.
        """
        self.assertLessEqual(set(SERVED), set(SOCKETS))
        self.assertTrue(attrs.has(Settings))
