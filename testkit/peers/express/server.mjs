// A peer of the control plane: takes a receipt as people would write it with Express and pg.
//
// It checks the HMAC of the request and the signature of the receipt, makes one insert that is a transaction of its
// own, and answers when that is durable. It remembers no nonces, keeps no chain and counts nothing: all of these would
// only make it slower. `../receipts.sql` is its table; README.md beside that says what it is told.

import { createHash, createHmac, createPublicKey, createSecretKey, timingSafeEqual, verify } from 'node:crypto'
import { readFileSync } from 'node:fs'
import express from 'express'
import pg from 'pg'

const CLOCK_SKEW_S = 120
const PATH = '/api/v1/receipts'
// As many as the bench has connections to this: no request waits for one.
const CONNECTIONS = 32

const INSERT = {
  // Named, so that each connection has it prepared.
  name: 'receipt_insert',
  text: `INSERT INTO receipts (node_id, request_id, seq, received_at_ms, version, region, model_id, runtime, source,
           status, ts_start, ts_end, tokens_input, tokens_output, ttft_ms, latency_ms, p95_ms, entry_hash, entry)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)
         ON CONFLICT (node_id, request_id) DO NOTHING`,
}

/** The nodes of the file, with keys that are parsed once. */
function readNodes(path) {
  const nodes = JSON.parse(readFileSync(path, 'utf8'))
  return new Map(
    nodes.map(({ node_id, public_key, secret }) => {
      const x = Buffer.from(public_key.replace('ed25519:', ''), 'base64').toString('base64url')
      const publicKey = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' })
      return [node_id, { publicKey, secret: createSecretKey(Buffer.from(secret, 'base64')) }]
    }),
  )
}

/** Whether the request is fresh and from whom it says. */
function isAuthentic(request, secret, bodyHash) {
  const timestamp = request.get('x-node-ts') ?? ''
  if (!(Math.abs(Date.now() / 1000 - Number(timestamp)) <= CLOCK_SKEW_S)) return false
  const nonce = request.get('x-node-nonce') ?? ''
  const fields = ['DGON-HMAC-V2', request.method, request.originalUrl, timestamp, nonce, bodyHash.toString('hex')]
  const expected = createHmac('sha256', secret).update(fields.join('\n')).digest()
  const told = Buffer.from((request.get('x-node-auth') ?? '').replace('v2=', ''), 'hex')
  return told.length === expected.length && timingSafeEqual(told, expected)
}

/** Whether the node's key signed the receipt: its canonical form without the signature. A receipt is flat. */
function isSigned(receipt, publicKey) {
  const { signature, ...signed } = receipt
  const canonical = JSON.stringify(signed, Object.keys(signed).sort())
  return verify(null, Buffer.from(canonical), publicKey, Buffer.from(signature.replace('ed25519:', ''), 'base64'))
}

function refuse(response, status, type) {
  response.status(status).json({ type })
}

const nodes = readNodes(process.env.PEER_NODES)
const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL, max: CONNECTIONS })
const app = express()
app.disable('x-powered-by')
// Nobody asks twice for the same answer.
app.disable('etag')

app.post(PATH, express.raw({ type: 'application/json', limit: '64kb' }), async (request, response) => {
  const nodeId = request.get('x-node-id')
  const node = nodes.get(nodeId)
  const body = request.body
  if (!node || !Buffer.isBuffer(body)) return refuse(response, 401, 'unauthorized')
  const hash = createHash('sha256').update(body).digest()
  if (!isAuthentic(request, node.secret, hash)) return refuse(response, 401, 'unauthorized')
  let receipt
  try {
    receipt = JSON.parse(body.toString())
  } catch {
    return refuse(response, 400, 'invalid_receipt')
  }
  const isWhole = typeof receipt?.signature === 'string' && typeof receipt.request_id === 'string'
  if (!isWhole || receipt.node_id !== nodeId) return refuse(response, 400, 'invalid_receipt')
  if (!isSigned(receipt, node.publicKey)) return refuse(response, 400, 'invalid_signature')
  const { rowCount } = await pool.query({
    ...INSERT,
    values: [
      nodeId,
      receipt.request_id,
      receipt.seq,
      Date.now(),
      receipt.version,
      receipt.region,
      receipt.model_id,
      receipt.runtime,
      receipt.source,
      receipt.status,
      receipt.ts_start,
      receipt.ts_end,
      receipt.tokens_input,
      receipt.tokens_output,
      receipt.ttft_ms,
      receipt.latency_ms,
      receipt.p95_ms,
      hash,
      body,
    ],
  })
  const verdict = rowCount === 1 ? 'accepted' : 'duplicate'
  response.status(201).json({ verdicts: [{ request_id: receipt.request_id, verdict }] })
})

const server = app.listen(Number(process.env.PORT), '127.0.0.1')
process.on('SIGTERM', () => {
  server.close()
  server.closeAllConnections()
  void pool.end()
})
