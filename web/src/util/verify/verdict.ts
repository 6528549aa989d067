import { verifyEd25519 } from '~/util/verify/crypto'
import { fromKeyText } from '~/util/verify/encoding'
import { ReceiptFormatError, parseReceipt } from '~/util/verify/receipt'

export type Verdict = 'valid' | 'invalid_signature' | 'invalid_receipt'

/** What a verifier says of bytes: the same answer that the agent and the control plane give. */
export async function verdictOf(bytes: Uint8Array<ArrayBuffer>, publicKeyText: string): Promise<Verdict> {
  try {
    const receipt = parseReceipt(bytes)
    const signature = fromKeyText(receipt.signature, 64)
    const publicKey = fromKeyText(publicKeyText, 32)
    if (!signature || !publicKey) return 'invalid_signature'
    const { isValid } = await verifyEd25519(publicKey, receipt.signedBytes, signature)
    return isValid ? 'valid' : 'invalid_signature'
  } catch (error) {
    if (error instanceof ReceiptFormatError) return 'invalid_receipt'
    throw error
  }
}
