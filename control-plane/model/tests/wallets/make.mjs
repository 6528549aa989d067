// Makes vectors.json: messages that other people's libraries wrote and signed. Not part of any build; run by hand, in an
// empty folder with
//   npm install viem@2.57.20 tweetnacl@1.0.3 bs58@6.0.0 @solana/wallet-standard-util@1.1.2 @solana/web3.js@2.0.0 \
//     @cosmjs/amino@0.39.0 @keplr-wallet/cosmos@0.13.41 @noble/curves@2.4.0
//   cp .../make.mjs . && node make.mjs > vectors.json
// The keys are published ones or counted up: nothing is behind them.

import { createSiweMessage } from "viem/siwe";
import { privateKeyToAccount } from "viem/accounts";
import nacl from "tweetnacl";
import bs58 from "bs58";
import { createSignInMessageText } from "@solana/wallet-standard-util";
import { createKeyPairFromPrivateKeyBytes, getAddressFromPublicKey, signBytes } from "@solana/web3.js";
import { Secp256k1Wallet, serializeSignDoc } from "@cosmjs/amino";
import keplr from "@keplr-wallet/cosmos";
import { ed25519 } from "@noble/curves/ed25519.js";
import { createHash } from "node:crypto";

const ISSUED_AT_MS = Date.UTC(2026, 10, 30, 12, 0, 0, 7);
const EXPIRES_AT_MS = ISSUED_AT_MS + 300_000;
const STATEMENT = "Sign in to DGON (it's free): no transaction, no fee.";
const base64 = (bytes) => Buffer.from(bytes).toString("base64");
const iso = (ms) => new Date(ms).toISOString();
const counted = (first) => Uint8Array.from({ length: 32 }, (_, i) => first + i);

function asked(chain, address, over = {}) {
  return {
    uri: "https://console.dgon.example/sign-in",
    statement: STATEMENT,
    chain,
    address,
    nonce: "00112233445566778899aabbccddeeff",
    issued_at_ms: ISSUED_AT_MS,
    expires_at_ms: EXPIRES_AT_MS,
    ...over,
  };
}

const domainOf = (request) => new URL(request.uri).host;

async function evm(privateKey, chainId, over) {
  const account = privateKeyToAccount(privateKey);
  const request = asked({ kind: "evm", chain_id: chainId }, account.address, over);
  const message = createSiweMessage({
    domain: domainOf(request),
    address: request.address,
    statement: request.statement,
    uri: request.uri,
    version: "1",
    chainId,
    nonce: request.nonce,
    issuedAt: new Date(request.issued_at_ms),
    expirationTime: new Date(request.expires_at_ms),
  });
  return { by: "viem", request, message, signature: await account.signMessage({ message }) };
}

function solanaText(request) {
  return createSignInMessageText({
    domain: domainOf(request),
    address: request.address,
    statement: request.statement,
    uri: request.uri,
    version: "1",
    chainId: request.chain.cluster,
    nonce: request.nonce,
    issuedAt: iso(request.issued_at_ms),
    expirationTime: iso(request.expires_at_ms),
  });
}

async function solana(seed, cluster, by) {
  const pair = nacl.sign.keyPair.fromSeed(seed);
  const request = asked({ kind: "solana", cluster }, bs58.encode(pair.publicKey));
  const message = solanaText(request);
  const bytes = new TextEncoder().encode(message);
  if (by === "tweetnacl") {
    return { by, request, message, signature: base64(nacl.sign.detached(bytes, pair.secretKey)) };
  }
  const keys = await createKeyPairFromPrivateKeyBytes(seed);
  if ((await getAddressFromPublicKey(keys.publicKey)) !== request.address) throw new Error("addresses differ");
  return { by, request, message, signature: base64(await signBytes(keys.privateKey, bytes)) };
}

// A key with a point of order 8 added, and a signature that holds by the strict rule all the same: its challenge is a
// multiple of 8.
function mixedOrder() {
  const torsion = ed25519.Point.fromHex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05");
  const order = ed25519.Point.Fn.ORDER;
  const scalar = 1_234_567_890_123_456_789n;
  const key = ed25519.Point.BASE.multiply(scalar).add(torsion).toBytes();
  const request = asked({ kind: "solana", cluster: "mainnet" }, bs58.encode(key));
  const message = solanaText(request);
  for (let r = 987_654_321n; ; r += 1n) {
    const commitment = ed25519.Point.BASE.multiply(r).toBytes();
    const digest = createHash("sha512").update(commitment).update(key).update(message).digest();
    const challenge = BigInt(`0x${Buffer.from(digest.reverse()).toString("hex")}`) % order;
    if (challenge % 8n !== 0n) continue;
    const s = (r + challenge * scalar) % order;
    const response = Buffer.from(s.toString(16).padStart(64, "0"), "hex").reverse();
    return { by: "@noble/curves", request, message, signature: base64(Buffer.concat([commitment, response])) };
  }
}

async function cosmos(privateKey, chainId, prefix) {
  const wallet = await Secp256k1Wallet.fromKey(privateKey, prefix);
  const [{ address, pubkey }] = await wallet.getAccounts();
  const request = asked({ kind: "cosmos", chain_id: chainId, prefix }, address);
  const message = [
    `${domainOf(request)} wants you to sign in with your Cosmos account:`,
    address,
    "",
    request.statement,
    "",
    `URI: ${request.uri}`,
    "Version: 1",
    `Chain ID: ${chainId}`,
    `Nonce: ${request.nonce}`,
    `Issued At: ${iso(request.issued_at_ms)}`,
    `Expiration Time: ${iso(request.expires_at_ms)}`,
  ].join("\n");
  const document = keplr.makeADR36AminoSignDoc(address, message);
  const { signature } = await wallet.signAmino(address, document);
  const bytes = Buffer.from(signature.signature, "base64");
  if (!keplr.verifyADR36Amino(prefix, address, message, pubkey, bytes)) throw new Error("not for keplr");
  return {
    by: "@cosmjs/amino, document by @keplr-wallet/cosmos",
    request,
    message,
    signed: Buffer.from(serializeSignDoc(document)).toString(),
    signature: signature.signature,
    public_key: signature.pub_key.value,
  };
}

const vectors = {
  about: "Made by make.mjs with other people's libraries; the keys are published ones or counted up.",
  good: [
    await evm("0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80", 1),
    await evm("0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d", 8453, {
      uri: "http://localhost:8080/sign-in",
    }),
    await solana(counted(1), "mainnet", "tweetnacl"),
    await solana(counted(101), "devnet", "@solana/web3.js"),
    await cosmos(counted(1), "cosmoshub-4", "cosmos"),
    await cosmos(counted(101), "osmosis-1", "osmo"),
  ],
  mixed_order: mixedOrder(),
};
console.log(JSON.stringify(vectors, null, 1));
