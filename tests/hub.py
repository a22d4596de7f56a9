"""A stand-in for the Hub on loopback: one data set, its parquet files, and the few routes that
reading them takes.
"""

import hashlib
import json
import threading
import urllib.parse
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "a" * 40


@contextmanager
def serve(name: str, folder):
    """Serve a folder as the data set `name` on every revision; yields (address, list of the
    requested paths).
    """
    files = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
    api, asked = f"/api/datasets/{name}", []

    def entry(path):
        return {"type": "file", "oid": "c" * 40, "size": len(files[path]), "path": path}

    def tree(under):
        under, found = under and under + "/", {}
        for path in files:
            if path.startswith(under):
                inner = path[len(under) :].split("/")
                for depth in range(1, len(inner)):
                    parent = under + "/".join(inner[:depth])
                    found[parent] = {
                        "type": "directory",
                        "oid": "b" * 40,
                        "size": 0,
                        "path": parent,
                    }
                found[path] = entry(path)
        return list(found.values())

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def answer(self, body, status=200, **headers):
            self.send_response(status)
            for key, value in (
                {"X-Repo-Commit": COMMIT, "Content-Length": str(len(body))} | headers
            ).items():
                self.send_header(key.replace("_", "-"), value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def missing(self):
            self.answer(
                b"{}", 404, X_Error_Code="EntryNotFound" if name in self.path else "RepoNotFound"
            )

        def do_GET(self):
            path = urllib.parse.unquote(urllib.parse.urlparse(self.path).path).replace(
                "refs/convert/parquet", COMMIT
            )
            asked.append(path)
            if path == "/":
                self.answer(b"")
            elif path.startswith(f"{api}/tree/{COMMIT}"):
                found = tree(path.removeprefix(f"{api}/tree/{COMMIT}").strip("/"))
                self.answer(
                    json.dumps(found).encode(), Content_Type="application/json"
                ) if found else self.missing()
            elif path in (api, f"{api}/revision/{COMMIT}"):
                info = {
                    "id": name,
                    "sha": COMMIT,
                    "private": False,
                    "tags": [],
                    "downloads": 0,
                    "likes": 0,
                    "siblings": [{"rfilename": path} for path in files],
                }
                self.answer(json.dumps(info).encode(), Content_Type="application/json")
            elif (inner := path.removeprefix(f"/datasets/{name}/resolve/{COMMIT}/")) in files:
                digest = hashlib.sha1(files[inner]).hexdigest()
                self.answer(files[inner], ETag=f'"{digest}"')
            else:
                self.missing()

        do_HEAD = do_GET

        def do_POST(self):
            text = self.rfile.read(int(self.headers["Content-Length"])).decode()
            paths = (
                json.loads(text)["paths"]
                if text.startswith("{")
                else urllib.parse.parse_qs(text).get("paths", [])
            )
            found = [
                entry(path)
                for path in ([paths] if isinstance(paths, str) else paths)
                if path in files
            ]
            self.answer(json.dumps(found).encode(), Content_Type="application/json")

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()
