import react from '@vitejs/plugin-react'
import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'
import { precompress } from './build/precompress.ts'
import { mockApi } from './mock-api/plugin.ts'

// A control plane on this machine for `npm run dev`; without it the small mock answers.
const backend = process.env.DGON_BASE_URL

export default defineConfig({
  plugins: [react(), precompress(), ...(backend ? [] : [mockApi()])],
  resolve: { alias: { '~': fileURLToPath(new URL('./src', import.meta.url)) } },
  build: {
    target: 'es2023',
    // The CSP forbids data: URLs, so nothing is ever inlined.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    manifest: true,
  },
  server: {
    port: 5173,
    proxy: backend ? { '/api': { target: backend, ws: true, changeOrigin: false } } : undefined,
  },
  test: { include: ['test/unit/**/*.test.ts'], environment: 'node' },
})
