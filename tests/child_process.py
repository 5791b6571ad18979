"""What starts a server of the tests as a process of its own."""

from __future__ import annotations

WITH_PARENT = """
import ctypes, os, sys
PR_SET_PDEATHSIG, SIGKILL = 1, 9
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, SIGKILL)
    if os.getppid() != int(sys.argv[1]):
        sys.exit("the tests have ended already")
os.execv(sys.argv[2], sys.argv[2:])
"""
"""Becomes the server, and dies with the test run. A program, because Python code between fork and exec may deadlock."""
