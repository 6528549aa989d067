const PREFIX = 'ed25519:'
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/

/** Standard padded base64, in its one canonical spelling; null for anything else. */
export function fromBase64(text: string): Uint8Array<ArrayBuffer> | null {
  if (!BASE64.test(text)) return null
  const binary = atob(text)
  // The unused bits of the last character must be zero, as the strict decoders of the other verifiers have it.
  if (btoa(binary) !== text) return null
  return Uint8Array.from(binary, (c) => c.charCodeAt(0))
}

/** What follows `ed25519:`, when it is base64 of `length` bytes. */
export function fromKeyText(text: string, length: number): Uint8Array<ArrayBuffer> | null {
  if (!text.startsWith(PREFIX)) return null
  const bytes = fromBase64(text.slice(PREFIX.length))
  return bytes?.length === length ? bytes : null
}

export const toHex = (bytes: Uint8Array) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')
