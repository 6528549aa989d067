export const utf8 = (text: string) => new TextEncoder().encode(text)
export const textOf = (bytes: Uint8Array) => new TextDecoder().decode(bytes)
export const hexOf = (bytes: Uint8Array) => `0x${Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')}`
export const base64Of = (bytes: Uint8Array) => btoa(String.fromCodePoint(...bytes))

/** Bytes as a wallet hands them out: an array of its own window, or a plain one. */
export function bytesOf(value: unknown): Uint8Array | null {
  if (ArrayBuffer.isView(value)) return new Uint8Array(value.buffer, value.byteOffset, value.byteLength)
  return Array.isArray(value) ? Uint8Array.from(value as number[]) : null
}
