// Package token makes and reads the two kinds of token, and is where their secrets are.
//
//	refresh token   krt_ + 124 characters. The client keeps it; the database has its SHA-256. It lives
//	                until it is used, goes unused for too long, or its family ends. Its MAC, keyed by
//	                the refresh secret, lets garbage be refused without a look-up; it proves nothing
//	                else, since the key may leak. What proves a token is its hash in the database.
//	seal            a refresh token, encrypted to its parent. It lies in the family's row until the
//	                next rotation. It opens with the parent's secret and the server's together.
//	access token    a JWT (RFC 9068). It lives as long as its exp says, or until its family, its user's
//	                state or its user's version says otherwise; nobody keeps it.
//	signing key     what anyone verifies access tokens with has its private part in the database,
//	                encrypted with a key that only the servers have. It signs until another does, and
//	                then verifies until its last token has expired. Without one, a secret signs.
//
// A leaked refresh secret lets an attacker make tokens that pass the MAC, each of which is then
// refused by its hash and touches no family. A leaked signing key or secret lets it make access tokens
// of any content, until the key is revoked or the secret changed. A leaked database opens no seal and no
// key, and matches no token. docs/threat-model.md has the whole of it.
package token
