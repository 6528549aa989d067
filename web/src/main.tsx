import { QueryClientProvider } from '@tanstack/react-query'
import { RouterProvider } from '@tanstack/react-router'
import { StrictMode } from 'react'
import { createRoot } from 'react-dom/client'
import { boot } from '~/api/boot'
import { queryClient } from '~/api/queries'
import { keepToWallet } from '~/api/wallet-session'
import { router } from '~/router'
import { keepNext, readNext } from '~/stores/at-issuer'
import '~/styles/index.css'
import { path, safeNext } from '~/util/path-builder'

boot()
keepToWallet()

// An issuer sends whoever it let in to the first page.
const next = readNext()
if (next && location.pathname === path.overview()) {
  keepNext(null)
  router.history.replace(safeNext(next))
}

const root = document.querySelector('#root')
if (root) {
  createRoot(root).render(
    <StrictMode>
      <QueryClientProvider client={queryClient}>
        <RouterProvider router={router} />
      </QueryClientProvider>
    </StrictMode>,
  )
}
