// The fallback where the browser has no WebCrypto: any page on plain http beyond localhost. Loaded on need.
import { ed25519 } from '@noble/curves/ed25519.js'
import { sha256, sha512 } from '@noble/hashes/sha2.js'

export const sha256Js = (bytes: Uint8Array): Uint8Array => sha256(bytes)

function littleEndian(bytes: Uint8Array): bigint {
  let value = 0n
  for (const byte of bytes.toReversed()) value = (value << 8n) | BigInt(byte)
  return value
}

const { Point } = ed25519
const ORDER = Point.Fn.ORDER

/** RFC 8032 without cofactor: R must equal S·B − k·A to the byte. Small orders are refused by the caller. */
export function verifyJs(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  const r = signature.slice(0, 32)
  const s = littleEndian(signature.slice(32))
  if (s >= ORDER) return false
  try {
    const a = Point.fromBytes(publicKey, true)
    const digest = sha512.create().update(r).update(publicKey).update(message).digest()
    const k = littleEndian(digest) % ORDER
    const sB = s === 0n ? Point.ZERO : Point.BASE.multiplyUnsafe(s)
    const kA = k === 0n ? Point.ZERO : a.multiplyUnsafe(k)
    const expected = sB.subtract(kA).toBytes()
    return expected.every((byte, i) => byte === r[i])
  } catch {
    return false
  }
}
