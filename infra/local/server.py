"""The embedded AWS runtime (MiniStack) as a child process of ours.

``python -m infra.local.server`` is MiniStack with an environment that we choose and nothing else: its workers
inherit that environment, so what is not listed here does not reach a function (above all no ``PYTHONPATH``:
functions find ``shared`` in their layer or not at all).

Settings that were measured to matter
-------------------------------------
``BIND_HOST``                   its default binds every interface
``MINISTACK_HOST=127.0.0.1``    queue URLs then need no resolution of ``localhost``
``IOT_MTLS_ENABLED=0``          else it opens port 8883
``LAMBDA_ACCOUNT_CONCURRENCY``  its default depends on the machine's memory and throttles small ones
``LAMBDA_WARM_TTL_SECONDS``     how long the extra workers of a burst stay (about 70 MB each)
``LOG_LEVEL=WARNING``           at INFO every call and every line of every function is logged twice

What is added to it, in its own process
---------------------------------------
``remember_expressions``  It reads the text of an expression anew for every item that it looks at, and ours are a few
                          dozen texts. What was read is kept, which takes a third off each transaction (96 items:
                          11.6 to 7.4 ms). What an expression means is left to it.
``copy_as_json``          It copies items as if they could hold anything (``copy.deepcopy``), several times for each
                          update. They are JSON, whose copy costs a fifth.
``quick_json``            A quarter of its time goes into reading and writing JSON with Python's own module.
``look_often``            It looks each second for messages of queues that show again. AWS waits for them.
``scan_whole``            It hashes every item of a table for each page to find those of a scan's segment, also when
                          there is one segment.
``keep_streams``          It saves tables without their change streams: what had not been delivered when it was
                          stopped never would be. AWS keeps a stream for 24 hours, and so it does now.
``note_saves``            It saves its state when it is stopped gently. That it did is noted (see ``saved_state``).
Its files are for their owner alone: there are secrets among them.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import threading
from contextlib import suppress
from copy import deepcopy
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson

from infra.local.processes import end_with_parent
from infra.local.saved_state import SavedState
from infra.local.state import StateDirectory

REGION = "us-east-1"
ACCOUNT = "000000000000"
CREDENTIALS = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
OWNER_ONLY = 0o077
_EXPRESSIONS_KEPT = 4_096
_UNCHANGING = frozenset({str, bytes, int, float, bool, type(None)})
_COLLECT = (100_000, 50, 100)
"""How seldom garbage is looked for: tables are millions of small values that all stay."""

_LOOK_SECONDS = 0.1
_OPTIONS_ALIKE = frozenset({"ensure_ascii", "separators", "default"})
"""Options of ``json.dumps`` that make no difference to whoever reads the text, or only to what is no JSON."""

_INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "SYSTEMROOT")


def environment(state: StateDirectory, port: int, *, keeps_state: bool = True) -> dict[str, str]:
    """Everything the runtime and its functions are told by their environment."""
    inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    persists = "1" if keeps_state else "0"
    return inherited | {
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "MINISTACK_HOST": "127.0.0.1",
        "MINISTACK_REGION": REGION,
        "MINISTACK_ACCOUNT_ID": ACCOUNT,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_REGION": REGION,
        "AWS_ACCESS_KEY_ID": CREDENTIALS["aws_access_key_id"],
        "AWS_SECRET_ACCESS_KEY": CREDENTIALS["aws_secret_access_key"],
        "AWS_EC2_METADATA_DISABLED": "true",
        "PERSIST_STATE": persists,
        "STATE_DIR": str(state.server / "state"),
        "S3_PERSIST": persists,
        "S3_DATA_DIR": str(state.server / "s3"),
        "TMPDIR": str(state.temporary),
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        "LAMBDA_ACCOUNT_CONCURRENCY": "200",
        "LAMBDA_WARM_TTL_SECONDS": "120",
        "LOG_LEVEL": os.environ.get("ONECOUNT_LOCAL_LOG_LEVEL", "WARNING"),
    }


def clean_up(state: StateDirectory) -> None:
    """Remove what workers of an earlier run left in the temporary folder."""
    import shutil

    shutil.rmtree(state.temporary, ignore_errors=True)
    Path(state.temporary).mkdir(parents=True, exist_ok=True)


def remember_expressions() -> None:
    """Have MiniStack read the text of an expression once instead of once for each item.

    Both functions depend on the text alone. The one that gives a list gives a fresh one each time.
    """
    from ministack.services import dynamodb

    tokens_of = dynamodb._tokenize

    @lru_cache(_EXPRESSIONS_KEPT)
    def kept(expression: str) -> tuple[Any, ...]:
        return tuple(tokens_of(expression))

    dynamodb._tokenize = lambda expression: list(kept(expression))
    dynamodb._condition_syntax_error = lru_cache(_EXPRESSIONS_KEPT)(dynamodb._condition_syntax_error)


def json_copy(value: Any) -> Any:
    """Return a copy of a value that shares nothing that can change; what is no JSON is copied as Python does."""
    kind = type(value)
    if kind is dict:
        return {key: json_copy(inner) for key, inner in value.items()}
    if kind is list:
        return [json_copy(inner) for inner in value]
    if kind in _UNCHANGING:
        return value
    return deepcopy(value)


def copy_as_json() -> None:
    """Have MiniStack's tables copy items as the JSON that they are."""
    from ministack.services import dynamodb

    dynamodb.copy = SimpleNamespace(deepcopy=json_copy)


def quick_json() -> None:
    """Have MiniStack's tables and streams read and write JSON with orjson, which takes a fraction of the time.

    What orjson does not do (sorted keys, what is no JSON) is left to Python's own module.
    """
    from ministack.core import responses
    from ministack.services import dynamodb, dynamodb_streams

    def dumps(value: Any, **options: Any) -> str:
        if not options.keys() - _OPTIONS_ALIKE:
            with suppress(TypeError):
                return orjson.dumps(value).decode()
        return json.dumps(value, **options)

    def loads(text: str | bytes) -> Any:
        try:
            return orjson.loads(text)
        except orjson.JSONDecodeError:
            return json.loads(text)

    quick = SimpleNamespace(dumps=dumps, loads=loads, JSONDecodeError=json.JSONDecodeError)
    for module in (responses, dynamodb, dynamodb_streams):
        module.json = quick


def look_often() -> None:
    """Have MiniStack look more often for messages of queues that show again; a new one makes it look at once."""
    from ministack.services import lambda_svc

    news = lambda_svc._esm_wake
    wait = news.wait
    news.wait = lambda _seconds: wait(_LOOK_SECONDS)


def scan_whole() -> None:
    """Have MiniStack take a scan in one segment for what it is, a scan of the whole table."""
    from ministack.services import dynamodb

    scan = dynamodb._scan

    def scan_in_one(request: dict[str, Any]) -> Any:
        if request.get("TotalSegments") == 1 and request.get("Segment") == 0:
            request = {
                name: value for name, value in request.items() if name not in ("Segment", "TotalSegments")
            }
        return scan(request)

    dynamodb._scan = scan_in_one


def keep_streams() -> None:
    """Have MiniStack save the change streams with the tables, and know them again when it starts."""
    from ministack.services import dynamodb

    state_of, restore = dynamodb.get_state, dynamodb.load_persisted_state
    streams = {"stream_records": dynamodb._stream_records, "stream_trimmed": dynamodb._stream_trimmed}

    def restore_with_streams(saved: dict[str, Any]) -> None:
        restore(saved)
        for name, stream in streams.items():
            stream.update(saved.get(name, {}))

    dynamodb.get_state = lambda: {**state_of(), **streams}
    dynamodb.load_persisted_state = restore_with_streams


def note_saves(state: StateDirectory) -> None:
    """Note that the runtime has begun, and, once it has really written its tables, that it has saved."""
    from ministack import app

    note, save_all = SavedState(state), app.save_all
    tables = state.server / "state" / "dynamodb.json"

    def save_and_note(services: dict[str, Any]) -> None:
        tables_before = _written_at(tables)
        save_all(services)
        if _written_at(tables) != tables_before:
            note.saved()

    app.save_all = save_and_note
    note.began()


def _written_at(file: Path) -> int | None:
    return file.stat().st_mtime_ns if file.exists() else None


def main() -> None:
    """``STATE_FOLDER [--parent PID]``: serve until SIGTERM, and no longer than that process lives."""
    arguments, sys.argv = sys.argv[1:], ["ministack"]
    os.umask(OWNER_ONLY)
    if "--parent" in arguments:
        parent = int(arguments[arguments.index("--parent") + 1])
        threading.Thread(target=end_with_parent, args=(parent,), daemon=True).start()
    gc.set_threshold(*_COLLECT)
    remember_expressions()
    copy_as_json()
    quick_json()
    look_often()
    scan_whole()
    keep_streams()
    note_saves(StateDirectory(Path(arguments[0])))
    from ministack.app import main as serve

    serve()


if __name__ == "__main__":
    main()
