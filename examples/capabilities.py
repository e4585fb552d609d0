"""Send tasks only to workers that have what they need."""

from scaler import Client, SchedulerClusterCombo


def where(what: str) -> str:
    return f"{what} ran on a worker that has it"


def main() -> None:
    offered = {"gpu": 2, "linux": -1}  # -1: no amount
    with (
        SchedulerClusterCombo(n_workers=1, per_worker_capabilities=offered) as cluster,
        Client(cluster.get_address()) as client,
    ):
        future = client.submit_verbose(where, ("gpu >= 1",), {}, capabilities={"gpu": 1})
        print(future.result())
        nowhere = client.submit_verbose(where, ("tpu",), {}, capabilities={"tpu": -1})
        print("still waiting:", client.explain(nowhere))
        nowhere.cancel()


if __name__ == "__main__":
    main()
