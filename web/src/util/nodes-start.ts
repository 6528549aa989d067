import type { Me } from '~/api/types'
import { looksAfterOwn } from '~/stores/session'
import { path } from '~/util/path-builder'

/** Where the list of nodes begins for somebody: with those that are theirs to look after, by a filter that they can take away. */
export const nodesStart = (me: Pick<Me, 'roles'> | null): string => path.nodes(looksAfterOwn(me) ? { owner: 'self' } : {})
