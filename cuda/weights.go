package cuda

import (
	"fmt"

	"vith/kernels"
	"vith/kernels/tensor"
)

// A weightKey is what makes two uses of a weight the same bytes on the device: cublasLt wants the bias of a 16-bit
// result in that type.
type weightKey struct {
	weight *kernels.Weight
	as     tensor.DType
}

func (k weightKey) bytes() int { return k.weight.Rows * k.weight.Cols * k.as.Size() }

// missing are the weights among these that are not on the device, and their size there.
func (b *Backend) missing(keys []weightKey) (list []weightKey, bytes int64) {
	seen := map[weightKey]bool{}
	for _, k := range keys {
		if _, ok := b.weights[k]; ok || seen[k] {
			continue
		}
		seen[k] = true
		list = append(list, k)
		bytes += int64(align(k.bytes()))
	}
	return list, bytes
}

// place uploads weights, which take that many bytes, to an allocation of their own.
func (b *Backend) place(list []weightKey, bytes int64) (err error) {
	if len(list) == 0 {
		return nil
	}
	block, err := b.alloc(bytes)
	if err != nil {
		return err
	}
	placed := false
	defer func() { // also where reading a weight panics
		if !placed {
			err = join(err, b.free(block))
		}
	}()
	if err := b.fill(list, block.at); err != nil {
		return err
	}
	placed = true
	b.blocks = append(b.blocks, block)
	at := block.at
	for _, k := range list {
		b.weights[k] = at
		at += Ptr(align(k.bytes()))
	}
	return nil
}

// fill reads weights and writes them to the device one behind the other.
func (b *Backend) fill(list []weightKey, at Ptr) (err error) {
	row, total := 0, 0
	for _, k := range list {
		row, total = max(row, k.weight.Cols*k.as.Size()), total+k.bytes()
	}
	s, err := b.newStaging(row, total)
	if err != nil {
		return err
	}
	defer func() { err = join(err, s.close()) }()
	var values []float32
	for _, k := range list {
		w := k.weight
		if err := b.region(at, int64(k.bytes()), w.Key, b.copyIn); err != nil {
			return err
		}
		row := w.Cols * k.as.Size()
		for r := 0; r < w.Rows; {
			buffer, err := s.take()
			if err != nil {
				return err
			}
			rows := min(w.Rows-r, len(buffer)/row)
			if n := rows * w.Cols; cap(values) < n {
				values = make([]float32, n)
			}
			values = values[:rows*w.Cols]
			if err := w.Fill(values, r, rows); err != nil {
				return join(err, b.device.StreamSynchronize(b.copyIn))
			}
			encode(buffer, k.as, values)
			if err := s.upload(at+Ptr(r*row), rows*row, b.copyIn); err != nil {
				return fmt.Errorf("upload %s: %w", w.Key, err)
			}
			r += rows
		}
		at += Ptr(align(k.bytes()))
	}
	return b.device.StreamSynchronize(b.copyIn)
}
