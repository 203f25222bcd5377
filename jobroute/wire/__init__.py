"""
Codecs without I/O: frames to messages and back, a module or two a dialect.
"""
