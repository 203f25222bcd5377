"""
What hypothesis makes messages of.
"""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

#: Any JSON value, as Python has it.
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4)
    ),
    max_leaves=8,
)

NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True)

#: Texts that are nearly JSON.
EVIL = st.sampled_from(
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"x"',
        b"{}{}",
        b"[" * 100 + b"]" * 100,
        b'{"a":' * 70 + b"1" + b"}" * 70,
        b"[" * 100,
        b'{"id": ' + b"[" * 5000 + b"]" * 5000 + b"}",
        b'{"command": "PING", "id": NaN}',
        b'{"command": "PING", "id": Infinity}',
        b'{"command": "PING", "id": 1e999}',
        b'{"command": "CALL", "service": "s", "run_limit": 1e999}',
        b'{"command": "CALL", "service": "s", "header": 1e999}',
        b'{"command": "PING", "id": "\xff"}',
        b'{"command": "PING\xff"}',
        b'{"command": "PING", "id": "\\ud800"}',
        b'{"command": "\\ud800"}',
        b'{"command": "PING", "agents": true, "agents": 1}',
        b'{"command": 1, "id": 2}',
        b'{"command": null, "id": 2}',
        b'{"command": "PING", "version": 2, "id": 3}',
        b'{"command": "PING", "version": "1", "id": 3}',
        b'{"command": "PING", "id": ' + b"9" * 5000 + b"}",
        b'{"command": "JOBS", "limit": 99999999999999999999999}',
        b'{"command": "JOBS", "before": 9223372036854775808}',
        b'\xef\xbb\xbf{"command": "PING"}',
        b'{"command": "PING"}\x00',
        b'["' + b'\\"' * 200 + b"[" * 70,
        b'{"message": "beat", "held": [[1]]}',
        b'{"message": "beat", "held": [[1, 2, 3]]}',
        b'{"message": "beat", "held": [[-1, 2]]}',
        b'{"message": "beat", "held": [[1.5, 2]]}',
        b'{"message": "result", "part": 99999999999999999999, "attempt": 1}',
        b'{"message": "result"}',
        b'{"message": "partial", "part": 1, "attempt": 1}',
        b'{"message": "progress", "part": 1, "attempt": 1, "value": 1e999}',
        b'{"message": "failure", "part": 1, "attempt": 1, "reason": 5}',
        b'{"message": "failure", "part": 1, "attempt": 1, "retry": 1}',
        b'{"message": "failure", "part": 1, "attempt": 1, "retry_after": -1}',
        b'{"message": "failure", "part": 1, "attempt": 1, "retry_after": 31536000}',
        b'{"message": "cancelled", "part": 1, "attempt": 1, "running": 1}',
        b'{"message": "pong", "nonce": 1}',
        b'{"message": "welcome"}',
        b'{"message": ["beat"]}',
    ]
)


def jsons(values: st.SearchStrategy[Any] = VALUES) -> st.SearchStrategy[bytes]:
    """
    JSON texts, with characters escaped or not.
    """
    return st.builds(
        lambda value, ascii: json.dumps(value, ensure_ascii=ascii).encode("utf-8"),
        values,
        st.booleans(),
    )


#: One frame of any kind.
FRAME = st.binary(max_size=40) | EVIL | jsons()

#: Any frames at all.
FRAMES = st.lists(FRAME, max_size=6)
