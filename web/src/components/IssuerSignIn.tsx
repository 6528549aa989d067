import { useQuery } from '@tanstack/react-query'
import { query } from '~/api/queries'
import { IssuerButton } from '~/components/IssuerButton'

/** The way in for whoever linked an account at an issuer: one button for each. */
export function IssuerSignIn({ next, note }: { next: string; note?: string }) {
  const { data } = useQuery(query.authState())
  const issuers = data?.issuers ?? []
  if (issuers.length === 0) return null
  return (
    <div className="wallet-sign-in">
      {/* With wallets the line above stands for both. */}
      {!data?.wallets && <p className="or muted small">or</p>}
      {issuers.map((issuer) => (
        <IssuerButton key={issuer.id} issuer={issuer} purpose="sign_in" next={next}>
          Continue with {issuer.name}
        </IssuerButton>
      ))}
      {note && <p className="muted small">{note}</p>}
    </div>
  )
}
