// What the gate keeps of a run to search for secrets (xtask/src/gate/secrets.rs): the logs of programs, and the secrets that tests know of.
import { appendFileSync } from 'node:fs'
import { join } from 'node:path'
import type { BrowserContext, Response } from '@playwright/test'
import { PLACE } from './place'

const FOLDER = process.env.DGON_KEPT_LOGS

/** Where programs log. */
export const LOGS = FOLDER ?? PLACE
/** What makes them log all that an operator can ask for. */
export const ALL_LOGGED = FOLDER ? { DGON_LOG: 'debug' } : {}

/** Shorter ones, such as the six digits of an app, are anywhere by chance. */
const SECRET_MIN = 10
const FIELDS = new Set(['client_secret', 'code', 'csrf_token', 'current', 'key', 'node_secret', 'password', 'recovery_codes', 'sealed', 'secret', 'token'])

/** Notes a secret, which no log may have. */
export function noteSecret(kind: string, value: string): void {
  if (FOLDER && value.length >= SECRET_MIN) appendFileSync(join(FOLDER, 'e2e.secrets'), `${kind}\t${value}\n`, { mode: 0o600 })
}

function noteFields(json: unknown): void {
  if (typeof json !== 'object' || json === null) return
  for (const [name, value] of Object.entries(json)) {
    const texts: unknown[] = Array.isArray(value) ? value : [value]
    for (const text of texts) {
      if (typeof text !== 'string') noteFields(text)
      else if (FIELDS.has(name)) noteSecret(name, text)
    }
  }
}

async function note(response: Response): Promise<void> {
  for (const { name, value } of await response.headersArray()) {
    if (name.toLowerCase() === 'set-cookie') noteSecret('cookie', /=([^;]*)/.exec(value)?.[1] ?? '')
  }
  noteFields(response.request().postDataJSON())
  noteFields(await response.json())
}

/** Notes what a browser sends and is given. */
export function noteSecretsOf(context: BrowserContext): void {
  if (!FOLDER) return
  context.on('response', (response) => {
    // A page that closes takes its answers with it, and not every one is JSON.
    if (response.url().includes('/api/v1/')) note(response).catch(() => {})
  })
}
