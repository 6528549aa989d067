import { useState } from 'react'
import { query, queryClient } from '~/api/queries'
import type { ReceiptDetail } from '~/api/types'
import { messageOf } from '~/api/errors'
import { Button } from '~/ui/Button'
import { Icon, type IconName } from '~/ui/Icon'
import { type StepId, type StepResult, type StepState, verdictOf, verifySteps } from '~/util/verify/steps'

const STEPS: [id: StepId, title: string][] = [
  ['parse', 'Bytes parsed, schema known'],
  ['canonical', 'Canonical form'],
  ['hash', 'SHA-256 of the raw bytes'],
  ['signature', 'Ed25519 signature by the node key'],
  ['key', 'The key belongs to the node'],
  ['chain', "Place in the node's chain"],
]

const MARK: Record<StepState, { icon: IconName; word: string }> = {
  pass: { icon: 'check', word: 'Holds' },
  fail: { icon: 'cross', word: 'Fails' },
  unknown: { icon: 'help', word: 'Cannot be checked' },
}

type Run = { kind: 'idle' } | { kind: 'running' | 'done'; results: StepResult[] } | { kind: 'failed'; message: string }

async function bytesOf(requestId: string | null | undefined, nodeId: string): Promise<Uint8Array<ArrayBuffer> | null> {
  return requestId ? queryClient.fetchQuery(query.receiptRaw(requestId, nodeId)).catch(() => null) : null
}

/** Checks the receipt here, over the bytes as they came. */
export function VerifyPanel({ detail }: { detail: ReceiptDetail }) {
  const [run, setRun] = useState<Run>({ kind: 'idle' })
  const { receipt, chain } = detail
  const verify = async () => {
    setRun({ kind: 'running', results: [] })
    try {
      const bytes = await queryClient.fetchQuery({ ...query.receiptRaw(receipt.request_id, receipt.node_id), staleTime: 0 })
      // A chain is one node's.
      const [before, after] = await Promise.all([chain.prev_request_id, chain.next_request_id].map((id) => bytesOf(id, receipt.node_id)))
      const evidence = {
        bytes,
        entrySha256: detail.entry_sha256,
        publicKey: detail.public_key,
        keyId: detail.key_id,
        keyValidFrom: detail.key_valid_from,
        nodeId: receipt.node_id,
        neighbours: { before: before ?? null, after: after ?? null },
      }
      const results: StepResult[] = []
      for await (const result of verifySteps(evidence)) {
        results.push(result)
        setRun({ kind: 'running', results: [...results] })
      }
      setRun({ kind: 'done', results })
    } catch (error) {
      setRun({ kind: 'failed', message: messageOf(error) })
    }
  }
  const results = 'results' in run ? run.results : []
  return (
    <section className="panel verify" aria-labelledby="verify-title">
      <div className="panel-head">
        <h2 id="verify-title">Verify</h2>
        <Button tone="primary" icon="shield" isBusy={run.kind === 'running'} onClick={() => void verify()}>
          Verify in this browser
        </Button>
      </div>
      <ol className="steps">
        {STEPS.map(([id, title]) => (
          <Step key={id} title={title} id={id} result={results.find((result) => result.id === id)} />
        ))}
      </ol>
      <div role="status" className="verdict">
        {run.kind === 'done' && <Conclusion results={run.results} />}
        {run.kind === 'failed' && <p className="notice notice-red">Could not be checked: {run.message}</p>}
      </div>
      <p className="muted small">
        This page comes from the network that you are checking. For an independent check, download the receipt and run{' '}
        <code className="break">dgon-agent receipt verify --public-key {detail.public_key} FILE</code> on a machine of your own.
      </p>
    </section>
  )
}

function Step({ id, title, result }: { id: StepId; title: string; result: StepResult | undefined }) {
  const mark = result && MARK[result.state]
  return (
    <li className={`step step-${result?.state ?? 'waiting'}`} data-step={id} data-state={result?.state ?? 'waiting'}>
      <span className="step-mark">{mark ? <Icon name={mark.icon} size={14} /> : null}</span>
      <div>
        <p className="step-title">
          {title}
          <span className="sr-only">: {mark?.word ?? 'not checked yet'}</span>
        </p>
        {result && <p className="step-detail">{result.detail}</p>}
      </div>
    </li>
  )
}

function Conclusion({ results }: { results: StepResult[] }) {
  const failed = results.filter(({ state }) => state === 'fail').map(({ id }) => STEPS.find(([step]) => step === id)?.[1] ?? id)
  const open = results.filter(({ state }) => state === 'unknown')
  const { verdict, because } = verdictOf(results)
  if (verdict === 'unknown') {
    return (
      <p className="notice notice-grey">
        <Icon name="help" size={16} /> Cannot check. {because}
      </p>
    )
  }
  if (verdict === 'invalid') {
    return (
      <p className="notice notice-red">
        <Icon name="cross" size={16} /> Invalid. Failed: {failed.join('; ')}.
      </p>
    )
  }
  return (
    <p className="notice notice-green">
      <Icon name="check" size={16} /> Verified in this browser{open.length > 0 ? '; one step could not be checked, see above' : ''}.
    </p>
  )
}
