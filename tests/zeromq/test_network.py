"""
Tests for L{jobroute.zeromq.network}, on real sockets.
"""

from __future__ import annotations

from jobroute.zeromq.network import TxNetwork
from tests.zeromq.common import network_tests

TxNetworkTests = network_tests("TxNetworkTests", __name__, TxNetwork)
