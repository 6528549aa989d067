import { type ReactNode, Fragment } from 'react'
import { Value } from '~/ui/Unknown'

export type Fact = [name: string, value: ReactNode, why?: string | undefined]

/** Name and value pairs. A text that is missing shows as unknown, never as 0. */
export function Facts({ facts }: { facts: Fact[] }) {
  return (
    <dl className="facts">
      {facts.map(([name, value, why]) => (
        <Fragment key={name}>
          <dt>{name}</dt>
          <dd>{typeof value === 'string' || value === null || value === undefined ? <Value text={value} {...(why && { why })} /> : value}</dd>
        </Fragment>
      ))}
    </dl>
  )
}
