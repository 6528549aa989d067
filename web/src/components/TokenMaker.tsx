import { useQuery } from '@tanstack/react-query'
import { query } from '~/api/queries'
import type { EnrolmentToken } from '~/api/types'
import { useMe } from '~/hooks/use-me'
import { hasRole } from '~/stores/session'
import { AppLink } from '~/ui/AppLink'
import { Truncate } from '~/ui/Truncate'
import { makerOf } from '~/util/enrolment'
import { path } from '~/util/path-builder'

const CLI = 'cli'

/** Who made a token: by name for admins, who may look people up; by id for others. */
export function TokenMaker({ token }: { token: EnrolmentToken }) {
  const me = useMe()
  const userId = makerOf(token)
  const isOwn = userId !== null && userId === me?.user_id
  const isAdmin = hasRole(me, 'admin')
  const user = useQuery({ ...query.user(userId ?? ''), enabled: isAdmin && userId !== null && !isOwn })
  if (isOwn) return 'You'
  if (userId === null) return token.created_by === CLI ? 'The command line' : token.created_by
  if (!isAdmin)
    return (
      <span className="mono">
        <Truncate text={userId} />
      </span>
    )
  const name = user.data?.email ?? userId
  return (
    <AppLink href={path.user(userId)} className="quiet-link" title={name}>
      {name}
    </AppLink>
  )
}
