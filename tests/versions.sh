#!/bin/sh
# Runs pytest, with the words that are given, under each other version of Python from 3.11 to 3.14 that is on the PATH.
# Each has an environment of its own, .venv/python3.N. A version that is not there is named and left out.
set -eu
cd "$(dirname "$0")/.."
ours=$(.venv/bin/python -c 'import sys; print("%d.%d" % sys.version_info[:2])')
failed=
for version in 3.11 3.12 3.13 3.14; do
    [ "$version" != "$ours" ] || continue
    # A shim may be on the PATH without a Python behind it.
    if ! "python$version" -c 'import venv' 2>/dev/null; then
        echo "versions: $version left out: python$version is not on the PATH, or has no venv" >&2
        continue
    fi
    folder=.venv/python$version
    if [ ! -e "$folder/.installed" ] || [ requirements-dev.lock -nt "$folder/.installed" ]; then
        "python$version" -m venv --clear "$folder"
        pip="$folder/bin/python -m pip install --quiet --disable-pip-version-check"
        $pip --require-hashes --requirement requirements-dev.lock
        # As `make dev` does it: tools and benchmarks import the program.
        printf '../../../../..' >"$folder/lib/python$version/site-packages/puruto-cron.pth"
        touch "$folder/.installed"
    fi
    echo "versions: $version" >&2
    "$folder/bin/python" -m pytest "$@" || failed="$failed $version"
done
[ -z "$failed" ] || { echo "versions: failed under$failed" >&2; exit 1; }
