import { defineConfig } from '@hey-api/openapi-ts'

export default defineConfig({
  input: '../../control-plane/openapi.json',
  output: { path: '../../web/src/api/__generated__', postProcess: [] },
  plugins: [{ name: '@hey-api/typescript' }],
})
