import { useOnce } from '~/hooks/use-once'
import { problemText } from '~/util/issuers'

/** Why somebody came back from an issuer in vain, for as long as this page stands; a reload does not say it again. */
export function useProblem(): string | null {
  const problem = useOnce('problem')
  return problem ? problemText(problem) : null
}
