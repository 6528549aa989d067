import { shortenMiddle } from '~/util/shorten'

/** Shortens a long id in the middle, where it says least; readers and copies get all of it. */
export function Truncate({ text, max = 22 }: { text: string; max?: number }) {
  if (text.length <= max) return <>{text}</>
  return (
    <span title={text}>
      <span aria-hidden="true">{shortenMiddle(text, max)}</span>
      <span className="sr-only">{text}</span>
    </span>
  )
}
