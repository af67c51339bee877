"""Runs a server of the tests, and ends it when the tests end, however they end.

usage: python guard.py PID COMMAND…         a child process in a process group of its own, whose number is printed first
       python guard.py PID --container ID   a container that runs already: removed when the process PID is gone
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

LOOK_SECONDS = 0.25
LAST_SECONDS = 5.0


def lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def ends_within(seconds: float, process: subprocess.Popen[bytes]) -> bool:
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def guard_process(watched: int, command: list[str]) -> int:
    """The command's exit code."""
    server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=sys.stderr, start_new_session=True)
    sys.stdout.write(f"{server.pid}\n")
    sys.stdout.flush()
    while lives(watched) and not ends_within(LOOK_SECONDS, server):
        pass
    if server.poll() is None:
        os.killpg(server.pid, signal.SIGCONT)
        os.killpg(server.pid, signal.SIGTERM)
        if not ends_within(LAST_SECONDS, server):
            os.killpg(server.pid, signal.SIGKILL)
    return server.wait()


def guard_container(watched: int, container: str) -> None:
    import docker
    from docker.errors import NotFound

    while lives(watched):
        time.sleep(LOOK_SECONDS)
    try:
        docker.from_env().containers.get(container).remove(force=True, v=True)
    except NotFound:
        return


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the tests; the guard follows them
    if sys.argv[2] == "--container":
        guard_container(int(sys.argv[1]), sys.argv[3])
    else:
        sys.exit(guard_process(int(sys.argv[1]), sys.argv[2:]) % 256)
