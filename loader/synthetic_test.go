package loader

import (
	"crypto/sha256"
	"fmt"
	"testing"
)

// published are the sizes and sums of the files in the specification of the synthetic checkpoints.
var published = []struct {
	config string
	seed   uint64
	bytes  int64
	sha256 string
}{
	{"vit-tiny", 1, 2930648, "9149a6018b152236d1d85f4bd25b77f98e1820be9827e49c67f1439bb10c82a9"},
	{"vit-tiny-b", 1, 2822944, "13130db34c36513c76fe4b34aef7188a182b97e5ae20ab2f9f76b2d6ea67f67e"},
	{"vit-tiny-g", 1, 5468208, "b1f650326c228702d9da55ba85cb3766cbe9d567a07d1e6651d9cae91f0a82fd"},
}

func TestWriteSyntheticIsByteExact(t *testing.T) {
	for _, p := range published {
		h := sha256.New()
		var last, total int64
		if err := WriteSynthetic(t.Context(), h, p.config, p.seed, func(d, n int64) { last, total = d, n }); err != nil {
			t.Fatal(err)
		}
		if last != p.bytes || total != p.bytes {
			t.Errorf("%s/%d: progress ended at %d of %d bytes, want %d", p.config, p.seed, last, total, p.bytes)
		}
		if got := fmt.Sprintf("%x", h.Sum(nil)); got != p.sha256 {
			t.Errorf("%s/%d has sha256 %s, want %s", p.config, p.seed, got, p.sha256)
		}
	}
}
