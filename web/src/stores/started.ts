// The token that the page "Run a node" waits for: its id survives a reload; the token itself is shown once and kept nowhere.
import type { System } from '~/util/install'

export interface Started {
  system: System
  region: string
  nodeId: string
  tokenId: string
  expiresAt: string
}

const KEY = 'dgon.run'

export function readStarted(): Started | null {
  try {
    const saved: unknown = JSON.parse(sessionStorage.getItem(KEY) ?? 'null')
    return typeof saved === 'object' && saved !== null && 'tokenId' in saved ? (saved as Started) : null
  } catch {
    return null
  }
}

export function keepStarted(started: Started): void {
  try {
    sessionStorage.setItem(KEY, JSON.stringify(started))
  } catch {
    // Without storage a reload begins anew.
  }
}

export function forgetStarted(): void {
  try {
    sessionStorage.removeItem(KEY)
  } catch {
    // Nothing was kept.
  }
}
