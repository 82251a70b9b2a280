// Package family holds the rules of a token family, without any I/O.
//
// A family is one login and every refresh token that descends from it: a chain, in which each
// rotation appends one child to the current token. Exactly one token is current. The database is
// the authority on state and on time; this package decides what a presented token means.
//
//	         login
//	           │
//	           ▼
//	┌──────── live ◄────────────┐
//	│          │                │
//	│          ├─ current token presented ─────────────── rotate: the child becomes current
//	│          └─ its parent, within the reuse interval ─ replay: the same child once more
//	│
//	├─ any other token of the chain ──► revoked (reuse_detected)
//	├─ the parent, by another party in the third generation in a row ──► revoked (paced_theft), if set so
//	├─ logout, end of session, user or client disabled, revoked by its client ──► revoked (that reason)
//	└─ absolute or idle expiry passed ──► expired: refused, nothing is written
//
// Revoked and expired are final. A refusal that is not listed as changing the family leaves it
// exactly as it was.
package family
