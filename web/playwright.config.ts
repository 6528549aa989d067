import { existsSync } from 'node:fs'
import { defineConfig, devices } from '@playwright/test'
import { BASE_URL, SIGNED_IN } from './test/e2e/place'

const SYSTEM_CHROMIUM = process.env.DGON_CHROMIUM ?? '/usr/bin/chromium'

export default defineConfig({
  testDir: 'test/e2e',
  testMatch: '*.e2e.ts',
  outputDir: 'test-results',
  globalSetup: './test/e2e/start.ts',
  // One control plane, one browser: the tests share a network and run one after the other.
  workers: 1,
  fullyParallel: false,
  forbidOnly: true,
  // What is waited for comes at once, but where two cores are busy with something else. No test asserts a time.
  timeout: 120_000,
  expect: { timeout: 20_000 },
  reporter: [['list']],
  use: {
    ...devices['Desktop Chrome'],
    baseURL: BASE_URL,
    viewport: { width: 1280, height: 900 },
    contextOptions: { reducedMotion: 'reduce' },
    trace: 'retain-on-failure',
    launchOptions: {
      ...(existsSync(SYSTEM_CHROMIUM) && { executablePath: SYSTEM_CHROMIUM }),
      args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-component-update', '--no-first-run'],
    },
  },
  projects: [
    { name: 'first-admin', testMatch: 'first-admin.e2e.ts' },
    { name: 'console', testIgnore: 'first-admin.e2e.ts', dependencies: ['first-admin'], use: { storageState: SIGNED_IN } },
  ],
})
