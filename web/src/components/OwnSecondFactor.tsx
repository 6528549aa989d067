import { useState } from 'react'
import type { Me, SecondFactor } from '~/api/types'
import { Facts } from '~/components/Facts'
import { NewRecoveryCodes, TurnOffSecondFactor } from '~/components/SecondFactorDialogs'
import { SetUpSecondFactor } from '~/components/SetUpSecondFactor'
import { showToast } from '~/stores/toasts'
import { Button } from '~/ui/Button'
import { Icon } from '~/ui/Icon'
import { Time } from '~/ui/Time'
import { RECOVERY_CODES, codesLeft, codesTone } from '~/util/second-factor'

type Doing = 'set-up' | 'codes' | 'off' | null

/** The code that one is asked for beside the first proof: set up, renewed, turned off. */
export function OwnSecondFactor({ me }: { me: Me }) {
  const [doing, setDoing] = useState<Doing>(null)
  const factor = me.second_factor ?? null
  const close = () => setDoing(null)
  const done = (text: string) => {
    showToast(text)
    close()
  }
  return (
    <section className="panel" aria-labelledby="second-factor">
      <header className="panel-head">
        <h2 id="second-factor">Authenticator app</h2>
        <div className="panel-tools">
          {factor && <Button onClick={() => setDoing('codes')}>New recovery codes…</Button>}
          {/* One button, whose word changes: whoever pressed it keeps the focus. */}
          <Button tone={factor ? 'danger' : 'plain'} onClick={() => setDoing(factor ? 'off' : 'set-up')}>
            {factor ? 'Turn off…' : 'Set up…'}
          </Button>
        </div>
      </header>
      {factor ? (
        <On factor={factor} />
      ) : (
        <p>With an app on your phone, signing in takes a code from it, too, after your password, a link, a wallet or an account elsewhere. Whoever gets hold of one of those alone does not get in.</p>
      )}
      {doing === 'set-up' && <SetUpSecondFactor email={me.email} onDone={() => done('Your authenticator app is set up. All your other sign-ins ended.')} onClose={close} />}
      {doing === 'codes' && <NewRecoveryCodes email={me.email} onDone={() => done('Your new recovery codes count from now on')} onClose={close} />}
      {doing === 'off' && <TurnOffSecondFactor onDone={() => done('Turned off: signing in takes no code any more')} onClose={close} />}
    </section>
  )
}

function On({ factor }: { factor: SecondFactor }) {
  const { since, recovery_codes_left: left } = factor
  const tone = codesTone(left)
  return (
    <>
      {tone && (
        <p className={`notice notice-${tone}`} role="status">
          <Icon name="warning" size={16} />
          <span>
            {codesLeft(left)}. {left === 0 ? 'If your app is gone, only an admin can let you in. Make new ones now.' : 'Make new ones before they are used up.'}
          </span>
        </p>
      )}
      <Facts
        facts={[
          ['On since', <Time key="since" at={since} form="full" />],
          ['Recovery codes', `${left} of ${RECOVERY_CODES} left`],
        ]}
      />
    </>
  )
}
