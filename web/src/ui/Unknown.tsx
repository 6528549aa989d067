import { DASH } from '~/util/format'

/** A value that nobody reported. Never 0. */
export function Unknown({ why = 'Not reported' }: { why?: string }) {
  return (
    <span className="unknown" title={why}>
      <span aria-hidden="true">{DASH}</span>
      <span className="sr-only">{why}</span>
    </span>
  )
}

/** Shows `text` where there is a value, the dash where there is none. */
export function Value({ text, why, title }: { text: string | null | undefined; why?: string; title?: string | undefined }) {
  if (text === null || text === undefined || text === '' || text === DASH) return <Unknown {...(why && { why })} />
  return <span title={title}>{text}</span>
}
