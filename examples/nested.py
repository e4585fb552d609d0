"""Tasks that submit tasks and wait for them, with one worker."""

import random

from scaler import Client, SchedulerClusterCombo


def fib(n: int) -> int:
    if n < 2:
        return n
    client = Client()  # in a task: a client of the task's own cluster, which ends with the task
    one, two = client.submit(fib, n - 1), client.submit(fib, n - 2)
    return one.result() + two.result()


def merge_sort(client: Client, values: list[int]) -> list[int]:
    if len(values) < 1000:
        return sorted(values)
    middle = len(values) // 2
    left, right = client.map(merge_sort, [client] * 2, [values[:middle], values[middle:]]).results()
    return sorted(left + right)


def main() -> None:
    with SchedulerClusterCombo(n_workers=1) as cluster, Client(cluster.get_address()) as client:
        print("fib(10) =", client.submit(fib, 10).result())
        values = [random.randrange(10**6) for _ in range(4000)]
        print("sorted:", client.submit(merge_sort, client, values).result() == sorted(values))


if __name__ == "__main__":
    main()
