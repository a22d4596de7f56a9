"""A stand-in for the Hub on loopback: one data set, its parquet files, and the few routes that
reading them takes."""

import hashlib
import json
import os
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlparse

COMMIT = "a" * 40


class Hub(ThreadingHTTPServer):
    """files: path in the data set -> content. asked: the requested paths so far. status: what it
    answers to all, 0 while it works."""

    def __init__(self, name: str, files: dict[str, bytes]):
        super().__init__(("127.0.0.1", 0), Handler)
        self.name, self.files, self.asked, self.status = name, files, [], 0

    def entry(self, path) -> dict:
        return {"type": "file", "oid": "c" * 40, "size": len(self.files[path]), "path": path}

    def tree(self, under) -> list[dict]:
        """What lies in a folder and below it, the folders too."""
        under, found = under and under + "/", {}
        for path in self.files:
            if path.startswith(under):
                inner = path[len(under) :].split("/")
                for depth in range(1, len(inner)):
                    parent = under + "/".join(inner[:depth])
                    folder = {"type": "directory", "oid": "b" * 40, "size": 0}
                    found[parent] = folder | {"path": parent}
                found[path] = self.entry(path)
        return list(found.values())

    def info(self) -> dict:
        siblings = [{"rfilename": path} for path in self.files]
        about = {"id": self.name, "sha": COMMIT, "private": False, "tags": []}
        return about | {"downloads": 0, "likes": 0, "siblings": siblings}


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def answer(self, body, status=200, **headers):
        self.send_response(status)
        headers = {"X-Repo-Commit": COMMIT, "Content-Length": str(len(body))} | headers
        for key, value in headers.items():
            self.send_header(key.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def answer_json(self, content):
        self.answer(json.dumps(content).encode(), Content_Type="application/json")

    def missing(self):
        known = self.server.name in self.path
        self.answer(b"{}", 404, X_Error_Code="EntryNotFound" if known else "RepoNotFound")

    def do_GET(self):
        hub, path = self.server, unquote(urlparse(self.path).path)
        path = path.replace("refs/convert/parquet", COMMIT).replace(
            "revision/main", f"revision/{COMMIT}"
        )
        hub.asked.append(path)
        if hub.status:
            return self.answer(b"{}", hub.status)
        api = f"/api/datasets/{hub.name}"
        tree, resolve = f"{api}/tree/{COMMIT}", f"/datasets/{hub.name}/resolve/{COMMIT}/"
        if path == "/":
            self.answer(b"")
        elif path.startswith(tree):
            found = hub.tree(path.removeprefix(tree).strip("/"))
            self.answer_json(found) if found else self.missing()
        elif path in (api, f"{api}/revision/{COMMIT}"):
            self.answer_json(hub.info())
        elif (inner := path.removeprefix(resolve)) in hub.files:
            digest = hashlib.sha1(hub.files[inner]).hexdigest()
            self.answer(hub.files[inner], ETag=f'"{digest}"')
        else:
            self.missing()

    do_HEAD = do_GET

    def do_POST(self):
        text = self.rfile.read(int(self.headers["Content-Length"])).decode()
        asked = json.loads(text) if text.startswith("{") else parse_qs(text)
        paths = asked.get("paths", [])
        paths = [paths] if isinstance(paths, str) else paths
        self.answer_json([self.server.entry(path) for path in paths if path in self.server.files])


@contextmanager
def serve(name: str, folder):
    """Serve a folder as the data set `name` on every revision; yields the Hub, its address in
    HF_ENDPOINT."""
    paths = [path for path in folder.rglob("*") if path.is_file()]
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}
    hub = Hub(name, files)
    threading.Thread(target=hub.serve_forever, daemon=True).start()
    try:
        os.environ["HF_ENDPOINT"] = f"http://127.0.0.1:{hub.server_port}"
        yield hub
    finally:
        hub.shutdown()
        hub.server_close()
