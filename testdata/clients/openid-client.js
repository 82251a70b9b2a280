import assert from 'node:assert/strict'
import * as openid from 'openid-client'
import { issuer } from './session.js'
import { tell } from './story.js'

await tell(async (id, secret, method) => {
  const authentication = { basic: openid.ClientSecretBasic, post: openid.ClientSecretPost, none: openid.None }[method](secret)
  const options = { algorithm: 'oauth2', execute: [openid.allowInsecureRequests] }
  const config = await openid.discovery(new URL(issuer), id, undefined, authentication, options)
  assert.equal(config.serverMetadata().issuer, issuer)
  console.log('openid-client: discovered', issuer)
  return {
    refresh: (token) => openid.refreshTokenGrant(config, token),
    revoke: (token) => openid.tokenRevocation(config, token),
    introspect: (token) => openid.tokenIntrospection(config, token),
  }
})
