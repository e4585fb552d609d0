"""The libzmq that pyzmq has loaded, for the core, which moves messages with it."""

import sys

import zmq.backend

from scaler.transport.errors import ConfigurationError


def module() -> str:
    """The file of pyzmq's extension module: it has libzmq in it, or is linked with it."""
    name: str = zmq.backend.Socket.__module__
    return str(sys.modules[name].__file__)


def unusable(why: LookupError) -> ConfigurationError:
    """For a library in which the core finds not all that it needs."""
    return ConfigurationError(
        f"The core cannot use the libzmq of this pyzmq: {why}.",
        f"pyzmq {zmq.__version__} at {module()}",
        "install pyzmq as its authors build it: pip install --force-reinstall --only-binary=:all: pyzmq",
    )
