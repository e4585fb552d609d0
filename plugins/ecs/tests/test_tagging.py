"""Tags."""

import re

import pytest
from scaler.managers.api import Owner, Scope
from scaler.testing.contract.starting import ODD
from scaler_plugin_ecs.launching import token_of
from scaler_plugin_ecs.tagging import decode, encode, in_scope, unit_tags

OWNER = Owner("0123456789abcdef", "wm-ecs", 3)


@pytest.mark.parametrize("text", [*ODD, "", "=", "a=3Db", "plain-1 +.:/@_"])
def test_any_id_becomes_a_value_that_aws_takes_and_comes_back(text: str) -> None:
    value = encode(text)
    assert re.fullmatch(r"[A-Za-z0-9 +\-=._:/@]*", value)
    assert len(value) <= 256
    assert decode(value) == text


def test_token_is_one_that_aws_takes_and_differs_by_owner_and_group() -> None:
    others = [Owner("0123456789abcdef", "other"), Owner("f" * 16, "wm-ecs")]
    tokens = [token_of(OWNER, "g-1"), token_of(OWNER, "g-2"), *(token_of(each, "g-1") for each in others)]
    assert len(set(tokens)) == 4
    assert all(re.fullmatch(r"[!-~]{1,64}", each) for each in tokens)
    # Whatever run of the manager asks.
    assert token_of(Owner("0123456789abcdef", "wm-ecs", 4), "g-1") == tokens[0]


def test_scopes_are_by_cluster_manager_and_run() -> None:
    ours = unit_tags(OWNER, "g-1")
    earlier = unit_tags(Owner("0123456789abcdef", "wm-ecs", 2), "g-1")
    manager = unit_tags(Owner("0123456789abcdef", "wm", 3), "g-1")
    cluster = unit_tags(Owner("f" * 16, "wm-ecs", 3), "g-1")

    def held(scope: Scope, used: bool = False) -> list[bool]:
        return [in_scope(each, OWNER, scope, used) for each in (ours, earlier, manager, cluster, {})]

    assert held(Scope.RUN) == [True, False, False, False, False]
    assert held(Scope.RUN, used=True) == [True, True, False, False, False]
    assert held(Scope.MANAGER) == [True, True, False, False, False]
    assert held(Scope.CLUSTER) == [True, True, True, False, False]
