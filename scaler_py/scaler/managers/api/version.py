"""Which form of the hooks this host knows."""

# A driver says in `DriverInfo.api_version` which one it was written against. It is raised when a hook or a class
# changes so that drivers must change with it; what is only added (an optional hook, a field with a default) leaves it.
API_VERSION = 1
