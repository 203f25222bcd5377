"""
L{jobroute.tap}: what can be given to C{twistd jobroute}.
"""

from __future__ import annotations

import os

from twisted.application.service import IService
from twisted.internet.testing import MemoryReactorClock
from twisted.plugin import IPlugin, getPlugins
from twisted.python.usage import UsageError
from twisted.trial.unittest import SynchronousTestCase

from jobroute import __version__
from jobroute.tap import BrokerProcess, Options, makeService


class OptionsTests(SynchronousTestCase):
    """
    Command line over file over default, and errors that name the key.
    """

    def parse(self, *arguments: str, file: str | None = None) -> Options:
        """
        Parse a command line, with a file if there is one.
        """
        given = ["--data-dir", "/tmp/jobroute-x", *arguments]
        if file is not None:
            path = self.mktemp()
            with open(path, "w") as config:
                config.write(file)
            given += ["--config", path]
        options = Options()
        options.parseOptions(given)
        return options

    def refused(self, *arguments: str, file: str | None = None) -> str:
        """
        Parse what is wrong, and return the sentence.
        """
        with self.assertRaises(UsageError) as caught:
            self.parse(*arguments, file=file)
        sentence = str(caught.exception)
        self.assertTrue(sentence.endswith("."), sentence)
        return sentence

    def test_defaults(self) -> None:
        """
        Nothing need be given.
        """
        settings = self.parse().settings
        self.assertEqual(settings.storage, "sqlite")
        self.assertEqual(settings.endpoints["frontend"], "ipc:///tmp/jobroute-x/frontend.ipc")
        self.assertEqual(len(settings.endpoints), 6)
        self.assertFalse(settings.insecure)

    def test_precedence(self) -> None:
        """
        The command line wins over the file, and that over the default.
        """
        file = 'storage = "memory"\nio_threads = 3\nlog_level = "warn"\n[limits]\nframes = 10\n'
        settings = self.parse("--io-threads", "2", file=file).settings
        self.assertEqual(
            (settings.storage, settings.io_threads, settings.log_level, settings.limits.frames),
            ("memory", 2, "warn", 10),
        )

    def test_tcp(self) -> None:
        """
        C{--tcp} gives consecutive ports; a single one can be set apart.
        """
        endpoints = self.parse("--tcp", "127.0.0.1", "--backend", "ipc:///tmp/b").settings.endpoints
        self.assertEqual(endpoints["frontend"], "tcp://127.0.0.1:7780")
        self.assertEqual(endpoints["heartbeat"], "tcp://127.0.0.1:7785")
        self.assertEqual(endpoints["backend"], "ipc:///tmp/b")
        self.assertEqual(
            self.parse("--tcp", "[::1]:9000").settings.endpoints["register"], "tcp://[::1]:9002"
        )

    def test_no_heartbeat(self) -> None:
        """
        The heartbeat socket can be turned off.
        """
        self.assertEqual(self.parse("--heartbeat", "none").settings.endpoints["heartbeat"], "")

    def test_refused(self) -> None:
        """
        Each mistake has a sentence that names it.
        """
        for expected, arguments, file in (
            ("colour", (), "colour = 1"),
            ("limit 'framez'", (), "[limits]\nframez = 1"),
            ("limits must be", (), "limits = 3"),
            ("frames", (), "[limits]\nframes = 0"),
            ("frames", (), "[limits]\nframes = true"),
            ("frames", (), '[limits]\nframes = "many"'),
            ("not TOML", (), "x ="),
            ("heartbeat_interval", (), "heartbeat_interval = nan"),
            ("liveness", (), "liveness = 2.5"),
            ("log_level", ("--log-level", "loud"), None),
            ("storage", (), "storage = 3"),
            ("frontend", ("--frontend", "http://x"), None),
            ("frontend", ("--frontend", "tcp://127.0.0.1:70000"), None),
            ("frontend", ("--frontend", "tcp://0.0.0.0:7780"), None),
            ("backend", ("--backend", "tcp://192.0.2.1:7780"), None),
            ("107", ("--frontend", "ipc:///" + "x" * 107), None),
            ("65536", ("--tcp", "127.0.0.1:65531"), None),
            ("tcp must be", ("--tcp", "127.0.0.1:x"), None),
            ("two sockets", ("--frontend", "ipc:///tmp/a", "--backend", "ipc:///tmp/a"), None),
            ("cannot be read", ("--config", "/nonexistent"), None),
        ):
            self.assertIn(expected, self.refused(*arguments, file=file))

    def test_no_restore(self) -> None:
        """
        C{--no-restore} is a flag.
        """
        self.assertFalse(self.parse().settings.no_restore)
        self.assertTrue(self.parse("--no-restore").settings.no_restore)

    def test_insecure(self) -> None:
        """
        Who insists may listen to the world.
        """
        settings = self.parse("--tcp", "0.0.0.0", "--insecure").settings
        self.assertEqual(settings.endpoints["frontend"], "tcp://0.0.0.0:7780")

    def test_check(self) -> None:
        """
        C{--check} says that the settings are good, or what is wrong.
        """
        with self.assertRaises(SystemExit) as caught:
            self.parse("--check")
        self.assertEqual(caught.exception.code, 0)
        self.assertIn("storage", self.refused("--check", "--storage", "floppy"))

    def test_version(self) -> None:
        """
        C{--version} prints ours, not Twisted's.
        """
        with self.assertRaises(SystemExit):
            Options().parseOptions(["--version"])
        self.assertRegex(__version__, r"^\d+\.\d+\.\d+")

    def test_service(self) -> None:
        """
        The options make a service that has not touched anything yet.
        """
        path = os.path.join("/tmp", f"jobroute-never-{os.getpid()}")
        options = Options()
        options.parseOptions(["--data-dir", path])
        service = makeService(options, MemoryReactorClock())
        self.assertIsInstance(service, BrokerProcess)
        self.assertTrue(IService.providedBy(service))
        self.assertFalse(os.path.exists(path))

    def test_plugin(self) -> None:
        """
        C{twistd} finds it.
        """
        names = [getattr(plugin, "tapname", None) for plugin in getPlugins(IPlugin)]
        self.assertEqual(names.count("jobroute"), 1)
