import assert from 'node:assert/strict'
import { calculateJwkThumbprint, createRemoteJWKSet, jwtVerify } from 'jose'
import { algorithm, audience, issuer, logIn } from './session.js'

const keys = createRemoteJWKSet(new URL(`${issuer}/.well-known/jwks.json`), { cacheMaxAge: 300_000 })
const { accessToken } = await logIn()
const verify = (token, changed) => jwtVerify(token, keys, { // as docs/keys.md has it
  issuer, audience, typ: 'at+jwt', algorithms: [algorithm],
  requiredClaims: ['sub', 'exp', 'jti', 'sid'], clockTolerance: 60, ...changed,
})

const { payload, protectedHeader } = await verify(accessToken)
assert.equal(payload.username, 'user1')
assert.equal(protectedHeader.alg, algorithm)
assert.equal(keys.jwks().keys.length, 1)
assert.equal(await calculateJwkThumbprint(keys.jwks().keys[0]), protectedHeader.kid)
console.log(`jose: verified ${algorithm} with key ${protectedHeader.kid}`)

const wrongClaim = (claim) => ({ code: 'ERR_JWT_CLAIM_VALIDATION_FAILED', claim })
await assert.rejects(verify(accessToken, { audience: 'https://another.example' }), wrongClaim('aud'))
await assert.rejects(verify(accessToken, { issuer: 'https://another.example' }), wrongClaim('iss'))
await assert.rejects(verify(accessToken, { typ: 'JWT' }), wrongClaim('typ'))
await assert.rejects(verify(accessToken, { algorithms: ['HS256'] }), { code: 'ERR_JOSE_ALG_NOT_ALLOWED' })
const [header, , signature] = accessToken.split('.')
const forged = Buffer.from(JSON.stringify({ ...payload, role: 'admin' })).toString('base64url')
await assert.rejects(verify(`${header}.${forged}.${signature}`), { code: 'ERR_JWS_SIGNATURE_VERIFICATION_FAILED' })
console.log('jose: refused another audience, issuer, type and algorithm, and altered claims')
