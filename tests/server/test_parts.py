"""The parts that need no server: results, names, words, limits."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blobsmith.errors import (
    BlobsmithError,
    CheckFailed,
    EnvironmentFault,
    ModelError,
    SourceError,
    ToolchainError,
    UsageError,
)
from blobsmith.server.app import page_policy
from blobsmith.server.faults import Busy, NotFound, TooLarge, for_client, in_fields, status_of
from blobsmith.server.jobs import Built
from blobsmith.server.results import Results
from blobsmith.server.settings import Settings
from blobsmith.server.upload import plain_name
from blobsmith.workers.pool import WorkerFault


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def results(tmp_path: Path, clock: Clock) -> Results:
    return Results(tmp_path, keep=10, most=100, clock=clock)


def built(size: int = 10) -> Built:
    return Built("m.blob", {"artifact": b"x" * size}, {"size": size})


def test_results_expire_and_leave_no_files(results: Results, clock: Clock, tmp_path: Path) -> None:
    kept = results.put(built())
    assert results.read(kept.token, "artifact") == ("m.blob", b"x" * 10)
    clock.now = 9.9
    assert results.get(kept.token) == kept
    clock.now = 10
    with pytest.raises(NotFound):
        results.get(kept.token)
    with pytest.raises(NotFound):
        results.read(kept.token, "artifact")
    results.sweep()
    assert list(tmp_path.iterdir()) == []


def test_the_oldest_result_makes_room(results: Results, clock: Clock, tmp_path: Path) -> None:
    tokens = []
    for _ in range(3):
        tokens.append(results.put(built(40)).token)
        clock.now += 1
    with pytest.raises(NotFound):
        results.get(tokens[0])
    assert results.get(tokens[1]).token == tokens[1]
    assert len(list(tmp_path.iterdir())) == 2
    results.close()
    assert list(tmp_path.iterdir()) == []


def test_tokens_differ_and_only_known_files_are_read(results: Results) -> None:
    tokens = {results.put(built(1)).token for _ in range(20)}
    assert len(tokens) == 20
    assert min(map(len, tokens)) >= 43
    for kind in ("report", "../artifact", "", "/etc/passwd"):
        with pytest.raises(NotFound):
            results.read(next(iter(tokens)), kind)


@given(st.text(max_size=300))
def test_a_name_is_never_a_path_nor_a_header(name: str) -> None:
    made = plain_name(name)
    assert made
    assert not set(made) & set('/\\"\r\n\0;: ')
    assert made.isprintable()
    assert not made.startswith((".", "-"))
    assert len(made) <= 100
    assert plain_name(made) == made


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (UsageError("u"), 400),
        (ModelError("m"), 422),
        (SourceError("s"), 422),
        (CheckFailed("c"), 422),
        (EnvironmentFault("a step took longer"), 422),
        (EnvironmentFault("a temporary file cannot be written"), 503),
        (ToolchainError("t"), 503),
        (Busy("b"), 503),
        (TooLarge("l"), 413),
        (WorkerFault("KeyError"), 500),
        (BlobsmithError("own"), 500),
    ],
)
def test_the_status_of_each_branch(error: BlobsmithError, status: int) -> None:
    assert status_of(error) == status


def test_the_servers_folders_are_not_told() -> None:
    import tempfile

    place = f"{tempfile.gettempdir()}/blobsmith-x/model.onnx"
    told = for_client(ModelError(f"cannot read {place}", where=place, remedy=f"see {place}"))
    assert tempfile.gettempdir() not in str(told)
    assert type(told) is ModelError
    kept = for_client(ModelError("m", where="edges.py:5  x * 1000"))
    assert kept.where == "edges.py:5  x * 1000"


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("build with --fix-fp16: it", "build with fix_fp16=true: it"),
        ("take it with --no-verify", "take it with verify=false"),
        ("give --input x=1x3x8x8", "give input=x=1x3x8x8"),
        ("write --mean 127.5", "write mean=127.5"),
        ("repeat --output-name A", "repeat output_name=A"),
    ],
)
def test_options_are_called_as_fields(text: str, field: str) -> None:
    assert in_fields(UsageError("w", remedy=text)).remedy == field


@pytest.mark.parametrize(
    "changes",
    [
        {"port": -1}, {"port": 70000}, {"jobs": 0}, {"waiting": -1}, {"max_upload": 0},
        {"keep": 0}, {"timeout": 0}, {"timeout": float("nan")}, {"token": "a\nb"},
    ],
)  # fmt: skip
def test_limits_that_make_no_sense(changes: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        Settings(**changes)  # type: ignore[arg-type]


def test_the_policy_allows_the_pages_own_script_alone() -> None:
    policy = page_policy("<style>a{}</style><script>1;</script>")
    assert "script-src 'sha256-" in policy
    assert "unsafe" not in policy
    assert policy != page_policy("<style>a{}</style><script>2;</script>")
