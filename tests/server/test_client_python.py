#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The official Python client (storage3) and a TUS client (tuspy) against the server. Runs itself again in the
folder of tests/server/install_clients.sh when the client is not installed here."""
import base64
import io
import os
import pathlib
import sys
import tempfile
import time
import urllib.error
import urllib.request

CLIENTS = pathlib.Path(os.environ.get("SUPAFS_TEST_CLIENTS",
                                      pathlib.Path.home() / ".cache/supafs-test-clients"))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))


def import_or_reexec():
    try:
        import storage3  # noqa: F401
        import tusclient  # noqa: F401
    except ImportError:
        python = CLIENTS / "venv/bin/python"
        if os.environ.get("SUPAFS_TEST_REEXEC") or not python.exists():
            print("1..0 # SKIP storage3 and tuspy are absent: scripts/setup --tests (package python3-venv)")
            sys.exit(0)
        os.environ["SUPAFS_TEST_REEXEC"] = "1"
        os.execv(python, [str(python), *sys.argv])


import_or_reexec()
from storage3 import create_client  # noqa: E402
from storage3.exceptions import StorageApiError  # noqa: E402
from tusclient.client import TusClient  # noqa: E402

from app_helpers import ByClient, ByPath, exercise  # noqa: E402
from target import Bucket, Tap, target  # noqa: E402


def raises(function, *args):
    try:
        function(*args)
    except StorageApiError as e:
        return e
    raise AssertionError("no error")


class Cases:
    def __init__(self, t, bucket):
        self.t, self.bucket = t, bucket
        headers = {"authorization": "Bearer " + t.service_key, "apikey": t.service_key}
        self.storage = create_client(t.base + "/", headers, is_async=False)
        self.files = self.storage.from_(bucket)

    def buckets(self):
        name = self.bucket + "-made"
        self.storage.create_bucket(name, options={"public": True, "file_size_limit": 1000})
        try:
            made = self.storage.get_bucket(name)
            assert made.public and made.file_size_limit == 1000, made
            assert name in [b.id for b in self.storage.list_buckets()]
            self.storage.from_(name).upload("open", b"to all")
            url = self.storage.from_(name).get_public_url("open")
            assert urllib.request.urlopen(url).read() == b"to all"
            self.storage.update_bucket(name, {"public": False})
            try:
                urllib.request.urlopen(url)
                raise AssertionError("a private object was served in public")
            except urllib.error.HTTPError:
                pass
            self.storage.from_(name).remove(["open"])
            assert not self.storage.get_bucket(name).public
            raises(lambda: self.storage.from_(name).upload("big", b"x" * 1001))
        finally:
            self.storage.delete_bucket(name)

    def upload_and_download(self):
        self.files.upload("a/one.txt", b"one", {"content-type": "text/plain", "cache-control": "60"})
        assert self.files.download("a/one.txt") == b"one"
        error = raises(self.files.upload, "a/one.txt", b"two")
        assert str(error.status) == "409", error.status
        self.files.upload("a/one.txt", b"two", {"upsert": "true", "metadata": {"mtime": "1700000000.5"}})
        assert self.files.info("a/one.txt")["metadata"] == {"mtime": "1700000000.5"}
        self.files.update("a/one.txt", b"three")
        assert self.files.download("a/one.txt") == b"three"
        info = self.files.info("a/one.txt")
        assert info["size"] == 5, info
        assert self.files.exists("a/one.txt") and not self.files.exists("a/none")

    def listing(self):
        for name in ("list/b.txt", "list/a.json", "list/sub/c.txt"):
            self.files.upload(name, b"x")
        names = [e["name"] for e in self.files.list("list")]
        assert names == ["a.json", "b.txt", "sub"], names
        page = self.files.list_v2({"prefix": "list/", "with_delimiter": True})
        assert [o.name for o in page.objects] == ["list/a.json", "list/b.txt"], page
        assert [f.name for f in page.folders] == ["list/sub/"], page

    def move_copy_remove(self):
        self.files.upload("mv/from", b"content")
        self.files.move("mv/from", "mv/to")
        raises(self.files.download, "mv/from")
        self.files.copy("mv/to", "mv/copy")
        assert self.files.download("mv/copy") == self.files.download("mv/to") == b"content"
        gone = self.files.remove(["mv/to", "mv/copy", "mv/never"])
        assert sorted(o["name"] for o in gone) == ["mv/copy", "mv/to"], gone

    def signed_urls(self):
        self.files.upload("sign/it", b"signed")
        url = self.files.create_signed_url("sign/it", 60)["signedURL"]
        assert urllib.request.urlopen(url).read() == b"signed"
        many = self.files.create_signed_urls(["sign/it", "sign/none"], 60)
        assert many[0]["signedURL"] and many[1]["error"], many
        made = self.files.create_signed_upload_url("sign/up")
        self.files.upload_to_signed_url("sign/up", made["token"], b"by url")
        assert self.files.download("sign/up") == b"by url"

    def tus(self):
        data = os.urandom(13 * 1024 * 1024 + 17)
        client = TusClient(self.t.base + "/upload/resumable",
                           headers={"Authorization": "Bearer " + self.t.service_key, "x-upsert": "true"})

        def uploader(url=None):
            return client.uploader(
                file_stream=io.BytesIO(data), chunk_size=6 * 1024 * 1024, url=url,
                metadata={"bucketName": self.bucket, "objectName": "tus/big.bin",
                          "contentType": "application/x-test", "cacheControl": "3600"})

        first = uploader()
        first.set_url(first.create_url())
        first.set_url(self.t.base + "/upload/resumable/" + first.url.rsplit("/", 1)[1])
        first.upload_chunk()
        again = uploader(first.url)  # a new process would go on like this
        assert again.offset == 6 * 1024 * 1024, again.offset
        again.upload()
        assert self.files.download("tus/big.bin") == data
        assert base64.urlsafe_b64decode(first.url.rsplit("/", 1)[1] + "==").startswith(
            (self.bucket + "/tus/big.bin/").encode())

    def helpers(self):
        with tempfile.TemporaryDirectory(prefix="supafs-helpers-") as root:
            by_path = exercise(ByPath(root), "u1")
        by_client = exercise(ByClient(self.storage, self.bucket), "u1")
        assert by_client == by_path, (by_client, by_path)
        assert by_path["json"] == {"title": "Größe", "n": [1, 2]} and by_path["replaced"] == "more"
        assert by_path["texts"] == ["u1/c7/notes.txt", "u1/c7/sub/more.txt"], by_path
        assert by_path["there"] and not by_path["absent"] and by_path["gone"]


def main():
    tap = Tap()
    with target() as t, Bucket(t) as bucket:
        cases = Cases(t, bucket)
        for name in ("buckets", "upload_and_download", "listing", "move_copy_remove", "signed_urls", "tus",
                     "helpers"):
            tap.case("storage3: " + name.replace("_", " "), getattr(cases, name))
    return tap.end()


if __name__ == "__main__":
    started = time.monotonic()
    code = main()
    print("# %.1f s" % (time.monotonic() - started))
    sys.exit(code)
