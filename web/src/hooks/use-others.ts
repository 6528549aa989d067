import type { UseQueryResult } from '@tanstack/react-query'
import { useEffect } from 'react'
import { session } from '~/stores/session'

const READ_EVERY_MS = 5000

/**
 * Reads what is shown of others' nodes and of pools again every few seconds: the socket tells of one's own nodes alone. The
 * interval of the query itself would begin anew with each frame of one's own, and never end.
 */
export function useOthers({ refetch }: UseQueryResult, isOthers: boolean): void {
  useEffect(() => {
    if (!isOthers) return
    const timer = setInterval(() => {
      // Under the dialog of an ended session the page stays as it is, and every question would be refused.
      if (!document.hidden && session.get().kind !== 'expired') void refetch({ cancelRefetch: false })
    }, READ_EVERY_MS)
    return () => clearInterval(timer)
  }, [isOthers, refetch])
}
