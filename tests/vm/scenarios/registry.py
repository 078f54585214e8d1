"""Makes one tiny image, as an archive and as what a registry serves, and is that registry.

usage: registry.py make ARCHIVE NAME... an OCI archive that holds the image under each NAME
       registry.py serve PORT LOG       its blobs as lab/tiny:1 to who says user and password
"""

import base64
import hashlib
import http.server
import io
import json
import platform
import sys
import tarfile

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
WANTED = "Basic " + base64.b64encode(b"lab:hunter2").decode()
ARCH = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())


def tar(files):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def descriptor(kind, data):
    return {"mediaType": kind, "digest": digest(data), "size": len(data)}


def image():
    layer = tar({"hello": b"hello\n"})
    config = json.dumps({
        "architecture": ARCH, "os": "linux", "config": {"Cmd": ["/hello"]},
        "rootfs": {"type": "layers", "diff_ids": [digest(layer)]},
    }).encode()
    manifest = json.dumps({
        "schemaVersion": 2, "mediaType": MANIFEST,
        "config": descriptor("application/vnd.oci.image.config.v1+json", config),
        "layers": [descriptor("application/vnd.oci.image.layer.v1.tar", layer)],
    }).encode()
    return layer, config, manifest


def make(path, names):
    blobs = image()
    entry = descriptor(MANIFEST, blobs[-1])
    entries = [{**entry, "annotations": {"io.containerd.image.name": name}} for name in names]
    files = {"oci-layout": b'{"imageLayoutVersion": "1.0.0"}',
             "index.json": json.dumps({"schemaVersion": 2, "manifests": entries}).encode()}
    files.update({"blobs/" + digest(blob).replace(":", "/"): blob for blob in blobs})
    with open(path, "wb") as archive:
        archive.write(tar(files))


class Registry(http.server.BaseHTTPRequestHandler):
    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        blobs = image()
        served = {"/v2/lab/tiny/manifests/1": blobs[-1]}
        for blob in blobs:
            served["/v2/lab/tiny/blobs/" + digest(blob)] = blob
        served["/v2/lab/tiny/manifests/" + digest(blobs[-1])] = blobs[-1]
        data = served.get(self.path.split("?")[0], b"")
        code = 200 if data or self.path == "/v2/" else 404
        if self.headers.get("Authorization") != WANTED:
            code, data = 401, b""
        self.send_response(code)
        if code == 401:
            self.send_header("WWW-Authenticate", 'Basic realm="lab"')
        kind = MANIFEST if "/manifests/" in self.path else "application/octet-stream"
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data)

    def log_message(self, text, *args):
        with open(sys.argv[3], "a") as log:
            log.write(self.command + " " + self.path + " " + str(args[1]) + "\n")


if sys.argv[1] == "make":
    make(sys.argv[2], sys.argv[3:])
else:
    http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), Registry).serve_forever()
