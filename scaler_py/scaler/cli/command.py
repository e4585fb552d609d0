"""What all commands share: errors in three lines, and their exit codes."""

import sys
from collections.abc import Callable, Sequence

from scaler.config.command_line import answered

FAILED = 1
MISUSED = 2


def run_command(main: Callable[[Sequence[str]], int], arguments: Sequence[str] | None = None) -> int:
    """Runs a command's `main`; what the user can mend is said in three lines, never as a traceback.

    Exit code 2 for what was typed or configured wrongly, 1 for what failed, 130 for Ctrl-C.
    """
    try:
        return main(sys.argv[1:] if arguments is None else arguments)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read our output has gone: nothing is left to say, or anywhere to say it.
        sys.stderr.close()
        return FAILED
    except Exception as error:
        return _told(error)


def printed(arguments: Sequence[str], text: str) -> int | None:
    """The exit code where a command's help or version is all that is wanted. Nothing typed: the help, as an error."""
    if not arguments:
        print(text, end="", file=sys.stderr)
        return MISUSED
    return 0 if answered(arguments, lambda: text) else None


def _told(error: Exception) -> int:
    # Imported here: help does without.
    from scaler.errors import ScalerError
    from scaler.transport.errors import AddressInUseError, ConfigurationError

    if not isinstance(error, ScalerError):
        raise error
    print(f"error: {error}", file=sys.stderr)
    misused = isinstance(error, ConfigurationError) and not isinstance(error, AddressInUseError)
    return MISUSED if misused else FAILED
