import { useMutation } from '@tanstack/react-query'
import { useCallback, useRef } from 'react'

interface Options<T> {
  mutationFn: () => Promise<T>
  onSuccess: (result: T) => void
}

/**
 * A form's one mutation. It is under way from the moment of the first press, not from the next drawing of the page, so
 * a second press in between sends nothing. It may be sent again only after it failed.
 */
export function useSubmit<T>({ mutationFn, onSuccess }: Options<T>) {
  const isSent = useRef(false)
  // With its form it is gone: what was typed, such as a password, is kept nowhere.
  const { mutate, error, isPending } = useMutation({ mutationFn, onSuccess, gcTime: 0 })
  const submit = useCallback(() => {
    if (isSent.current) return
    isSent.current = true
    mutate(undefined, {
      onError: () => {
        isSent.current = false
      },
    })
  }, [mutate])
  return { submit, error, isPending }
}
