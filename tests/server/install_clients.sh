#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs the official clients (Python and JavaScript) that the tests use: install_clients.sh FOLDER
# Does nothing when they are there already in the wanted versions.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
dir=${1:?usage: install_clients.sh FOLDER}
mkdir -p "$dir"

if ! cmp -s "$here/requirements.txt" "$dir/requirements.txt"; then
	python3 -m venv "$dir/venv"
	"$dir/venv/bin/pip" install --quiet --disable-pip-version-check -r "$here/requirements.txt"
	cp "$here/requirements.txt" "$dir/requirements.txt"
fi
if command -v npm >/dev/null && ! cmp -s "$here/package.json" "$dir/installed.json"; then
	cp "$here/package.json" "$dir/package.json"
	(cd "$dir" && npm install --no-audit --no-fund --no-package-lock --loglevel=error >/dev/null)
	cp "$here/package.json" "$dir/installed.json"
fi
