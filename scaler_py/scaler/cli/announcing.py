"""What a part that listens tells whoever started it."""

import sys

from scaler.transport.addresses import TcpAddress, parse_address


def say_open(address: str) -> None:
    """For a part without keys."""
    if isinstance(parse_address(address), TcpAddress):
        print(
            f"warning: {address} is insecure: whoever reaches it can run code on every worker",
            file=sys.stderr,
            flush=True,
        )


def say_reachable(address: str, cluster: str) -> None:
    """For a part that other machines can reach: how they get the key."""
    target = parse_address(address)
    if isinstance(target, TcpAddress) and not target.is_loopback:
        print(
            f"other machines join cluster {cluster} with the key that `scaler_keys export` prints here, as in\n"
            "    export SCALER_KEY=<that line>",
            flush=True,
        )
