import { useEffect, useState } from 'react'
import { useSearchParams } from '~/hooks/use-search'
import { problemText } from '~/util/issuers'

/** Why somebody came back from an issuer in vain, for as long as this page stands; a reload does not say it again. */
export function useProblem(): string | null {
  const [search, change] = useSearchParams()
  const [problem] = useState(search.problem)
  const isInAddress = search.problem !== undefined
  useEffect(() => {
    if (isInAddress) change({ problem: undefined }, 'replace')
  }, [isInAddress, change])
  return problem ? problemText(problem) : null
}
