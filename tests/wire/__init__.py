"""
Tests of L{jobroute.wire}.
"""
