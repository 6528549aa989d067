"""A second, independent verifier of evidence bundles: the standard library and `cryptography`, none of our code.

usage: evidence.py BUNDLE [PUBLIC_KEY]     exit 0 valid, 1 not valid, 2 not readable
The format is in docs/agent/receipts.md.
"""

import base64
import hashlib
import json
import sys

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

ZERO = "sha256:" + "0" * 64


class Invalid(Exception):
    """Why a bundle proves nothing."""


def demand(holds, what):
    if not holds:
        raise Invalid(what)


def canonical(value):
    """RFC 8785 for what receipts hold: no fractions, keys in UTF-16 order."""

    def ordered(value):
        if isinstance(value, dict):
            return {key: ordered(value[key]) for key in sorted(value, key=lambda key: key.encode("utf-16-be"))}
        return [ordered(one) for one in value] if isinstance(value, list) else value

    return json.dumps(ordered(value), separators=(",", ":"), ensure_ascii=False).encode()


def parse(text):
    def once(pairs):
        demand(len({key for key, _ in pairs}) == len(pairs), "a member twice")
        return dict(pairs)

    def refuse(number):
        raise Invalid(f"{number} is no plain integer")

    return json.loads(text, object_pairs_hook=once, parse_float=refuse, parse_constant=refuse)


def sha256(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def decode(text, length):
    demand(isinstance(text, str) and text.startswith("ed25519:"), "ed25519: is missing")
    data = base64.b64decode(text[8:], validate=True)
    demand(len(data) == length and base64.b64encode(data).decode() == text[8:], "bad base64")
    return data


def holds(key, signature, message):
    try:
        Ed25519PublicKey.from_public_bytes(decode(key, 32)).verify(decode(signature, 64), message)
        return True
    except (InvalidSignature, ValueError):
        return False


def key_id(key):
    return hashlib.sha256(decode(key, 32)).hexdigest()[:16]


def check_keys(bundle):
    before = None
    for key in bundle["keys"]:
        public, rotation, closing = key["public_key"], key.get("rotation"), key.get("closing")
        demand(key["key_id"] == key_id(public), "a key has another's short name")
        demand((rotation is None) == (before is None), "a key that nobody named")
        if rotation is not None:
            words = "\0".join([bundle["node_id"], before, public, str(rotation["ts"])])
            demand(
                (rotation["node_id"], rotation["old_key"], rotation["new_key"]) == (bundle["node_id"], before, public),
                "a statement about other keys",
            )
            old = f"DGON-KEY-ROTATE-V1\0{words}".encode()
            new = f"DGON-KEY-ACCEPT-V1\0{words}".encode()
            demand(holds(before, rotation["old_signature"], old), "the old key did not name the new one")
            demand(holds(public, rotation["new_signature"], new), "the new key did not accept")
        if closing is not None:
            words = "\0".join([bundle["node_id"], public, str(closing["last_seq"]), closing["last_hash"]])
            demand(holds(public, closing["signature"], f"DGON-KEY-CLOSE-V1\0{words}".encode()), "the end is forged")
        before = public


def check_chain(bundle, key, chain, seen):
    demand(chain["key_id"] == key["key_id"], "a chain of another key")
    missing, end = list(chain["missing"]), None
    for text in chain["receipts"]:
        entry = text.encode()
        receipt = parse(text)
        demand(canonical(receipt) == entry, "a receipt that is not canonical")
        unsigned = {name: value for name, value in receipt.items() if name != "signature"}
        demand(holds(key["public_key"], receipt["signature"], canonical(unsigned)), "a receipt's signature")
        demand((receipt["node_id"], receipt["key_id"]) == (bundle["node_id"], key["key_id"]), "another's receipt")
        seq = receipt["seq"]
        if end is None:
            demand(seq > 1 or receipt["prev_hash"] == ZERO, "the first of a chain names one before it")
        elif seq == end[0] + 1:
            demand(receipt["prev_hash"] == end[1], "a receipt that does not follow")
        else:
            demand(seq > end[0] and missing and missing.pop(0) == [end[0] + 1, seq - 1], "a hole that is not told")
        demand(receipt["request_id"] not in seen, "two receipts of one request")
        seen.add(receipt["request_id"])
        end = (seq, sha256(entry))
    demand(not missing, "a hole that is none")
    head = chain.get("head")
    demand((head and (head["seq"], head["hash"])) == end, "a chain that does not end where it says")
    closing = key.get("closing")
    if closing and end:
        demand(end[0] <= closing["last_seq"], "receipts after the end of their chain")
        demand(end[0] < closing["last_seq"] or end[1] == closing["last_hash"], "another end than stated")


def verify(data, known=None):
    """How many receipts the bundle proves; raises `Invalid`."""
    try:
        bundle = parse(data.decode())
        demand(canonical(bundle) == data, "the file is not canonical")
        demand(bundle["format"] == "dgon-evidence-1", "another format")
        demand(len(bundle["keys"]) == len(bundle["chains"]) > 0, "one chain for each key")
        unsealed = canonical({name: value for name, value in bundle.items() if name != "seal"})
        message = f"DGON-EVIDENCE-V1\0{sha256(unsealed)}".encode()
        demand(holds(bundle["keys"][-1]["public_key"], bundle["seal"], message), "the seal does not hold")
        check_keys(bundle)
        seen = set()
        for key, chain in zip(bundle["keys"], bundle["chains"]):
            check_chain(bundle, key, chain, seen)
        demand(known is None or known in [key["public_key"] for key in bundle["keys"]], "not that node's keys")
        return len(seen)
    except Invalid:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as fault:
        raise Invalid(f"not a bundle: {fault!r}") from fault


def main():
    try:
        data = open(sys.argv[1], "rb").read()
    except OSError as fault:
        print(fault)
        return 2
    try:
        print(f"valid: {verify(data, *sys.argv[2:3])} receipts")
        return 0
    except Invalid as fault:
        print(f"not valid: {fault}")
        return 1


if __name__ == "__main__":
    sys.exit(main())
