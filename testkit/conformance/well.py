"""How each operation is asked so that it does what it is for: somebody who is signed in asks for what is there.

What schemathesis makes up fits the schema, and names what there is not. An operation that is not here needs no more than the
values of the world (`world.py`) in its path.
"""

import base64
import dataclasses
import hashlib
import hmac
import itertools
import time

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from world import PASSWORD, Key, Node, Person, Session, registration

BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


@dataclasses.dataclass
class Ask:
    """What is sent in place of what was made up; what is `None` stays."""

    body: object = None
    # Parameters of the path.
    path: dict = dataclasses.field(default_factory=dict)
    # Proofs, in place of those of the role.
    headers: dict | None = None
    node: Node | None = None


class Wallet:
    """An account of Solana."""

    def __init__(self):
        self.key = Ed25519PrivateKey.generate()
        raw = self.key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        number, text = int.from_bytes(raw, "big"), ""
        while number:
            number, digit = divmod(number, 58)
            text = BASE58[digit] + text
        self.address = BASE58[0] * (len(raw) - len(raw.lstrip(b"\0"))) + text

    def answer(self, session, purpose):
        """The body that proves the account to this browser."""
        wish = {"purpose": purpose, "kind": "solana", "address": self.address}
        text = session.call("POST", "/auth/nonce", wish)["message"]
        return {"signature": base64.b64encode(self.key.sign(text.encode())).decode()}


def code_of_now(secret):
    """What an authenticator app shows (RFC 6238)."""
    step = int(time.time() // 30).to_bytes(8, "big")
    mac = hmac.new(base64.b32decode(secret), step, hashlib.sha1).digest()
    at = mac[-1] & 15
    return f"{(int.from_bytes(mac[at:at + 4], 'big') & 0x7FFFFFFF) % 1_000_000:06}"


class Newcomer:
    """A new account, made by the admin, and its session: each of them can be ended or changed at will."""

    def __init__(self, asks, roles=("viewer",), org_id=None):
        self.url, self.email = asks.url, asks.email("newcomer")
        wish = {"email": self.email, "roles": list(roles), "org_id": org_id}
        made = asks.admin.session().call("POST", "/users", wish)
        self.user_id, self.link = made["user_id"], made["path"].split("#token=")[1]
        self.signed_in = None

    def session(self):
        if self.signed_in is None:
            self.signed_in = Session(self.url).enter("/auth/redeem", {"token": self.link})
        return self.signed_in

    def headers(self):
        return self.session().headers()

    def call(self, method, path, body=None):
        return self.session().call(method, path, body)

    def with_password(self):
        self.call("PUT", "/users/me/password", {"password": PASSWORD})
        return self

    def factor(self):
        """The body that asks for a code from now on."""
        offer = self.call("POST", "/users/me/second-factor/offer")
        return {"sealed": offer["sealed"], "code": code_of_now(offer["secret"])}

    def with_factor(self):
        self.codes = self.call("PUT", "/users/me/second-factor", self.factor())["recovery_codes"]
        return self

    def with_wallet(self):
        self.wallet = Wallet()
        self.call("POST", "/wallets", self.wallet.answer(self.session(), "link"))
        return self


class Asks:
    """Makes them, for one role."""

    def __init__(self, role, world):
        self.role, self.world, self.url = role, world, world["url"]
        self.people = {name: Person(self.url, email) for name, email in world["people"].items()}
        self.admin = self.people["admin"]
        self.turns = itertools.count()

    def name(self, what):
        """What nothing is called yet."""
        return f"{what}-{self.role}-{next(self.turns)}"

    def email(self, what):
        return f"{self.name(what)}@example.org"

    def own(self):
        """The session of the role."""
        return self.people[self.role].session()

    def of(self, operation, node):
        """How this operation is asked well, by this node where one asks."""
        make = OF_PEOPLE.get(operation)
        if make is not None:
            return make(self)
        make = OF_NODES.get(operation)
        if make is not None and node is not None:
            return make(self, node)
        return Ask()

    def second_factor(self):
        """Who has proven the first one."""
        browser = Session(self.url)
        newcomer = Newcomer(self).with_password()
        body = {**newcomer.factor(), "current": PASSWORD}
        codes = newcomer.call("PUT", "/users/me/second-factor", body)["recovery_codes"]
        try:
            browser.enter("/auth/login", {"email": newcomer.email, "password": PASSWORD})
        except RuntimeError as refused:
            if "second_factor_needed" not in str(refused):
                raise
        return Ask({"code": codes[0]}, headers=browser.headers())

    def sign_in_by_wallet(self):
        browser, wallet = Session(self.url), Newcomer(self).with_wallet().wallet
        body = wallet.answer(browser, "sign_in")
        return Ask(body, headers=browser.headers())

    def link_wallet(self):
        newcomer = Newcomer(self)
        body = Wallet().answer(newcomer.session(), "link")
        return Ask(body, headers=newcomer.headers())

    def unlink_wallet(self):
        newcomer = Newcomer(self).with_password().with_wallet()
        return Ask(path={"kind": "solana", "address": newcomer.wallet.address}, headers=newcomer.headers())

    def end_session(self):
        newcomer = Newcomer(self)
        sessions = newcomer.call("GET", "/sessions")["items"]
        return Ask(path={"id": sessions[0]["id"]}, headers=newcomer.headers())

    def revoke_key(self):
        newcomer = Newcomer(self, ["operator"], self.world["org_id"])
        made = newcomer.call("POST", "/api-keys", {"name": "made", "scopes": ["nodes.read"]})
        return Ask(path={"id": made["id"]}, headers=newcomer.headers())

    def revoke_token(self):
        newcomer = Newcomer(self, ["operator"], self.world["org_id"])
        made = newcomer.call("POST", "/enrolment-tokens", {})
        return Ask(path={"id": made["id"]}, headers=newcomer.headers())

    def close_org(self):
        made = self.admin.session().call("POST", "/orgs", {"name": self.name("closed")})
        return Ask({"reason": "conformance"}, path={"org_id": made["org_id"]})

    def delete_account(self):
        newcomer = Newcomer(self)
        return Ask({"email": newcomer.email}, headers=newcomer.headers())

    def remove_membership(self):
        org_id = self.world["org_id"]
        return Ask(path={"user_id": Newcomer(self, ["operator"], org_id).user_id, "org_id": org_id})

    def proven_by_code(self):
        newcomer = Newcomer(self).with_factor()
        return Ask({"code": newcomer.codes[0]}, headers=newcomer.headers())

    def set_factor(self):
        newcomer = Newcomer(self)
        return Ask(newcomer.factor(), headers=newcomer.headers())

    def close_key(self, _node):
        node = Node(self.url, self.world["token"])
        node.rotate()
        return Ask(node.closing(), node=node)

    def rotate_key(self, _node):
        node = Node(self.url, self.world["token"])
        return Ask(node.rotation(), node=node)


def by_newcomer(body=None):
    return lambda asks: Ask(body, headers=Newcomer(asks).headers())


def sends(body):
    return lambda _asks: Ask(body)


# By operation id. Each makes its own objects where it ends or changes them.
OF_PEOPLE = {
    "api_key_create": sends({"name": "made", "scopes": ["nodes.read"], "models": ["m"], "budget_nano_usd": "5"}),
    "api_key_revoke": Asks.revoke_key,
    "auth_login": lambda asks: Ask({"email": asks.world["people"]["guest"], "password": PASSWORD}),
    "auth_logout": by_newcomer(),
    "auth_nonce": sends({
        "purpose": "sign_in", "kind": "solana", "address": "9C6hybhQ6Aycep9jaUnP6uL9ZYvDjUp1aSkFWPUFJtpj",
    }),
    "auth_organisation": by_newcomer({"org_id": "main"}),
    "auth_redeem": lambda asks: Ask({"token": Newcomer(asks).link}),
    "auth_refresh": by_newcomer(),
    "auth_register": lambda asks: Ask({
        "email": asks.email("registered"), "password": PASSWORD, "organisation": asks.name("registered"),
    }),
    "auth_second_factor": Asks.second_factor,
    "auth_wallet": Asks.sign_in_by_wallet,
    "enrolment_token_create": sends({"label": "made", "uses": 1, "ttl_s": 60}),
    "enrolment_token_revoke": Asks.revoke_token,
    "flag_set": sends({"enabled": True}),
    "membership_remove": Asks.remove_membership,
    "membership_set": lambda asks: Ask(
        {"roles": ["operator"], "reason": "conformance"}, path={"user_id": Newcomer(asks).user_id},
    ),
    # What is refreshed stays as it is; everything else is for nodes that nobody else needs.
    "node_action": lambda asks: Ask(
        {"action": "refresh", "reason": "conformance"}, path={"node_id": asks.world["values"]["node_id"][0]},
    ),
    "node_assign": lambda asks: Ask(
        {"user_id": asks.world["operator_id"], "assigned": True}, path={"node_id": asks.world["values"]["node_id"][0]},
    ),
    "org_close": Asks.close_org,
    "org_create": lambda asks: Ask({"name": asks.name("made")}),
    "org_rename": lambda asks: Ask({"name": asks.name("named")}),
    "password_set": by_newcomer({"password": PASSWORD}),
    "pool_change": sends({"existence": "listed", "labels": {"site": "b"}}),
    "pool_create": lambda asks: Ask({"org_id": asks.world["org_id"], "name": asks.name("made")}),
    "pool_member": lambda asks: Ask({"org_id": asks.world["values"]["org_id"][0], "admitted": True}),
    "pool_node": sends({"node_id": "private-00001", "in_pool": True}),
    "recovery_codes_renew": Asks.proven_by_code,
    "second_factor_offer": by_newcomer(),
    "second_factor_remove": Asks.proven_by_code,
    "second_factor_reset": lambda asks: Ask(
        {"reason": "conformance"}, path={"user_id": Newcomer(asks).with_factor().user_id},
    ),
    "second_factor_set": Asks.set_factor,
    "session_revoke": Asks.end_session,
    "session_revoke_others": by_newcomer(),
    "user_change": lambda asks: Ask({"disabled": False}, path={"user_id": Newcomer(asks).user_id}),
    "user_create": lambda asks: Ask({"email": asks.email("made"), "roles": ["viewer"]}),
    "user_delete": Asks.delete_account,
    "user_link": lambda asks: Ask(path={"user_id": Newcomer(asks).user_id}),
    "wallet_link": Asks.link_wallet,
    "wallet_unlink": Asks.unlink_wallet,
}
OF_NODES = {
    "close": Asks.close_key,
    "heartbeat": lambda _asks, node: Ask({
        "node_id": node.node_id, "metrics": {"uptime_s": 1, "gpu_util": 0.5}, "ts": int(time.time()),
    }),
    "receipts": lambda asks, node: Ask(node.receipt(asks.name("c"))),
    "register": lambda asks, _node: Ask(registration(asks.url, asks.world["token"], Key())),
    "rotate": Asks.rotate_key,
}
