import { queryClient, query } from '~/api/queries'
import { messageOf } from '~/api/errors'
import type { ReceiptDetail } from '~/api/types'
import { type Fact, Facts } from '~/components/Facts'
import { JsonViewer } from '~/components/JsonViewer'
import { ReceiptStatusChip } from '~/components/StatusChip'
import { TokenCount } from '~/components/TokenCount'
import { VerifyPanel } from '~/components/VerifyPanel'
import { showToast } from '~/stores/toasts'
import { AppLink } from '~/ui/AppLink'
import { Button } from '~/ui/Button'
import { CopyButton } from '~/ui/CopyButton'
import { Time } from '~/ui/Time'
import { download } from '~/util/clipboard'
import { count, ms, yesNo } from '~/util/format'
import { path } from '~/util/path-builder'
import { sourceSentence } from '~/util/tokens'

const VERDICTS: Record<string, string> = {
  valid: 'The control plane checked the signature',
  invalid_signature: 'The control plane found the signature invalid',
  invalid_receipt: 'The control plane could not read it as a receipt',
}

async function downloadRaw(requestId: string, nodeId: string): Promise<void> {
  const bytes = await queryClient.fetchQuery(query.receiptRaw(requestId, nodeId))
  download(`${requestId}.json`, bytes, 'application/json')
}

export function ReceiptView({ detail }: { detail: ReceiptDetail }) {
  const { receipt, verification, chain, raw } = detail
  const work: Fact[] = [
    ['Status', <ReceiptStatusChip key="status" status={receipt.status} />],
    ['Node', <AppLink key="node" className="mono" href={path.node(receipt.node_id)}>{receipt.node_id}</AppLink>],
    ['Region', receipt.region],
    ['Model', <span key="model" className="mono break">{receipt.model_id}</span>],
    ['Runtime', receipt.runtime],
    ['Source', receipt.source],
  ]
  const figures: Fact[] = [
    ['Tokens in', <TokenCount key="in" row={receipt} side="input" />],
    ['Tokens cached', count(receipt.tokens_cached)],
    ['Tokens out', <TokenCount key="out" row={receipt} side="output" />],
    ['Token counts', sourceSentence(receipt.tokens_source), 'The receipt does not say where they come from'],
    ['First token', ms(receipt.ttft_ms), 'Not measured'],
    ['Total', ms(receipt.latency_ms), 'Not measured'],
    ['p95 of the gaps', ms(receipt.p95_ms), 'Not measured'],
    ['Cache hit', yesNo(receipt.cache_hit)],
    ['Hedged', yesNo(receipt.hedged)],
  ]
  const record: Fact[] = [
    ['Started', <Time key="start" at={receipt.ts_start} form="full" />],
    ['Ended', <Time key="end" at={receipt.ts_end} form="full" />],
    ['Received', <Time key="received" at={receipt.received_at} form="full" />],
    ['In chain', typeof chain.seq === 'number' ? `#${count(chain.seq)}` : null, 'Not part of a chain'],
    [
      'On arrival',
      <span key="verdict">
        {VERDICTS[verification.verdict] ?? verification.verdict}, <Time at={verification.verified_at} form="full" />
      </span>,
    ],
  ]
  return (
    <div className="receipt-grid">
      <section className="panel" aria-labelledby="summary-title">
        <div className="panel-head">
          <h2 id="summary-title">Summary</h2>
        </div>
        <div className="fact-groups fact-columns">
          <Facts facts={work} />
          <Facts facts={figures} />
        </div>
        <Facts facts={record} />
      </section>
      <VerifyPanel detail={detail} />
      <section className="panel receipt-json" aria-labelledby="json-title">
        <div className="panel-head">
          <h2 id="json-title">JSON</h2>
          <span className="panel-tools">
            <CopyButton text={raw} what="JSON" />
            <Button icon="download" onClick={() => void downloadRaw(receipt.request_id, receipt.node_id).catch((error: unknown) => showToast(messageOf(error), 'error'))}>
              Download
            </Button>
          </span>
        </div>
        <JsonViewer raw={raw} />
      </section>
    </div>
  )
}
