import { expect, test } from 'vitest'
import type { EnrolmentToken, NodeDetail } from '~/api/types'
import { checklist, currentCheck } from '~/util/checklist'
import { enrolCommand, installCommand, systemOf } from '~/util/install'

const enrolment = { origin: 'http://gpu.lan:8080', token: 'dgon_enrol_abc', region: 'eu west', nodeId: 'studio-01' }

test('one command per system, with the token out of the arguments', () => {
  expect(enrolCommand('linux', enrolment)).toBe(
    "DGON_ENROL_TOKEN=dgon_enrol_abc dgon-agent enroll --api http://gpu.lan:8080 --insecure-http --node-id studio-01 --region 'eu west' && dgon-agent run",
  )
  expect(enrolCommand('windows', { ...enrolment, region: '', nodeId: '' })).toBe(
    "$env:DGON_ENROL_TOKEN = 'dgon_enrol_abc'; dgon-agent.exe enroll --api 'http://gpu.lan:8080' --insecure-http; if ($?) { dgon-agent.exe run }",
  )
})

test.each(['https://dgon.example', 'http://127.0.0.1:8080', 'http://localhost:8080', 'http://[::1]:8080'])('%s needs no word for plain HTTP', (origin) =>
  expect(enrolCommand('linux', { ...enrolment, origin })).not.toContain('--insecure-http'),
)

test('the installation is apart from the enrolment, and holds no token', () => {
  expect(installCommand(enrolment.origin)).toBe('curl -fsSL http://gpu.lan:8080/install.sh | sh -s -- --no-enroll')
})

test('what people type cannot leave its quotes', () => {
  expect(enrolCommand('macos', { ...enrolment, region: "a'; rm -rf ~ #" })).toContain(String.raw`--region 'a'\''; rm -rf ~ #'`)
  expect(enrolCommand('windows', { ...enrolment, region: "a'; del" })).toContain("--region 'a''; del'")
})

test.each([
  ['Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7)', 'macos'],
  ['Mozilla/5.0 (Windows NT 10.0; Win64; x64)', 'windows'],
  ['Mozilla/5.0 (X11; Linux x86_64)', 'linux'],
])('%s', (agent, system) => expect(systemOf(agent)).toBe(system))

const token = (usedBy: string[]) => ({ id: 't', used_by: usedBy }) as EnrolmentToken

const node = (change: Partial<NodeDetail>) =>
  ({ node_id: 'n', key_id: '00ff', status: 'pending', connected: false, late: false, last_heartbeat_at: null, runtimes: [], receipts: [], last_probe: null, ...change }) as unknown as NodeDetail

test('the checklist waits for the first step that is missing', () => {
  expect(currentCheck(checklist(undefined, undefined))?.id).toBe('registered')
  expect(currentCheck(checklist(token(['n']), node({})))?.id).toBe('connected')
  const beating = { connected: true, last_heartbeat_at: '2026-11-21T03:00:00.000Z' }
  expect(currentCheck(checklist(token(['n']), node(beating)))?.id).toBe('runtime')
  const ready = { ...beating, runtimes: [{ kind: 'ollama', version: '0.5', ready: true }] }
  expect(currentCheck(checklist(token(['n']), node(ready)))?.id).toBe('probe')
  const active = { ...ready, status: 'active' as const }
  expect(currentCheck(checklist(token(['n']), node(active)))?.id).toBe('receipt')
  expect(currentCheck(checklist(token(['n']), node({ ...active, receipts: [{ request_id: 'r' }] as NodeDetail['receipts'] })))).toBeUndefined()
})

test('a failed probe says so instead of waiting', () => {
  const checks = checklist(token(['n']), node({ last_probe: { at: '', outcome: 'error', message: 'the model is gone', ttft_ms: null } }))
  expect(checks.find(({ id }) => id === 'probe')).toMatchObject({ state: 'failed', detail: 'the model is gone' })
})
