import { useEffect, useState } from 'react'
import { useSearchParams } from '~/hooks/use-search'

/** What the address said when the page came. It leaves the address: whoever loads the page again is not told it again. */
export function useOnce(name: string): string | undefined {
  const [search, change] = useSearchParams()
  const [said] = useState(search[name])
  const isInAddress = search[name] !== undefined
  useEffect(() => {
    if (isInAddress) change({ [name]: undefined }, 'replace')
  }, [name, isInAddress, change])
  return said
}
