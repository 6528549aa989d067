"""A control plane with something of everything, so that generated requests meet objects that are there.

The server is a real one on a fresh folder. Its limits per minute are raised, for all requests come from one address and few
accounts; the limits have tests of their own. Everything here is made through the API, the command line and `dgon-sim`.
"""

import base64
import hashlib
import hmac
import http.cookiejar
import json
import pathlib
import secrets
import subprocess
import sys
import time
import urllib.error
import urllib.request

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "clients"))
from stack import Stack, get, until  # noqa: E402

PACKAGE = "dgon-agent_1.2.3_amd64.deb"
# A flag that nothing reads yet: setting it changes nobody's answers.
FLAG = "enable_private_pools"


class Session:
    """A person who is signed in, as a browser is."""

    def __init__(self, url):
        self.url = url
        self.csrf = None
        policy = http.cookiejar.DefaultCookiePolicy(strict_ns_domain=0)
        self.jar = http.cookiejar.CookieJar(policy)
        self.opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self.jar))

    def call(self, method, path, body=None):
        """The JSON answer of an address below /api/v1; `None` where there is no body."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"content-type": "application/json"}
        if self.csrf:
            headers["x-csrf-token"] = self.csrf
        request = urllib.request.Request(f"{self.url}/api/v1{path}", data, headers, method=method)
        try:
            with self.opener.open(request, timeout=30) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            raise RuntimeError(f"{method} {path}: {error.code} {error.read().decode()}") from error
        return json.loads(text) if text else None

    def enter(self, path, body):
        """Signs in."""
        self.csrf = self.call("POST", path, body)["csrf_token"]
        return self

    def headers(self):
        cookies = "; ".join(f"{cookie.name}={cookie.value}" for cookie in self.jar)
        return {"cookie": cookies, "x-csrf-token": self.csrf}


class Key:
    """A key of a node, and what it signs, as texts."""

    def __init__(self):
        self.key = Ed25519PrivateKey.generate()
        raw = self.key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.text = "ed25519:" + base64.b64encode(raw).decode()

    def sign(self, message):
        return "ed25519:" + base64.b64encode(self.key.sign(message)).decode()


def registration(url, token, key):
    """The body with which a node with this key is enrolled."""
    nonce = Session(url).call("POST", "/nodes/register/nonce", {})["nonce"]
    return {
        "token": token, "public_key": key.text, "nonce": nonce,
        "signature": key.sign(f"DGON-ENROL-V1\0{nonce}\0{key.text}".encode()),
        "agent_version": "conformance", "os": "linux", "arch": "x86_64",
    }


class Node:
    """A node that speaks HTTP, as a third-party agent does."""

    def __init__(self, url, token):
        self.key = self.old = Key()
        made = Session(url).call("POST", "/nodes/register", registration(url, token, self.key))
        self.node_id, self.secret = made["node_id"], base64.b64decode(made["node_secret"])

    def rotation(self):
        """Passes the node on to a new key; from now on it has that one."""
        self.old, self.key, now = self.key, Key(), int(time.time())
        said = f"{self.node_id}\0{self.old.text}\0{self.key.text}\0{now}"
        return {
            "node_id": self.node_id, "old_key": self.old.text, "new_key": self.key.text, "ts": now,
            "old_signature": self.old.sign(f"DGON-KEY-ROTATE-V1\0{said}".encode()),
            "new_signature": self.key.sign(f"DGON-KEY-ACCEPT-V1\0{said}".encode()),
        }

    def closing(self):
        """Ends the chain of the key of before, which has no receipt."""
        last = f"sha256:{'0' * 64}"
        said = "\0".join(["DGON-KEY-CLOSE-V1", self.node_id, self.old.text, "0", last])
        return {
            "node_id": self.node_id, "public_key": self.old.text, "last_seq": 0, "last_hash": last,
            "signature": self.old.sign(said.encode()),
        }

    def headers(self, method, path, body):
        """The headers of v2."""
        stamp, nonce = str(int(time.time())), secrets.token_urlsafe(24)
        fields = ["DGON-HMAC-V2", method, path, stamp, nonce, hashlib.sha256(body).hexdigest()]
        mac = hmac.new(self.secret, "\n".join(fields).encode(), "sha256").hexdigest()
        return {"x-node-id": self.node_id, "x-node-ts": stamp, "x-node-nonce": nonce, "x-node-auth": f"v2={mac}"}

    def receipt(self, request_id):
        """A receipt of version 1.0 that holds."""
        now = int(time.time())
        receipt = {
            "version": "1.0", "request_id": request_id, "node_id": self.node_id, "ts_start": now - 1, "ts_end": now,
            "model_id": "conformance", "tokens_input": 1, "tokens_output": 2,
        }
        # All names and values are ASCII and the numbers whole, so this is the RFC 8785 form.
        signed = json.dumps(receipt, sort_keys=True, separators=(",", ":")).encode()
        return {**receipt, "signature": self.key.sign(signed)}


class Plane(Stack):
    """The control plane alone, and what the roles need; `world` is it as JSON."""

    def _start(self):
        data, packages = self.dir / "control-plane", self.dir / "packages"
        data.mkdir()
        packages.mkdir()
        (packages / PACKAGE).write_bytes(b"a package")
        (packages / "SHA256SUMS").write_text(f"{hashlib.sha256(b'a package').hexdigest()}  {PACKAGE}\n")
        self.spawn(
            "control-plane",
            [self.bin / "dgon-control-plane", "serve", "--bind", self.plane_url.removeprefix("http://")],
            DGON_DATA_DIR=str(data), DGON_DOWNLOADS_DIR=str(packages), DGON_PUBLIC_URL=self.plane_url,
            DGON_WRITES_PER_MINUTE="10000", DGON_SIGN_INS_PER_MINUTE="10000", DGON_LOG="warn",
        )
        until("the control plane", lambda: get(f"{self.plane_url}/readyz") is not None)
        printed = self._plane("user", "link", "--url", self.plane_url)
        token = next(word for word in printed.split() if "#token=" in word).split("#token=")[1]
        setup = {"token": token, "email": "admin@example.org", "password": "correct horse battery staple"}
        self.admin = Session(self.plane_url).enter("/auth/setup", setup)
        self._people()
        self._nodes()

    def person(self, name, roles, org_id=None):
        """An account, and a session of it."""
        made = self.admin.call("POST", "/users", {"email": f"{name}@example.org", "roles": roles, "org_id": org_id})
        token = made["path"].split("#token=")[1]
        self.users[name] = made["user_id"]
        return Session(self.plane_url).enter("/auth/redeem", {"token": token})

    def _people(self):
        self.org = self.admin.call("POST", "/orgs", {"name": "Operators"})["org_id"]
        self.spare_org = self.admin.call("POST", "/orgs", {"name": "Spare"})["org_id"]
        # To be closed.
        self.orgs = [self.admin.call("POST", "/orgs", {"name": f"Closed {n}"})["org_id"] for n in range(8)]
        self.users = {}
        self.operator = self.person("operator", ["operator"], self.org)
        self.person("victim", ["operator"], self.spare_org)
        scopes = ["nodes.read", "receipts.read", "nodes.control", "enrolment.write"]
        self.key = self.operator.call("POST", "/api-keys", {"name": "conformance", "scopes": scopes})
        # To be revoked.
        self.spare_key = self.operator.call("POST", "/api-keys", {"name": "spare", "scopes": ["nodes.read"]})["id"]

    def _nodes(self):
        made = self.operator.call("POST", "/enrolment-tokens", {"uses": 1000, "ttl_s": 86400})
        self.token, self.token_id = made["token"], made["id"]
        self.spare_token = self.operator.call("POST", "/enrolment-tokens", {})["id"]
        for prefix, count in [("rig", 2), ("spare", 4)]:
            subprocess.run(
                [self.bin / "dgon-sim", "fleet", "--api", self.plane_url, "--nodes", str(count), "--rate", "20",
                 "--duration", "1", "--prefix", prefix, "--json"],
                env={"DGON_ENROL_TOKEN": self.token, "PATH": "/usr/bin:/bin"}, check=True, capture_output=True,
            )
        receipts = self.operator.call("GET", "/receipts?limit=20")["items"]
        self.request_ids = [receipt["request_id"] for receipt in receipts]
        if not self.request_ids:
            raise AssertionError("the fleet made no receipts")

    def world(self):
        """What the roles are told."""
        return {
            "url": self.plane_url,
            "admin": self.admin.headers(),
            "operator": self.operator.headers(),
            "key": {"authorization": f"Bearer {self.key['key']}"},
            "token": self.token,
            "values": {
                "node_id": ["rig-00000", "rig-00001"],
                "spare_node_id": [f"spare-{n:05}" for n in range(4)],
                "request_id": self.request_ids,
                "user_id": [self.users["victim"]],
                "org_id": [self.spare_org],
                "closed_org_id": self.orgs,
                "name": [PACKAGE, "SHA256SUMS"],
                "flag": [FLAG],
                "token_id": [self.spare_token],
                "key_id": [self.spare_key],
            },
        }
