"""What can be wrong with an address, a key or a connection. Each says what, where, and what to do."""

from scaler import errors


class ThreeLineError(errors.ScalerError):
    """An error for people: `str()` says in three lines what is wrong, where, and what to do.

    Secrets never appear in any of them.
    """

    def __init__(self, what: str, where: str = "", mend: str = "") -> None:
        super().__init__(what, where, mend)
        self.what = what
        self.where = where
        self.mend = mend

    def __str__(self) -> str:
        lines = (self.what, self.where and f"  where: {self.where}", self.mend and f"  to do: {self.mend}")
        return "\n".join(line for line in lines if line)


class ConfigurationError(ThreeLineError, ValueError):
    """Something that the user wrote cannot be used."""


class AddressError(ConfigurationError, errors.AddressError):
    """An address of the wrong form."""


class AddressInUseError(ConfigurationError):
    """Another process has the port or the path."""


class ClusterKeyError(ConfigurationError):
    """A cluster key or join token that cannot be read, made or used."""


class NobodyThereError(ThreeLineError, ConnectionError):
    """Nothing accepted a connection at the address in time."""


class NotAdmittedError(ThreeLineError, errors.KeyRefusedError):
    """Somebody answered and would not have us: no key, a wrong key, or no scaler at all."""
