#!/bin/sh
# Makes a Python environment with the packages named, once, and prints its python.
# usage: venv.sh FOLDER PACKAGE...
set -eu
folder="$1"
shift
python="$folder/bin/python"
stamp="$folder/packages"
if [ ! -x "$python" ] || [ "$(cat "$stamp" 2>/dev/null)" != "$*" ]; then
    python3 -m venv "$folder" >&2 || {
        echo "python3 cannot make a virtual environment; on Debian: apt-get install python3-venv" >&2
        exit 3
    }
    "$folder/bin/pip" install --quiet --disable-pip-version-check "$@" >&2
    printf '%s' "$*" > "$stamp"
fi
printf '%s\n' "$python"
