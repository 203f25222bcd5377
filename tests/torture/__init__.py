"""
Tests of C{jobroute torture}.
"""
