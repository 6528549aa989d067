"""What schemathesis does around each request: who asks, and which of the objects that are there it names.

Loaded by schemathesis (SCHEMATHESIS_HOOKS); DGON_ROLE, DGON_WORLD and DGON_ANSWERS say as whom, where, and to which file the
answers go. What is chosen here hangs on the generated value and on what was asked before, so that a seed gives the same requests
again.
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
from answers import Answers, is_open  # noqa: E402
from well import Ask, Asks, Newcomer  # noqa: E402
from world import HASHES, HASHING, Node  # noqa: E402

ROLE = os.environ["DGON_ROLE"]
WORLD = json.loads(pathlib.Path(os.environ["DGON_WORLD"]).read_text())
# What somebody may prove who they are by. Generated ones are taken away.
PROOFS = ["authorization", "cookie", "x-csrf-token", "x-node-id", "x-node-ts", "x-node-nonce", "x-node-auth"]
# They end or change the session that they are called with, or the account: each call has a session of its own.
THROWAWAY = {
    "auth_logout", "auth_refresh", "auth_organisation", "session_revoke_others", "session_revoke", "user_delete", "password_set",
    "second_factor_remove",
    # Who signs in gives up the session that the browser had.
    "auth_setup", "auth_login", "auth_register", "auth_redeem", "auth_wallet", "auth_second_factor",
}
# Who has not signed in yet has a cookie for them all the same.
BEFORE_SIGN_IN = {"auth_refresh", "auth_second_factor", "auth_wallet"}
# They change what they name for good, so they get what nobody else needs.
SPENDS = ("/api/v1/nodes/{node_id}/actions", "/api/v1/nodes/{node_id}/assign")
# WebSockets: an HTTP client cannot go on after 101, so it asks as one that a proxy has cut short, and is refused.
SOCKETS = ("/api/v1/live", "/api/v1/nodes/link")
# One node after another: each has limits of its own.
NODES = 8

ASKS = Asks(ROLE, WORLD)
ANSWERS = Answers(pathlib.Path(os.environ["DGON_ANSWERS"]))
OWN_NODES = [Node(WORLD["url"], WORLD["token"]) for _ in range(NODES)] if ROLE == "node" else []
TURNS = itertools.count()
# Operations that were asked well.
ASKED_WELL = set()
HASHING.path = ANSWERS.path.parent / "hashing.lock"


def described(operation):
    """What the document has of it."""
    return operation.definition.raw


def name_of(operation):
    return described(operation)["operationId"]


class Proof(requests.auth.AuthBase):
    """Puts on a request what its role has, over what was generated."""

    def __init__(self, operation, ask, node):
        self.operation, self.ask, self.node = operation, ask, node

    def __call__(self, request):
        for name in PROOFS:
            request.headers.pop(name, None)
        request.headers.update(self.of(request))
        if self.operation.path in SOCKETS:
            request.headers["connection"] = "close"
        return request

    def of(self, request):
        name = name_of(self.operation)
        if ROLE == "node":
            address = urllib.parse.urlsplit(request.url)
            path = address.path + (f"?{address.query}" if address.query else "")
            body = request.body or b""
            return self.node.headers(request.method, path, body if isinstance(body, bytes) else body.encode())
        if ROLE == "key":
            return WORLD["key"]
        if ROLE == "anonymous":
            return self.ask.headers or {} if name in BEFORE_SIGN_IN else {}
        if self.ask.headers is not None:
            return self.ask.headers
        return Newcomer(ASKS).headers() if name in THROWAWAY else ASKS.own().headers()


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


def is_positive(case):
    return case.meta is None or not case.meta.generation.mode.is_negative


def fill_path(case, ask, is_first):
    """Names what is there: always where the operation is asked well for the first time, else three times in four."""
    for name, value in list((case.path_parameters or {}).items()):
        known = WORLD["values"].get(kind_of(case.operation.path, name))
        chosen = zlib.crc32(repr(value).encode())
        if name in ask.path:
            case.path_parameters[name] = ask.path[name]
        elif known and is_first:
            case.path_parameters[name] = known[0]
        elif known and chosen % 4:
            case.path_parameters[name] = known[chosen // 4 % len(known)]


def may_hash(case):
    return (case.method.upper(), case.operation.path.removeprefix("/api/v1")) in HASHES


def end_hashing():
    """Also of a request that got no answer."""
    if HASHING.depth:
        HASHING.end()


@schemathesis.hook
def before_call(context, case, kwargs):
    end_hashing()
    choose(case, kwargs)
    if may_hash(case):
        HASHING.begin()


def choose(case, kwargs):
    """Who asks, and for what."""
    node = OWN_NODES[next(TURNS) % NODES] if OWN_NODES else None
    name, ask, is_first = name_of(case.operation), Ask(), False
    # Whoever may not ask at all asks for what was made up.
    may_ask = ROLE != "anonymous" or is_open(described(case.operation))
    if is_positive(case) and may_ask:
        is_first = name not in ASKED_WELL
        if is_first or zlib.crc32(repr(case.body).encode()) % 2:
            ASKED_WELL.add(name)
            ask = ASKS.of(name, node)
    kwargs["auth"] = Proof(case.operation, ask, ask.node or node)
    if not is_positive(case):
        return
    if ask.body is not None:
        case.body = ask.body
    elif node and isinstance(case.body, dict) and "node_id" in case.body and name == "heartbeat":
        case.body["node_id"] = node.node_id
    # No operation needs anything in its query.
    if is_first and case.query:
        case.query = {}
    # Ids of requests are good alone; beside one that was made up there is nothing.
    if "{request_id}" in case.operation.path and case.query:
        case.query.pop("node_id", None)
    fill_path(case, ask, is_first)


@schemathesis.hook
def after_call(context, case, response):
    end_hashing()
    if case.method.upper() == case.operation.method.upper():
        is_well = 200 <= response.status_code < 300 and not is_refused_by_verdict(case, response)
        ANSWERS.note(name_of(case.operation), response.status_code, is_well)
    # A node that sent too much that was refused is sent away for a while; another takes its place.
    if ROLE == "node" and response.status_code == 429:
        sent = response.request.headers.get("x-node-id")
        OWN_NODES[:] = [Node(WORLD["url"], WORLD["token"]) if node.node_id == sent else node for node in OWN_NODES]


def is_refused_by_verdict(case, response):
    """A post of receipts that cannot be read is answered, and each of them refused in the answer."""
    if name_of(case.operation) != "receipts" or response.status_code != 201:
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
