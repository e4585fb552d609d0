"""Commands of an instance that must not reach the machine it runs on: they come first in its PATH."""

from __future__ import annotations

from pathlib import Path

# $LOCALCLOUD_FIRST is the instance's first process, `boot.py`.
_SIGNALS = {"poweroff": "USR1", "halt": "USR1", "reboot": "USR2"}

_SHUTDOWN = """#!/bin/sh
# shutdown [-h | -r | -c] [now | +MINUTES]
signal=USR1 at=+1
for each in "$@"; do
    case "$each" in
        -r | --reboot) signal=USR2 ;;
        -c) at=cancel ;;
        now | +[0-9]*) at=$each ;;
        [0-9]*:*) echo "shutdown: only now and +MINUTES are known here, not $each" >&2; exit 1 ;;
    esac
done
planned="$HOME/.planned-shutdown"
[ ! -f "$planned" ] || kill "$(cat "$planned")" 2>/dev/null
rm -f "$planned"
case "$at" in
    cancel) ;;
    now | +0) kill -s "$signal" "$LOCALCLOUD_FIRST" ;;
    *)
        (sleep "$((${at#+} * 60))"; rm -f "$planned"; kill -s "$signal" "$LOCALCLOUD_FIRST") >/dev/null 2>&1 &
        echo "$!" >"$planned" ;;
esac
"""

_SYSTEMCTL = """#!/bin/sh
for each in "$@"; do
    case "$each" in
        -*) ;;
        poweroff | halt) kill -s USR1 "$LOCALCLOUD_FIRST"; exit ;;
        reboot) kill -s USR2 "$LOCALCLOUD_FIRST"; exit ;;
        *) break ;;
    esac
done
echo "systemctl: a local instance has no services: $*" >&2
exit 1
"""

# The user data's user is root, as far as it goes.
_SUDO = """#!/bin/sh
while [ "${1#-}" != "$1" ]; do shift; done
exec "$@"
"""


def write_programs(folder: Path) -> Path:
    """Into a new folder, which it gives back."""
    folder.mkdir(parents=True)
    simple = {name: f'#!/bin/sh\nkill -s {signal} "$LOCALCLOUD_FIRST"\n' for name, signal in _SIGNALS.items()}
    for name, text in {**simple, "shutdown": _SHUTDOWN, "systemctl": _SYSTEMCTL, "sudo": _SUDO}.items():
        path = folder / name
        path.write_text(text)
        path.chmod(0o755)
    return folder
