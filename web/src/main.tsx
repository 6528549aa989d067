import { QueryClientProvider } from '@tanstack/react-query'
import { RouterProvider } from '@tanstack/react-router'
import { StrictMode } from 'react'
import { createRoot } from 'react-dom/client'
import { boot } from '~/api/boot'
import { queryClient } from '~/api/queries'
import { keepToWallet } from '~/api/wallet-session'
import { router } from '~/router'
import '~/styles/index.css'

boot()
keepToWallet()

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
