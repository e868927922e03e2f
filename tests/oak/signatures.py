"""What DepthAI's real classes accept, read from the bindings' docstrings and from their stubs.

A pipeline for a camera cannot be built without one, so its calls are recorded and held against
these signatures: the pybind docstring is what the C++ side takes, the .pyi is what a type checker
sees.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import depthai as dai


@dataclass(frozen=True)
class Parameter:
    name: str
    kind: str
    required: bool


@dataclass(frozen=True)
class Signature:
    parameters: tuple[Parameter, ...]
    returns: str

    def refuses(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        """Why a call does not fit, or ""."""
        if len(args) > len(self.parameters):
            return f"{len(args)} positional arguments"
        given = dict(zip((p.name for p in self.parameters), args, strict=False))
        for name, value in kwargs.items():
            if name in given or name not in {p.name for p in self.parameters}:
                return f"no parameter {name}"
            given[name] = value
        for parameter in self.parameters:
            if parameter.name not in given:
                if parameter.required:
                    return f"{parameter.name} is missing"
            elif not fits(given[parameter.name], parameter.kind):
                return f"{parameter.name} is {given[parameter.name]!r}, not {parameter.kind}"
        return ""


def fits(value: Any, kind: str) -> bool:
    """Whether a value is of a type as pybind writes it; types that are not known pass."""
    optional = re.fullmatch(r"Optional\[(.*)\]", kind)
    if optional:
        return value is None or fits(value, optional[1])
    pair = re.fullmatch(r"[Tt]uple\[int, int\]", kind)
    if pair:
        return isinstance(value, tuple) and [type(v) for v in value] == [int, int]
    plain: dict[str, Any] = {"int": int, "bool": bool, "str": str, "float": (int, float)}
    if kind in plain:
        return isinstance(value, plain[kind]) and (kind == "bool" or not isinstance(value, bool))
    if kind.startswith("depthai."):
        found = resolve(kind)
        real = object.__getattribute__(value, "real_class") if is_recorder(value) else type(value)
        return found is None or issubclass(real, found)
    return True


def is_recorder(value: Any) -> bool:
    """Whether a value stands in for one of DepthAI's objects."""
    return bool(getattr(type(value), "records", False))


def overloads(cls: type, method: str) -> list[Signature]:
    """The signatures of a bound method, from its docstring."""
    doc = getattr(cls, method).__doc__ or ""
    found = re.findall(rf"^(?:\d+\. )?{method}\((.*)\) -> (.*)$", doc, re.MULTILINE)
    return [_signature(text, returns) for text, returns in found]


def property_type(cls: type, name: str) -> str:
    """The type of a bound property, from its getter's docstring."""
    doc = getattr(cls, name).fget.__doc__ or ""
    return doc.partition(" -> ")[2].splitlines()[0].strip() if " -> " in doc else ""


def resolve(kind: str) -> Any:
    """The class that a name like depthai.Node.Input means; None for anything else."""
    found: Any = dai
    for part in kind.split(".")[1:]:
        found = getattr(found, part, None)
    return found if kind.startswith("depthai.") else None


def _signature(text: str, returns: str) -> Signature:
    parameters = []
    for part in _split(text):
        name, _, rest = part.partition(":")
        kind, equals, _ = rest.partition(" = ")
        if name.strip() != "self":
            parameters.append(Parameter(name.strip(), kind.strip(), not equals))
    return Signature(tuple(parameters), returns)


def _split(text: str) -> list[str]:
    parts, depth, start = [], 0, 0
    for index, letter in enumerate(text):
        depth += (letter in "[(<") - (letter in "])>")
        if letter == "," and depth == 0:
            parts.append(text[start:index])
            start = index + 1
    return [part for part in (*parts, text[start:]) if part.strip()]


@cache
def _stub_classes() -> dict[str, dict[str, list[ast.arguments]]]:
    root = Path(dai.__file__).parent / "depthai"
    classes: dict[str, dict[str, list[ast.arguments]]] = {}
    for path, prefix in ((root / "__init__.pyi", ""), (root / "node" / "__init__.pyi", "node.")):
        _collect(ast.parse(path.read_text()).body, prefix, classes)
    return classes


def _collect(
    body: list[ast.stmt], prefix: str, classes: dict[str, dict[str, list[ast.arguments]]]
) -> None:
    for item in body:
        if isinstance(item, ast.ClassDef):
            methods = classes.setdefault(prefix + item.name, {})
            for inner in item.body:
                if isinstance(inner, ast.FunctionDef):
                    methods.setdefault(inner.name, []).append(inner.args)
            _collect(item.body, f"{prefix}{item.name}.", classes)


def stub_refuses(cls: type, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    """Why the stub's signatures do not take a call, or ""."""
    known = _stub_classes()
    for base in cls.__mro__:
        name = f"{base.__module__}.{base.__qualname__}".removeprefix("depthai.")
        if method in known.get(name, {}):
            reasons = [_bind(a, args, kwargs) for a in known[name][method]]
            return "" if "" in reasons else reasons[0]
    return f"no {method} in the stub of {cls.__name__}"


def _bind(arguments: ast.arguments, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    names = [a.arg for a in arguments.args][1:]
    if arguments.vararg is None and len(args) > len(names):
        return f"{len(args)} positional arguments"
    unknown = set(kwargs) - set(names) - {a.arg for a in arguments.kwonlyargs}
    if unknown and arguments.kwarg is None:
        return f"no parameter {sorted(unknown)[0]}"
    required = names[: len(names) - len(arguments.defaults)]
    missing = [name for name in required[len(args) :] if name not in kwargs]
    return f"{missing[0]} is missing" if missing else ""
