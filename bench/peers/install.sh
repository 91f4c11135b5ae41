#!/usr/bin/env bash
# What `make bench PEERS=1` compares with: a virtual environment of the peers' own in FOLDER, and PostgreSQL from Debian
# where it is missing and we may install it. Without PostgreSQL the row that needs it says so.
# install.sh PYTHON FOLDER
set -euo pipefail
here=$(dirname "$0")
"$1" -m venv "$2"
"$2/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$here/requirements.txt"
found=(/usr/lib/postgresql/*/bin/initdb)
if [ ! -e "${found[0]}" ] && ! command -v initdb >/dev/null && command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
    export DEBIAN_FRONTEND=noninteractive
    { apt-get update -qq && apt-get install -y -qq --no-install-recommends postgresql >/dev/null; } ||
        echo "bench: apt-get could not install postgresql" >&2
fi
