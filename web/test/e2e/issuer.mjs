// A real issuer of OpenID Connect (npm's oidc-provider), for one client. Whoever asks is let in under the name that they type.
// Usage: node issuer.mjs PORT REDIRECT_URI ALGORITHM
import { generateKeyPairSync } from 'node:crypto'
import { Provider } from 'oidc-provider'

const [port, redirectUri, algorithm] = process.argv.slice(2)
const url = `http://localhost:${port}`
const kinds = { RS256: ['rsa', { modulusLength: 2048 }], EdDSA: ['ed25519', {}] }
const { privateKey } = generateKeyPairSync(...kinds[algorithm])

const provider = new Provider(url, {
  jwks: { keys: [{ ...privateKey.export({ format: 'jwk' }), use: 'sig', alg: algorithm }] },
  clients: [
    {
      client_id: 'console',
      // What a form encodes: it must come through as it is.
      client_secret: 'a secret of: the tests',
      redirect_uris: [redirectUri],
      id_token_signed_response_alg: algorithm,
    },
  ],
  claims: { openid: ['sub'], email: ['email'] },
  conformIdTokenClaims: false,
  findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id, email: `${id}@issuer.example` }) }),
  cookies: { keys: ['a key of the tests'] },
  ttl: { AccessToken: 60, AuthorizationCode: 60, Grant: 600, IdToken: 60, Interaction: 600, Session: 600 },
})

provider.listen(Number(port), 'localhost', () => console.log(`issuer at ${url}`))
