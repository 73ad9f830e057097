package server

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// An openaiAnswer is what OpenAI's API answers POST /v1/embeddings with.
type openaiAnswer struct {
	Object string
	Data   []struct {
		Object    string
		Index     int
		Embedding json.RawMessage
	}
	Model string
	Usage map[string]int
}

// openai posts a value, or JSON text, with the headers of OpenAI's Python client
// 1.109.1.
func (c *client) openai(path string, v any) reply {
	c.t.Helper()
	body, ok := v.(string)
	if !ok {
		encoded, err := json.Marshal(v)
		if err != nil {
			c.t.Fatal(err)
		}
		body = string(encoded)
	}
	return c.do("POST", path, []byte(body), "Content-Type", "application/json", "Accept", "application/json",
		"Accept-Encoding", "gzip, deflate", "User-Agent", "OpenAI/Python 1.109.1", "Authorization", "Bearer sk-test", "X-Stainless-Lang", "python")
}

func pngURI(img []byte) string {
	return "data:image/png;base64," + base64.StdEncoding.EncodeToString(img)
}

// TestOpenAIClient sends what OpenAI's Python client sends, recorded from it:
// base64 unless its user asks for floats.
func TestOpenAIClient(t *testing.T) {
	e := newFakeEngine()
	c := serve(t, e, Config{ModelName: "clip", Output: "projected", APIKeys: []string{"sk-test"}})
	one, two := picture(t, 1), picture(t, 2)
	want := [][]float32{wantVector(t, e, "projected", one), wantVector(t, e, "projected", two)}
	for _, path := range []string{"/v1/embeddings", "/embeddings"} {
		for name, body := range map[string]string{
			"base64": fmt.Sprintf(`{"input":[%q,%q],"model":"clip","encoding_format":"base64"}`, pngURI(one), pngURI(two)),
			"float":  fmt.Sprintf(`{"input":[%q,%q],"model":"clip","encoding_format":"float"}`, pngURI(one), pngURI(two)),
			"string": fmt.Sprintf(`{"input":%q,"model":"clip","dimensions":7,"user":"me"}`, pngURI(one)),
		} {
			r := c.openai(path, body).want(200)
			var got openaiAnswer
			if err := json.Unmarshal(r.body, &got); err != nil {
				t.Fatal(err)
			}
			if got.Object != "list" || got.Model != "clip" || len(got.Usage) != 2 || got.Usage["total_tokens"] != 0 || len(got.Data) == 0 {
				t.Errorf("%s: answer %s", name, r.body)
			}
			for i, d := range got.Data {
				var v []float32
				if name == "base64" {
					var text []byte // base64, as encoding/json has it
					if err := json.Unmarshal(d.Embedding, &text); err != nil {
						t.Fatal(err)
					}
					v = littleEndian(t, text)
				} else if err := json.Unmarshal(d.Embedding, &v); err != nil {
					t.Fatal(err)
				}
				if d.Object != "embedding" || d.Index != i || !slices.Equal(v, want[i]) {
					t.Errorf("%s: item %d is %s %d", name, i, d.Object, d.Index)
				}
			}
		}
	}
	var models struct {
		Object string
		Data   []struct {
			ID, Object string
			Created    int64
			OwnedBy    string `json:"owned_by"`
		}
	}
	if err := json.Unmarshal(c.get("/v1/models", "Authorization", "Bearer sk-test").want(200).body, &models); err != nil {
		t.Fatal(err)
	}
	if m := models.Data; models.Object != "list" || len(m) != 1 || m[0].ID != "clip" || m[0].Object != "model" || m[0].Created == 0 || m[0].OwnedBy == "" {
		t.Errorf("models %+v", models)
	}
}

func TestOpenAIErrors(t *testing.T) {
	c := serve(t, newFakeEngine(), Config{MaxClientBatchSize: 2, MaxImagePixels: 400})
	good := pngURI(picture(t, 1))
	f := func(body string, status int, code, param string) {
		t.Helper()
		got := c.openai("/v1/embeddings", body).wantError(status, code)
		if have := got.Error.Param; have == nil && param != "" || have != nil && *have != param {
			t.Errorf("%.80s: param %v, want %q", body, have, param)
		}
	}
	f("", 400, "empty_body", "")
	f("{", 400, "malformed_json", "")
	f(`{"model":"fake"}`, 400, "no_images", "input")
	f(`{"input":[]}`, 400, "no_images", "input")
	f(`{"input":{}}`, 422, "invalid_value", "input")
	f(`{"input":7}`, 422, "invalid_value", "input")
	f(`{"input":[[1,2,3]]}`, 422, "invalid_value", "input[0]")
	f(`{"input":[1,2,3]}`, 422, "invalid_value", "input[0]")
	f(`{"input":"a photo of a cat"}`, 400, "not_an_image", "input[0]")
	f(`{"input":["`+good+`","hello"]}`, 400, "not_an_image", "input[1]")
	f(`{"input":"data:image/png;base64,aGVsbG8="}`, 400, "unsupported_image_format", "input[0]")
	f(`{"input":"`+pngURI(sizedPicture(t, 1, 40, 40))+`"}`, 413, "image_too_large", "input[0]")
	f(`{"input":"https://example.org/cat.jpg"}`, 400, "url_fetch_off", "input[0]")
	f(`{"input":["`+strings.Repeat(good+`","`, 2)+good+`"]}`, 413, "too_many_images", "")
	f(`{"input":"`+good+`","model":"text-embedding-3-small"}`, 404, "model_not_found", "model")
	f(`{"input":"`+good+`","dimensions":7}`, 400, "invalid_dimensions", "dimensions")
	f(`{"input":"`+good+`","encoding_format":"hex"}`, 422, "invalid_value", "encoding_format")
	c.do("POST", "/v1/embeddings", picture(t, 1), "Content-Type", "image/png").wantError(415, "unsupported_media_type")

	// The server's own output and normalisation are all there is.
	c.openai("/v1/embeddings", `{"input":"`+good+`","output":"hidden","normalize":7,"encoding_format":null}`).want(200)
}

// TestOpenAITokens flattens an output that has several tokens.
func TestOpenAITokens(t *testing.T) {
	e := newFakeEngine()
	c := serve(t, e, Config{Output: "penultimate"})
	img := picture(t, 1)
	var got openaiAnswer
	if err := json.Unmarshal(c.openai("/v1/embeddings", `{"input":"`+pngURI(img)+`"}`).want(200).body, &got); err != nil {
		t.Fatal(err)
	}
	var v []float32
	if err := json.Unmarshal(got.Data[0].Embedding, &v); err != nil || !slices.Equal(v, wantVector(t, e, "penultimate", img)) {
		t.Errorf("%v, %d values", err, len(v))
	}
}
