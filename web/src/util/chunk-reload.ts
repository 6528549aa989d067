const KEY = 'dgon.chunk-reload'
const AGAIN_AFTER_MS = 60_000

/** After an upgrade the old chunks are gone: load the page anew, once and not in a loop, never over a typed form. */
export function reloadOnceForMissingChunk(): void {
  addEventListener('vite:preloadError', (event) => {
    const last = Number(sessionStorage.getItem(KEY) ?? 0)
    const isDirty = document.querySelector('form[data-dirty]') !== null
    if (isDirty || Date.now() - last < AGAIN_AFTER_MS) return
    event.preventDefault()
    sessionStorage.setItem(KEY, String(Date.now()))
    location.reload()
  })
}
