// What wallets fail with, in words. They agree on a few codes of EIP-1193 and, beyond Ethereum, on nothing.

export type Trouble = 'declined' | 'pending' | 'locked' | 'no-account' | 'other-account' | 'other-text' | 'failed'

const WORDS: Record<Exclude<Trouble, 'failed'>, (name: string) => string> = {
  declined: (name) => `You declined in ${name}. Nothing was changed.`,
  pending: (name) => `${name} still waits for an answer of yours. Open it, answer there, then try again.`,
  locked: (name) => `${name} is locked. Unlock it, then try again.`,
  'no-account': (name) => `${name} gave no account. Choose one there, then try again.`,
  'other-account': (name) => `${name} has another account open than the one that it gave. Choose one there, then try again.`,
  'other-text': (name) => `${name} signed another text than the one that was asked for. It was not sent.`,
}

/** A wallet did not do what was asked. The message is for the person. */
export class WalletError extends Error {
  readonly trouble: Trouble

  constructor(trouble: Trouble, name: string, said = '') {
    super(trouble === 'failed' ? `${name} failed${said ? `: ${said}` : ' and does not say why.'}` : WORDS[trouble](name))
    this.name = 'WalletError'
    this.trouble = trouble
  }
}

const SAID_MAX = 200
const BY_CODE: Record<string, Trouble> = { '4001': 'declined', ACTION_REJECTED: 'declined', '4100': 'other-account', '-32002': 'pending' }
const BY_TEXT: [RegExp, Trouble][] = [
  [/\b(?:lock|unlock)/i, 'locked'],
  [/reject|denied|declin|cancel/i, 'declined'],
  [/already pending/i, 'pending'],
]

function property(of: unknown, name: string): unknown {
  return typeof of === 'object' && of !== null && name in of ? (of as Record<string, unknown>)[name] : undefined
}

export function walletError(error: unknown, name: string): WalletError {
  if (error instanceof WalletError) return error
  const said = String(property(error, 'message') ?? (typeof error === 'string' ? error : '')).slice(0, SAID_MAX)
  const trouble = BY_CODE[String(property(error, 'code'))] ?? BY_TEXT.find(([pattern]) => pattern.test(said))?.[1] ?? 'failed'
  return new WalletError(trouble, name, said)
}

/** Runs what a wallet does; whatever it throws comes out in words. */
export async function inWords<T>(name: string, act: () => Promise<T>): Promise<T> {
  try {
    return await act()
  } catch (error) {
    throw walletError(error, name)
  }
}
