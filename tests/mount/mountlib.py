# SPDX-License-Identifier: Apache-2.0
"""Mounts for tests. Standard library only.

    from mountlib import Mount, run_tests, server

    with server() as s, Mount(s) as m:      # a bucket of the test's own, mounted at m.path
        open(m / "a.txt", "w").write("x")
        assert s.get("a.txt", bucket=m.bucket) == b"x"

server(*args)   servelib.Server, or the foreign one of SUPAFS_TEST_URL (target.py). Tests that need counters
                or faults begin with need_own_server(s).
Mount(s, bucket=None, prefix="", options=(), env=None, keep=False)
    bucket      an existing one; None: one is made, and removed at the end
    options     strings for -o, e.g. "ttl=0"
    .path .pid .proc .bucket .dir (cache and log live there)  m / "name" joins paths
    .start() .umount() -> (exit code, stderr) .kill() (SIGKILL) .log() -> text of the daemon's log
Runs in the foreground (-f); start() returns on the daemon's READY=1, so nothing sleeps. The end always cleans
up, by pid and by path, also after a failure, and fails the test on any report of a sanitizer.

The program is $SUPAFS_BIN, else src/supafs of the build folder that meson runs the test in."""
import glob
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "server"))

import servelib  # noqa: E402
import target  # noqa: E402

SKIP = servelib.SKIP
REPORT = re.compile(r"ERROR: (Address|Leak|Thread)Sanitizer|WARNING: ThreadSanitizer|runtime error:")
START_S = 120
SECRETS = ("SUPAFS_TEST_", "SUPABASE_", "SUPAFS_MOUNTPOINT", "SUPAFS_OPTIONS")


def skip_all(reason):
    print("1..0 # SKIP " + reason)
    sys.exit(SKIP)


def find_supafs():
    named = os.environ.get("SUPAFS_BIN")
    if named:
        return named
    for folder in (os.getcwd(), os.environ.get("MESON_BUILD_ROOT", "")):
        path = os.path.join(folder, "src", "supafs")
        if folder and os.access(path, os.X_OK):
            return path
    return shutil.which("supafs") or skip_all("supafs is not built")


def need_fuse():
    """Skips the whole test where nothing can be mounted."""
    try:
        os.close(os.open("/dev/fuse", os.O_RDWR))
    except OSError as e:
        skip_all("/dev/fuse: %s (modprobe fuse)" % e.strerror)
    if os.geteuid() != 0 and not shutil.which("fusermount3"):
        skip_all("fusermount3 is absent: apt-get install fuse3")


def server(*args, **kwargs):
    return target.target(*args, **kwargs)


class Skipped(Exception):
    """Raised by a test that cannot run here; the text says why."""


def need_own_server(s):
    if s.foreign:
        raise Skipped("needs the counters and faults of supafs-serve")


def need_tool(name, package):
    if not shutil.which(name):
        raise Skipped("%s is absent: apt-get install %s" % (name, package))


def clean_env(extra=None):
    """The environment without anything that a developer has set for himself."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(SECRETS)}
    env.pop("SUPAFS_DEBUG", None)
    env.update(extra or {})
    return env


def server_env(s):
    return {"SUPABASE_URL": s.url, "SUPABASE_SERVICE_ROLE_KEY": s.service_key}


def mounted(path):
    """Is something mounted at `path`? Asks the kernel's table, not the mount."""
    want = path.replace("\\", "\\134").replace(" ", "\\040")
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as f:
        return any(line.split(" ")[4] == want for line in f)


def force_unmount(path):
    if not mounted(path):
        return
    if os.geteuid() == 0:
        subprocess.run(["umount", "-l", path], capture_output=True)
    else:
        subprocess.run(["fusermount3", "-u", "-z", path], capture_output=True)


def new_bucket(s, **settings):
    name = "supafs-mount-" + uuid.uuid4().hex[:12]
    message = {"id": name, "name": name, "public": False, **settings}
    status, _, body = s.request("POST", "/bucket", message)
    if status != 200:
        raise RuntimeError("cannot create bucket: HTTP %d %s" % (status, body[:200]))
    return name


def list_keys(s, bucket, prefix=""):
    """Every key below the prefix, by the flat listing."""
    found, cursor = [], None
    while True:
        message = {"prefix": prefix, "limit": 1000, **({"cursor": cursor} if cursor else {})}
        status, _, page = s.json("POST", "/object/list-v2/" + bucket, message)
        if status != 200:
            raise RuntimeError("list: %s" % page)
        found += [o["name"] for o in page["objects"]]
        cursor = page.get("nextCursor")
        if not page["hasNext"]:
            return found


def remove_bucket(s, bucket):
    keys = list_keys(s, bucket)
    for i in range(0, len(keys), 500):
        s.request("DELETE", "/object/" + bucket, {"prefixes": keys[i:i + 500]})
    s.request("DELETE", "/bucket/" + bucket)


class Mount:
    def __init__(self, s, bucket=None, prefix="", options=(), env=None, args=()):
        self.server = s
        self._own_bucket = bucket is None
        self.bucket = bucket
        self.prefix = prefix
        self.options = list(options)
        self.args = list(args)
        self._env = env or {}
        self.dir = tempfile.mkdtemp(prefix="supafs-mount-")
        self.path = os.path.join(self.dir, "mnt")
        self.proc = None

    def __truediv__(self, name):
        return os.path.join(self.path, name)

    def __enter__(self):
        try:
            if self._own_bucket:
                self.bucket = new_bucket(self.server)
            os.mkdir(self.path)
            return self.start()
        except BaseException:
            self._cleanup()
            raise

    def __exit__(self, kind, value, trace):
        try:
            if self.proc and self.proc.poll() is None:
                code, said = self.umount()
                if kind is None and code != 0:
                    raise AssertionError("umount ended with %d: %s\n%s" % (code, said, self.log()))
        finally:
            text = self.log() + self.reports()
            self._cleanup()
        if kind is None and REPORT.search(text):
            raise AssertionError("sanitizer report:\n" + text[-6000:])
        if kind is not None:
            sys.stderr.write("# log of the daemon:\n" + text[-4000:])

    def env(self):
        env = clean_env(server_env(self.server))
        for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS"):
            given = os.environ.get(name)
            env[name] = (given + ":" if given else "") + "log_path=" + os.path.join(self.dir, "san")
        env["XDG_CACHE_HOME"] = os.path.join(self.dir, "cache")
        env["XDG_RUNTIME_DIR"] = os.path.join(self.dir, "run")
        os.makedirs(env["XDG_RUNTIME_DIR"], mode=0o700, exist_ok=True)
        env.update(self._env)
        return env

    def command(self):
        source = self.bucket + ("/" + self.prefix if self.prefix else "")
        options = list(self.options)
        command = [find_supafs(), "mount", "-f", *self.args, source, self.path]
        return command + (["-o", ",".join(options)] if options else [])

    def start(self):
        ready = os.path.join(self.dir, "n")
        if os.path.exists(ready):
            os.unlink(ready)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s, \
                open(os.path.join(self.dir, "log"), "ab") as log:
            s.bind(ready)
            s.settimeout(0.2)
            self.proc = subprocess.Popen(self.command(), env=dict(self.env(), NOTIFY_SOCKET=ready),
                                         stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            self.pid = self.proc.pid
            end = time.monotonic() + START_S
            while True:
                try:
                    if b"READY=1" in s.recv(4096):
                        return self
                except socket.timeout:
                    pass
                if self.proc.poll() is not None:
                    raise RuntimeError("supafs ended with %d: %s" % (self.proc.returncode, self.log()))
                if time.monotonic() > end:
                    raise RuntimeError("supafs is not ready: " + self.log())

    def umount(self, *args):
        done = subprocess.run([find_supafs(), "umount", *args, self.path], env=self.env(),
                              capture_output=True, text=True, timeout=400)
        if done.returncode == 0 and self.proc:
            self.proc.wait(60)
        return done.returncode, done.stderr

    def kill(self):
        self.proc.kill()
        self.proc.wait()

    def log(self):
        return read_text(os.path.join(self.dir, "log"))

    def reports(self):
        return "".join(read_text(p) for p in glob.glob(os.path.join(self.dir, "san*")))

    def _drop_records(self):
        """Root's records are in /run, not in the folder of the test."""
        for path in glob.glob("/run/supafs/*") if os.geteuid() == 0 else ():
            if 'mountpoint="%s"' % self.path in read_text(path):
                os.unlink(path)

    def _cleanup(self):
        force_unmount(self.path)
        if self.proc and self.proc.poll() is None:
            self.proc.terminate()
            try:
                self.proc.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()
        if self._own_bucket and self.bucket and (self.server.proc is None
                                                 or self.server.proc.poll() is None):
            try:
                if hasattr(self.server, "clear_faults") and not self.server.foreign:
                    self.server.clear_faults()
                remove_bucket(self.server, self.bucket)
            except (OSError, RuntimeError, ValueError):
                pass  # the server of the test is going away anyway
        self._drop_records()
        if not mounted(self.path):
            shutil.rmtree(self.dir, ignore_errors=True)


def in_namespace(*commands):
    """Runs what follows in a mount namespace of its own, after `commands`."""
    if os.geteuid() != 0 or not shutil.which("unshare"):
        raise Skipped("needs root and unshare (apt-get install util-linux)")
    keep = []
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode != 0:
        # a chroot: its root cannot be made private, which matters only if mounts are shared
        with open("/proc/1/mountinfo", encoding="utf-8", errors="surrogateescape") as f:
            if "shared:" in f.read():
                raise Skipped("a folder as root, and mounts that are shared with other namespaces")
        keep = ["--propagation", "unchanged"]
    return ["unshare", "--mount", *keep, "sh", "-e", "-c", "; ".join(commands) + '; exec "$@"', "sh"]


NOBODY = 65534


def as_nobody(folder, *commands):
    """Runs what follows as somebody who owns nothing, with a /dev/fuse (made in `folder`) that he may open, in a mount
    namespace of its own, after `commands`. Needs root."""
    need_tool("setpriv", "util-linux")
    node = os.path.join(folder, "fuse")
    wrap = in_namespace("mount --bind %s /dev/fuse" % node, *commands)
    if not os.path.exists(node):
        os.mknod(node, 0o20666, os.makedev(10, 229))
        os.chmod(node, 0o666)
    return wrap + ["setpriv", "--reuid", str(NOBODY), "--regid", str(NOBODY), "--clear-groups"]


def copy_for_nobody(folder):
    """The program where he can start it: the build folder may be closed to others."""
    program = os.path.join(folder, "supafs")
    shutil.copy(find_supafs(), program)
    return program


def read_text(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as f:
            return f.read()
    except OSError:
        return ""


def resident_kib(pid):
    with open("/proc/%d/status" % pid, encoding="utf-8") as f:
        return int(re.search(r"VmRSS:\s+(\d+)", f.read()).group(1))


def write(path, data):
    with open(path, "wb") as f:
        f.write(data)


def read(path):
    with open(path, "rb") as f:
        return f.read()


def run(*command, cwd=None, env=None, check=True, timeout=300, input=None):
    """Runs a program; its output as bytes. Raises with what it said when it fails."""
    done = subprocess.run(command, cwd=cwd, env=env, input=input, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=timeout)
    if check and done.returncode != 0:
        raise AssertionError("%s ended with %d: %s" % (
            " ".join(command)[:200], done.returncode, (done.stdout + done.stderr)[-2000:]))
    return done.stdout


def run_tests(functions, *args):
    """Runs each function(*args) as a sub-test and ends the program. Skipped is no failure."""
    failed = 0
    for number, function in enumerate(functions, 1):
        name = function.__name__.replace("test_", "", 1)
        try:
            function(*args)
            print("ok %d - %s" % (number, name), flush=True)
        except Skipped as e:
            print("ok %d - %s # SKIP %s" % (number, name, e), flush=True)
        except Exception:
            import traceback

            failed += 1
            for line in traceback.format_exc().splitlines():
                print("#", line)
            print("not ok %d - %s" % (number, name), flush=True)
    print("1..%d" % len(functions), flush=True)
    sys.exit(1 if failed else 0)


signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # clean-ups run when meson ends a test
