import type { Me } from '~/api/types'
import { useMe } from '~/hooks/use-me'
import { prefs, setPrefs } from '~/stores/prefs'
import { hasRole, seesReceipts } from '~/stores/session'
import { useStore } from '~/stores/store'
import { Dialog } from '~/ui/Dialog'
import { SelectField } from '~/ui/Field'
import { zoneName } from '~/util/time'

const isAdmin = (me: Me | null) => hasRole(me, 'admin')

const KEYS: [keys: string[], what: string, isFor?: (me: Me | null) => boolean][] = [
  [['/'], 'Search on this page'],
  [['g', 'o'], 'Overview'],
  [['g', 'n'], 'Nodes'],
  [['g', 'r'], 'Receipts', seesReceipts],
  [['g', 'u'], 'Run a node'],
  [['g', 'l'], 'Private pools', (me) => me?.private_pools === true],
  [['g', 'p'], 'Users', isAdmin],
  [['g', 'c'], 'Organisations', isAdmin],
  [['g', 'i'], 'Assignments', isAdmin],
  [['g', 'd'], 'Audit', isAdmin],
  [['g', 'a'], 'Account'],
  [['g', 's'], 'Sign-ins'],
  [['j', 'k'], 'Next and previous row'],
  [['Enter'], 'Open the row'],
  [['[', ']'], 'Previous and next node in the drawer'],
  [['Esc'], 'Close'],
  [['?'], 'This help'],
]

export function HelpDialog({ onClose }: { onClose: () => void }) {
  const { shortcuts, zone } = useStore(prefs)
  const me = useMe()
  return (
    <Dialog title="Help and settings" onClose={onClose}>
      <h3>Keyboard</h3>
      <dl className="keys">
        {KEYS.filter(([, , isFor]) => isFor?.(me) ?? true).map(([keys, what]) => (
          <div key={what}>
            <dt>
              {keys.map((key) => (
                <kbd key={key}>{key}</kbd>
              ))}
            </dt>
            <dd>{what}</dd>
          </div>
        ))}
      </dl>
      <label className="check">
        <input type="checkbox" checked={shortcuts} onChange={(event) => setPrefs({ shortcuts: event.target.checked })} />
        Single-key shortcuts
      </label>
      <h3>Times</h3>
      <SelectField
        label="Time zone"
        value={zone}
        onChange={(value) => setPrefs({ zone: value === 'utc' ? 'utc' : 'local' })}
        options={[
          ['local', `This browser's zone${zone === 'local' ? ` (${zoneName()})` : ''}`],
          ['utc', 'UTC'],
        ]}
      />
      <h3>Everything here is an API call</h3>
      <p className="muted">
        The console has no private interface: each page reads <code>/api/v1</code>, described by <a href="/api/v1/openapi.json">openapi.json</a>.
      </p>
    </Dialog>
  )
}
