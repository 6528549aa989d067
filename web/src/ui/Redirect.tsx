import { useRouter } from '@tanstack/react-router'
import { useEffect } from 'react'

/** Goes elsewhere without leaving a step in the history. */
export function Redirect({ href }: { href: string }) {
  const router = useRouter()
  useEffect(() => {
    void router.navigate({ href, replace: true })
  }, [router, href])
  return null
}
