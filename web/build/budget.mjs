// Fails the build when the console outgrows its budget: gzip bytes of what a first visit loads, of each
// lazily loaded chunk, and of all CSS.
import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'

const KB = 1000
const BUDGET = { initialJs: 150 * KB, chunk: 60 * KB, css: 20 * KB }
const dist = new URL('../dist/', import.meta.url).pathname

const manifest = JSON.parse(readFileSync(join(dist, '.vite/manifest.json'), 'utf8'))
const size = (file) => statSync(join(dist, `${file}.gz`)).size

const initial = new Set()
const visit = (key) => {
  const chunk = manifest[key]
  if (!chunk || initial.has(chunk.file)) return
  initial.add(chunk.file)
  for (const imported of chunk.imports ?? []) visit(imported)
}
for (const [key, chunk] of Object.entries(manifest)) if (chunk.isEntry) visit(key)

const initialJs = [...initial].reduce((sum, file) => sum + size(file), 0)
const css = new Set(Object.values(manifest).flatMap((chunk) => chunk.css ?? []))
const cssBytes = [...css].reduce((sum, file) => sum + size(file), 0)
const lazy = Object.values(manifest)
  .filter((chunk) => chunk.file.endsWith('.js') && !initial.has(chunk.file))
  .map((chunk) => ({ file: chunk.file, bytes: size(chunk.file) }))

const kb = (bytes) => `${(bytes / KB).toFixed(1)} kB`
const rows = [
  ['initial JS', initialJs, BUDGET.initialJs],
  ['all CSS', cssBytes, BUDGET.css],
  ...lazy.map(({ file, bytes }) => [file, bytes, BUDGET.chunk]),
]
let failed = false
for (const [name, bytes, limit] of rows) {
  const over = bytes > limit
  failed ||= over
  console.log(`${over ? 'OVER ' : 'ok   '} ${name}: ${kb(bytes)} gzip of ${kb(limit)}`)
}
process.exit(failed ? 1 : 0)
