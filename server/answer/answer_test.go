package answer

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

func full() *Answer {
	return &Answer{
		Model: "vit-h-14", ModelDigest: "sha256:ab", Preprocessing: "p1", Device: "cpu", Precision: "fp32", Output: "pooled",
		Shape: []int{3},
		Data: []Item{
			{Index: 0, Image: "cat.jpg", Embedding: []float32{0.1, -2, 1e-7}},
			{Index: 1, Image: "bad.jpg", Err: &Error{Code: "truncated_image", Message: `ends in "SOS"`}},
			{Index: 2, ID: "x", Image: "dog.jpg", Embedding: []float32{0, 16777216, 1e20}},
		},
	}
}

func text(t *testing.T, write func(io.Writer) error) string {
	t.Helper()
	var b bytes.Buffer
	if err := write(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestWriteJSON(t *testing.T) {
	const head = `{"model":"vit-h-14","model_digest":"sha256:ab","preprocessing":"p1","device":"cpu","precision":"fp32","output":"pooled","dim":3,"normalized":false,`
	const items = `"data":[{"index":0,"image":"cat.jpg","embedding":[0.1,-2,1e-07]},` +
		`{"index":1,"image":"bad.jpg","error":{"code":"truncated_image","message":"ends in \"SOS\""}},` +
		`{"index":2,"id":"x","embedding":[0,1.6777216e+07,1e+20]}]`
	a := full()
	if got, want := text(t, a.WriteJSON), head+items+"}"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	a.Synthetic = true
	a.Timing = &Timing{Queue: 1500 * time.Microsecond, Preprocess: time.Millisecond, Compute: time.Second, Total: 2 * time.Second}
	want := head + `"synthetic":true,` + items + `,"timing_ms":{"queue":1.500,"preprocess":1.000,"compute":1000.000,"total":2000.000}}`
	if got := text(t, a.WriteJSON); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if !json.Valid([]byte(want)) {
		t.Error("what is wanted is not JSON")
	}
}

func TestWriteJSONLines(t *testing.T) {
	lines := strings.Split(text(t, full().WriteJSONLines), "\n")
	if len(lines) != 4 || lines[3] != "" {
		t.Fatalf("lines %q", lines)
	}
	if want := `{"index":0,"image":"cat.jpg","embedding":[0.1,-2,1e-07]}`; lines[0] != want {
		t.Errorf("got %s, want %s", lines[0], want)
	}
}

func TestShapedItem(t *testing.T) {
	a := &Answer{Shape: []int{2, 1}, Data: []Item{{Embedding: []float32{1, 2}, Crop: "data:,"}}}
	if got, want := text(t, a.WriteJSONLines), `{"index":0,"shape":[2,1],"crop":"data:,","embedding":[1,2]}`+"\n"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestNumbersRoundTrip reads numbers back from text: every power of two, the
// ends of the range, and random bit patterns.
func TestNumbersRoundTrip(t *testing.T) {
	values := []float32{0, float32(math.Copysign(0, -1)), math.MaxFloat32, math.SmallestNonzeroFloat32, 1 + 1.0/(1<<23)}
	for e := -149; e < 128; e++ {
		values = append(values, float32(math.Ldexp(1, e)), -float32(math.Ldexp(1, e)))
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 20000 {
		if v := math.Float32frombits(random.Uint32()); v-v == 0 {
			values = append(values, v)
		}
	}
	a := &Answer{Shape: []int{len(values)}, Data: []Item{{Embedding: values}}}
	var got struct{ Embedding []float32 }
	if err := json.Unmarshal([]byte(text(t, a.WriteJSONLines)), &got); err != nil {
		t.Fatal(err)
	}
	for i, v := range values {
		if math.Float32bits(got.Embedding[i]) != math.Float32bits(v) {
			t.Errorf("%v came back as %v", v, got.Embedding[i])
		}
	}
	a.Base64 = true
	var coded struct{ Embedding []byte }
	if err := json.Unmarshal([]byte(text(t, a.WriteJSONLines)), &coded); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(coded.Embedding, []byte(text(t, a.WriteRaw))) {
		t.Error("base64 is not the raw form")
	}
}

// TestBase64Groups checks that encoding in groups equals encoding at once, for
// lengths around the group.
func TestBase64Groups(t *testing.T) {
	for _, n := range []int{0, 1, 2, 3, base64Group - 1, base64Group, base64Group + 1, 2*base64Group + 2} {
		v := make([]float32, n)
		for i := range v {
			v[i] = float32(i) / 3
		}
		a := &Answer{Base64: true, Shape: []int{n}, Data: []Item{{Embedding: v}}}
		want := `{"index":0,"embedding":"` + base64.StdEncoding.EncodeToString(appendLE(nil, v)) + "\"}\n"
		if got := text(t, a.WriteJSONLines); got != want {
			t.Errorf("n=%d: got %.60s..., want %.60s...", n, got, want)
		}
	}
}

func TestNotFinite(t *testing.T) {
	for _, v := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		if got := string(AppendFloat(nil, float32(v))); got != "null" {
			t.Errorf("%v is written as %s", v, got)
		}
	}
}

func TestWriteRaw(t *testing.T) {
	a := full()
	b := []byte(text(t, a.WriteRaw))
	if len(b) != a.RawSize() || len(b) != 36 {
		t.Fatalf("%d bytes, RawSize %d, want 36", len(b), a.RawSize())
	}
	var v [9]float32
	for i := range v {
		v[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
	if !slices.Equal(v[:3], a.Data[0].Embedding) || !slices.Equal(v[6:], a.Data[2].Embedding) {
		t.Errorf("rows %v", v)
	}
	for _, x := range v[3:6] {
		if x == x {
			t.Errorf("the bad image's row is %v, want NaN", v[3:6])
		}
	}
}

func TestWriteNPY(t *testing.T) {
	a := full()
	got := text(t, a.WriteNPY)
	header := got[:len(got)-a.RawSize()]
	if want := "\x93NUMPY\x01\x00\x76\x00{'descr': '<f4', 'fortran_order': False, 'shape': (3, 3), }"; strings.TrimRight(header, " \n") != want {
		t.Errorf("header %q, want %q", header, want)
	}
	if got[len(header):] != text(t, a.WriteRaw) {
		t.Error("the data is not the raw form")
	}
}

func TestNPYHeader(t *testing.T) {
	f := func(shape []int, tuple string) {
		t.Helper()
		h := AppendNPYHeader(nil, "|u1", shape)
		if len(h)%64 != 0 || int(binary.LittleEndian.Uint16(h[8:])) != len(h)-10 || h[len(h)-1] != '\n' {
			t.Errorf("shape %v: header of %d bytes, %q", shape, len(h), h)
		}
		if !bytes.Contains(h, []byte("'descr': '|u1'")) || !bytes.Contains(h, []byte("'shape': "+tuple+", }")) {
			t.Errorf("shape %v: header %q", shape, h)
		}
	}
	f([]int{224, 224, 3}, "(224, 224, 3)")
	f([]int{0, 1280}, "(0, 1280)")
	f([]int{5}, "(5,)")
	f(nil, "()")
	for n := 1; n < 1e9; n *= 10 { // every length modulo 64 that matters
		f([]int{n, n}, fmt.Sprintf("(%d, %d)", n, n))
	}
}

type failing struct{ after int }

var errFull = errors.New("full")

func (f *failing) Write(p []byte) (int, error) {
	if f.after--; f.after < 0 {
		return 0, errFull
	}
	return len(p), nil
}

// TestWriterFails checks that every form reports a writer's error, the first
// write's and the last's.
func TestWriterFails(t *testing.T) {
	a := &Answer{Shape: []int{100000}, Data: []Item{{Embedding: make([]float32, 100000)}}}
	for i, write := range []func(io.Writer) error{a.WriteJSON, a.WriteJSONLines, a.WriteRaw, a.WriteNPY} {
		for _, after := range []int{0, 1, 3} {
			if err := write(&failing{after}); !errors.Is(err, errFull) {
				t.Errorf("form %d, %d writes: error %v", i, after, err)
			}
		}
	}
}

func BenchmarkWrite(b *testing.B) {
	random := rand.New(rand.NewPCG(1, 2))
	a := &Answer{Shape: []int{1280}, Data: []Item{{Embedding: make([]float32, 1280)}}}
	for i := range a.Data[0].Embedding {
		a.Data[0].Embedding[i] = float32(random.NormFloat64())
	}
	for name, write := range map[string]func(io.Writer) error{"json": a.WriteJSON, "raw": a.WriteRaw, "npy": a.WriteNPY} {
		b.Run("form="+name, func(b *testing.B) {
			b.SetBytes(int64(a.RawSize()))
			b.ReportAllocs()
			for b.Loop() {
				write(io.Discard)
			}
		})
	}
}
