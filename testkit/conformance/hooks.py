"""What schemathesis does around each request: who asks, and which of the objects that are there it names.

Loaded by schemathesis (SCHEMATHESIS_HOOKS); DGON_ROLE and DGON_WORLD say as whom and where. What is chosen here hangs on the
generated value alone, so that a seed gives the same requests again.
"""

import itertools
import json
import os
import pathlib
import sys
import urllib.parse
import zlib

import requests.auth
import schemathesis

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from world import Key, Node, Session, registration  # noqa: E402

ROLE = os.environ["DGON_ROLE"]
WORLD = json.loads(pathlib.Path(os.environ["DGON_WORLD"]).read_text())
# What somebody may prove who they are by. Generated ones are taken away.
PROOFS = ["authorization", "cookie", "x-csrf-token", "x-node-id", "x-node-ts", "x-node-nonce", "x-node-auth"]
# They end or change the session that they are called with, or the account: each call has a session of its own.
THROWAWAY = {
    ("POST", "/api/v1/auth/logout"), ("POST", "/api/v1/auth/refresh"), ("POST", "/api/v1/auth/organisation"),
    ("DELETE", "/api/v1/sessions"), ("DELETE", "/api/v1/sessions/{id}"), ("DELETE", "/api/v1/users/me"),
    ("PUT", "/api/v1/users/me/password"), ("POST", "/api/v1/users/me/second-factor/remove"),
}
# They change what they name for good, so they get what nobody else needs.
SPENDS = ("/api/v1/nodes/{node_id}/actions", "/api/v1/nodes/{node_id}/assign")
# Bodies that the server takes for what they say. Few that are made up are: they name what is not there.
GOOD = {
    "POST /api/v1/api-keys": {"name": "made", "scopes": ["nodes.read"], "models": ["m"], "budget_nano_usd": "5"},
    "POST /api/v1/auth/login": {"email": "admin@example.org", "password": "correct horse battery staple"},
    "POST /api/v1/auth/nonce": {
        "purpose": "sign_in", "kind": "solana", "address": "9C6hybhQ6Aycep9jaUnP6uL9ZYvDjUp1aSkFWPUFJtpj",
    },
    "POST /api/v1/nodes/{node_id}/actions": {"action": "refresh", "reason": "conformance"},
    "PUT /api/v1/users/{user_id}/memberships/{org_id}": {"roles": ["operator"], "reason": "conformance"},
    "PATCH /api/v1/users/{user_id}": {"disabled": False},
}
# WebSockets: an HTTP client cannot go on after 101, so it asks as one that a proxy has cut short, and is refused.
SOCKETS = ("/api/v1/live", "/api/v1/nodes/link")
# One node after another: each has limits of its own.
NODES = 8


def throwaways():
    """Sessions of new accounts, made by the admin."""
    admin = Session(WORLD["url"])
    admin.csrf = WORLD["admin"]["x-csrf-token"]
    admin.opener.addheaders = [("cookie", WORLD["admin"]["cookie"])]
    for number in itertools.count():
        email = f"{ROLE}.{number}@throwaway.example.org"
        made = admin.call("POST", "/users", {"email": email, "roles": ["viewer"]})
        token = made["path"].split("#token=")[1]
        yield Session(WORLD["url"]).enter("/auth/redeem", {"token": token}).headers()


SESSIONS = throwaways()
OWN_NODES = [Node(WORLD["url"], WORLD["token"]) for _ in range(NODES)] if ROLE == "node" else []
TURNS = itertools.count()


class Proof(requests.auth.AuthBase):
    """Puts on a request what its role has, over what was generated."""

    def __init__(self, operation, node):
        self.operation = operation
        self.node = node

    def __call__(self, request):
        for name in PROOFS:
            request.headers.pop(name, None)
        if ROLE == "node":
            address = urllib.parse.urlsplit(request.url)
            path = address.path + (f"?{address.query}" if address.query else "")
            body = request.body or b""
            body = body if isinstance(body, bytes) else body.encode()
            request.headers.update(self.node.headers(request.method, path, body))
        elif ROLE in ("admin", "operator") and (self.operation.method.upper(), self.operation.path) in THROWAWAY:
            request.headers.update(next(SESSIONS))
        elif ROLE != "anonymous":
            request.headers.update(WORLD[ROLE])
        if self.operation.path in SOCKETS:
            request.headers["connection"] = "close"
        return request


def kind_of(path, name):
    """Which of the world's values stand for a parameter of a path."""
    if name == "id":
        return {"enrolment-tokens": "token_id", "api-keys": "key_id"}.get(path.split("/")[3])
    if name == "name":
        return "flag" if "/flags/" in path else "name"
    if name == "node_id" and path in SPENDS:
        return "spare_node_id"
    if name == "org_id" and path.endswith("/close"):
        return "closed_org_id"
    return name


def good(case, node):
    """A body that is taken, where there is one."""
    name = f"{case.operation.method.upper()} {case.operation.path}"
    if name in GOOD:
        return GOOD[name]
    if node is None:
        return None
    return {
        "POST /api/v1/receipts": lambda: node.receipt(f"c_{next(TURNS):08x}"),
        "POST /api/v1/nodes/register": lambda: registration(WORLD["url"], WORLD["token"], Key()),
        "POST /api/v1/nodes/key/rotate": node.rotation,
        "POST /api/v1/nodes/key/close": node.closing,
    }.get(name, lambda: None)()


def is_post_of_receipts(case):
    return (case.operation.method.upper(), case.operation.path) == ("POST", "/api/v1/receipts")


@schemathesis.hook
def before_call(context, case, kwargs):
    node = OWN_NODES[next(TURNS) % NODES] if OWN_NODES else None
    kwargs["auth"] = Proof(context.operation, node)
    if case.meta is not None and case.meta.generation.mode.is_negative:
        return
    if zlib.crc32(repr(case.body).encode()) % 2:
        case.body = good(case, node) or case.body
    if node and isinstance(case.body, dict) and "node_id" in case.body and case.operation.path == "/api/v1/nodes/heartbeat":
        case.body["node_id"] = node.node_id
    # Ids of requests are good alone; beside one that was made up there is nothing.
    if "{request_id}" in case.operation.path and case.query:
        case.query.pop("node_id", None)
    for name, value in list((case.path_parameters or {}).items()):
        known = WORLD["values"].get(kind_of(context.operation.path, name))
        chosen = zlib.crc32(repr(value).encode())
        # One in four is left as it was generated.
        if known and chosen % 4:
            case.path_parameters[name] = known[chosen // 4 % len(known)]


@schemathesis.hook
def after_call(context, case, response):
    """A node that sent too much that was refused is sent away for a while; another takes its place."""
    if ROLE == "node" and response.status_code == 429:
        sent = response.request.headers.get("x-node-id")
        OWN_NODES[:] = [Node(WORLD["url"], WORLD["token"]) if node.node_id == sent else node for node in OWN_NODES]


def is_refused_by_verdict(case, response):
    """A post of receipts that cannot be read is answered, and each of them refused in the answer."""
    if not is_post_of_receipts(case) or response.status_code != 201:
        return False
    return all(verdict["verdict"] == "refused" for verdict in response.json()["verdicts"])


@schemathesis.hook
def filter_failure(context, failure, case, response):
    """Whether it is one: what schemathesis cannot know is said here."""
    name = type(failure).__name__
    if name == "AcceptedNegativeData":
        return not is_refused_by_verdict(case, response)
    # No key may do what no scope names, whether there is such a method or not: nobody looks further.
    if name == "UnsupportedMethodResponse" and ROLE == "key":
        return response.status_code != 403
    return True
