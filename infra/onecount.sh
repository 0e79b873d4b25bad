#!/bin/sh
# The `onecount` command: this checkout's command line, run by this checkout's .venv.
root=$(cd "$(dirname "$0")/../.." && pwd)
PYTHONPATH="$root" exec "$root/.venv/bin/python" -m infra.cli "$@"
