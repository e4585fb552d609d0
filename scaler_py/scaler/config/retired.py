"""Options of other versions that mean nothing here: accepted everywhere, hidden from help, answered by one line."""


class Retired:
    """`short` is empty where there was no short flag. `answer`: what replaced it, for people."""

    __slots__ = ("answer", "name", "short", "takes_value")

    def __init__(self, name: str, short: str, takes_value: bool, answer: str) -> None:
        self.name = name
        self.short = short
        self.takes_value = takes_value
        self.answer = answer

    @property
    def flag(self) -> str:
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        return f"SCALER_{self.name.upper()}"


_LOOPS = "the loops are the core's own and need no choice"
_KEYS = "every tcp connection is encrypted with the cluster's key; see scaler_keys"
_MONITOR = "this version has no monitor; a later one has"
_WEBHOOKS = "worker managers connect to the scheduler themselves"
_BALANCE = "tasks move as soon as a worker is idle"

RETIRED: tuple[Retired, ...] = (
    Retired("event_loop", "-el", True, _LOOPS),
    Retired("io_threads", "-it", True, _LOOPS),
    Retired("worker_io_threads", "-wit", True, _LOOPS),
    Retired("scheduler_io_threads", "", True, _LOOPS),
    Retired("network_backend", "", True, _LOOPS),
    Retired("backend", "", True, "the driver's name says it: aws_hpc is AWS Batch"),
    Retired("identity", "", True, "the log names the part by its address"),
    Retired("max_number_of_tasks_waiting", "-mt", True, "--memory-limit holds clients back before memory runs out"),
    Retired("object_retention_seconds", "-ot", True, "objects live as long as somebody refers to them"),
    Retired("load_balance_seconds", "-ls", True, _BALANCE),
    Retired("load_balance_trigger_times", "-lbt", True, _BALANCE),
    Retired("hard_processor_suspend", "-hps", False, "a task that waits for others gives its worker back by itself"),
    Retired("tls_cert", "-tc", True, _KEYS),
    Retired("tls_key", "-tk", True, _KEYS),
    Retired("security_config", "", True, _KEYS),
    Retired("monitor_address", "-ma", True, _MONITOR),
    Retired("status_report_interval_seconds", "-sri", True, _MONITOR),
    Retired("object_report_limit", "-orl", True, _MONITOR),
    Retired("adapter_webhook_urls", "-awu", True, _WEBHOOKS),
    Retired("adapter_web_host", "", True, _WEBHOOKS),
    Retired("adapter_web_port", "-p", True, _WEBHOOKS),
    Retired("allowed_ip", "", True, "workers connect to the scheduler: no port of theirs is open"),
    Retired("orb_config_path", "", True, "the driver brings its configuration with it"),
    Retired("worker_names", "-wn", True, "workers are named by their machine"),
    Retired("no_random_worker_ids", "-nrwi", False, "workers are named by their machine"),
)

BY_NAME = {each.name: each for each in RETIRED}


def answer(name: str) -> str:
    """The line that says what replaced an option."""
    return f"{name} has no effect: {BY_NAME[name].answer}"


_told: set[str] = set()


def tell_once(text: str) -> None:
    """As a warning in the log, once a process."""
    if text not in _told:
        _told.add(text)
        # Here, for the help of commands imports this module and must be quick.
        import logging

        logging.getLogger("scaler").warning("%s", text)
