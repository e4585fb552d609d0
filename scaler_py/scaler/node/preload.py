"""`preload`: a function of the user's that runs once in each executor, before its first task."""

from __future__ import annotations

import ast
import importlib
import re
from typing import Any

_FORM = "write pkg.mod:func, or pkg.mod:func(literal, name=literal)"
_TARGET = re.compile(r"(?P<module>[^\W\d]\w*(\.[^\W\d]\w*)*):(?P<function>[^\W\d]\w*)(?P<call>\(.*\))?", re.DOTALL)


class PreloadError(ValueError):
    """`preload` has the wrong form."""


def parse_preload(text: str) -> tuple[str, str, list[Any], dict[str, Any]]:
    """(module, function, positional arguments, keyword arguments). PreloadError says what is wrong and how it goes."""
    match = _TARGET.fullmatch(text.strip())
    if match is None:
        raise PreloadError(f"preload {text!r} names no function: {_FORM}")
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    if match["call"]:
        try:
            call = ast.parse(f"f{match['call']}", mode="eval").body
        except SyntaxError as error:
            raise PreloadError(f"preload {text!r} is no call: {error.msg}: {_FORM}") from None
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
            raise PreloadError(f"preload {text!r} is no single call: {_FORM}")
        args = [_literal(text, node) for node in call.args]
        for keyword in call.keywords:
            if keyword.arg is None:
                raise PreloadError(f"preload {text!r}: ** is not possible: {_FORM}")
            kwargs[keyword.arg] = _literal(text, keyword.value)
    return match["module"], match["function"], args, kwargs


def _literal(text: str, node: ast.expr) -> Any:
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError):
        raise PreloadError(f"preload {text!r}: {ast.unparse(node)} is no literal: {_FORM}") from None


def run_preload(text: str) -> None:
    """Imports the module and calls the function. Whatever they raise."""
    module, name, args, kwargs = parse_preload(text)
    function = getattr(importlib.import_module(module), name)
    function(*args, **kwargs)
