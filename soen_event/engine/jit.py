"""Compile the plain functions of ``soen_event.physics`` with Numba, without touching the originals.

Every function in a physics file is ordinary Python. :func:`compiled` returns a Numba copy of a module: each function is rebuilt with
globals in which its callees are Numba copies too. So there is one source, and the reference engine runs it uncompiled.
No ``fastmath``: additions and multiplications keep their order, and both engines give the same bits.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import os
import sys
import time
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import FunctionType, SimpleNamespace
from typing import Any

from soen_event.engine import fetch as plain

_PACKAGES = ("soen_event.", "hardware.", "training.")
_WHOLE = {"run_sets", "carry_out", "slopes"}  # called, not pasted into their callers: they are large, and have several
_ROOT = Path(__file__).resolve().parents[2]
_ENGINE = tuple(
    f"soen_event/{name}.py"
    for name in (
        "physics/*",
        *(f"engine/{x}" for x in ("events", "learn", "happen", "windows", "crew", "machine", "queue", "state", "jit")),
    )
)
# Folders with files whose compiled functions are kept on disk, those files, and all that goes into them.
_KEPT = {
    "soen_event/engine": (("windows", "events", "learn", "happen", "crew"), _ENGINE),
    "hardware": (("junctions",), (*_ENGINE, "hardware/junctions.py")),
    "training": (
        ("kernels",),
        ("soen_event/physics/source.py", "soen_event/engine/jit.py", "training/kernels.py", "training/rates.py"),
    ),
}


def _own_function(value: Any) -> bool:
    return isinstance(value, FunctionType) and value.__module__.startswith(_PACKAGES)


@cache
def _compiled_function(module: str, name: str, persistent: bool) -> Any:
    import numba

    function = getattr(importlib.import_module(module), name)
    if persistent:
        _refresh_cache()
    namespace: dict[str, Any] = {}
    copy = FunctionType(function.__code__, namespace, function.__name__, function.__defaults__, function.__closure__)
    copy.__module__, copy.__qualname__ = function.__module__, function.__qualname__
    for key, value in function.__globals__.items():
        by_machine = value is plain.fetch or value is plain.invoke
        if by_machine and key in function.__code__.co_names and not vars(numba.config).get("DISABLE_JIT"):
            namespace[key] = getattr(importlib.import_module("soen_event.engine.machine"), key)
            continue
        # Only what the code mentions: a module may also hold array helpers that Numba could not compile.
        if key in function.__code__.co_names and _own_function(value) and value is not function:
            namespace[key] = _compiled_function(value.__module__, value.__name__, key in _WHOLE)
        elif not _own_function(value):
            namespace[key] = value
    # No array is made inside the kernels, so none needs counting: without Numba's reference counts the event loop is twice as fast.
    options: dict[str, Any] = {"cache": persistent, "nogil": True, "forceinline": not persistent, "_nrt": False}
    if module.startswith("training."):
        options["error_model"] = "numpy"
    return numba.njit(**options)(copy)


def compile_function(function: Callable[..., Any], persistent: bool = False) -> Any:
    """Return the Numba copy of one plain function; with ``persistent`` its machine code is kept on disk."""
    return _compiled_function(function.__module__, function.__name__, persistent)


def compiled(module: types.ModuleType) -> SimpleNamespace:
    """Return a namespace with a Numba copy of every public plain function of ``module`` (compiled on first call)."""
    names = [n for n, v in vars(module).items() if _own_function(v) and v.__module__ == module.__name__]
    return SimpleNamespace(**{n: _compiled_function(module.__name__, n, False) for n in names})


@cache
def source_digest(home: str = "soen_event/engine") -> str:
    """Hash of every source file that takes part in the compiled code of a folder, with the interpreter and Numba versions."""
    import numba

    digest = hashlib.blake2b(digest_size=16)
    digest.update(f"{sys.version_info[:3]} {numba.__version__}".encode())
    for pattern in _KEPT[home][1]:
        for path in sorted(_ROOT.glob(pattern)):
            digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()


def _cache_folder(home: str = "soen_event/engine") -> Path:
    """The folder in which Numba keeps the machine code of a folder's functions."""
    base = os.environ.get("NUMBA_CACHE_DIR")
    return Path(base) if base else _ROOT / home / "__pycache__"


def _kept(folder: Path, pattern: str) -> Iterator[Path]:
    return folder.glob(f"**/{pattern}" if "NUMBA_CACHE_DIR" in os.environ else pattern)


@cache
def _refresh_cache() -> None:
    """Throw kept machine code away when any source that went into it has changed. Numba looks only at the outermost file."""
    for home, (stems, _) in _KEPT.items():
        folder = _cache_folder(home)
        stamp = folder / f"{home.replace('/', '.')}.digest"
        with contextlib.suppress(OSError):  # a read-only installation compiles in memory
            if stamp.exists() and stamp.read_text() == source_digest(home):
                continue
            folder.mkdir(parents=True, exist_ok=True)
            for stem in stems:
                for kept in _kept(folder, f"{stem}.*.nb[ic]"):
                    kept.unlink(missing_ok=True)
            temporary = stamp.with_suffix(f".{os.getpid()}")
            temporary.write_text(source_digest(home))
            os.replace(temporary, stamp)


_announced = False


@contextmanager
def announce_compilation() -> Iterator[None]:
    """Say on standard error what takes so long, if the engine has to be compiled first (about a minute, once per installation)."""
    global _announced
    import numba

    _refresh_cache()
    folder = _cache_folder()
    kept = any(_kept(folder, "windows.run-*.nbc"))
    if _announced or kept or vars(numba.config).get("DISABLE_JIT"):
        yield
        return
    _announced = True
    start = time.monotonic()
    sys.stderr.write(
        "soen-event: compiling the engine; this happens once per installation and takes about a minute ...\n"
    )
    sys.stderr.flush()
    yield
    sys.stderr.write(
        f"soen-event: compiled in {time.monotonic() - start:.0f} s; the machine code is kept in {folder}\n"
    )
    sys.stderr.flush()
