#!/usr/bin/env bash
# The agents that tests/acceptance/test_real_agents.py runs, from npm into a folder, each in one version:
#   tests/install_agents.sh FOLDER
# Does nothing for those that are there in that version. Exit code 1 when one could not be had.
set -uo pipefail
folder=${1:?tests/install_agents.sh FOLDER}
agents=(claude:@anthropic-ai/claude-code@2.1.197 codex:@openai/codex@0.169.0 gemini:@google/gemini-cli@0.61.0)

# $1: program, $2: package, $3: version
is_there() {
    [ -x "$folder/node_modules/.bin/$1" ] && grep -q "\"version\": \"$3\"" "$folder/node_modules/$2/package.json"
}

missing=()
for agent in "${agents[@]}"; do
    package=${agent#*:}
    is_there "${agent%%:*}" "${package%@*}" "${package##*@}" || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0
if ! command -v npm >/dev/null; then
    echo "agents: npm is missing, so ${missing[*]} can't be installed" >&2
    exit 1
fi
mkdir -p "$folder" || exit 1
failed=0
# One by one: what one of them lacks must not keep out the others.
for package in "${missing[@]}"; do
    timeout 180 npm install --prefix "$folder" --save-exact --no-audit --no-fund --loglevel=error --fetch-retries=1 \
        "$package" >&2 || {
        echo "agents: npm could not install $package into $folder" >&2
        failed=1
    }
done
exit $failed
