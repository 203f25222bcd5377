"""
What the broker knows and decides.

The core is synchronous and deterministic: time comes from a clock that is
handed in, nothing here sees a frame, a socket or a table, and effects leave
only after the changes that they follow from are on disk (see
L{jobroute.broker.journal}).
"""
