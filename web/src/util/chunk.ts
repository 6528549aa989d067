// Code that comes on need. With the control plane away, or upgraded, it does not come: the page stays and waits.
import { away } from '~/stores/away'
import { live } from '~/stores/live'
import { showToast } from '~/stores/toasts'

const KEY = 'dgon.chunk-reload'
const AGAIN_AFTER_MS = 60_000
const ASK_EVERY_MS = 1500

async function answers(): Promise<boolean> {
  try {
    return (await fetch('/healthz', { cache: 'no-store' })).ok
  } catch {
    return false
  }
}

/** Resolves after a pause, or earlier where there is news of the network. */
function aMoment(): Promise<void> {
  return new Promise((resolve) => {
    const wake = () => {
      clearTimeout(timer)
      stop()
      removeEventListener('online', wake)
      resolve()
    }
    const timer = setTimeout(wake, ASK_EVERY_MS)
    const stop = live.subscribe(() => live.get().state === 'live' && wake())
    addEventListener('online', wake)
  })
}

let waiting: Promise<void> | null = null

/** Whoever waits shares the questions. */
function untilItAnswers(): Promise<void> {
  waiting ??= (async () => {
    // Each answer decides whether there is a next question.
    // oxlint-disable no-await-in-loop
    while (!(await answers())) {
      away.set(() => true)
      await aMoment()
    }
    // oxlint-enable no-await-in-loop
    away.set(() => false)
    waiting = null
  })()
  return waiting
}

/** Once and not in a loop, and never over a typed form. */
function mayReload(): boolean {
  const last = Number(sessionStorage.getItem(KEY) ?? 0)
  const isDirty = document.querySelector('form[data-dirty]') !== null
  if (isDirty || Date.now() - last < AGAIN_AFTER_MS) return false
  sessionStorage.setItem(KEY, String(Date.now()))
  return true
}

/** Loads a part of the console. While the control plane is away it waits, says so, and goes on by itself. */
export async function chunk<T>(load: () => Promise<T>): Promise<T> {
  try {
    return await load()
  } catch {
    await untilItAnswers()
  }
  try {
    return await load()
  } catch {
    // It answers and the file is not there: it was upgraded, and a new page knows the new names.
    if (!mayReload()) throw new Error('A part of the console is not on the control plane any more. Load the page again.')
    location.reload()
    return new Promise(() => {})
  }
}

/** Loads the page anew, unless that would leave the browser's own error page in its place. */
export async function reloadPage(): Promise<void> {
  if (await answers()) location.reload()
  else showToast('The control plane does not answer, so the page was not loaded again. Try once it is back.', 'error')
}
