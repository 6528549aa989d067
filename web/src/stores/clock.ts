import { createStore, useStore } from '~/stores/store'

/** One ticking clock for all ages on screen. */
const seconds = createStore(Date.now())
let timer: ReturnType<typeof setInterval> | undefined

const ticking = {
  ...seconds,
  subscribe: (listener: () => void) => {
    timer ??= setInterval(() => seconds.set(Date.now()), 1000)
    return seconds.subscribe(listener)
  },
}

/** Local unix ms, renewed each second while someone looks. */
export const useNow = () => useStore(ticking)
