// Whether somebody signed in with this browser: one that never did asks nothing that would be refused.
const HINT = 'dgon.session'

export function hadSession(): boolean {
  try {
    return localStorage.getItem(HINT) === 'yes'
  } catch {
    return true
  }
}

/** A session began, or may have begun when the browser comes back from another site. */
export function hintSession(): void {
  try {
    localStorage.setItem(HINT, 'yes')
  } catch {
    // Without storage a renewed page simply asks the server.
  }
}

export function forgetSession(): void {
  try {
    localStorage.removeItem(HINT)
  } catch {
    // There is nothing to forget.
  }
}
