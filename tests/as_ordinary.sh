#!/usr/bin/env bash
# Runs tests as an ordinary account in a folder with a blank and an accent: a copy of what git knows, in `mis púrutos/`.
# As root it makes the account puruto-ci; any other account runs them as itself. Words are given to pytest.
set -euo pipefail
cd "$(dirname "$0")/.."
place=$(mktemp -d "${TMPDIR:-/tmp}/puruto-ci-XXXXXX")
made=
trap 'rm -rf "$place"; [ -z "$made" ] || userdel "$made" >/dev/null 2>&1' EXIT
root="$place/mis púrutos/puruto-cron"
mkdir -p "$root" "$place/home" "$place/tmp"
git ls-files -z | tar --null --files-from=- --create | tar --extract --directory "$root"
become=()
path=$PATH
if [ "$(id -u)" = 0 ]; then
    # Its home must be there: cron starts nothing for an account without one, and the doctor says so.
    if id puruto-ci >/dev/null 2>&1; then
        usermod --home "$place/home" puruto-ci
    else
        useradd --system --no-create-home --home-dir "$place/home" --shell /bin/sh puruto-ci
        made=puruto-ci
    fi
    chown -R puruto-ci: "$place"
    become=(setpriv --reuid=puruto-ci --regid="$(id -g puruto-ci)" --clear-groups)
    # What else is on the PATH of root may lie where no other account may look.
    path=/usr/local/bin:/usr/bin:/bin
fi
chmod 755 "$place"
cd "$root"
environ=(HOME="$place/home" USER=puruto-ci PATH="$path" TMPDIR="$place/tmp" LANG=C.UTF-8)
for name in $(compgen -e | grep -E '^(PIP_|SSL_CERT|REQUESTS_CA|CI$|https?_proxy$|HTTPS?_PROXY$|NO_PROXY$)'); do
    environ+=("$name=${!name}")
done
ordinary() { "${become[@]}" env -i "${environ[@]}" "$@"; }
if ! ordinary python3 -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))'; then
    echo "no Python 3.11 with venv that every account may start: nothing is tried as an ordinary account" >&2
    exit 0
fi
ordinary make dev
[ $# -gt 0 ] || set -- -m "not full and not slow" tests/unit tests/integration tests/acceptance
ordinary .venv/bin/python -m pytest -n 3 --dist worksteal "$@"
