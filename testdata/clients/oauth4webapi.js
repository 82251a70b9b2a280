import assert from 'node:assert/strict'
import * as oauth from 'oauth4webapi'
import { algorithm, audience, issuer, logIn } from './session.js'
import { tell } from './story.js'

const plain = { [oauth.allowInsecureRequests]: true }
const discover = () => oauth.discoveryRequest(new URL(issuer), { algorithm: 'oauth2', ...plain })
const server = await oauth.processDiscoveryResponse(new URL(issuer), await discover())
assert.equal(server.issuer, issuer)
await assert.rejects(oauth.processDiscoveryResponse(new URL('http://another.example'), await discover()), { code: oauth.JSON_ATTRIBUTE_COMPARISON })
console.log('oauth4webapi: discovered', server.issuer)

await tell(async (id, secret, method) => {
  const client = { client_id: id }
  const authentication = { basic: oauth.ClientSecretBasic, post: oauth.ClientSecretPost, none: oauth.None }[method](secret)
  const send = (request, token) => request(server, client, authentication, token, plain)
  return {
    refresh: async (token) => oauth.processRefreshTokenResponse(server, client, await send(oauth.refreshTokenGrantRequest, token)),
    revoke: async (token) => oauth.processRevocationResponse(await send(oauth.revocationRequest, token)),
    introspect: async (token) => oauth.processIntrospectionResponse(server, client, await send(oauth.introspectionRequest, token)),
  }
})

const { accessToken } = await logIn()
const request = new Request(issuer, { headers: { Authorization: `Bearer ${accessToken}` } })
const verify = (forWhom) => oauth.validateJwtAccessToken(server, request, forWhom, { signingAlgorithms: [algorithm], ...plain })
assert.equal((await verify(audience)).iss, issuer)
await assert.rejects(verify('https://another.example'), (error) => error.cause.claim === 'aud')
console.log('oauth4webapi: verified an access token of RFC 9068')
