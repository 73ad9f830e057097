package server

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
)

func FuzzParseJSON(f *testing.F) {
	for _, seed := range []string{
		`{"images":["aGk=","data:image/png;base64,aGk=","https://a/b",{"id":"a","data":"aGk="}],"output":"pooled","normalize":true}`,
		`{"encoding_format":"base64","on_error":"fail","crop":false,"dimensions":12,"model":null,"x":[{"y":[1e9]}]}`,
		`{"images":[]} `, `{"images":["a","b","c","d","e"]}`, `{"images":[{"id":1}]}`, `{"images":["\u0061\/"]}`, `{"a":1,}`, `{"a" 1}`, `[1 2]`, `{"":"`, "\xff", `{"images":["a"],"images":["b"]}`,
	} {
		f.Add([]byte(seed))
	}
	const limit = 4
	f.Fuzz(func(t *testing.T, body []byte) {
		var o options
		in, err := parseJSON(body, embedShape, limit, &o)
		if err != nil {
			if asAPIError(err).status >= 500 {
				t.Errorf("%q is the server's fault: %v", body, err)
			}
			return
		}
		if !json.Valid(body) {
			t.Errorf("%q is accepted, but is not JSON", body)
		}
		if len(in) > limit {
			t.Errorf("%q has %d images", body, len(in))
		}
		for i := range in {
			if in[i].err != nil && in[i].data != nil {
				t.Errorf("%q: image %d has both data and an error", body, i)
			}
		}
	})
}

func BenchmarkParseJSON(b *testing.B) {
	text := base64.StdEncoding.EncodeToString(make([]byte, 100_000))
	body := []byte(`{"images":["` + strings.Repeat(text+`","`, 9) + text + `"]}`)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		var o options
		if _, err := parseJSON(body, embedShape, 10, &o); err != nil {
			b.Fatal(err)
		}
	}
}
