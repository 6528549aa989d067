/** A text of at most `max` characters: beginning and end of a longer one. */
export function shortenMiddle(text: string, max: number): string {
  if (text.length <= max) return text
  const tail = Math.floor((max - 1) / 2)
  return `${text.slice(0, max - 1 - tail)}…${text.slice(-tail)}`
}
