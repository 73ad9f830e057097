package http

import (
	"bytes"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"

	"vith/server/answer"
)

// An answered is what a server says about a request: a vector, or an error, for
// each image.
type answered []answer.Item

func (a answered) encode(t *testing.T, form Form) []byte {
	t.Helper()
	full := &answer.Answer{Model: "m", Output: "pooled", Shape: []int{dim}, Base64: form == Base64, Data: a}
	write := map[Form]func(*bytes.Buffer) error{
		JSON:   func(b *bytes.Buffer) error { return full.WriteJSON(b) },
		Base64: func(b *bytes.Buffer) error { return full.WriteJSON(b) },
		Raw:    func(b *bytes.Buffer) error { return full.WriteRaw(b) },
		NPY:    func(b *bytes.Buffer) error { return full.WriteNPY(b) },
	}[form]
	var b bytes.Buffer
	if err := write(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

const dim = 16

// vectors are those of images 0 to 2, alike as those of photographs are.
func vectors() (list [3][]float32) {
	random := rand.New(rand.NewPCG(1, 2))
	first := make([]float32, dim)
	for i := range first {
		first[i] = float32(random.NormFloat64())
	}
	for i := range list {
		list[i] = slices.Clone(first)
		list[i][i] *= 1.1
	}
	return list
}

// newChecker returns a checker that knows three good images, beside two bad ones.
func newChecker(t *testing.T, form Form) *checker {
	t.Helper()
	c := &checker{accept: form, known: make([]known, 5)}
	c.mix = &mix{images: []Image{{Name: "a"}, {Name: "b"}, {Name: "c"}, {Name: "bad"}, {Name: "worse"}}, good: 3}
	for i, v := range vectors() {
		if err := c.learn(i, http.StatusOK, answered{{Embedding: v}}.encode(t, form)); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// items numbers the images of an answer.
func items(list ...answer.Item) answered {
	for i := range list {
		list[i].Index = i
	}
	return list
}

// TestJudge has answers of every kind, right and wrong, in every form.
func TestJudge(t *testing.T) {
	v := vectors()
	good := func(i int) answer.Item { return answer.Item{Embedding: v[i]} }
	nearly := func(i int) answer.Item {
		near := slices.Clone(v[i])
		near[7] *= 1.001
		return answer.Item{Embedding: near}
	}
	far := answer.Item{Embedding: make([]float32, dim)}
	bad := answer.Item{Err: &answer.Error{Code: "truncated_image", Message: "cut"}}
	for _, form := range []Form{JSON, Base64, Raw, NPY} {
		c := newChecker(t, form)
		binary := form == Raw || form == NPY
		f := func(name string, images []int, status int, a answered, want outcome, why string) {
			t.Helper()
			var body []byte
			if a != nil {
				body = a.encode(t, form)
			}
			got := c.judge(images, status, body)
			if got.outcome != want || !strings.Contains(got.why, why) {
				t.Errorf("%s, %s: outcome %d, %q; want %d, %q", form, name, got.outcome, got.why, want, why)
			}
		}
		f("one", []int{1}, 200, items(good(1)), right, "")
		f("three", []int{2, 0, 1}, 200, items(good(2), good(0), good(1)), right, "")
		f("another image's", []int{0}, 200, items(good(1)), wrong, "image b for image a")
		f("swapped", []int{0, 1}, 200, items(good(1), good(0)), wrong, "for image a")
		f("nobody's", []int{0}, 200, items(far), wrong, "distance 1")
		f("one too few", []int{0, 1}, 200, items(good(0)), wrong, "")
		f("one too many", []int{0}, 200, items(good(0), good(1)), wrong, "")
		f("full", []int{0}, 429, nil, refused, "")
		f("down", []int{0}, 503, nil, failed, "503")
		f("no status for a good image", []int{0}, 400, nil, failed, "400")
		f("a bad image alone", []int{3}, 415, nil, rejected, "")
		f("a vector for a bad image", []int{3}, 200, items(good(0)), wrong, "")

		near := c.judge([]int{0, 1}, 200, items(good(0), nearly(1)).encode(t, form))
		if near.outcome != right || near.images != 2 || near.inexact != 1 || near.worst == 0 || near.worst > 1e-3 {
			t.Errorf("%s: a vector with other bits: %+v", form, near)
		}
		if binary {
			f("a bad one among good ones", []int{0, 3}, 400, nil, rejected, "")
			f("vectors for them all", []int{0, 3}, 200, items(good(0), good(1)), wrong, "")
			continue
		}
		f("a bad one among good ones", []int{0, 3, 1}, 200, items(good(0), bad, good(1)), right, "")
		f("all refused for one", []int{0, 3}, 400, nil, failed, "400")
		f("the wrong one refused", []int{0, 3}, 200, items(bad, good(0)), wrong, "the good image a")
		f("none refused", []int{0, 3}, 200, items(good(0), good(1)), wrong, "the bad image bad")
		f("neighbours swapped", []int{0, 3, 1}, 200, items(good(1), bad, good(0)), wrong, "for image a")
		if got := c.judge([]int{0}, 200, []byte("{")); got.outcome != wrong {
			t.Errorf("%s: half an answer: %+v", form, got)
		}
	}
}

// TestLearn refuses what later answers could not be compared with.
func TestLearn(t *testing.T) {
	for _, form := range []Form{JSON, Base64, Raw, NPY} {
		c := newChecker(t, form)
		again := answered{{Embedding: vectors()[0]}}.encode(t, form)
		if err := c.learn(1, 200, again); err == nil || !strings.Contains(err.Error(), "same vector") {
			t.Errorf("%s: two images with one vector: %v", form, err)
		}
		for _, body := range []string{"", "{}", "nothing"} {
			if err := c.learn(1, 200, []byte(body)); err == nil && form != Raw {
				t.Errorf("%s: learnt from %q", form, body)
			}
		}
		if err := c.learn(1, 500, again); err == nil || !strings.Contains(err.Error(), "500") {
			t.Errorf("%s: learnt from a failure: %v", form, err)
		}
	}
}
