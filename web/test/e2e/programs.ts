// The real programs, started and stopped by the tests.
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { createWriteStream, existsSync } from 'node:fs'
import { createServer } from 'node:net'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { ALL_LOGGED, LOGS, noteSecret } from './kept'
import { BASE_URL, PLACE } from './place'

const debug = fileURLToPath(new URL('../../../target/debug/', import.meta.url))

/** A program of the workspace: where the gate says it is, else where cargo builds it. */
function program(name: string, variable: string): string {
  const path = process.env[variable] ?? join(debug, name)
  if (!existsSync(path)) throw new Error(`${path} is not there. Build it with cargo build --package, or name it by ${variable}`)
  return path
}

export const controlPlane = () => program('dgon-control-plane', 'DGON_CONTROL_PLANE_BIN')
export const agent = () => program('dgon-agent', 'DGON_AGENT_BIN')
export const simulator = () => program('dgon-sim', 'DGON_SIM_BIN')
/** The library that plays an NVIDIA driver; cargo builds it beside the programs. */
export const fakeNvml = () => join(dirname(agent()), 'libdgon_fake_nvml.so')
export const DATA_DIR = join(PLACE, 'data')

export interface Running {
  process: ChildProcess
  /** Resolves with the first match of what it prints. */
  says: (pattern: RegExp) => Promise<RegExpExecArray>
  stop: () => Promise<void>
}

const SAYS_WITHIN_MS = 30_000

export function start(name: string, command: string, args: string[], env: Record<string, string> = {}): Running {
  const child = spawn(command, args, { env: { ...process.env, ...ALL_LOGGED, ...env }, stdio: ['ignore', 'pipe', 'pipe'] })
  const log = createWriteStream(join(LOGS, `${name}.log`), { flags: 'a' })
  let printed = ''
  const listeners = new Set<() => void>()
  for (const stream of [child.stdout, child.stderr]) {
    stream.pipe(log, { end: false })
    stream.on('data', (chunk: Buffer) => {
      printed += chunk.toString()
      for (const listener of listeners) listener()
    })
  }
  const says = (pattern: RegExp) =>
    new Promise<RegExpExecArray>((resolve, reject) => {
      const fail = (why: string) => reject(new Error(`${name} ${why} without saying ${pattern}. It said:\n${printed.slice(-2000)}`))
      const timer = setTimeout(() => fail('ran'), SAYS_WITHIN_MS)
      const look = () => {
        const found = pattern.exec(printed)
        if (!found) return
        clearTimeout(timer)
        listeners.delete(look)
        resolve(found)
      }
      listeners.add(look)
      child.once('exit', () => {
        clearTimeout(timer)
        fail('ended')
      })
      look()
    })
  const stop = () =>
    new Promise<void>((resolve) => {
      if (child.exitCode !== null || child.signalCode !== null) return resolve()
      child.once('exit', () => resolve())
      child.kill('SIGKILL')
    })
  return { process: child, says, stop }
}

const run = promisify(execFile)

/** Runs a command of the agent to its end. */
export const tellAgent = (args: string[], env: Record<string, string>) => run(agent(), args, { env: { ...process.env, ...env } })

export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => resolve(typeof address === 'object' && address ? address.port : 0))
    })
  })
}

/** An enrolment token, made by the command line beside the running server: the tests' one, or another that `env` names. */
export async function enrolmentToken(uses: number, region: string, env: Record<string, string> = {}, orgId = 'main'): Promise<string> {
  const { stdout } = await run(controlPlane(), ['token', 'create', '--uses', String(uses), '--region', region, '--org', orgId, '--json'], { env: { ...process.env, DGON_DATA_DIR: DATA_DIR, ...env } })
  const { token } = JSON.parse(stdout) as { token: string }
  noteSecret('enrolment token', token)
  return token
}

/** The link that a command printed. */
function linkIn(stdout: string): string {
  const link = /http\S+#token=(\S+)/.exec(stdout)
  noteSecret('sign-in link', link?.[1] ?? '')
  return link?.[0] ?? ''
}

/** Makes an operator, or somebody with another role; the link that signs them in. */
export async function userLink(email: string, url = BASE_URL, env: Record<string, string> = {}, role = 'operator'): Promise<string> {
  const { stdout } = await run(controlPlane(), ['user', 'create', '--email', email, '--role', role, '--url', url], { env: { ...process.env, DGON_DATA_DIR: DATA_DIR, ...env } })
  return linkIn(stdout)
}

/** Another link that signs in somebody who is there already. */
export async function signInLink(email: string): Promise<string> {
  const { stdout } = await run(controlPlane(), ['user', 'link', '--email', email, '--url', BASE_URL], { env: { ...process.env, DGON_DATA_DIR: DATA_DIR } })
  return linkIn(stdout)
}

export async function untilReady(): Promise<void> {
  const end = Date.now() + SAYS_WITHIN_MS
  for (;;) {
    // oxlint-disable-next-line no-await-in-loop
    const isReady = await fetch(`${BASE_URL}/readyz`).then(
      ({ ok }) => ok,
      () => false,
    )
    if (isReady) return
    if (Date.now() > end) throw new Error(`${BASE_URL} does not get ready; its log is in ${LOGS}`)
    // oxlint-disable-next-line no-await-in-loop
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
}
