"""A command whose plain options cost nothing to read.

Newer releases of Typer build a Pydantic model of every option that a command has, which takes
0.1 s however few are given. Options that are a text, a number or a path need no model.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from typer.core import TyperCommand, TyperGroup

_PLAIN: dict[Any, Callable[[str], Any]] = {str: str, int: int, float: float, Path: Path}
_DEMANDS = ("exists", "resolve_path", "writable", "allow_dash", "path_type", "min", "max", "parser")


class Command(TyperCommand):
    """A Typer command that reads plain options itself, and leaves all others to Typer."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        _read_plainly(self.params)

    def get_help_option(self, ctx: Any) -> Any:
        """The --help option."""
        return _plain_help(super().get_help_option(ctx))


class Group(TyperGroup):
    """A group of commands whose own options are read in the same way."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        _read_plainly(self.params)

    def get_help_option(self, ctx: Any) -> Any:
        """The --help option."""
        return _plain_help(super().get_help_option(ctx))


def _read_plainly(options: Iterable[Any]) -> None:
    for option in options:
        kind = getattr(getattr(option, "type_descriptor", None), "annotation", None)
        if kind in (*_PLAIN, bool, list[str]) and not _is_special(option):
            option.process_value = functools.partial(_read, option, kind, option.process_value)


def _plain_help(option: Any) -> Any:
    if option is not None and "process_value" not in vars(option):
        _read_plainly([option])
    return option


def _is_special(option: Any) -> bool:
    """Whether there is more to an option than its type."""
    info = option.type_descriptor.parameter_info
    asked = any(getattr(info, name, None) not in (None, False) for name in _DEMANDS)
    barred = not (getattr(info, "file_okay", True) and getattr(info, "dir_okay", True))
    return asked or barred


def _read(option: Any, kind: Any, usual: Callable[[Any, Any], Any], ctx: Any, value: Any) -> Any:
    """The value as its type; Typer's own way wherever there is anything to say about it."""
    known, read = _plain(option, kind, value)
    if not known:
        return usual(ctx, value)
    return option.callback(ctx, option, read) if option.callback is not None else read


def _plain(option: Any, kind: Any, value: Any) -> tuple[bool, Any]:
    """Whether the value can be read here, and what it is."""
    if value is None:
        return not option.required, () if option.multiple else None
    if kind == list[str]:
        plain = isinstance(value, (list, tuple)) and all(isinstance(v, str) for v in value)
        return (True, list(value)) if plain and (value or not option.required) else (False, None)
    if isinstance(value, kind):
        return True, value
    if kind in _PLAIN and isinstance(value, str):
        try:
            return True, _PLAIN[kind](value)
        except ValueError:
            return False, None
    return False, None
