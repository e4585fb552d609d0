"""What a map's progress says of its speed."""

import pytest
from scaler.client.progress import Rate


@pytest.mark.parametrize(
    ("done", "now", "told"),
    [
        (840, 100.1, ""),
        (840, 100.9, ""),
        (840, 1000.0, ""),
        (3840, 101.0, "3,000/s"),
        (3840, 102.0, "1,500/s"),
        (850, 104.0, "2.5/s"),
        (841, 130.0, "2.0/min"),
    ],
    ids=["at once", "soon", "nothing since", "a second", "two", "slow", "slower"],
)
def test_rate_is_of_what_was_done_since_and_only_when_it_means_something(done: int, now: float, told: str) -> None:
    rate = Rate(840, 100.0)
    assert rate.text(done, now) == told
