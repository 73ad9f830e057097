package loader

import (
	"fmt"
	"testing"

	"github.com/nlpodyssey/safetensors"
)

// BenchmarkWiden converts one block in the cache; copy is the roof of F32.
func BenchmarkWiden(b *testing.B) {
	src := make([]byte, blockBytes+1)
	for _, t := range []safetensors.DType{safetensors.F32, safetensors.F16, safetensors.BF16} {
		for offset := range 2 {
			b.Run(fmt.Sprintf("type=%s/offset=%d", t, offset), func(b *testing.B) {
				dst := make([]float32, blockBytes/int(t.Size()))
				b.SetBytes(blockBytes)
				for b.Loop() {
					if widen(dst, src[offset:], t) >= 0 {
						b.Fatal("zeros are finite")
					}
				}
			})
		}
	}
	b.Run("copy", func(b *testing.B) {
		dst := make([]byte, blockBytes)
		b.SetBytes(blockBytes)
		for b.Loop() {
			copy(dst, src)
		}
	})
}

// BenchmarkReadRows reads a weight of 1.6 MB: from a file hashed and unhashed, and generated.
func BenchmarkReadRows(b *testing.B) {
	const name = "vision_model.encoder.layers.0.mlp.fc1.weight"
	c := open(b, saved(b, "vit-tiny-g", 1))
	made, err := Synthetic("vit-tiny-g", 1)
	if err != nil {
		b.Fatal(err)
	}
	for _, v := range []struct {
		name string
		c    *Checkpoint
		hash bool
	}{{"file/hash=true", c, true}, {"file/hash=false", c, false}, {"synthetic/hash=false", made, false}} {
		w := v.c.weights[name]
		dst := make([]float32, w.rows()*w.cols())
		hashed := int64(0)
		if !v.hash {
			hashed = int64(len(dst))
		}
		b.Run(v.name, func(b *testing.B) {
			b.SetBytes(int64(4 * len(dst)))
			for b.Loop() {
				w.sum.next.Store(hashed)
				if err := v.c.ReadRows(name, dst, 0, w.rows()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
