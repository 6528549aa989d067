import { useRef, useState } from 'react'
import type { Assignee, NodeDetail } from '~/api/types'
import { AssignPerson, EndAssignment } from '~/components/AssignDialogs'
import { useFocusAfter } from '~/hooks/use-focus-after'
import { useMe } from '~/hooks/use-me'
import { hasRole } from '~/stores/session'
import { AppLink } from '~/ui/AppLink'
import { Button } from '~/ui/Button'
import { Time } from '~/ui/Time'
import { path } from '~/util/path-builder'

type Doing = { kind: 'add' } | { kind: 'end'; assignee: Assignee }

/** Who takes care of a node; told to its own people and to admins, who change it. */
export function NodePeople({ node }: { node: NodeDetail }) {
  const isAdmin = hasRole(useMe(), 'admin')
  const [doing, setDoing] = useState<Doing | null>(null)
  const add = useRef<HTMLButtonElement>(null)
  useFocusAfter(doing && doing.kind, () => add.current)
  const close = () => setDoing(null)
  return (
    <section className="node-people" aria-labelledby="people-title">
      <h3 id="people-title">Taken care of by</h3>
      {node.assignees.length === 0 && <p className="muted">Nobody is assigned to this node.</p>}
      <ul className="plain-list people">
        {node.assignees.map((one) => (
          <li key={one.user_id}>
            <span className="person">
              <strong className="break">{isAdmin ? <AppLink href={path.user(one.user_id)}>{one.email}</AppLink> : one.email}</strong>{' '}
              <span className="muted">
                since <Time at={one.assigned_at} form="short" />, assigned by {one.assigned_by_email ?? 'an admin'}
              </span>
            </span>
            {isAdmin && (
              <Button aria-label={`Take ${one.email} off…`} onClick={() => setDoing({ kind: 'end', assignee: one })}>
                Take off…
              </Button>
            )}
          </li>
        ))}
      </ul>
      {isAdmin && (
        <Button ref={add} onClick={() => setDoing({ kind: 'add' })}>
          Assign somebody…
        </Button>
      )}
      {doing?.kind === 'add' && <AssignPerson node={node} onClose={close} />}
      {doing?.kind === 'end' && <EndAssignment node={node} assignee={doing.assignee} onClose={close} />}
    </section>
  )
}
