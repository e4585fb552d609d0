"""Where a command's log goes. A library never calls this: the logger `scaler` is silent until a command does."""

import logging
import logging.config
import logging.handlers
import os
import sys
from collections.abc import Sequence

from scaler.transport.errors import ConfigurationError

_FORMAT = "%(asctime)s %(levelname)-8s %(name)s: %(message)s"
_STDOUT = ("-", "/dev/stdout")


# Values that must not be in a log, whoever logs them.
_secrets: set[str] = set()
# Shorter ones would be found in everything.
_SHORTEST_SECRET = 4


def hide_in_logs(secret: str) -> None:
    """From now on, in the logs that `set_up_logging` has set up by level and paths."""
    if len(secret) >= _SHORTEST_SECRET:
        _secrets.add(secret)


class _Discreet(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        for secret in _secrets:
            text = text.replace(secret, "***")
        return text


def set_up_logging(level: str, paths: Sequence[str], config_file: str | None = None) -> None:
    """level: a name of `logging`. paths: "-" for stdout, or files ("~" and variables expanded; new at midnight).

    config_file: a configuration of the `logging` module, instead of the other two. ConfigurationError: it, or a file,
    cannot be used.
    """
    if config_file is not None:
        _read(os.path.expanduser(os.path.expandvars(config_file)))
        return
    logger = logging.getLogger("scaler")
    handlers = [_handler(path) for path in dict.fromkeys(paths)]
    logger.setLevel(level)
    logger.propagate = False
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
        handler.close()
    for handler in handlers:
        handler.setFormatter(_Discreet(_FORMAT))
        logger.addHandler(handler)


def _read(path: str) -> None:
    try:
        logging.config.fileConfig(path, disable_existing_loggers=False)
    except Exception as error:
        # Whatever its classes raise, which the file names.
        what = f"The logging configuration cannot be used: {type(error).__name__}: {error}."
        raise ConfigurationError(what, path, "give a file for logging.config.fileConfig of Python") from None


def _handler(path: str) -> logging.Handler:
    if path in _STDOUT:
        return logging.StreamHandler(sys.stdout)
    if path == "/dev/stderr":
        return logging.StreamHandler(sys.stderr)
    expanded = os.path.expanduser(os.path.expandvars(path))
    try:
        return logging.handlers.TimedRotatingFileHandler(expanded, when="midnight", encoding="utf-8")
    except OSError as error:
        what = f"The log cannot be written: {error.strerror}."
        raise ConfigurationError(what, expanded, "name a file in logging_paths that can be") from None
