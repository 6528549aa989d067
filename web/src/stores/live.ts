import { createStore } from '~/stores/store'

export type LiveState = 'connecting' | 'live' | 'reconnecting' | 'polling' | 'stale'

export interface Live {
  state: LiveState
  /** Local time of the last word from the server, unix ms. */
  heardAt: number | null
  /** Server clock minus ours, ms; from `hello`. */
  clockOffsetMs: number
  /** The build of the server changed under this page. */
  isOutdated: boolean
}

export const live = createStore<Live>({ state: 'connecting', heardAt: null, clockOffsetMs: 0, isOutdated: false })

/** Now by the server's clock. */
export const serverNow = () => Date.now() + live.get().clockOffsetMs
