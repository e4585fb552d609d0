"""What can be wrong with an address, a key or a connection. Each says what, where, and what to do."""


class ConfigurationError(ValueError):
    """Something that the user wrote cannot be used.

    `str()` gives three lines: what is wrong, where, and what to do. Secrets never appear in any of them.
    """

    def __init__(self, what: str, where: str = "", mend: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.mend = mend

    def __str__(self) -> str:
        return three_lines(self.what, self.where, self.mend)

    def __reduce__(self) -> tuple[type["ConfigurationError"], tuple[str, str, str]]:
        return type(self), (self.what, self.where, self.mend)


class AddressError(ConfigurationError):
    """An address of the wrong form."""


class AddressInUseError(ConfigurationError):
    """Another process has the port or the path."""


class ClusterKeyError(ConfigurationError):
    """A cluster key or join token that cannot be read, made or used."""


class PeerError(ConnectionError):
    """No connection could be made. Same three lines as `ConfigurationError`."""

    def __init__(self, what: str, where: str = "", mend: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.mend = mend

    def __str__(self) -> str:
        return three_lines(self.what, self.where, self.mend)

    def __reduce__(self) -> tuple[type["PeerError"], tuple[str, str, str]]:
        return type(self), (self.what, self.where, self.mend)


class NobodyThereError(PeerError):
    """Nothing accepted a connection at the address in time."""


class NotAdmittedError(PeerError):
    """Somebody answered and would not have us: no key, a wrong key, or no scaler at all."""


def three_lines(what: str, where: str, mend: str) -> str:
    return "\n".join(line for line in (what, where and f"  where: {where}", mend and f"  to do: {mend}") if line)
