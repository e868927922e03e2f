"""The linear form of one value, followed back as far as it stays linear."""

from __future__ import annotations

from ...editor import Editor
from . import form as fm
from .form import Form
from .steps import STEPS, step

_MOST_STEPS = 400
_LEVELS = 64.0


def trace(editor: Editor, value: str, known: dict[str, Form | None] | None = None) -> Form | None:
    """The form of a value over the nearest values that are not linear in others.

    Args:
        editor: the graph.
        value: a floating-point value with at least two dimensions.
        known: forms found before, by value; filled on the way.
    """
    forms: dict[str, Form | None] = {} if known is None else known
    pending = [value]
    for _ in range(_MOST_STEPS):
        if not pending:
            break
        name = pending[-1]
        node = editor.producer(name)
        if name in forms:
            pending.pop()
            continue
        if node is None or node.op not in STEPS:
            forms[name] = plain(editor, name)
            continue
        missing = [r for r in node.inputs if r and r not in forms and r not in editor.constants]
        if missing:
            pending.extend(missing)
            continue
        made = step(editor, node, name, lambda read: forms.get(read))
        forms[name] = made if made is not None else plain(editor, name)
    return forms.get(value)


def plain(editor: Editor, value: str) -> Form | None:
    """The form of a value taken as a source; None if it cannot be one."""
    shape = editor.shape(value)
    if shape is None or value in editor.constants or not editor.is_float(value):
        return None
    return fm.identity(value, shape, levels=holds_levels(editor, value))


def holds_levels(editor: Editor, value: str) -> bool:
    """Whether a value is a camera's image: an input that is declared to go far beyond 1."""
    return value in editor.inputs and editor.ranges.get(value, (0.0, 0.0))[1] >= _LEVELS
