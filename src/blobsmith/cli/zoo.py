"""`blobsmith zoo`: the ready functions."""

from __future__ import annotations

from .session import DebugFlag, JsonFlag, session


def zoo(as_json: JsonFlag = False, debug: DebugFlag = False) -> None:
    """Lists the ready functions with their inputs and outputs."""
    with session(as_json, debug) as out:
        from .. import zoo as room

        rows = []
        out.data["models"] = []
        for name in room.names():
            entry = room.get(name)
            rows.append((name, _text(entry.inputs), _text(entry.outputs), entry.summary))
            out.data["models"].append(
                {
                    "name": name,
                    "summary": entry.summary,
                    "inputs": [spec.to_dict() for spec in entry.inputs],
                    "outputs": [spec.to_dict() for spec in entry.outputs],
                }
            )
        out.table("", ("name", "inputs", "outputs", "what it does"), rows)


def _text(specs: tuple[object, ...]) -> str:
    return ", ".join(
        f"{s.name} {'x'.join(map(str, s.shape))}:{s.dtype}"  # type: ignore[attr-defined]
        for s in specs
    )
