/** Copies text; false where the browser allows that only in a secure context. */
export async function copyText(text: string): Promise<boolean> {
  try {
    // On plain http beyond localhost there is no clipboard object at all.
    await navigator.clipboard.writeText(text)
    return true
  } catch {
    return false
  }
}

/** Hands the bytes to the browser as a file, exactly as they are. */
export function download(name: string, bytes: Uint8Array<ArrayBuffer> | string, type: string): void {
  const url = URL.createObjectURL(new Blob([bytes], { type }))
  const anchor = document.createElement('a')
  anchor.href = url
  anchor.download = name
  anchor.click()
  setTimeout(() => URL.revokeObjectURL(url), 1000)
}
