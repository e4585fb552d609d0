"""Disconnect a client with and without ending the cluster that it used."""

from scaler import Client, SchedulerClusterCombo
from scaler.errors import ClientQuitException


def main() -> None:
    cluster = SchedulerClusterCombo(n_workers=1, protected=False)
    first, second = Client(cluster.get_address()), Client(cluster.get_address())
    print("first:", first.submit(round, 3.7).result())
    first.disconnect()
    try:
        first.submit(round, 3.7)
    except ClientQuitException as error:
        print("a disconnected client says:", error)
    print("second:", second.submit(round, 2.2).result())
    second.shutdown()  # ends scheduler and workers; refused by a protected scheduler
    cluster.shutdown()


if __name__ == "__main__":
    main()
