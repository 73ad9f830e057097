package server

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
)

// A keyring holds the digests of the API keys. An empty one admits everybody.
type keyring [][sha256.Size]byte

func newKeyring(keys []string) keyring {
	k := make(keyring, len(keys))
	for i, key := range keys {
		k[i] = sha256.Sum256([]byte(key))
	}
	return k
}

// admits reports whether the Authorization header names one of the keys. The
// time it takes depends on neither the keys nor how much of one was guessed:
// digests are compared, all of them, in constant time.
func (k keyring) admits(authorization []byte) bool {
	if len(k) == 0 {
		return true
	}
	scheme, token, _ := bytes.Cut(authorization, []byte(" "))
	digest := sha256.Sum256(bytes.TrimSpace(token))
	found := 0
	for _, key := range k {
		found |= subtle.ConstantTimeCompare(key[:], digest[:])
	}
	return found == 1 && bytes.EqualFold(scheme, []byte("Bearer"))
}
