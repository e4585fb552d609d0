"""How many groups a manager has, from what its driver offers and the user wants."""

from __future__ import annotations

import pytest
from scaler.managers.api import Offer
from scaler.managers.offering import FleetSize, fleet_size
from scaler.node.settings import available_cpus


@pytest.mark.parametrize(
    ("offer", "wanted", "size"),
    [
        (Offer(), 8, FleetSize(8, 1, 8)),
        (Offer(slots=4), 8, FleetSize(2, 4, 8)),
        (Offer(slots=4), 3, FleetSize(1, 3, 3)),
        (Offer(slots=4), 9, FleetSize(3, 4, 9)),
        (Offer(most_workers=6), None, FleetSize(6, 1, 6)),
        (Offer(fixed=True), 8, FleetSize(1, 8, 8)),
        # A machine is paid for as a whole: the number is one of machines.
        (Offer(slots=4, limits_groups=True), 3, FleetSize(3, 4, 12)),
        (Offer(slots=4, limits_groups=True, most_workers=5), None, FleetSize(5, 4, 20)),
        (Offer(slots=4, limits_groups=True), None, FleetSize(available_cpus(), 4, 4 * available_cpus())),
    ],
)
def test_users_number_counts_workers_or_groups(offer: Offer, wanted: int | None, size: FleetSize) -> None:
    assert fleet_size(offer, wanted) == size
