package server

import (
	"bytes"
	"cmp"
	"embed"
	"encoding/json"
	"html/template"
	"slices"
	"strings"
)

// docFiles are the specification, its page and the examples on it.
//
//go:embed docs
var docFiles embed.FS

// docExamples are the examples in the order of the page. They are written for
// exampleHost.
var docExamples = []struct{ Name, Title, file string }{
	{"curl", "curl", "embed.sh"},
	{"python", "Python", "embed.py"},
	{"openai", "Python, with OpenAI's client", "openai_client.py"},
	{"go", "Go", "embed.go.txt"},
	{"javascript", "JavaScript", "embed.js"},
}

const exampleHost = "http://localhost:7860"

// A specification is what the page shows of docs/openapi.json.
type specification struct {
	Info  struct{ Description string }
	Paths map[string]map[string]struct {
		Summary    string
		Parameters []docOption
	}
	Components struct {
		Responses map[string]struct{ Description string }
	}
}

type docOption struct {
	Name   string
	Schema struct {
		Type        string
		Enum        []string
		Description string
	}
}

var (
	specText = mustRead("openapi.json")
	docsPage = template.Must(template.New("docs").Parse(string(mustRead("docs.html"))))
	spec     = func() (s specification) {
		if err := json.Unmarshal(specText, &s); err != nil {
			panic("server: docs/openapi.json: " + err.Error()) // a fault of the build, which the tests find
		}
		return s
	}()
)

func mustRead(name string) []byte {
	b, err := docFiles.ReadFile("docs/" + name)
	if err != nil {
		panic("server: " + err.Error()) // a file missing from the build
	}
	return b
}

// specify answers GET /openapi.json.
func (s *Server) specify(r *request) error {
	r.SetContentType("application/json")
	r.SetBody(specText)
	return nil
}

// document answers GET /docs.
func (s *Server) document(r *request) error {
	type example struct{ Name, Title, Text string }
	type endpoint struct{ Method, Path, Summary string }
	type failure struct{ Status, Description string }
	page := struct {
		Spec      specification
		Keys      bool
		Examples  []example
		Endpoints []endpoint
		Options   []docOption
		Errors    []failure
	}{Spec: spec, Keys: len(s.keys) > 0, Options: spec.Paths["/api/embed"]["post"].Parameters}

	host := string(r.URI().Scheme()) + "://" + string(r.Host())
	for _, e := range docExamples {
		text := strings.ReplaceAll(string(mustRead("examples/"+e.file)), exampleHost, host)
		page.Examples = append(page.Examples, example{e.Name, e.Title, text})
	}
	for _, rt := range routes { // in the order of the table
		if op, ok := spec.Paths[rt.path][strings.ToLower(rt.method)]; ok {
			page.Endpoints = append(page.Endpoints, endpoint{rt.method, rt.path, op.Summary})
		}
	}
	for status, response := range spec.Components.Responses {
		page.Errors = append(page.Errors, failure{status, response.Description})
	}
	slices.SortFunc(page.Errors, func(a, b failure) int { return cmp.Compare(a.Status, b.Status) })

	var b bytes.Buffer
	if err := docsPage.Execute(&b, page); err != nil {
		return err
	}
	setPageHeaders(&r.Response.Header)
	r.SetContentType("text/html; charset=utf-8")
	r.SetBody(b.Bytes())
	return nil
}
