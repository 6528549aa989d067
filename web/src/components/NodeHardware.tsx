import type { GpuDetail, NodeDetail } from '~/api/types'
import { type Fact, Facts } from '~/components/Facts'
import { Icon } from '~/ui/Icon'
import { EmptyState } from '~/ui/states'
import { DASH, count, disk, memory, withUnit, yesNo } from '~/util/format'
import { gpusNotRead } from '~/util/gpus'
import { WITHHELD } from '~/util/withheld'

const isMac = (node: NodeDetail) => node.os === 'macos'

export function NodeHardware({ node }: { node: NodeDetail }) {
  const notRead = node.gpus_not_read ? gpusNotRead(node.gpus_not_read) : null
  const why = notRead ?? (isMac(node) ? 'Not reported by this Mac' : 'Not reported')
  const withheld = node.withheld ? WITHHELD : undefined
  const host: Fact[] = [
    ['System', [node.host.os_version ?? node.os, node.arch].filter(Boolean).join(', ')],
    ['CPU', node.host.cpu, withheld],
    ['Cores', count(node.host.cores), withheld],
    ['Memory', memory(node.host.memory_mib), withheld],
  ]
  return (
    <div className="fact-groups">
      <section>
        <h3>Machine</h3>
        <Facts facts={host} />
      </section>
      {notRead && node.gpu_details.length > 0 && (
        <p className="notice notice-amber">
          <Icon name="warning" size={16} /> {notRead}. The cards are shown as they were known before.
        </p>
      )}
      {node.gpu_details.length === 0 ? (
        <EmptyState title={notRead ?? 'No GPU reported'}>
          {notRead ? 'Which GPUs the machine has is not known.' : 'The node serves from its CPU, or its driver is not installed.'}
        </EmptyState>
      ) : (
        node.gpu_details.map((gpu) => (
          <section key={gpu.index}>
            <h3>
              GPU {gpu.index} <span className="muted">{gpu.name}</span>
            </h3>
            <Facts facts={gpuFacts(gpu, why, withheld)} />
          </section>
        ))
      )}
      {node.models_detail.length > 0 && (
        <section>
          <h3>Models on disk</h3>
          <ul className="model-list">
            {node.models_detail.map((model) => (
              <li key={`${model.runtime}/${model.id}`}>
                <span className="mono break">{model.id}</span>
                <span className="muted">
                  {model.runtime}, {disk(model.size_bytes)}, loaded: {yesNo(model.loaded)}
                </span>
              </li>
            ))}
          </ul>
        </section>
      )}
    </div>
  )
}

function gpuMemory({ load, vram_mib: total, unified_memory: isUnified }: GpuDetail): string {
  const size = typeof load?.vram_used_mib === 'number' ? `${memory(load.vram_used_mib)} of ${memory(total)}` : memory(total)
  if (!isUnified) return size
  return size === DASH ? 'Unified with the machine' : `${size}, unified`
}

function gpuFacts(gpu: GpuDetail, why: string, withheld: string | undefined): Fact[] {
  const { load } = gpu
  return [
    ['Use', withUnit(load?.util_pct, '%'), why],
    ['Memory', gpuMemory(gpu), why],
    ['Temperature', withUnit(load?.temp_c, '°C'), why],
    ['Power', withUnit(load?.power_w, 'W'), why],
    ['Driver', gpu.driver, why],
    ['CUDA', gpu.cuda, gpu.backend === 'metal' ? 'Metal, no CUDA' : why],
    ['Id', gpu.uuid, withheld ?? why],
  ]
}
