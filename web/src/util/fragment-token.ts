let taken: { page: string; token: string } | null = null

/** The one-time token of a link like `/setup#token=…`. Read once, then gone from the address and its history. */
export function takeFragmentToken(): string | null {
  const token = new URLSearchParams(location.hash.slice(1)).get('token')
  if (token) {
    taken = { page: location.pathname, token }
    history.replaceState(history.state, '', location.pathname + location.search)
  }
  return taken?.page === location.pathname ? taken.token : null
}
