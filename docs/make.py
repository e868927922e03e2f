"""Builds the documentation's site: ``make docs``, or ``python docs/make.py``.

The pages of docs/ are copied to out/docs; those that only the code can write truthfully (the
commands, the rewrite rules, the emulator's stages) are written there beside them. Zensical then
builds out/site from mkdocs.yml, strictly: a link that leads nowhere is an error.
"""

from __future__ import annotations

import inspect
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PAGES = ROOT / "docs"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; what would end a cell is escaped."""
    lines = [" | ".join(head), " | ".join("---" for _ in head)]
    lines += [" | ".join(cell.replace("|", "\\|") for cell in row) for row in rows]
    return "\n".join(f"| {line} |" for line in lines)


def first_sentence(doc: str | None) -> str:
    """The first paragraph of a docstring in one line."""
    return " ".join(inspect.cleandoc(doc or "").split("\n\n")[0].split())


def _code(text: object) -> str:
    return f"`{text}`" if str(text) else ""


# ---------------------------------------------------------------------- commands


def commands_page() -> str:
    """Every command with its arguments and options, as the command line itself knows them."""
    import typer

    from blobsmith.cli.app import app

    top = typer.main.get_command(app)
    parts = [
        "# Commands",
        "`blobsmith COMMAND --help` shows the same. All commands but `blobsmith` itself take "
        "`--json` (one object on standard output, nothing else) and `--debug` (tracebacks).",
        table(
            ("exit code", "meaning"),
            (
                ("0", "done"), ("1", "the model or file is at fault"),
                ("2", "the command is wrong"), ("3", "the compiler is missing or broken"),
                ("4", "a check or verification failed"),
                ("5", "the environment: disk, permission, no device"),
            ),
        ),
        *(_command(top, [name], command) for name, command in _leaves(top)),
    ]  # fmt: skip
    return "\n\n".join(parts) + "\n"


def _leaves(group: Any, before: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for name, command in group.commands.items():
        inner = getattr(command, "commands", None)
        full = f"{before}{name}"
        found += _leaves(command, f"{full} ") if inner else [(full, command)]
    return found


def _command(top: Any, path: list[str], command: Any) -> str:
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    options = [p for p in command.params if p.param_type_name == "option"]
    words = " ".join(
        (p.metavar or p.name.upper()) if p.required else f"[{p.metavar or p.name.upper()}]"
        for p in arguments
    )
    rows = [(_code(p.metavar or p.name.upper()), p.help or "", "") for p in arguments]
    rows += [(_option(p), p.help or "", _default(p)) for p in options]
    usage = f"blobsmith {' '.join(path)} {words}".rstrip() + (" [OPTIONS]" if options else "")
    return "\n\n".join(
        (
            f"## blobsmith {' '.join(path)}",
            inspect.cleandoc(command.help or ""),
            f"```text\n{usage}\n```",
            table(("", "what it is", "default"), rows),
        )
    )


def _option(option: Any) -> str:
    names = ", ".join((*option.opts, *option.secondary_opts))
    value = "" if option.is_flag else f" {option.metavar or _kind(option)}"
    return _code(names + value)


def _kind(option: Any) -> str:
    """What an option takes: the type's name, which Typer keeps under one of two names."""
    kind = getattr(option, "type", None) or getattr(option, "param_type", None)
    return str(getattr(kind, "name", "value")).upper()


def _default(option: Any) -> str:
    if option.is_flag:
        return _code(option.opts[0]) if option.default and option.secondary_opts else ""
    return "" if option.default is None else _code(option.default)


# ---------------------------------------------------------------------- rewrites


def rewrites_page() -> str:
    """Every rule by set and file, and the operators that no rule can bring to the chip."""
    from blobsmith.graph.rewrites.registry import SETS, rules
    from blobsmith.graph.rewrites.unsupported import ADVICE

    heads = {
        "needed": "Needed: the compiler accepts the graph and computes it right",
        "faster": "Faster: fewer or cheaper stages",
    }
    parts = [
        "# Rewrites",
        f"The {len(rules())} rules that `blobsmith build` tries, in the order in which it tries "
        "them. Each application is compared in ONNX Runtime with what it replaces, and taken back "
        "if it breaks its promise. A rule for speed is kept only where the predicted time falls. "
        "`blobsmith build --report FILE.html` shows which were applied and why.",
        "*Promise*: **exact**, the same bits in FP32; **reorder**, FP32 rounding only; "
        "**approximate**, within so many FP16 units in the last place.",
    ]
    for name in SETS:
        parts.append(f"## {heads[name]}")
        rows = [
            (_code(rule.name), rule.why, str(rule.exactness).removesuffix(" in the last place"),
             _roots(rule.roots))
            for rule in rules((name,))
        ]  # fmt: skip
        parts.append(table(("rule", "why", "promise", "looks at"), rows))
    parts.append("## What no rule can bring to the chip")
    parts.append("The build stops with this advice, and with the line of your code it comes from.")
    rows = [
        (_code(name), advice.operation, advice.reason, advice.instead)
        for name, advice in ADVICE.items()
    ]
    parts.append(table(("ONNX operator", "you wrote", "why not", "instead"), rows))
    return "\n\n".join(parts) + "\n"


def _roots(roots: Sequence[str]) -> str:
    if not roots:
        return "every node"
    shown = ", ".join(_code(op) for op in roots[:6])
    return shown + (f" and {len(roots) - 6} more" if len(roots) > 6 else "")


# ---------------------------------------------------------------------- stages


def stages_page() -> str:
    """Every stage type that the emulator executes, by family, and those it does not."""
    from blobsmith.blob.types import STAGE_NAMES, category, type_name
    from blobsmith.emulator.plan import planners

    known = planners()
    families: dict[str, list[int]] = {}
    for kind, planner in known.items():
        families.setdefault(planner.__module__, []).append(kind)
    parts = [
        "# Emulator stages",
        f"A blob is a list of stages. The emulator executes {len(known)} of the "
        f"{len(STAGE_NAMES)} known types; a blob with another is refused by name, never guessed. "
        "The numbers are the type ids in the file. What each file of "
        "`src/blobsmith/emulator/stages/` does, and [what an emulator cannot know]"
        "(../emulator.md#what-it-cannot-know).",
    ]
    for module, kinds in families.items():
        family = module.rsplit(".", 1)[-1]
        parts.append(f"## {family.capitalize()}")
        parts.append(first_sentence(import_module(module).__doc__))
        rows = [
            (str(kind), _code(type_name(kind)), category(kind),
             _about(known[kind], type_name(kind)))
            for kind in sorted(kinds)
        ]  # fmt: skip
        parts.append(table(("id", "stage", "unit", "what it computes"), rows))
    others = sorted(set(STAGE_NAMES) - set(known))
    parts.append("## Known, not executed")
    parts.append(", ".join(f"`{type_name(kind)}` ({kind})" for kind in others))
    return "\n\n".join(parts) + "\n"


def _about(planner: Callable[..., object], name: str) -> str:
    """The planner's own sentence; closures have none, and their names say it."""
    return first_sentence(planner.__doc__) or f"{name.lower()} of each element"


# ---------------------------------------------------------------------- the site

GENERATED: dict[str, Callable[[], str]] = {
    "reference/commands.md": commands_page,
    "reference/rewrites.md": rewrites_page,
    "reference/stages.md": stages_page,
}


def collect(target: Path) -> None:
    """Copies docs/ to `target` and writes the generated pages there."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(PAGES, target, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    for name, write in GENERATED.items():
        page = target / name
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(write(), encoding="utf-8")
    for page in target.rglob("*.md"):
        text = page.read_text(encoding="utf-8")
        page.write_text(_outside(text), encoding="utf-8")


def _outside(text: str) -> str:
    """Links to files beside docs/ (examples, say) become their names: the site has no copy."""
    return re.sub(r"\[([^\]]+)\]\((?:\.\./)+(?:examples|benchmarks|src)/[^)]*\)", r"\1", text)


def main(folder: Path = ROOT) -> int:
    """Builds the site under `folder`, which holds mkdocs.yml; the exit code is zensical's."""
    collect(folder / "out" / "docs")
    command = [sys.executable, "-m", "zensical", "build", "--strict", "--clean"]
    code = subprocess.run(command, cwd=folder, check=False).returncode
    if code == 0:
        print(f"the site: {folder / 'out' / 'site' / 'index.html'}")
        print("with its search: python -m http.server -d out/site")
    return code


if __name__ == "__main__":
    sys.exit(main())
