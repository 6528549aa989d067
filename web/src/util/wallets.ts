import { shortenMiddle } from '~/util/shorten'

const KINDS: Record<string, string> = { evm: 'Ethereum (EVM)', solana: 'Solana', cosmos: 'Cosmos' }
/** Enough of both ends that no one finds another account that looks the same by trying. */
export const ADDRESS_SHOWN = 19

/** What kind of account it is; a newer word is shown as it is. */
export const kindWord = (kind: string): string => KINDS[kind] ?? kind

export const shortAddress = (address: string): string => shortenMiddle(address, ADDRESS_SHOWN)
