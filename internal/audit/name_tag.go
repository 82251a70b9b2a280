package audit

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
)

// NameTag stands for a name that belongs to no user. People type passwords into the name field, so
// the name itself is never kept; 48 bits tell operators whether the same one was tried again.
func NameTag(key []byte, name string) string {
	const tagBytes = 6
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(name))
	return hex.EncodeToString(mac.Sum(nil)[:tagBytes])
}
