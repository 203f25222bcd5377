"""
One Protocol and one Factory a socket: frames in, calls on an interface,
frames out.
"""
