package token

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
)

// Digest identifies what the ids stand for: two tokenizers with the same digest
// decode any ids to the same text, and know the same special tokens.
func (t *Tokenizer) Digest() string {
	h := sha256.New()
	var b []byte
	for id, text := range t.text {
		b = binary.LittleEndian.AppendUint32(b[:0], uint32(len(text)))
		b = append(b, text...)
		if t.special[id] {
			b = append(b, 1)
		} else {
			b = append(b, 0)
		}
		h.Write(b)
	}
	return hex.EncodeToString(h.Sum(nil))
}
