"""
The broker as a service and as a process, on real sockets.
"""
