"""
Tests for L{jobroute.zeromq.addresses}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from jobroute.errors import BadEndpoint
from jobroute.zeromq.addresses import parse, parse_remote, readable


class AddressTests(SynchronousTestCase):
    """
    Addresses are taken apart.
    """

    def test_tcp(self) -> None:
        """
        A host and a port; no port is any.
        """
        address = parse("tcp://[::1]:7780")
        self.assertEqual((address.host, address.port, address.path), ("[::1]", 7780, None))
        self.assertEqual((parse("tcp://*:*").port, parse("tcp://*:0").port), (None, None))

    def test_ipc(self) -> None:
        """
        A path, unless it is an abstract name.
        """
        self.assertEqual(parse("ipc:///tmp/s").path, "/tmp/s")
        self.assertIsNone(parse("ipc://@name").path)
        self.assertIsNone(parse("ipc:///" + "x" * 106).too_long)
        self.assertIn("108 bytes", str(parse("ipc:///" + "x" * 107).too_long))
        self.assertIn("108 bytes", str(parse("ipc:///" + "é" * 53 + "x").too_long))

    def test_not_text(self) -> None:
        """
        Bytes are no address.
        """
        self.assertRaises(BadEndpoint, parse, b"tcp://127.0.0.1:1")

    def test_remote(self) -> None:
        """
        A wildcard cannot be connected to.
        """
        self.assertEqual(parse_remote("inproc://x").rest, "x")
        for url in ("tcp://*:1", "tcp://h:*", "tcp://h:0"):
            self.assertRaises(BadEndpoint, parse_remote, url)

    def test_ipv6(self) -> None:
        """
        IPv6 is used where it can be of use.
        """
        for url, wanted in (
            ("tcp://[::1]:1", True),
            ("tcp://*:1", True),
            ("tcp://host.example:1", True),
            ("tcp://127.0.0.1:1", False),
            ("tcp://localhost:1", False),
            ("ipc:///x", False),
        ):
            self.assertEqual(parse(url).ipv6, wanted, url)

    def test_readable(self) -> None:
        """
        IPv4 is written as such, and everything else stays.
        """
        self.assertEqual(readable("tcp://[::ffff:10.0.0.1]:80"), "tcp://10.0.0.1:80")
        for url in ("tcp://[::ffff:1:2]:80", "tcp://[::1]:80", "ipc:///x", "tcp://1.2.3.4:5"):
            self.assertEqual(readable(url), url)
