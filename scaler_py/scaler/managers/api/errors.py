"""What hooks may raise: the class says what the host does next, the text is for people."""

from scaler.transport.errors import ConfigurationError

__all__ = ["ConfigurationError", "CredentialsExpired", "DriverError", "TemporaryError", "Throttled"]


class DriverError(Exception):
    """Base of a driver's own errors. Raised as it is, it says no more than any other exception: outcome unknown."""


class Throttled(DriverError):
    """The infrastructure wants to be asked less often, and did nothing. The host calls later, and in smaller batches.

    retry_after: how long to wait at least, in seconds, where the infrastructure said so.
    """

    def __init__(self, text: str = "", retry_after: float | None = None) -> None:
        super().__init__(text)
        self.retry_after = retry_after


class CredentialsExpired(DriverError):
    """The infrastructure did nothing because it does not know us any more. The host opens a new context, once."""


class TemporaryError(DriverError):
    """The infrastructure did nothing, and may do it later: no capacity, service unavailable, not consistent yet."""
