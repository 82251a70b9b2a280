// Who talks to which server, as TestClients says in the environment.
import assert from 'node:assert/strict'

const { ISSUER, AUDIENCE, ALGORITHM, LOGIN_URL, CLIENT_ID, CLIENT_SECRET, RESOURCE_SERVER_ID, RESOURCE_SERVER_SECRET } = process.env

export const issuer = ISSUER
export const audience = AUDIENCE
export const algorithm = ALGORITHM
export const client = { id: CLIENT_ID, secret: CLIENT_SECRET } // the secret of a public client is empty
export const resourceServer = { id: RESOURCE_SERVER_ID, secret: RESOURCE_SERVER_SECRET }

// A login is no grant of OAuth's, so that no library has a word for it.
export async function logIn() {
  const headers = { 'Content-Type': 'application/json' }
  if (client.secret) headers.Authorization = `Basic ${btoa(`${client.id}:${client.secret}`)}`
  const response = await fetch(LOGIN_URL, {
    method: 'POST', headers, body: JSON.stringify({ username: 'user1', password: 'password123', clientId: client.id }),
  })
  assert.equal(response.status, 200)
  return response.json()
}
