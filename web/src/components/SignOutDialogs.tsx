// What ends sign-ins, each with what it ends and what that does.
import type { FormEvent, ReactNode } from 'react'
import { endOtherSessions, endSession, logout } from '~/api/mutations'
import type { OpenSession } from '~/api/types'
import { Facts } from '~/components/Facts'
import { Refusal } from '~/components/Refusal'
import { useSubmit } from '~/hooks/use-submit'
import { showToast } from '~/stores/toasts'
import { NO_ADDRESS, NO_METHOD } from '~/table/session-columns'
import { Button } from '~/ui/Button'
import { Dialog } from '~/ui/Dialog'
import { Time } from '~/ui/Time'
import { browserName } from '~/util/browser'
import { plural } from '~/util/format'
import { methodWord } from '~/util/sessions'

interface Props<T> {
  title: string
  button: string
  act: () => Promise<T>
  onDone: (result: T) => void
  onClose: () => void
  children: ReactNode
}

function SignOutDialog<T>({ title, button, act, onDone, onClose, children }: Props<T>) {
  const ending = useSubmit({ mutationFn: act, onSuccess: onDone })
  const submit = (event: FormEvent) => {
    event.preventDefault()
    ending.submit()
  }
  return (
    <Dialog title={title} onClose={onClose}>
      <form className="form" onSubmit={submit}>
        {children}
        {ending.error && <Refusal error={ending.error} />}
        <div className="form-buttons">
          <Button onClick={onClose}>Keep as it is</Button>
          <Button tone="danger" type="submit" isBusy={ending.isPending}>
            {button}
          </Button>
        </div>
      </form>
    </Dialog>
  )
}

interface OneProps {
  session: OpenSession
  onEnded: () => void
  onClose: () => void
}

/** Ends one sign-in. One's own is left the way the sidebar leaves it, which takes the cookies along. */
export function EndSession({ session, onEnded, onClose }: OneProps) {
  const name = browserName(session.user_agent)
  const done = () => {
    if (!session.is_current) showToast(`Signed out: ${name}`)
    onEnded()
  }
  return (
    <SignOutDialog
      title={session.is_current ? 'Sign out this browser' : `Sign out ${name}`}
      button="Sign out"
      act={() => (session.is_current ? logout() : endSession(session.id))}
      onDone={done}
      onClose={onClose}
    >
      <p>{session.is_current ? 'It is the browser that you are using. You come to the sign-in page.' : 'It is signed out at once, and its page asks to sign in again.'}</p>
      <Facts
        facts={[
          ['Address', session.ip, NO_ADDRESS],
          ['Signed in', <Time key="at" at={session.created_at} form="full" />],
          ['Last seen', session.is_current ? 'Now' : <Time key="seen" at={session.renewed_at} form="full" />],
          ['Method', methodWord(session.method), NO_METHOD],
          ['Calls itself', session.user_agent, 'It did not say what it is'],
        ]}
      />
    </SignOutDialog>
  )
}

interface OthersProps {
  /** How many there are, where that is known. */
  others: number | undefined
  onEnded: () => void
  onClose: () => void
}

/** Ends all sign-ins but this one: the ones on the list, and any that came since it was read. */
export function EndOtherSessions({ others, onEnded, onClose }: OthersProps) {
  const done = (ended: number) => {
    showToast(ended === 0 ? 'No other sign-in was left' : `Signed out everywhere else: ${plural(ended, 'sign-in')} ended`)
    onEnded()
  }
  const what = others === undefined ? 'Every other browser is' : others === 1 ? 'The other browser is' : `${plural(others, 'other browser')} are`
  return (
    <SignOutDialog title="Sign out everywhere else" button="Sign out everywhere else" act={endOtherSessions} onDone={done} onClose={onClose}>
      <p>{what} signed out at once. This one stays signed in.</p>
    </SignOutDialog>
  )
}
