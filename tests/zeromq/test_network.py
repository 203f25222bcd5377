"""
Tests for L{jobroute.zeromq.network}, on real sockets.
"""

from __future__ import annotations

from jobroute.zeromq.network import TxNetwork
from tests.zeromq import conversation, rows
from tests.zeromq.support import network_tests

TxConversationTests = network_tests(
    conversation.ConversationTests, "TxConversationTests", __name__, TxNetwork
)
TxRowTests = network_tests(rows.RowTests, "TxRowTests", __name__, TxNetwork)
