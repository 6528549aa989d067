"""A peer of the control plane: takes a receipt as people would write it with FastAPI and asyncpg.

It checks the HMAC of the request and the signature of the receipt, makes one insert that is a transaction of its own,
and answers when that is durable. It remembers no nonces, keeps no chain and counts nothing: all of these would only
make it slower. `../receipts.sql` is its table; README.md beside that says what it is told.
"""

import hashlib
import hmac
import json
import os
import time
from base64 import b64decode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import asyncpg
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

CLOCK_SKEW_S = 120
# As many as the bench has connections to this: no request waits for one.
CONNECTIONS = 32

INSERT = """
INSERT INTO receipts (node_id, request_id, seq, received_at_ms, version, region, model_id, runtime, source,
    status, ts_start, ts_end, tokens_input, tokens_output, ttft_ms, latency_ms, p95_ms, entry_hash, entry)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)
ON CONFLICT (node_id, request_id) DO NOTHING
"""


@dataclass(frozen=True, slots=True)
class Node:
    """What is known of a node, its key parsed once."""

    public_key: Ed25519PublicKey
    secret: bytes


def read_nodes(path: str) -> dict[str, Node]:
    with open(path, encoding="utf-8") as file:
        return {
            node["node_id"]: Node(
                Ed25519PublicKey.from_public_bytes(b64decode(node["public_key"].removeprefix("ed25519:"))),
                b64decode(node["secret"]),
            )
            for node in json.load(file)
        }


def is_authentic(request: Request, secret: bytes, body_hash: bytes) -> bool:
    """Whether the request is fresh and from whom it says."""
    headers = request.headers
    timestamp = headers.get("x-node-ts", "")
    if not timestamp.isdecimal() or abs(time.time() - int(timestamp)) > CLOCK_SKEW_S:
        return False
    nonce = headers.get("x-node-nonce", "")
    fields = ("DGON-HMAC-V2", request.method, request.url.path, timestamp, nonce, body_hash.hex())
    expected = hmac.digest(secret, "\n".join(fields).encode(), "sha256").hex()
    return hmac.compare_digest(f"v2={expected}".encode(), headers.get("x-node-auth", "").encode())


def is_signed(receipt: dict, public_key: Ed25519PublicKey) -> bool:
    """Whether the node's key signed the receipt: its canonical form without the signature."""
    signature = b64decode(receipt["signature"].removeprefix("ed25519:"))
    signed = {key: value for key, value in receipt.items() if key != "signature"}
    canonical = json.dumps(signed, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    try:
        public_key.verify(signature, canonical)
    except InvalidSignature:
        return False
    return True


def refused(status: int, kind: str) -> JSONResponse:
    return JSONResponse({"type": kind}, status)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with asyncpg.create_pool(os.environ["DATABASE_URL"], min_size=CONNECTIONS, max_size=CONNECTIONS) as pool:
        app.state.pool = pool
        yield


nodes = read_nodes(os.environ["PEER_NODES"])
app = FastAPI(lifespan=lifespan)


@app.post("/api/v1/receipts")
async def receipts(request: Request) -> JSONResponse:
    node_id = request.headers.get("x-node-id", "")
    node = nodes.get(node_id)
    if node is None:
        return refused(401, "unauthorized")
    body = await request.body()
    body_hash = hashlib.sha256(body).digest()
    if not is_authentic(request, node.secret, body_hash):
        return refused(401, "unauthorized")
    try:
        receipt = json.loads(body)
        if receipt["node_id"] != node_id:
            return refused(400, "invalid_receipt")
        if not is_signed(receipt, node.public_key):
            return refused(400, "invalid_signature")
        request_id = receipt["request_id"]
    except (AttributeError, KeyError, TypeError, ValueError):
        return refused(400, "invalid_receipt")
    done = await app.state.pool.execute(
        INSERT,
        node_id,
        request_id,
        receipt.get("seq"),
        time.time_ns() // 1_000_000,
        receipt.get("version"),
        receipt.get("region"),
        receipt.get("model_id"),
        receipt.get("runtime"),
        receipt.get("source"),
        receipt.get("status"),
        receipt.get("ts_start"),
        receipt.get("ts_end"),
        receipt.get("tokens_input"),
        receipt.get("tokens_output"),
        receipt.get("ttft_ms"),
        receipt.get("latency_ms"),
        receipt.get("p95_ms"),
        body_hash,
        body,
    )
    verdict = "accepted" if done == "INSERT 0 1" else "duplicate"
    return JSONResponse({"verdicts": [{"request_id": request_id, "verdict": verdict}]}, 201)
