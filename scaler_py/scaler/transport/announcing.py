"""What a part that listens tells whoever started it."""

from scaler.transport.addresses import TcpAddress, parse_address


def warning_of_open(address: str) -> str:
    """For a part without keys; empty where only this user reaches it."""
    if not isinstance(parse_address(address), TcpAddress):
        return ""
    return f"warning: {address} is insecure: whoever reaches it can run code on every worker"


def how_others_join(address: str, cluster: str) -> str:
    """How other machines get the key; empty where they cannot reach the part."""
    target = parse_address(address)
    if not isinstance(target, TcpAddress) or target.is_loopback:
        return ""
    return (
        f"other machines join cluster {cluster} with the key that `scaler_keys export` prints here, as in\n"
        "    export SCALER_KEY=<that line>"
    )
