"""`scaler_localcloud`: AWS on this machine, for trying and testing drivers."""

import sys


def main() -> None:
    try:
        from scaler.testing.localcloud.running import run
    except ModuleNotFoundError as error:
        print(f"scaler_localcloud needs {error.name}.\n  to do: pip install 'scaler-py[testing]'", file=sys.stderr)
        sys.exit(2)
    sys.exit(run(sys.argv[1:]))
