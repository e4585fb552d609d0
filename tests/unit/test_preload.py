"""What `preload` may say."""

import pytest
from scaler.node.preload import PreloadError, parse_preload


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("pkg.mod:func", ("pkg.mod", "func", [], {})),
        ("mod:func()", ("mod", "func", [], {})),
        ("a.b:f(1, 'x', None)", ("a.b", "f", [1, "x", None], {})),
        ("a.b:f(-1.5, n={'k': [1, 2]})", ("a.b", "f", [-1.5], {"n": {"k": [1, 2]}})),
        (" a:f ", ("a", "f", [], {})),
    ],
)
def test_forms_that_are_understood(text: str, parsed: object) -> None:
    assert parse_preload(text) == parsed


REFUSED = """
func|mod.func|mod:|:func|mod:a.b|mod:f(|mod:f(x)|mod:f(g())|mod:f(**{})|mod:f()()|mod:f(1) + 1
mod:f(__import__('os'))|1mod:f|mod:f(a=b)
"""


@pytest.mark.parametrize("text", ["", *REFUSED.strip().replace("\n", "|").split("|")])
def test_what_is_no_function_with_literals_is_refused_with_the_form(text: str) -> None:
    with pytest.raises(PreloadError, match=r"pkg\.mod:func"):
        parse_preload(text)
