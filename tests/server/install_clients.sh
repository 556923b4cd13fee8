#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs the official clients (Python and JavaScript) that the tests use: install_clients.sh FOLDER
# Does nothing when they are there already in the wanted versions; fails when one of them cannot be had.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
dir=${1:?usage: install_clients.sh FOLDER}
mkdir -p "$dir" || exit 1
status=0

install_python() {
	cmp -s "$here/requirements.txt" "$dir/requirements.txt" && return 0
	python3 -m venv "$dir/venv" &&
		"$dir/venv/bin/pip" install --quiet --disable-pip-version-check -r "$here/requirements.txt" &&
		cp "$here/requirements.txt" "$dir/requirements.txt"
}

install_javascript() {
	cmp -s "$here/package.json" "$dir/installed.json" && return 0
	cp "$here/package.json" "$dir/package.json" &&
		(cd "$dir" && npm install --no-audit --no-fund --no-package-lock --loglevel=error >/dev/null) &&
		cp "$here/package.json" "$dir/installed.json"
}

install_python || status=1
install_javascript || status=1
exit $status
