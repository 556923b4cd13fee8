#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""systemd-analyze verify over the units. Arguments: the configured files. Prints TAP."""
import os
import re
import shutil
import subprocess
import sys
import tempfile


def verify(path, user):
    with tempfile.TemporaryDirectory() as folder:
        # An instance of the template; the program is not installed while it is tested.
        unit = os.path.join(folder, "supafs@course.service")
        with open(path, encoding="utf-8") as f:
            text = re.sub(r"^(Exec\w+=-?)\S+", r"\g<1>/bin/true", f.read(), flags=re.M)
        with open(unit, "w", encoding="utf-8") as f:
            f.write(text)
        command = ["systemd-analyze", "verify", "--man=no", unit]
        if user:
            command.insert(1, "--user")
        env = dict(os.environ, XDG_RUNTIME_DIR=folder, HOME=folder)
        done = subprocess.run(command, capture_output=True, text=True, env=env, timeout=60)
        lines = [line for line in (done.stdout + done.stderr).splitlines() if "supafs" in line]
        return done.returncode, lines or done.stderr.splitlines()


def main():
    if not shutil.which("systemd-analyze"):
        print("1..0 # SKIP systemd-analyze is absent: apt-get install systemd")
        return 0
    failed = 0
    print("1..%d" % len(sys.argv[1:]))
    for number, path in enumerate(sys.argv[1:], 1):
        code, lines = verify(path, "user" in os.path.basename(path))
        bad = code != 0
        failed += bad
        for line in lines if bad else []:
            print("#", line)
        print("%sok %d - %s" % ("not " if bad else "", number, os.path.basename(path)))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
