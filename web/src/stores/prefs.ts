import { createStore } from '~/stores/store'

export interface Prefs {
  shortcuts: boolean
  zone: 'local' | 'utc'
}

const KEY = 'dgon.prefs'
const DEFAULTS: Prefs = { shortcuts: true, zone: 'local' }

function load(): Prefs {
  try {
    const saved: unknown = JSON.parse(localStorage.getItem(KEY) ?? '{}')
    const fields = typeof saved === 'object' && saved !== null ? (saved as Partial<Prefs>) : {}
    return { shortcuts: fields.shortcuts !== false, zone: fields.zone === 'utc' ? 'utc' : 'local' }
  } catch {
    return DEFAULTS
  }
}

export const prefs = createStore<Prefs>(load())

export function setPrefs(change: Partial<Prefs>): void {
  prefs.set((now) => ({ ...now, ...change }))
  try {
    localStorage.setItem(KEY, JSON.stringify(prefs.get()))
  } catch {
    // A browser without storage keeps the choice until the tab closes.
  }
}
