"""Where a command's log goes. A library never calls this: the logger `scaler` is silent until a command does."""

import logging
import logging.config
import logging.handlers
import os
import sys
from collections.abc import Sequence

_FORMAT = "%(asctime)s %(levelname)-8s %(name)s: %(message)s"
_STDOUT = ("-", "/dev/stdout")


def set_up_logging(level: str, paths: Sequence[str], config_file: str | None = None) -> None:
    """level: a name of `logging`. paths: "-" for stdout, or files ("~" and variables expanded; new at midnight).

    config_file: a configuration of the `logging` module, instead of the other two.
    """
    if config_file is not None:
        logging.config.fileConfig(os.path.expanduser(os.path.expandvars(config_file)), disable_existing_loggers=False)
        return
    logger = logging.getLogger("scaler")
    logger.setLevel(level)
    logger.propagate = False
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
        handler.close()
    for path in dict.fromkeys(paths):
        handler = _handler(path)
        handler.setFormatter(logging.Formatter(_FORMAT))
        logger.addHandler(handler)


def _handler(path: str) -> logging.Handler:
    if path in _STDOUT:
        return logging.StreamHandler(sys.stdout)
    if path == "/dev/stderr":
        return logging.StreamHandler(sys.stderr)
    expanded = os.path.expanduser(os.path.expandvars(path))
    return logging.handlers.TimedRotatingFileHandler(expanded, when="midnight", encoding="utf-8", delay=True)
