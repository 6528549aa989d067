// Where the tests' control plane is. One per run; the files of a run stay in one folder under the system's temporary one.
import { mkdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const PORT = Number(process.env.DGON_E2E_PORT ?? 18_471)

export const BASE_URL = process.env.DGON_BASE_URL ?? `http://127.0.0.1:${PORT}`
export const PLACE = join(tmpdir(), `dgon-console-e2e-${new URL(BASE_URL).port || '80'}`)
export const SIGNED_IN = join(PLACE, 'signed-in.json')
export const SETUP_LINK = join(PLACE, 'setup-link.txt')
export const ADMIN = { email: 'ana@example.org', password: 'four calm grey herons' }
/** Two simulated fleets in two regions; together more than one page of nodes. */
export const FLEET = 'sim'
export const FLEETS = [
  { prefix: FLEET, region: 'eu-west', nodes: 18 },
  { prefix: 'far', region: 'us-east', nodes: 10 },
]
export const FLEET_NODES = FLEETS.reduce((sum, { nodes }) => sum + nodes, 0)

mkdirSync(PLACE, { recursive: true })
