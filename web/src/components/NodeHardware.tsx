import type { GpuDetail, NodeDetail } from '~/api/types'
import { type Fact, Facts } from '~/components/Facts'
import { EmptyState } from '~/ui/states'
import { count, disk, memory, withUnit, yesNo } from '~/util/format'

const isMac = (node: NodeDetail) => node.os === 'macos'

export function NodeHardware({ node }: { node: NodeDetail }) {
  const why = isMac(node) ? 'Not reported by this Mac' : 'Not reported'
  const host: Fact[] = [
    ['System', [node.host.os_version ?? node.os, node.arch].filter(Boolean).join(', ')],
    ['CPU', node.host.cpu],
    ['Cores', count(node.host.cores)],
    ['Memory', memory(node.host.memory_mib)],
  ]
  return (
    <div className="fact-groups">
      <section>
        <h3>Machine</h3>
        <Facts facts={host} />
      </section>
      {node.gpu_details.length === 0 ? (
        <EmptyState title="No GPU reported">The node serves from its CPU, or its driver is not installed.</EmptyState>
      ) : (
        node.gpu_details.map((gpu) => (
          <section key={gpu.index}>
            <h3>
              GPU {gpu.index} <span className="muted">{gpu.name}</span>
            </h3>
            <Facts facts={gpuFacts(gpu, why)} />
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

function gpuFacts(gpu: GpuDetail, why: string): Fact[] {
  const { load } = gpu
  return [
    ['Use', withUnit(load?.util_pct, '%'), why],
    ['Memory', typeof load?.vram_used_mib === 'number' ? `${memory(load.vram_used_mib)} of ${memory(gpu.vram_mib)}` : memory(gpu.vram_mib), why],
    ['Temperature', withUnit(load?.temp_c, '°C'), why],
    ['Power', withUnit(load?.power_w, 'W'), why],
    ['Driver', gpu.driver, why],
    ['CUDA', gpu.cuda, gpu.backend === 'metal' ? 'Metal, no CUDA' : why],
    ['Id', gpu.uuid, why],
  ]
}
