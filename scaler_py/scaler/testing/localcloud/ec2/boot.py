"""The first process of an instance: runs its user data, keeps what that leaves running, and ends with the machine.

A program by itself, without this package: `python -I -S boot.py GRACE_SECONDS [SCRIPT]`. SIGTERM is the power button;
SIGUSR1 and SIGUSR2 are what `poweroff` and `reboot` send from within. Everything then gets SIGTERM, and SIGKILL after
the grace; the exit code says which of them it was.
"""

import ctypes
import os
import signal
import sys
import time

BUTTON, POWERED_OFF, REBOOTED = 0, 90, 91

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_ENDS = {signal.SIGTERM: BUTTON, signal.SIGUSR1: POWERED_OFF, signal.SIGUSR2: REBOOTED}
_SIGNALS = {signal.SIGCHLD, *_ENDS}


def main(grace: float, script: str) -> int:
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    libc = ctypes.CDLL(None)
    # What the script leaves behind comes to this process, as to every first one.
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1)
    running = _start(script, libc) if script else 0
    while True:
        number = signal.sigwait(_SIGNALS)
        if number in _ENDS:
            _end_all(grace)
            return _ENDS[signal.Signals(number)]
        _reap(running)


def _start(script: str, libc: ctypes.CDLL) -> int:
    first = os.getpid()
    if child := os.fork():
        return child
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    try:
        os.execve(script, [script], {**os.environ, "LOCALCLOUD_FIRST": str(first)})
    except OSError as error:
        print(f"cloud-init: the user data cannot be run: {error}", flush=True)
    os._exit(127)


def _reap(script: int) -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not pid:
            return
        if pid == script:
            print(f"cloud-init: the user data ended with exit code {os.waitstatus_to_exitcode(status)}", flush=True)


def _children() -> list[int]:
    own = os.getpid()
    with open(f"/proc/{own}/task/{own}/children") as file:
        return [int(each) for each in file.read().split()]


def _end_all(grace: float) -> None:
    # The whole group; this process blocks it.
    os.kill(0, signal.SIGTERM)
    for each in _children():
        if os.getpgid(each) != os.getpgid(0):
            os.kill(each, signal.SIGTERM)
    until = time.monotonic() + grace
    while children := _children():
        left = until - time.monotonic()
        if left <= 0:
            for each in children:
                os.kill(each, signal.SIGKILL)
        signal.sigtimedwait({signal.SIGCHLD}, max(0.01, left))
        _reap(0)


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else ""))
