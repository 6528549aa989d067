import { SelectField } from '~/ui/Field'

interface Props {
  /** As the address has it: `me`, `nobody` or a person's id. */
  value: string | undefined
  onChange: (assignee: string | undefined) => void
  /** What a person's id is called. */
  nameOf?: (userId: string) => string
}

/** Whose nodes are listed. A person who is neither is chosen by their name in a row. */
export function AssigneeField({ value = '', onChange, nameOf = () => 'One person' }: Props) {
  const offered: [string, string][] = [
    ['', 'Anybody takes care'],
    ['me', 'I take care'],
    ['nobody', 'Nobody takes care'],
  ]
  if (!offered.some(([one]) => one === value)) offered.push([value, nameOf(value)])
  return <SelectField label="Taken care of by" isLabelHidden value={value} onChange={(assignee) => onChange(assignee || undefined)} options={offered} />
}
