// SHA-256 and Ed25519 in this browser: WebCrypto where there is one, else the JavaScript fallback.
import { chunk } from '~/util/chunk'

export type Engine = 'WebCrypto' | 'JavaScript fallback'

const noble = () => chunk(() => import('~/util/verify/noble'))

/** `crypto.subtle` is missing on plain http, whatever its type says. */
const subtle = (): SubtleCrypto | undefined => globalThis.crypto?.subtle

export async function sha256(bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array> {
  const native = subtle()
  return native ? new Uint8Array(await native.digest('SHA-256', bytes)) : (await noble()).sha256Js(bytes)
}

// The y coordinates of all points of small order, sign bit cleared, non-canonical spellings included.
const SMALL_ORDER = new Set([
  '0000000000000000000000000000000000000000000000000000000000000000',
  '0100000000000000000000000000000000000000000000000000000000000000',
  '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05',
  'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
  'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  'edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  'eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
])

/** Keys and commitments of small order sign anything for anyone. */
export function hasSmallOrder(point: Uint8Array): boolean {
  const y = Array.from(point, (byte, i) => (i === 31 ? byte & 0x7f : byte).toString(16).padStart(2, '0')).join('')
  return SMALL_ORDER.has(y)
}

export interface SignatureCheck {
  isValid: boolean
  engine: Engine
}

export async function verifyEd25519(
  publicKey: Uint8Array<ArrayBuffer>,
  message: Uint8Array<ArrayBuffer>,
  signature: Uint8Array<ArrayBuffer>,
): Promise<SignatureCheck> {
  const native = subtle()
  if (hasSmallOrder(publicKey) || hasSmallOrder(signature.slice(0, 32))) {
    return { isValid: false, engine: native ? 'WebCrypto' : 'JavaScript fallback' }
  }
  const key = native && (await importKey(native, publicKey))
  if (native && key) return { isValid: await native.verify('Ed25519', key, signature, message), engine: 'WebCrypto' }
  return { isValid: (await noble()).verifyJs(publicKey, message, signature), engine: 'JavaScript fallback' }
}

/** Null where this browser's WebCrypto does not know Ed25519 or will not take the key. */
async function importKey(native: SubtleCrypto, publicKey: Uint8Array<ArrayBuffer>): Promise<CryptoKey | null> {
  try {
    return await native.importKey('raw', publicKey, 'Ed25519', false, ['verify'])
  } catch {
    return null
  }
}
