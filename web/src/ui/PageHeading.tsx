import { type ReactNode, useEffect, useRef } from 'react'
import { announce } from '~/stores/announcer'

let isFirstPage = true

/** The one h1 of a page. After a navigation it takes the focus and the live region says its name. */
export function PageHeading({ title, children, lead }: { title: string; children?: ReactNode; lead?: ReactNode }) {
  const ref = useRef<HTMLHeadingElement>(null)
  useEffect(() => {
    document.title = `${title} · DGON`
    if (!isFirstPage) {
      ref.current?.focus({ preventScroll: true })
      announce(title)
    }
    isFirstPage = false
  }, [title])
  return (
    <header className="page-head">
      <div>
        <h1 ref={ref} tabIndex={-1}>
          {title}
        </h1>
        {lead && <p className="lead">{lead}</p>}
      </div>
      {children && <div className="page-actions">{children}</div>}
    </header>
  )
}
