"""
The seam to ZeroMQ.

Import from its modules: L{jobroute.zeromq.network} opens sockets in the
reactor, and importing it installs the default reactor, as txZMQ does;
L{jobroute.zeromq.memory} needs no socket, L{jobroute.zeromq.plain} no reactor.
"""
