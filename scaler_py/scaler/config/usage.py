"""The error of a command line. Imported where one is raised: help does without."""

from scaler.transport.errors import ConfigurationError


class UsageError(ConfigurationError):
    """What was typed cannot be used."""
