/** Shortens a long id in the middle, where it says least; readers and copies get all of it. */
export function Truncate({ text, max = 22 }: { text: string; max?: number }) {
  if (text.length <= max) return <>{text}</>
  const tail = Math.floor((max - 1) / 2)
  return (
    <span title={text}>
      <span aria-hidden="true">{`${text.slice(0, max - 1 - tail)}…${text.slice(-tail)}`}</span>
      <span className="sr-only">{text}</span>
    </span>
  )
}
