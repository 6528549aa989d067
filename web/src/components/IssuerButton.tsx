import { useMutation } from '@tanstack/react-query'
import type { ReactNode } from 'react'
import { goToIssuer } from '~/api/issuers'
import type { Issuer, OidcWish } from '~/api/types'
import { Refusal } from '~/components/Refusal'
import { Button } from '~/ui/Button'

interface Props {
  issuer: Issuer
  purpose: OidcWish
  /** Where to go on after signing in. */
  next?: string | undefined
  children: ReactNode
}

/** Leads to an issuer, or says why it does not. */
export function IssuerButton({ issuer, purpose, next, children }: Props) {
  const leaving = useMutation({ mutationFn: () => goToIssuer(issuer.id, purpose, next ?? null) })
  return (
    <>
      <Button data-issuer={issuer.id} isBusy={leaving.isPending} onClick={() => leaving.mutate()}>
        {children}
      </Button>
      {leaving.error && <Refusal error={leaving.error} />}
    </>
  )
}
