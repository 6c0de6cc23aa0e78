"""Processes whose parent died come to the supervisor rather than to pid 1, which in many containers collects nobody."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Collection

PR_SET_CHILD_SUBREAPER = 36


def adopt() -> None:
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def collect(*, own: Collection[int] = ()) -> None:
    """Collects every ended child but our `own`, whose exit codes others wait for."""
    while True:
        try:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if ended is None or ended.si_pid in own:
            # One of our own is reported first until it is collected; the next round sees the others.
            return
        os.waitpid(ended.si_pid, 0)
