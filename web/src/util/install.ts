// The one command per system that makes a machine a node.

export const SYSTEMS = ['macos', 'linux', 'windows'] as const
export type System = (typeof SYSTEMS)[number]

export const SYSTEM_NAMES: Record<System, string> = { macos: 'macOS', linux: 'Linux', windows: 'Windows' }

/** The system of the person's browser, most often the one to install on. */
export function systemOf(userAgent: string): System {
  if (/Mac OS X|Macintosh/.test(userAgent)) return 'macos'
  return userAgent.includes('Windows') ? 'windows' : 'linux'
}

export interface Enrolment {
  origin: string
  token: string
  region: string
  nodeId: string
}

const SAFE = /^[A-Za-z0-9._:/-]+$/
/** One word of a command for sh and zsh. */
export const posix = (text: string) => (SAFE.test(text) ? text : `'${text.replaceAll("'", String.raw`'\''`)}'`)
const powershell = (text: string) => `'${text.replaceAll("'", "''")}'`

/** Installs the program and nothing else; the command above enrols. Windows has a zip. */
export const installCommand = (origin: string) => `curl -fsSL ${posix(`${origin}/install.sh`)} | sh -s -- --no-enroll`

const LOOPBACK = /^http:\/\/(localhost|127(\.\d+){3}|\[::1\])(:\d+)?$/

/** The agent speaks plain HTTP with another machine only when it is told to. */
const insecure = (origin: string) => (origin.startsWith('http://') && !LOOPBACK.test(origin) ? ['--insecure-http'] : [])

/** The token goes through the environment: a command line can be read by every user of the machine. */
export function enrolCommand(system: System, { origin, token, region, nodeId }: Enrolment): string {
  const quoted = system === 'windows' ? powershell : posix
  const flags = ['--api', quoted(origin), ...insecure(origin), ...(nodeId ? ['--node-id', quoted(nodeId)] : []), ...(region ? ['--region', quoted(region)] : [])].join(' ')
  if (system === 'windows') return `$env:DGON_ENROL_TOKEN = ${powershell(token)}; dgon-agent.exe enroll ${flags}; if ($?) { dgon-agent.exe run }`
  return `DGON_ENROL_TOKEN=${posix(token)} dgon-agent enroll ${flags} && dgon-agent run`
}
