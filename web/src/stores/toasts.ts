import { createStore } from '~/stores/store'

export interface Toast {
  id: number
  tone: 'ok' | 'error'
  text: string
}

const SHOWN_OK_MS = 5000
const SHOWN_ERROR_MS = 15_000

export const toasts = createStore<Toast[]>([])
let nextId = 1

export function dismissToast(id: number): void {
  toasts.set((now) => now.filter((toast) => toast.id !== id))
}

export function showToast(text: string, tone: Toast['tone'] = 'ok'): void {
  const id = nextId++
  toasts.set((now) => [...now.slice(-2), { id, tone, text }])
  setTimeout(() => dismissToast(id), tone === 'ok' ? SHOWN_OK_MS : SHOWN_ERROR_MS)
}
