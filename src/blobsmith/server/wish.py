"""The fields of our own forms: their names, what they mean, and what they become.

One table: forms are read by it, the description of the interface is written from it, and a field
that does not stand in it is refused rather than passed over.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import UsageError
from ..options import FORMATS, Options
from ..spelling import color, inputs, numbers
from ..tensors import InputRequest

Texts = Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Field:
    """A field of a form: what it means, its default as text, and whether it may stand twice."""

    help: str
    default: str = ""
    repeats: bool = False


_SOURCE = {
    "input": Field(
        "Shape and element type of an input: NAME=1x3x300x300[:u8|fp16|fp32[:LOW..HIGH]].",
        repeats=True,
    ),
    "output_name": Field("Value of the graph to end it at, in order.", repeats=True),
    "color": Field("Channel order that the model expects: bgr, rgb or gray."),
    "mean": Field("Subtracted in the graph, one value or one a channel: 127.5 or 1,2,3."),
    "scale": Field("Divided by in the graph, one value or one a channel."),
}  # fmt: skip
BUILD = {
    **_SOURCE,
    "shaves": Field("1 to 16.", "6"),
    "slices": Field("CMX slices; as many as shaves."),
    "format": Field("blob, superblob (all shave counts) or archive.", "blob"),
    "archive_holds": Field("What an archive holds: blob, superblob or onnx.", "blob"),
    "classes": Field("Names of a classifier's classes, for an archive: a,b,c."),
    "optimize": Field("Rewrite the graph for the chip.", "true"),
    "verify": Field("Run the blob against the model, in an emulator.", "true"),
    "fix_fp16": Field("Rescale where FP16 would overflow.", "false"),
    "hardware": Field("Use the convolution engine.", "true"),
    "report": Field("Make a page that shows the build, too.", "false"),
}
CHECK = dict(_SOURCE)
INSPECT = {
    "stages": Field("List every stage.", "false"),
    "time": Field("Predict the time on the chip.", "false"),
    "shaves": Field("Which blob of a superblob."),
}


@dataclass(frozen=True)
class Wish:
    """What a client wants of its model.

    Attributes:
        inputs, outputs: as `blobsmith.build` takes them.
        options: every option of the build; of a check only the preprocessing counts.
        report: make the page that shows the build.
    """

    inputs: Mapping[str, InputRequest] | None = None
    outputs: tuple[str, ...] = ()
    options: Options = field(default_factory=Options)
    report: bool = False


def read_build(fields: Texts) -> Wish:
    """The wish in the fields of a build.

    Raises:
        UsageError: a field that does not exist, or cannot be read, or does not fit.
    """
    given = _given(fields, BUILD)
    format_ = given.get("format") or "blob"
    holds = given.get("archive_holds") or "blob"
    if format_ in FORMATS and format_ != "archive" and holds != "blob":
        raise UsageError(
            "archive_holds means nothing without format=archive", remedy="add format=archive"
        )
    verify, fix = _flag(given, "verify", True), _flag(given, "fix_fp16", False)
    options = Options(
        shaves=_count(given, "shaves") or Options.shaves, cmx_slices=_count(given, "slices"),
        format=format_, contents=holds,
        classes=tuple(n.strip() for n in given.get("classes", "").split(",") if n.strip()),
        optimize=_flag(given, "optimize", True), verify=verify, fix_fp16=fix,
        check=verify or fix, hardware=_flag(given, "hardware", True), **_preprocessing(given),
    )  # fmt: skip
    return Wish(*_source(fields), options, _flag(given, "report", False))


def read_check(fields: Texts) -> Wish:
    """The wish in the fields of a check.

    Raises:
        UsageError: as `read_build`.
    """
    return Wish(*_source(fields), Options(**_preprocessing(_given(fields, CHECK))))


def read_inspect(fields: Texts) -> dict[str, Any]:
    """The keywords of `jobs.inspect` in the fields.

    Raises:
        UsageError: as `read_build`.
    """
    given = _given(fields, INSPECT)
    return {
        "stages": _flag(given, "stages", False),
        "time": _flag(given, "time", False),
        "shaves": _count(given, "shaves"),
    }


def _given(fields: Texts, known: Mapping[str, Field]) -> dict[str, str]:
    """The single fields; empty ones, which a page sends, are as good as none."""
    for name, values in fields.items():
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            raise UsageError(
                f"there is no field {name[:60]!r}",
                remedy=f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}",
            )
        if len(values) > 1 and not known[name].repeats:
            raise UsageError(f"the field {name} is given twice", remedy="give it once")
    return {n: v[-1].strip() for n, v in fields.items() if not known[n].repeats and v[-1].strip()}


def _source(fields: Texts) -> tuple[Mapping[str, InputRequest] | None, tuple[str, ...]]:
    told = [text for text in fields.get("input", ()) if text.strip()]
    return inputs(told, "input"), tuple(n for n in fields.get("output_name", ()) if n)


def _preprocessing(given: Mapping[str, str]) -> dict[str, Any]:
    return {
        "color": color(given.get("color")),
        "mean": numbers(given.get("mean"), "mean"),
        "scale": numbers(given.get("scale"), "scale"),
    }


_YES, _NO = frozenset(["true", "1", "yes", "on"]), frozenset(["false", "0", "no", "off"])


def _flag(given: Mapping[str, str], name: str, default: bool) -> bool:
    text = given.get(name, "").lower()
    if not text:
        return default
    if text not in _YES | _NO:
        raise UsageError(f"{name}={text[:60]!r} is no yes or no", remedy="give true or false")
    return text in _YES


def _count(given: Mapping[str, str], name: str) -> int | None:
    text = given.get(name, "")
    if not text:
        return None
    if not (text.isdecimal() and text.isascii()) or not 1 <= int(text[:9]) <= 20:
        raise UsageError(f"{name}={text[:60]!r} cannot be", remedy="give 1 to 16")
    return int(text)
