package server

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"go/parser"
	"go/token"
	"mime"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

const specURL = "vith:openapi.json"

// A checker validates answers against the specification that a server gives
// out. It notes which statuses of which operations it has seen.
type checker struct {
	*client
	compiler *jsonschema.Compiler
	spec     map[string]any
	seen     map[string]bool
}

func newChecker(c *client) *checker {
	c.t.Helper()
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(c.get("/openapi.json").want(200).body))
	if err != nil {
		c.t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	compiler.DefaultDraft(jsonschema.Draft2020) // as OpenAPI 3.1 has it
	if err := compiler.AddResource(specURL, document); err != nil {
		c.t.Fatal(err)
	}
	return &checker{c, compiler, document.(map[string]any), map[string]bool{}}
}

// at returns what is under a path of keys in the specification, following
// references; the pointer is where it was found.
func (k *checker) at(keys ...string) (value any, pointer string) {
	value, pointer = k.spec, "#"
	for _, key := range keys {
		object, ok := value.(map[string]any)
		if !ok {
			return nil, pointer
		}
		value = object[key]
		pointer += "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(key)
		if object, ok := value.(map[string]any); ok {
			if ref, ok := object["$ref"].(string); ok && key != "schema" {
				return k.at(append(strings.Split(strings.TrimPrefix(ref, "#/"), "/"), keys[slices.Index(keys, key)+1:]...)...)
			}
		}
	}
	return value, pointer
}

// check fails the test unless the specification allows the reply.
func (k *checker) check(method, path string, r reply) reply {
	k.t.Helper()
	method = strings.ToLower(method)
	status := fmt.Sprint(r.status)
	mediaType, _, err := mime.ParseMediaType(r.header.Get("Content-Type"))
	if err != nil {
		k.t.Fatalf("%s %s: %v", method, path, err)
	}
	schema, pointer := k.at("paths", path, method, "responses", status, "content", mediaType, "schema")
	if schema == nil {
		k.t.Errorf("%s %s: %s with %s is not in the specification", method, path, status, mediaType)
		return r
	}
	k.seen[method+" "+path+" "+status] = true
	if mediaType != "application/json" {
		return r
	}
	compiled, err := k.compiler.Compile(specURL + pointer)
	if err != nil {
		k.t.Fatal(err)
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(r.body))
	if err == nil {
		err = compiled.Validate(value)
	}
	if err != nil {
		k.t.Errorf("%s %s: %v in %.300s", method, path, err, r.body)
	}
	return r
}

// TestSpecification compares the specification with the table of routes.
func TestSpecification(t *testing.T) {
	k := newChecker(serve(t, newFakeEngine(), Config{}))
	paths, _ := k.at("paths")
	operations := map[string]bool{}
	for path, item := range paths.(map[string]any) {
		for method := range item.(map[string]any) {
			operations[strings.ToUpper(method)+" "+path] = true
		}
	}
	for _, rt := range routes {
		name := rt.method + " " + rt.path
		if operations[name] != (rt.about != "") {
			t.Errorf("%s: in the specification: %v, offered: %v", name, operations[name], rt.about != "")
		}
		security, _ := k.at("paths", rt.path, strings.ToLower(rt.method), "security")
		if public := security != nil; operations[name] && public != (rt.access == open) {
			t.Errorf("%s: open in the specification: %v", name, public)
		}
		delete(operations, name)
	}
	for name := range operations {
		t.Errorf("%s is in the specification only", name)
	}
}

// TestAnswersMatchSpecification checks real answers of every endpoint, and every
// error that a request can be given.
func TestAnswersMatchSpecification(t *testing.T) {
	e := newFakeEngine()
	e.info.Synthetic = true
	e.devices = append(e.devices, Device{ID: "cuda:0", UUID: "GPU-1", State: DeviceDown, Error: "lost", Driver: "1", Power: Power{1, 2, 3}})
	c := serve(t, e, Config{CacheBytes: 1 << 20, MaxClientBatchSize: 4, MaxBodySize: 1 << 20, RequestTimeout: 200 * ms})
	k := newChecker(c)
	img, bad := picture(t, 1), []byte("no image")
	text := base64.StdEncoding.EncodeToString(img)

	for _, rt := range routes {
		if rt.method == "GET" && rt.about != "" {
			k.check("GET", rt.path, c.get(rt.path).want(200))
		}
	}
	for _, path := range []string{"/api", "/api/embed"} {
		k.check("POST", path, c.do("POST", path, img).want(200))
		k.check("POST", path, c.do("POST", path, bad).want(415))
	}
	const path = "/api/embed"
	k.check("POST", path, c.form(path+"?crop=true", [][]byte{img, bad}, nil).want(200))
	k.check("POST", path, c.form(path+"?output=penultimate", [][]byte{img}, []string{"encoding_format", "base64"}).want(200))
	k.check("POST", path, c.do("POST", path, img, "Accept", "application/x-npy").want(200))
	k.check("POST", path, c.do("POST", path, img, "Accept", "application/octet-stream").want(200))
	k.check("POST", path, c.json(`{"images":[{"id":"a","data":"`+text+`"},"https://a/b","data:,","*"]}`).want(200))
	k.check("POST", path, c.form(path, [][]byte{bad, bad, img[:100], {}}, nil).want(400))
	k.check("POST", path, c.do("POST", path, nil).want(400))
	k.check("POST", path, c.json(`{"images":7}`).want(422))
	k.check("POST", path, c.do("POST", path+"?model=other", img).want(404))
	k.check("POST", path, c.do("POST", path, make([]byte, 2<<20)).want(413))
	k.check("POST", path, c.form(path, [][]byte{bad, bad, bad, bad, bad}, nil).want(413))
	k.check("POST", "/api/similarity", c.form("/api/similarity", [][]byte{img, bad, img}, nil).want(200))
	for _, path := range []string{"/v1/embeddings", "/embeddings"} {
		k.check("POST", path, c.openai(path, `{"input":"`+pngURI(img)+`","encoding_format":"base64"}`).want(200))
		k.check("POST", path, c.openai(path, `{"input":["`+pngURI(img)+`"]}`).want(200))
		k.check("POST", path, c.openai(path, `{"input":"text"}`).want(400))
	}

	e.onEmbed = func(context.Context, int) error { return errors.New("lost") }
	k.check("POST", path, c.do("POST", path, picture(t, 2)).want(503))
	c.server.ready.last.Store(0)
	k.check("GET", "/health", c.get("/health").want(503))
	e.onEmbed = nil
	e.onPrepare = func(ctx context.Context, _ []byte) error { <-ctx.Done(); return ctx.Err() }
	k.check("POST", path, c.do("POST", path, picture(t, 3)).want(504))
	e.onPrepare = func(context.Context, []byte) error { panic("no") }
	k.check("POST", path, c.do("POST", path, picture(t, 4)).want(500))
	c.server.admission.images.Add(1024)
	k.check("POST", path, c.do("POST", path, img).want(429))
	c.server.admission.images.Add(-1024)

	locked := serve(t, newFakeEngine(), Config{APIKeys: []string{"key"}})
	k.check("GET", "/api", locked.get("/api").want(401))
	k.check("POST", path, locked.do("POST", path, img).want(401))

	responses, _ := k.at("paths", path, "post", "responses")
	for status := range responses.(map[string]any) {
		if !k.seen["post "+path+" "+status] && status != "408" { // TestSlowBody
			t.Errorf("no answer of %s was %s", path, status)
		}
	}
}

func TestDocs(t *testing.T) {
	c := serve(t, newFakeEngine(), Config{APIKeys: []string{"key"}})
	r := c.get("/docs", "Authorization", "Bearer key", "Host", "embed.example:99").want(200)
	page := string(r.body)
	if !strings.HasPrefix(r.header.Get("Content-Security-Policy"), "default-src 'none'") {
		t.Error("the page has no policy")
	}
	for _, want := range []string{
		"curl --data-binary @cat.jpg http://vith/api/embed", "import json, urllib.request", "OpenAI(base_url=&#34;http://vith/v1&#34;", "package main", "await fetch(",
		"POST /api/embed", "GET /metrics", "encoding_format", "429", "Authorization: Bearer KEY",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not show %q", want)
		}
	}
	for _, host := range []string{"localhost:7860", "https://"} {
		if strings.Contains(page, host) {
			t.Errorf("the page names %s", host)
		}
	}
	if _, err := parser.ParseFile(token.NewFileSet(), "embed.go", mustRead("examples/embed.go.txt"), parser.AllErrors); err != nil {
		t.Errorf("the example in Go: %v", err)
	}
	var document map[string]json.RawMessage
	if err := json.Unmarshal(c.get("/openapi.json", "Authorization", "Bearer key").want(200).body, &document); err != nil || string(document["openapi"]) != `"3.1.0"` {
		t.Errorf("openapi.json: %v, version %s", err, document["openapi"])
	}
}
