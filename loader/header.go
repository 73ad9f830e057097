package loader

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/bits"
	"slices"
	"strconv"

	"github.com/nlpodyssey/safetensors"
)

// Limits on a header. The first is the format's own; the others are far above every published checkpoint and keep what
// a hostile header makes us allocate in proportion to its length.
const (
	maxHeader  = 100_000_000 // bytes
	maxTensors = 1 << 16
	maxRank    = 8
	maxName    = 1 << 10 // bytes
	maxDType   = 16      // bytes
)

// A stored tensor is one entry of a header and its bytes.
type stored struct {
	name   string
	file   string
	dtype  safetensors.DType
	shape  []uint64
	offset int64 // in the file
	size   int64 // bytes
	data   []byte
	mapped bool // as the file is
}

// parse reads the header of a safetensors file: the length of a JSON object (8 bytes, little-endian), the object, then
// the data of the tensors without gaps. It returns the tensors in the order of their data, and "__metadata__".
//
// Source: https://github.com/huggingface/safetensors#format.
func parse(f file) ([]stored, map[string]string, error) {
	tensors, metadata, err := parseHeader(f, uint64(len(f.data)))
	for i := range tensors {
		t := &tensors[i]
		t.data, t.mapped = f.data[t.offset:][:t.size:t.size], f.mapped
	}
	return tensors, metadata, err
}

// parseHeader is parse without the data: f holds the header at least, of a file of size bytes.
func parseHeader(f file, size uint64) ([]stored, map[string]string, error) {
	header, start, err := cut(f)
	if err != nil {
		return nil, nil, err
	}
	name, err := vet(header)
	var m safetensors.Metadata
	if err == nil {
		err = m.UnmarshalJSON(header)
	}
	if err != nil {
		return nil, nil, foreignOr(f, &Error{File: f.path, Tensor: name, Problem: "the header is not a table of tensors", Err: err,
			Remedy: "download the file again; if it is not damaged, save it as F32, F16 or BF16"})
	}
	tensors, err := layOut(f.path, start, size, m.Tensors())
	if err != nil {
		return nil, nil, err
	}
	return tensors, m.Metadata(), nil
}

// cut returns the JSON of the header, without the spaces that pad it, and where the data start after it.
func cut(f file) (header []byte, start uint64, err error) {
	damaged := func(format string, args ...any) ([]byte, uint64, error) {
		return nil, 0, foreignOr(f, &Error{File: f.path, Problem: fmt.Sprintf(format, args...), Remedy: downloadAgain})
	}
	if len(f.data) == 0 {
		return damaged("the file is empty")
	}
	if len(f.data) < 8 {
		return damaged("%d bytes are too few for a safetensors file", len(f.data))
	}
	n, rest := binary.LittleEndian.Uint64(f.data), f.data[8:]
	if n > maxHeader {
		return damaged("the header's length of %d bytes is above the format's %d", n, maxHeader)
	}
	if n > uint64(len(rest)) {
		return damaged("the header's length is %d bytes, but only %d follow", n, len(rest))
	}
	return bytes.TrimRight(rest[:n], " "), 8 + n, nil
}

// vet checks what decoding would pass over or pay dearly for: that no name is repeated, that every tensor is an object of
// a known type and short lists of natural numbers, and that there are not absurdly many. It names the tensor at fault.
func vet(header []byte) (name string, err error) {
	d := json.NewDecoder(bytes.NewReader(header))
	d.UseNumber()
	err = object(d, maxTensors+1, func(key string) error {
		name = key
		err := value(d, key)
		if err == nil {
			name = ""
		}
		return err
	})
	if err != nil {
		return name, err
	}
	if _, err := d.Token(); err != io.EOF {
		return "", errors.New("more text follows it")
	}
	return "", nil
}

// value reads the value of a member of the header.
func value(d *json.Decoder, key string) error {
	if key == "__metadata__" {
		return object(d, maxTensors, func(string) error {
			_, err := text(d, maxHeader)
			return err
		})
	}
	return object(d, 3, func(field string) error {
		if field != "dtype" {
			return numbers(d)
		}
		s, err := text(d, maxDType)
		if err == nil {
			_, err = safetensors.ParseDType(s)
		}
		return err
	})
}

// object reads an object of at most limit members; member reads the value of each.
func object(d *json.Decoder, limit int, member func(key string) error) error {
	if err := delim(d, '{', "an object"); err != nil {
		return err
	}
	seen := map[string]bool{}
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return err
		}
		key := token.(string) // the decoder accepts nothing else here
		switch {
		case len(key) > maxName:
			return fmt.Errorf("a name of %d bytes", len(key))
		case seen[key]:
			return fmt.Errorf("%q is there twice", key)
		case len(seen) == limit:
			return fmt.Errorf("more than %d members", limit)
		}
		seen[key] = true
		if err := member(key); err != nil {
			return err
		}
	}
	return end(d)
}

func text(d *json.Decoder, limit int) (string, error) {
	token, err := d.Token()
	if err != nil {
		return "", unexpected(err)
	}
	s, ok := token.(string)
	if !ok || len(s) > limit {
		return "", fmt.Errorf("%.40v is not a string of at most %d bytes", token, limit)
	}
	return s, nil
}

func numbers(d *json.Decoder) error {
	if err := delim(d, '[', "a list"); err != nil {
		return err
	}
	for n := 0; d.More(); n++ {
		token, err := d.Token()
		if err != nil {
			return err
		}
		number, _ := token.(json.Number)
		if _, err := strconv.ParseUint(string(number), 10, 64); err != nil {
			return fmt.Errorf("%.40v is not a natural number below 2^64", token)
		}
		if n == maxRank {
			return fmt.Errorf("more than %d dimensions", maxRank)
		}
	}
	return end(d)
}

func delim(d *json.Decoder, want json.Delim, what string) error {
	token, err := d.Token()
	if err != nil {
		return unexpected(err)
	}
	if token != want {
		return fmt.Errorf("%.40v where %s belongs", token, what)
	}
	return nil
}

// end reads the closing delimiter; More has seen that nothing else follows.
func end(d *json.Decoder) error {
	_, err := d.Token()
	return unexpected(err)
}

func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// layOut checks that the tensors fill a file of size bytes from start on without gap or overlap, each as large as its
// shape and type say.
func layOut(path string, start, size uint64, infos map[string]*safetensors.TensorInfo) ([]stored, error) {
	names := slices.SortedFunc(maps.Keys(infos), func(a, b string) int {
		s, t := infos[a].DataOffsets, infos[b].DataOffsets
		return cmp.Or(cmp.Compare(s[0], t[0]), cmp.Compare(s[1], t[1]), cmp.Compare(a, b))
	})
	tensors := make([]stored, len(names))
	data, next := size-start, uint64(0) // bytes
	for i, name := range names {
		t := infos[name]
		from, to := t.DataOffsets[0], t.DataOffsets[1]
		damaged := func(format string, args ...any) error {
			return &Error{File: path, Tensor: name, Problem: fmt.Sprintf(format, args...), Remedy: downloadAgain}
		}
		want, ok := byteSize(t)
		switch {
		case !ok:
			return nil, damaged("shape %v of %s overflows", t.Shape, t.DType)
		case to < from:
			return nil, damaged("data_offsets %v run backwards", t.DataOffsets)
		case to-from != want:
			return nil, damaged("shape %v of %s takes %d bytes, data_offsets %v hold %d", t.Shape, t.DType, want, t.DataOffsets, to-from)
		case from < next:
			return nil, damaged("data_offsets %v overlap %q, which ends at %d", t.DataOffsets, names[i-1], next)
		case from > next:
			return nil, damaged("data_offsets %v leave a hole of %d bytes before them", t.DataOffsets, from-next)
		case to > data:
			return nil, damaged("its data end at byte %d, the file holds %d bytes of data", to, data)
		}
		tensors[i] = stored{name: name, file: path, dtype: t.DType, shape: t.Shape, offset: int64(start + from), size: int64(want)}
		next = to
	}
	if next != data {
		return nil, &Error{File: path, Problem: fmt.Sprintf("%d bytes follow the last tensor", data-next), Remedy: downloadAgain}
	}
	return tensors, nil
}

// byteSize is the size of a tensor's data; false if it exceeds 64 bits.
func byteSize(t *safetensors.TensorInfo) (uint64, bool) {
	size := t.DType.Size()
	if slices.Contains(t.Shape, 0) {
		return 0, true
	}
	for _, d := range t.Shape {
		hi, lo := bits.Mul64(size, d)
		if hi != 0 {
			return 0, false
		}
		size = lo
	}
	return size, true
}
