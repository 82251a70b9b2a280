import assert from 'node:assert/strict'
import { client, issuer, logIn, resourceServer } from './session.js'

const invalidGrant = { code: 'OAUTH_RESPONSE_BODY_ERROR', error: 'invalid_grant', status: 400 }

async function refusesClient(attempt) {
  const error = await attempt.then(() => assert.fail('the client was believed'), (reason) => reason)
  assert.equal(error.code, 'OAUTH_WWW_AUTHENTICATE_CHALLENGE') // reported first; the body is left to be read
  assert.equal(error.status, 401)
  assert.equal(error.cause[0].scheme, 'basic')
  assert.equal((await error.response.json()).error, 'invalid_client')
}

// tell tries everything with a library. connect(id, secret, method) gives its refresh, revoke and
// introspect, as a client that authenticates by that method.
export async function tell(connect) {
  const { introspect } = await connect(resourceServer.id, resourceServer.secret, 'basic')
  const isInactive = async (token) => assert.deepEqual(await introspect(token), { active: false })

  for (const method of client.secret ? ['basic', 'post'] : ['none']) {
    const own = await connect(client.id, client.secret, method)
    const first = await logIn()
    const second = await own.refresh(first.refreshToken)
    assert.equal(second.token_type, 'bearer') // in lower case by the libraries
    assert.ok(second.expires_in > 0)
    assert.notEqual(second.refresh_token, first.refreshToken)
    const third = await own.refresh(second.refresh_token)
    console.log(`${client.id} by ${method}: refreshed twice`)

    const found = await introspect(third.access_token)
    assert.equal(found.active, true)
    assert.equal(found.client_id, client.id)
    assert.equal(found.iss, issuer)
    assert.equal(found.username, 'user1')
    if (client.secret) {
      assert.equal((await own.introspect(third.refresh_token)).sid, found.sid)
    } else {
      await refusesClient(own.introspect(third.refresh_token))
    }
    await isInactive('unknown')
    console.log(`${client.id} by ${method}: introspected`)

    await assert.rejects(own.refresh(second.refresh_token), invalidGrant) // reuse
    await assert.rejects(own.refresh(third.refresh_token), invalidGrant)
    await isInactive(third.access_token)
    console.log(`${client.id} by ${method}: a used token ends the family`)

    const other = await logIn()
    await own.revoke(other.accessToken)
    await isInactive(other.accessToken)
    const next = await own.refresh(other.refreshToken)
    await own.revoke(next.refresh_token)
    await assert.rejects(own.refresh(next.refresh_token), invalidGrant)
    await isInactive(next.access_token)
    await own.revoke(next.refresh_token)
    await own.revoke('unknown')
    console.log(`${client.id} by ${method}: revoked`)

    const stranger = await connect('stranger', client.secret, method)
    const { refreshToken } = await logIn()
    for (const attempt of [stranger.refresh, stranger.revoke, stranger.introspect]) await refusesClient(attempt(refreshToken))
    await own.refresh(refreshToken)
    console.log(`${client.id} by ${method}: a stranger is refused and spends nothing`)
  }
}
