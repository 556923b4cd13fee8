# SPDX-License-Identifier: Apache-2.0
"""An application's storage helpers, twice: through the official client and through a path.

Both classes have the same methods, so that a test can do one thing by either side and compare."""
import json
import pathlib
import shutil


class ByClient:
    def __init__(self, storage, bucket):
        self.files = storage.from_(bucket)

    def write_json(self, key, value):
        self.files.upload(key, json.dumps(value, ensure_ascii=False).encode(),
                          {"content-type": "application/json", "upsert": "true"})

    def read_json(self, key):
        return json.loads(self.files.download(key))

    def write_text(self, key, text):
        self.files.upload(key, text.encode(), {"content-type": "text/plain", "upsert": "true"})

    def read_text(self, key):
        return self.files.download(key).decode()

    def write_bytes(self, key, data):
        self.files.upload(key, data, {"content-type": "application/octet-stream", "upsert": "true"})

    def read_bytes(self, key):
        return self.files.download(key)

    def _walk(self, folder):
        for entry in self.files.list(folder, {"limit": 1000}):
            path = folder + "/" + entry["name"]
            if entry["id"] is None:
                yield from self._walk(path)
            elif entry["name"] != ".emptyFolderPlaceholder":
                yield path

    def list_by_extension(self, folder, extension):
        return sorted(p for p in self._walk(folder) if p.endswith(extension))

    def exists(self, key):
        folder, name = key.rsplit("/", 1)
        return any(e["name"] == name for e in self.files.list(folder, {"search": name}))

    def delete_folder(self, folder):
        self.files.remove(list(self._walk(folder)) + [folder + "/.emptyFolderPlaceholder"])


class ByPath:
    def __init__(self, root):
        self.root = pathlib.Path(root)

    def _path(self, key):
        path = self.root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def write_json(self, key, value):
        self._path(key).write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")

    def read_json(self, key):
        with open(self.root / key, encoding="utf-8") as f:
            return json.load(f)

    def write_text(self, key, text):
        self._path(key).write_text(text, encoding="utf-8")

    def read_text(self, key):
        return (self.root / key).read_text(encoding="utf-8")

    def write_bytes(self, key, data):
        self._path(key).write_bytes(data)

    def read_bytes(self, key):
        return (self.root / key).read_bytes()

    def list_by_extension(self, folder, extension):
        return sorted(str(p.relative_to(self.root)) for p in (self.root / folder).glob("**/*" + extension))

    def exists(self, key):
        return (self.root / key).exists()

    def delete_folder(self, folder):
        shutil.rmtree(self.root / folder)


def exercise(side, folder):
    """The same work by one side; returns all that it saw. Leaves nothing behind."""
    side.write_json(folder + "/c7/slides.json", {"title": "Größe", "n": [1, 2]})
    side.write_text(folder + "/c7/notes.txt", "text\n")
    side.write_bytes(folder + "/c7/sub/x.bin", bytes(range(256)))
    side.write_text(folder + "/c7/sub/more.txt", "first")
    side.write_text(folder + "/c7/sub/more.txt", "more")
    seen = {
        "json": side.read_json(folder + "/c7/slides.json"),
        "text": side.read_text(folder + "/c7/notes.txt"),
        "bytes": side.read_bytes(folder + "/c7/sub/x.bin"),
        "replaced": side.read_text(folder + "/c7/sub/more.txt"),
        "texts": side.list_by_extension(folder, ".txt"),
        "there": side.exists(folder + "/c7/notes.txt"),
        "absent": side.exists(folder + "/c7/none.txt"),
    }
    side.delete_folder(folder + "/c7")
    seen["gone"] = not side.exists(folder + "/c7/notes.txt")
    return seen
