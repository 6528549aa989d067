"""A control plane with something of everything, so that generated requests meet objects that are there.

The server is a real one on a fresh folder. Its limits per minute are raised, for all requests come from one address and few
accounts; the limits have tests of their own. Everything here is made through the API, the command line and `dgon-sim`.
"""

import base64
import contextlib
import fcntl
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
# Without them an operation has nothing to do, or strangers see nothing.
FLAGS_ON = ["enable_private_pools", "open_registration", "public_receipts"]
# The one that is set over and over: nothing reads it yet, so that it changes nobody's answers.
FLAG = "show_jtvo_estimates"
PASSWORD = "correct horse battery staple"
# A sign-in is used for this long. An access token lasts ten minutes, and some operations take a sign-in of the last fifteen.
RENEW_S = 300


class OneAtATime:
    """What only one of the programs does at a time that have the same file, a file that says nothing. Within one of them it may be
    begun again before it has ended. Who has no file is alone."""

    def __init__(self):
        self.path = self.file = None
        self.depth = 0

    def begin(self):
        self.depth += 1
        if self.depth == 1 and self.path is not None:
            self.file = open(self.path, "a")
            fcntl.flock(self.file, fcntl.LOCK_EX)

    def end(self):
        self.depth -= 1
        if self.depth == 0 and self.file is not None:
            self.file.close()
            self.file = None


# Passwords are hashed a few at a time, and who asks for more at once from one network is told to come again.
HASHING = OneAtATime()
HASHES = {
    ("POST", "/auth/setup"), ("POST", "/auth/login"), ("POST", "/auth/register"), ("PUT", "/users/me/password"),
    ("PUT", "/users/me/second-factor"), ("DELETE", "/users/me"),
}


@contextlib.contextmanager
def hashing(method, path):
    """Alone, where a request at an address below /api/v1 may hash a password."""
    if (method, path) not in HASHES:
        yield
        return
    HASHING.begin()
    try:
        yield
    finally:
        HASHING.end()


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
            with hashing(method, path), self.opener.open(request, timeout=30) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            raise RuntimeError(f"{method} {path}: {error.code} {error.read().decode()}") from error
        return json.loads(text) if text else None

    def enter(self, path, body):
        """Signs in."""
        self.csrf = self.call("POST", path, body)["csrf_token"]
        return self

    def headers(self):
        """What its browser has: also the cookies of a sign-in that is not complete."""
        cookies = "; ".join(f"{cookie.name}={cookie.value}" for cookie in self.jar)
        return {"cookie": cookies, **({"x-csrf-token": self.csrf} if self.csrf else {})}


class Person:
    """Somebody with a password, who signs in again before a sign-in is too old."""

    def __init__(self, url, email):
        self.url, self.email = url, email
        self.since = self.signed_in = None

    def session(self):
        now = time.monotonic()
        if self.since is None or now - self.since > RENEW_S:
            who = {"email": self.email, "password": PASSWORD}
            self.signed_in, self.since = Session(self.url).enter("/auth/login", who), now
        return self.signed_in


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
        self.url = url
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

    def rotate(self):
        """The same, and the server has taken it."""
        path, body = "/api/v1/nodes/key/rotate", json.dumps(self.rotation()).encode()
        headers = {"content-type": "application/json", **self.headers("POST", path, body)}
        with urllib.request.urlopen(urllib.request.Request(self.url + path, body, headers), timeout=30) as answer:
            answer.read()

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
        setup = {"token": token, "email": "admin@example.org", "password": PASSWORD}
        self.admin = Session(self.plane_url).enter("/auth/setup", setup)
        for flag in FLAGS_ON:
            self.admin.call("PUT", f"/flags/{flag}", {"enabled": True})
        self._people()
        self._nodes()
        self._pool()

    def person(self, name, roles, org_id=None):
        """An account with a password, and a session of it."""
        made = self.admin.call("POST", "/users", {"email": f"{name}@example.org", "roles": roles, "org_id": org_id})
        token = made["path"].split("#token=")[1]
        self.users[name] = made["user_id"]
        session = Session(self.plane_url).enter("/auth/redeem", {"token": token})
        session.call("PUT", "/users/me/password", {"password": PASSWORD})
        return session

    def _people(self):
        self.org = self.admin.call("POST", "/orgs", {"name": "Operators"})["org_id"]
        self.spare_org = self.admin.call("POST", "/orgs", {"name": "Spare"})["org_id"]
        # To be closed.
        self.orgs = [self.admin.call("POST", "/orgs", {"name": f"Closed {n}"})["org_id"] for n in range(8)]
        self.users = {}
        self.operator = self.person("operator", ["operator"], self.org)
        self.person("victim", ["operator"], self.spare_org)
        # Who signs in over and over: of each account some sign-ins are open at once, and the oldest ends.
        self.person("guest", ["viewer"])
        scopes = ["nodes.read", "receipts.read", "nodes.control", "enrolment.write"]
        self.key = self.operator.call("POST", "/api-keys", {"name": "conformance", "scopes": scopes})
        # To be revoked.
        self.spare_key = self.operator.call("POST", "/api-keys", {"name": "spare", "scopes": ["nodes.read"]})["id"]

    def _nodes(self):
        made = self.operator.call("POST", "/enrolment-tokens", {"uses": 1000, "ttl_s": 86400})
        self.token, self.token_id = made["token"], made["id"]
        self.spare_token = self.operator.call("POST", "/enrolment-tokens", {})["id"]
        for prefix, count in [("rig", 2), ("spare", 4)]:
            self._fleet(prefix, count, self.token)
        receipts = self.operator.call("GET", "/receipts?limit=20")["items"]
        self.request_ids = [receipt["request_id"] for receipt in receipts]
        if not self.request_ids:
            raise AssertionError("the fleet made no receipts")

    def _fleet(self, prefix, count, token):
        """Nodes that have been there for a second."""
        subprocess.run(
            [self.bin / "dgon-sim", "fleet", "--api", self.plane_url, "--nodes", str(count), "--rate", "20",
             "--duration", "1", "--prefix", prefix, "--json"],
            env={"DGON_ENROL_TOKEN": token, "PATH": "/usr/bin:/bin"}, check=True, capture_output=True,
        )

    def _pool(self):
        """A private pool that has a node and admits an organisation. While it has a node nobody can close it."""
        wish = {"org_id": self.org, "name": "pool", "existence": "listed", "labels": {"site": "a"}}
        self.pool = self.admin.call("POST", "/pools", wish)["pool_id"]
        self.admin.call("POST", f"/pools/{self.pool}/members", {"org_id": self.spare_org, "admitted": True})
        made = self.operator.call("POST", "/enrolment-tokens", {"uses": 2, "pool_id": self.pool})
        self._fleet("private", 2, made["token"])
        shown = self.operator.call("GET", f"/pools/{self.pool}")
        if (shown["nodes"], shown["members"]) != (2, 1):
            raise AssertionError(f"the pool is not as it was made: {shown}")

    def world(self):
        """What the roles are told."""
        return {
            "url": self.plane_url,
            "people": {"admin": "admin@example.org", "operator": "operator@example.org", "guest": "guest@example.org"},
            "key": {"authorization": f"Bearer {self.key['key']}"},
            "token": self.token,
            "org_id": self.org,
            "operator_id": self.users["operator"],
            # For a parameter each, the first of which stays as it is made here.
            "values": {
                "node_id": ["rig-00000", "rig-00001", "private-00000"],
                "spare_node_id": [f"spare-{n:05}" for n in range(4)],
                "request_id": self.request_ids,
                "user_id": [self.users["victim"]],
                "org_id": [self.spare_org],
                "closed_org_id": self.orgs,
                "pool_id": [self.pool],
                "name": [PACKAGE, "SHA256SUMS"],
                "flag": [FLAG],
                "token_id": [self.spare_token],
                "key_id": [self.spare_key],
            },
        }
