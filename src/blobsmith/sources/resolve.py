"""From what the user wrote on the command line to a Python object: file, package or zoo name."""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ..errors import BlobsmithError, SourceError
from . import faults

if TYPE_CHECKING:
    from ..zoo import ZooEntry

_REFUSED = {
    ".xml": "an OpenVINO IR cannot be read; hand over the ONNX it came from",
    ".bin": "an OpenVINO IR cannot be read; hand over the ONNX it came from",
    ".blob": "a .blob is compiled already; hand over the function or ONNX it came from",
    ".superblob": "a superblob is compiled already; hand over the function or ONNX it came from",
    ".pt": "a file of weights is no function; hand over file.py:Class that loads it",
    ".pth": "a file of weights is no function; hand over file.py:Class that loads it",
    ".tflite": "only ONNX and PyTorch can be read; convert it to ONNX first",
    ".pb": "only ONNX and PyTorch can be read; convert it to ONNX first",
}


@dataclass(frozen=True)
class Target:
    """A function that was found.

    Attributes:
        function: an nn.Module or a callable.
        origin: how it is called in messages and manifests.
        entry: the zoo's entry, for a zoo name.
    """

    function: Any
    origin: str
    entry: ZooEntry | None = None


def is_onnx(source: Any) -> bool:
    """Whether the source is the path of an .onnx file."""
    return isinstance(source, (str, Path)) and str(source).lower().endswith(".onnx")


def resolve(source: Any) -> Target:
    """Finds the function that a source names.

    Args:
        source: an nn.Module, a class of one, a callable, "file.py:Class", "package.module:Class"
            or a zoo name. A class is constructed without arguments; so is a factory, a function
            without parameters that returns a module.

    Raises:
        SourceError: there is no such thing, or the user's code fails while it is loaded.
        EnvironmentFault: torch is not installed.
    """
    if not isinstance(source, (str, Path)):
        return Target(_instance(source, _name_of(source)), _name_of(source))
    text = str(source)
    suffix = Path(text).suffix.lower()
    if suffix in _REFUSED:
        raise SourceError(_REFUSED[suffix], where=text)
    head, colon, attribute = text.rpartition(":")
    if not colon:
        head, attribute = text, ""
    if not head:
        raise SourceError(
            "no file or module is named before the colon", where=text,
            remedy="give file.py:Class, package.module:Class, or a zoo name alone",
        )  # fmt: skip
    if head.endswith(".py"):
        return _from_file(Path(head), attribute)
    if colon:
        return _from_module(head, attribute)
    return _from_zoo(text)


def _name_of(source: Any) -> str:
    named = source if inspect.isclass(source) or inspect.isroutine(source) else type(source)
    return str(getattr(named, "__name__", type(source).__name__))


# ---------------------------------------------------------------------- the three kinds of text


def _from_file(path: Path, attribute: str) -> Target:
    if path.is_dir():
        raise SourceError(
            "this is a folder", where=str(path), remedy=f"name a file in it: {path}/FILE.py:CLASS"
        )
    if not path.is_file():
        near = difflib.get_close_matches(
            path.name, [p.name for p in path.parent.glob("*.py")] if path.parent.is_dir() else []
        )
        raise SourceError(
            "there is no such file",
            where=str(path),
            remedy=f"did you mean {path.parent / near[0]}?" if near else "check the path",
        )
    origin = f"{path.name}:{attribute}"
    with user_code(str(path.resolve().parent)):
        try:
            module = _load_file(path.resolve())
        except faults.PASSED_ON:
            raise
        except BaseException as error:
            raise _load_failed(error, str(path)) from error
    found = _attribute(module, attribute, str(path))
    with user_code(str(path.resolve().parent)):
        return Target(_instance(found, origin), origin)


def _from_module(name: str, attribute: str) -> Target:
    origin = f"{name}:{attribute}"
    with user_code(str(Path.cwd())):
        try:
            module = importlib.import_module(name)
        except ModuleNotFoundError as error:
            if name == error.name == "zoo":  # as manifests write a zoo model
                return _from_zoo(attribute)
            if error.name and (name == error.name or name.startswith(error.name + ".")):
                raise SourceError(
                    f"there is no module {error.name!r}",
                    where=origin,
                    remedy="give package.module:Class with the package installed or in this "
                    "folder, or file.py:Class",
                ) from error
            raise _load_failed(error, name) from error
        except faults.PASSED_ON:
            raise
        except BaseException as error:
            raise _load_failed(error, name) from error
        return Target(_instance(_attribute(module, attribute, name), origin), origin)


def _from_zoo(name: str) -> Target:
    from .. import zoo

    if name not in zoo.names():
        near = difflib.get_close_matches(name, zoo.names(), n=1)
        files = [str(p) for p in Path(name).parent.glob(Path(name).name + ".*") if p.is_file()]
        hint = next((f for f in files if Path(f).suffix in (".py", ".onnx")), "")
        if hint.endswith(".py"):
            hint += ":Class"
        guess = hint or (near[0] if near else "")
        raise SourceError(
            f"there is no source {name!r}",
            remedy=(f"did you mean {guess!r}? " if guess else "")
            + "give file.py:Class, package.module:Class, a file.onnx, or a zoo name: "
            + ", ".join(zoo.names()),
        )
    entry = zoo.get(name)
    return Target(entry.factory(), f"zoo:{name}", entry)


# ---------------------------------------------------------------------- loading and constructing


@contextlib.contextmanager
def user_code(folder: str) -> Iterator[None]:
    """Runs user code as ``python file.py`` would: its folder comes first; it prints to stderr."""
    sys.path.insert(0, folder)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        with contextlib.suppress(ValueError):
            sys.path.remove(folder)


def _load_file(path: Path) -> ModuleType:
    name = f"_blobsmith_user_{path.stem}_{hashlib.sha256(bytes(path)).hexdigest()[:8]}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise SourceError("the file cannot be imported", where=str(path))
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickles of the file look themselves up here
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _load_failed(error: BaseException, where: str) -> BlobsmithError:
    if isinstance(error, BlobsmithError):
        return error
    if isinstance(error, ImportError) and (error.name or "").split(".")[0] in ("torch", "kornia"):
        return faults.torch_missing(error, where)
    return faults.user_code_failed(
        error, "the file fails while it is imported", where, "mend it; `python FILE` shows it all"
    )


def _attribute(module: ModuleType, name: str, where: str) -> Any:
    own = [
        n
        for n, v in vars(module).items()
        if (inspect.isclass(v) or inspect.isfunction(v)) and v.__module__ == module.__name__
    ]
    modules = [n for n in own if _is_module_class(getattr(module, n))]
    if not name:
        listed = ", ".join(f"{where}:{n}" for n in modules or own) or f"{where}:Class"
        raise SourceError("say which class of the file", where=where, remedy=f"e.g. {listed}")
    try:
        found: Any = module
        for part in name.split("."):
            found = getattr(found, part)
    except AttributeError:
        near = difflib.get_close_matches(name, [*modules, *own], n=1)
        known = ", ".join(modules or own) or "no class of its own"
        raise SourceError(
            f"there is no {name!r} in {where}",
            where=where,
            remedy=f"did you mean {near[0]!r}?" if near else f"it has {known}",
        ) from None
    return found


def _is_module_class(value: Any) -> bool:
    return inspect.isclass(value) and any(
        base.__module__.startswith("torch.nn") for base in value.__mro__
    )


def _instance(found: Any, origin: str) -> Any:
    """A module or callable from what a source names: constructs classes, calls factories."""
    try:
        import torch
    except ImportError as error:
        raise faults.torch_missing(error, origin) from error
    made = found
    if inspect.isclass(found) or _is_factory(found):
        made = _construct(found, origin)
    if isinstance(made, torch.nn.Module) or (callable(made) and not inspect.isclass(made)):
        return made
    raise SourceError(
        f"{origin} is a {type(made).__name__}, not a function on tensors",
        where=origin,
        remedy="name an nn.Module class, a function, or a factory that returns one",
    )


def _is_factory(found: Any) -> bool:
    """A function that can be called with no arguments, and only so: it makes a module."""
    if not inspect.isfunction(found):
        return False
    return not inspect.signature(found).parameters


def _construct(found: Any, origin: str) -> Any:
    try:
        required = [
            p.name
            for p in inspect.signature(found).parameters.values()
            if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
        ]
    except (TypeError, ValueError):
        required = []
    if required:
        raise SourceError(
            f"{origin} needs arguments to be made: {', '.join(required)}",
            where=origin,
            remedy="give them default values, or name a function without parameters that makes it",
        )
    try:
        return found()
    except faults.PASSED_ON:
        raise
    except BlobsmithError:
        raise
    except BaseException as error:
        raise faults.user_code_failed(
            error, f"{origin} fails while it is made", origin, "mend its __init__"
        ) from error
