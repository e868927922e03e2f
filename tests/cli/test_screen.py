"""Lines and tables, without a terminal and as on one."""

from __future__ import annotations

import io

import pytest

from blobsmith.cli import screen


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_table_has_a_head_a_rule_and_numbers_to_the_right() -> None:
    lines = screen.table(("name", "n"), [("blur", 7), ("edge", 120)], title="zoo").splitlines()
    assert lines == ["zoo", "name    n", "─────────", "blur    7", "edge  120"]


def test_a_table_without_rows() -> None:
    assert screen.table(("a", "b"), []).splitlines() == ["a  b", "────"]


def test_wide_columns_are_folded_into_the_terminal_at_blanks() -> None:
    text = "some words that do not fit into a line of thirty"
    lines = screen.table(("a", "b"), [("x", text)], room=30).splitlines()
    assert max(map(len, lines)) <= 30
    assert " ".join(" ".join(line[3:].split()) for line in lines[2:]) == text


def test_a_long_word_is_cut_and_chinese_counts_double() -> None:
    lines = screen.table(("a",), [("名" * 20,)], room=20).splitlines()
    assert [screen.width(line) for line in lines] == [1, 20, 20, 20]
    assert screen.width("a名") == 3


def test_colours_only_where_a_person_watches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    pipe, terminal = io.StringIO(), Terminal()
    screen.say("x", pipe, style="dim")
    screen.say("x", terminal, style="dim")
    assert (pipe.getvalue(), terminal.getvalue()) == ("x\n", "\x1b[2mx\x1b[0m\n")
    monkeypatch.setenv("NO_COLOR", "1")
    plain = Terminal()
    screen.say("x", plain, style="dim")
    assert plain.getvalue() == "x\n"


def test_what_an_encoding_lacks_is_replaced() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii", write_through=True)
    screen.say("─ ok", stream)
    assert raw.getvalue() == b"? ok\n"
