import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { noteSecret } from './kept'
import { ADMIN, BASE_URL, FLEETS, PLACE, SETUP_LINK } from './place'
import { DATA_DIR, type Running, controlPlane, enrolmentToken, simulator, start, untilReady } from './programs'

const RATE_PER_S = 5
const LONGER_THAN_THE_TESTS_S = 3600

/** A fresh control plane with a simulated fleet that really signs. Given DGON_BASE_URL, the one that runs there. */
async function startAll(): Promise<() => Promise<void>> {
  if (process.env.DGON_BASE_URL) {
    writeFileSync(SETUP_LINK, process.env.DGON_SETUP_LINK ?? '')
    return async () => {}
  }
  rmSync(PLACE, { recursive: true, force: true })
  mkdirSync(DATA_DIR, { recursive: true })
  noteSecret('password', ADMIN.password)
  const running: Running[] = []
  const stopAll = async () => {
    for (const program of running.toReversed()) {
      // oxlint-disable-next-line no-await-in-loop
      await program.stop()
    }
  }
  try {
    await startNetwork(running)
  } catch (error) {
    await stopAll()
    throw error
  }
  return stopAll
}

async function startNetwork(running: Running[]): Promise<void> {
  const bind = new URL(BASE_URL).host
  const server = start('control-plane', controlPlane(), ['serve', '--bind', bind], { DGON_DATA_DIR: DATA_DIR, DGON_PUBLIC_URL: BASE_URL })
  running.push(server)
  const [link = ''] = await server.says(/http\S+\/setup#token=\S+/)
  await untilReady()
  writeFileSync(SETUP_LINK, link)
  for (const { prefix, region, nodes } of FLEETS) {
    // oxlint-disable-next-line no-await-in-loop
    const token = await enrolmentToken(nodes, region)
    const args = ['fleet', '--api', BASE_URL, '--nodes', String(nodes), '--rate', String(RATE_PER_S), '--duration', String(LONGER_THAN_THE_TESTS_S), '--prefix', prefix]
    running.push(start(`fleet-${prefix}`, simulator(), args, { DGON_ENROL_TOKEN: token }))
  }
}

// Playwright calls the default export of its global setup.
// oxlint-disable-next-line no-default-export
export default startAll
