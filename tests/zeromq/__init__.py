"""
Tests for L{jobroute.zeromq}.
"""
