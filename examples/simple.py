"""Submit one function, then a hundred, and read their results."""

import math

from scaler import Client


def main() -> None:
    with Client() as client:  # no address: a cluster on this machine's cores, ended with this process
        print("sqrt(2) =", client.submit(math.sqrt, 2).result())
        futures = [client.submit(pow, 2, n) for n in range(100)]
        print("sum of powers =", sum(future.result() for future in futures))


if __name__ == "__main__":
    main()
