// An authenticator app whose secret the test has: RFC 6238 with HMAC-SHA-1, six digits, steps of 30 seconds.
import { createHmac } from 'node:crypto'

const BASE32 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'
const STEP_MS = 30_000

function bytesOf(secret: string): Buffer {
  const bits = [...secret].map((char) => BASE32.indexOf(char).toString(2).padStart(5, '0')).join('')
  return Buffer.from((bits.match(/.{8}/g) ?? []).map((byte) => Number.parseInt(byte, 2)))
}

function codeOf(secret: string, step: number): string {
  const counter = Buffer.alloc(8)
  counter.writeBigUInt64BE(BigInt(step))
  const mac = createHmac('sha1', bytesOf(secret)).update(counter).digest()
  const number = mac.readUInt32BE((mac[19] ?? 0) & 15) & 0x7f_ff_ff_ff
  return String(number % 1_000_000).padStart(6, '0')
}

export const codeNow = (secret: string) => codeOf(secret, Math.floor(Date.now() / STEP_MS))

export interface Authenticator {
  /**
   * A code that was not used before. The server takes each once, and one step early: the second in a step is that of the
   * next, and there is no third, which would have to be waited for.
   */
  next: () => string
  /** The one that was used last. */
  used: () => string
}

export function authenticator(shown: string): Authenticator {
  const secret = shown.replaceAll(/\s/g, '')
  let last = 0
  return {
    next: () => {
      const now = Math.floor(Date.now() / STEP_MS)
      last = Math.max(now, last + 1)
      if (last > now + 1) throw new Error('this would have to wait for a new code: use a recovery code')
      return codeOf(secret, last)
    },
    used: () => codeOf(secret, last),
  }
}
