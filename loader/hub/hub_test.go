package hub

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"vith/loader"
)

const (
	commit = "1c2b8495b28150b8a4922ee1c8edee224c284c0c"
	token  = "hf_SecretOfTheTests"
)

var id = loader.HubID{Org: "org", Name: "tower", Revision: "main"}

// A fakeHub is a hub with one repository at one commit, and the storage that it redirects large files to.
type fakeHub struct {
	t       *testing.T
	hub     *httptest.Server
	storage *httptest.Server
	files   map[string][]byte

	// answer, if not nil, may answer a GET of a file from the storage, or of a small one from the hub, in place of it.
	answer func(w http.ResponseWriter, r *http.Request, content []byte) (answered bool)
	// head, if not nil, may answer a HEAD.
	head func(w http.ResponseWriter, r *http.Request, name string) (answered bool)

	mu       sync.Mutex
	requests []string // METHOD NAME RANGE
}

func newFakeHub(t *testing.T, files map[string][]byte) *fakeHub {
	f := &fakeHub{t: t, files: files}
	f.hub = httptest.NewServer(http.HandlerFunc(f.serveHub))
	f.storage = httptest.NewServer(http.HandlerFunc(f.serveStorage))
	t.Cleanup(f.hub.Close)
	t.Cleanup(f.storage.Close)
	return f
}

// large are those that the hub keeps elsewhere, under their sha256.
func large(name string) bool { return strings.HasSuffix(name, ".safetensors") }

func etag(name string, content []byte) string {
	if large(name) {
		return fmt.Sprintf("%x", sha256.Sum256(content))
	}
	return fmt.Sprintf("%x", sha1.Sum(content))
}

func (f *fakeHub) serveHub(w http.ResponseWriter, r *http.Request) {
	rest, ok := strings.CutPrefix(r.URL.Path, "/org/tower/resolve/")
	revision, name, _ := strings.Cut(rest, "/")
	if !ok {
		w.Header().Set("X-Error-Code", "RepoNotFound")
		http.Error(w, "", http.StatusNotFound)
		return
	}
	if revision != "main" && revision != commit {
		w.Header().Set("X-Error-Code", "RevisionNotFound")
		http.Error(w, "", http.StatusNotFound)
		return
	}
	if r.Method == http.MethodHead && f.head != nil && f.head(w, r, name) {
		return
	}
	content, ok := f.files[name]
	if !ok {
		w.Header().Set("X-Error-Code", "EntryNotFound")
		http.Error(w, "", http.StatusNotFound)
		return
	}
	w.Header().Set("X-Repo-Commit", commit)
	if large(name) {
		w.Header().Set("X-Linked-Etag", `"`+etag(name, content)+`"`)
		w.Header().Set("X-Linked-Size", fmt.Sprint(len(content)))
		w.Header().Set("ETag", `"pointer"`)
		f.note(r, name)
		http.Redirect(w, r, f.storage.URL+"/"+name+"?signature=secret", http.StatusFound)
		return
	}
	w.Header().Set("ETag", `W/"`+etag(name, content)+`"`)
	f.serve(w, r, name)
}

func (f *fakeHub) serveStorage(w http.ResponseWriter, r *http.Request) {
	if got := r.Header.Get("Authorization"); got != "" {
		f.t.Errorf("the storage was sent %q", got)
	}
	w.Header().Set("ETag", `"storage"`)
	f.serve(w, r, strings.TrimPrefix(r.URL.Path, "/"))
}

func (f *fakeHub) serve(w http.ResponseWriter, r *http.Request, name string) {
	f.note(r, name)
	content := f.files[name]
	if r.Method == http.MethodGet && f.answer != nil && f.answer(w, r, content) {
		return
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
}

func (f *fakeHub) note(r *http.Request, name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	where := "hub"
	if r.Host != strings.TrimPrefix(f.hub.URL, "http://") {
		where = "storage"
	}
	f.requests = append(f.requests, strings.TrimSpace(r.Method+" "+where+" "+name+" "+r.Header.Get("Range")))
}

// gets are the ranges that were asked of the storage for a file, "" for all of it.
func (f *fakeHub) gets(name string) []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var list []string
	for _, r := range f.requests {
		if s, ok := strings.CutPrefix(r, "GET storage "+name); ok {
			list = append(list, strings.TrimSpace(s))
		}
	}
	return list
}

// client is one with an empty cache that does not really wait. notes are what it was told.
func (f *fakeHub) client() (c *Client, notes *[]string) {
	endpoint, err := url.Parse(f.hub.URL)
	if err != nil {
		f.t.Fatal(err)
	}
	transport := &http.Transport{DisableKeepAlives: true}
	notes = new([]string)
	return &Client{
		Endpoint: endpoint, Token: token, Cache: f.t.TempDir(), transport: transport, free: freeSpace,
		pause:  func(context.Context, time.Duration) error { return nil },
		Notify: func(text string) { *notes = append(*notes, text) },
	}, notes
}

// tiny is the file of vit-tiny/1.
var tiny = sync.OnceValue(func() []byte {
	var b bytes.Buffer
	if err := loader.WriteSynthetic(context.Background(), &b, "vit-tiny", 1, nil); err != nil {
		panic(err)
	}
	return b.Bytes()
})

// repository is one with those weights.
func repository() map[string][]byte {
	config := `{"hidden_size":160,"intermediate_size":640,"num_hidden_layers":2,"num_attention_heads":2,"image_size":56,"patch_size":14,"projection_dim":96,"hidden_act":"gelu"}`
	return map[string][]byte{"model.safetensors": tiny(), "config.json": []byte(config), "pytorch_model.bin": []byte("PK")}
}

func pulled(t *testing.T, c *Client, r Request) *Pulled {
	t.Helper()
	p, err := c.Pull(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// failed pulls, which must fail with an error that says all of want and nothing secret.
func failed(t *testing.T, c *Client, r Request, want ...string) error {
	t.Helper()
	_, err := c.Pull(t.Context(), r)
	if err == nil {
		t.Fatal("the pull succeeded")
	}
	for _, s := range want {
		if !strings.Contains(err.Error(), s) {
			t.Errorf("%q does not say %q", err, s)
		}
	}
	if s := err.Error(); strings.Contains(s, token) || strings.Contains(s, "signature") || strings.Contains(s, "\n") {
		t.Errorf("%q tells a secret or has several lines", s)
	}
	return err
}

// tree lists the files in a folder with their sizes, links with where they lead.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err != nil || info.IsDir() {
			return err
		}
		name, _ := filepath.Rel(dir, path)
		found[name] = fmt.Sprint(info.Size())
		if target, err := os.Readlink(path); err == nil {
			found[name] = "-> " + target
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// opens checks that a reference leads to the weights of vit-tiny/1.
func opens(t *testing.T, c *Client, ref string) {
	t.Helper()
	t.Setenv("HF_HUB_CACHE", c.Cache)
	m, err := loader.OpenModel(ref)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	const want = "sha256:63ac85b232e2025133b7086a361b2e09a1d4dc503b2b0cc5a1575edc8e72fff0" // as published
	if got, err := m.Digest(); got != want || err != nil {
		t.Errorf("%s has digest %s, %v, want %s", ref, got, err, want)
	}
}

func TestPullLaysOutTheCache(t *testing.T) {
	f := newFakeHub(t, repository())
	c, notes := f.client()
	var done, total int64
	c.Progress = func(d, n int64) { done, total = d, n }
	p := pulled(t, c, Request{ID: id})
	weights, config := f.files["model.safetensors"], f.files["config.json"]
	snapshot := "models--org--tower/snapshots/" + commit
	want := map[string]string{
		"models--org--tower/refs/main":                                              fmt.Sprint(len(commit)),
		"models--org--tower/blobs/" + etag("model.safetensors", weights):            fmt.Sprint(len(weights)),
		"models--org--tower/blobs/" + etag("config.json", config):                   fmt.Sprint(len(config)),
		snapshot + "/model.safetensors":                                             "-> ../../blobs/" + etag("model.safetensors", weights),
		snapshot + "/config.json":                                                   "-> ../../blobs/" + etag("config.json", config),
		".locks/models--org--tower/" + etag("model.safetensors", weights) + ".lock": "0",
		".locks/models--org--tower/" + etag("config.json", config) + ".lock":        "0",
	}
	if got := tree(t, c.Cache); !maps.Equal(got, want) {
		t.Errorf("the cache holds\n%v, want\n%v", got, want)
	}
	if p.Folder != filepath.Join(c.Cache, snapshot) || p.Commit != commit || len(p.Files) != 2 || p.Files[0].Sum || !p.Files[1].Sum || p.Files[1].There {
		t.Errorf("%+v", p)
	}
	if size := int64(len(weights) + len(config)); done != size || total != size {
		t.Errorf("progress ended at %d of %d, want %d", done, total, size)
	}
	if len(*notes) > 0 {
		t.Errorf("noted %q", *notes)
	}
	opens(t, c, "org/tower")
	opens(t, c, "org/tower@"+commit)

	before := len(f.gets("model.safetensors"))
	p = pulled(t, c, Request{ID: id})
	if !p.Files[0].There || !p.Files[1].There || len(f.gets("model.safetensors")) != before {
		t.Errorf("pulled again: %+v, requests %q", p, f.requests)
	}
}

func TestPullChoosesFiles(t *testing.T) {
	names := func(p *Pulled) string {
		var list []string
		for _, f := range p.Files {
			list = append(list, f.Name)
		}
		return strings.Join(list, " ")
	}
	files := repository()
	weights, config := files["model.safetensors"], files["config.json"]
	pull := func(want string, r Request, files map[string][]byte) *Client {
		t.Helper()
		f := newFakeHub(t, files)
		c, _ := f.client()
		r.ID = id
		if got := names(pulled(t, c, r)); got != want {
			t.Errorf("pulled %s, want %s", got, want)
		}
		for _, r := range f.requests {
			if strings.Contains(r, ".bin") {
				t.Errorf("a pickle was asked for: %s", r)
			}
		}
		return c
	}
	pull("config.json open_clip_config.json model.safetensors", Request{}, map[string][]byte{"model.safetensors": weights, "open_clip_model.safetensors": weights, "config.json": config, "open_clip_config.json": []byte("{}"), "pytorch_model.bin": nil})
	pull("open_clip_config.json open_clip_model.safetensors", Request{}, map[string][]byte{"open_clip_model.safetensors": weights, "open_clip_config.json": []byte("{}"), "open_clip_pytorch_model.bin": nil})
	pull("model.safetensors", Request{}, map[string][]byte{"model.safetensors": weights})
	c := pull("other.safetensors", Request{File: "other.safetensors"}, map[string][]byte{"model.safetensors": weights, "other.safetensors": weights})
	opens(t, c, "org/tower")
	c = pull("half/config.json half/model.safetensors", Request{File: "half/model.safetensors"}, map[string][]byte{"half/model.safetensors": weights, "half/config.json": config, "config.json": config})
	if got := tree(t, c.Cache)["models--org--tower/snapshots/"+commit+"/half/model.safetensors"]; got != "-> ../../../blobs/"+etag("model.safetensors", weights) {
		t.Errorf("the link in a folder of the snapshot is %s", got)
	}

	shards, index := split(t, weights)
	c = pull("config.json model.safetensors.index.json a.safetensors b.safetensors", Request{}, map[string][]byte{
		"config.json": config, loader.IndexName: index, "a.safetensors": shards[0], "b.safetensors": shards[1]})
	opens(t, c, "org/tower")

	refuse := func(r Request, files map[string][]byte, want ...string) {
		t.Helper()
		f := newFakeHub(t, files)
		c, _ := f.client()
		r.ID = id
		failed(t, c, r, want...)
		if got := tree(t, filepath.Join(c.Cache)); len(got) > 4 {
			t.Errorf("the cache holds %v", got)
		}
	}
	refuse(Request{}, map[string][]byte{"config.json": config}, "org/tower: revision main has none of model.safetensors, ", "/org/tower/tree/main")
	refuse(Request{}, map[string][]byte{"pytorch_model.bin": config}, "only as a pickle, pytorch_model.bin", "never downloaded", "save_pretrained")
	refuse(Request{File: "none.safetensors"}, files, "revision main has no file none.safetensors")
	refuse(Request{VisionOnly: true}, map[string][]byte{loader.IndexName: index}, "--vision-only")
	refuse(Request{}, map[string][]byte{loader.IndexName: []byte(`{"weight_map":{"x":"pytorch_model.bin"}}`), "pytorch_model.bin": nil}, "names pytorch_model.bin", "no safetensors")
	refuse(Request{}, map[string][]byte{loader.IndexName: []byte(`{"weight_map":{"x":"../../x.safetensors"}}`)}, "../../x.safetensors")
}

// What a pull of the same process number left half done, here or in another container, is in nobody's way, and a pull
// that fails leaves nothing half done.
func TestPullBesideAbandonedOnes(t *testing.T) {
	f := newFakeHub(t, repository())
	c, _ := f.client()
	repository := filepath.Join(c.Cache, id.Folder())
	config := filepath.Join(repository, "snapshots", commit, "config.json")
	for _, name := range []string{config, filepath.Join(repository, "refs/main")} {
		if err := os.MkdirAll(fmt.Sprintf("%s.%d.partial", name, os.Getpid()), 0o777); err != nil {
			t.Fatal(err)
		}
	}
	pulled(t, c, Request{ID: id})
	opens(t, c, "org/tower")

	like := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(like, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	want, err1 := os.Stat(like)
	got, err2 := os.Stat(filepath.Join(repository, "refs/main"))
	if err1 != nil || err2 != nil || got.Mode() != want.Mode() {
		t.Errorf("refs/main has the mode %v, %v, want that of other new files, %v, %v", got, err2, want, err1)
	}

	if err := os.Remove(config); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(config, "a folder"), 0o777); err != nil {
		t.Fatal(err)
	}
	failed(t, c, Request{ID: id}, config)
	entries, err := os.ReadDir(repository)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !slices.Contains([]string{"blobs", "refs", "snapshots"}, e.Name()) {
			t.Errorf("%s is left", e.Name())
		}
	}
}

// header cuts a safetensors file up.
func header(t *testing.T, file []byte) (tensors map[string]tensor, data []byte) {
	t.Helper()
	n := binary.LittleEndian.Uint64(file)
	if err := json.Unmarshal(file[8:8+n], &tensors); err != nil {
		t.Fatal(err)
	}
	return tensors, file[8+n:]
}

type tensor struct {
	DType     string  `json:"dtype,omitempty"`
	Shape     []int   `json:"shape,omitempty"`
	Offsets   []int   `json:"data_offsets,omitempty"`
	Origin    string  `json:"origin,omitempty"` // of __metadata__
	ETag      string  `json:"origin_etag,omitempty"`
	Format    string  `json:"format,omitempty"`
	Synthetic *string `json:"synthetic,omitempty"`
}

// assemble writes a safetensors file of tensors in the order of names.
func assemble(t *testing.T, names []string, tensors map[string]tensor, data func(name string) []byte) []byte {
	t.Helper()
	all := map[string]any{"__metadata__": map[string]string{"format": "pt"}}
	var body []byte
	for _, name := range names {
		b := data(name)
		all[name] = map[string]any{"dtype": tensors[name].DType, "shape": append([]int{}, tensors[name].Shape...), "data_offsets": []int{len(body), len(body) + len(b)}}
		body = append(body, b...)
	}
	text, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	return slices.Concat(binary.LittleEndian.AppendUint64(nil, uint64(len(text))), text, body)
}

// split cuts a checkpoint into two shards, a.safetensors and b.safetensors, and their index.
func split(t *testing.T, file []byte) (shards [2][]byte, index []byte) {
	t.Helper()
	tensors, data := header(t, file)
	delete(tensors, "__metadata__")
	names := slices.Sorted(maps.Keys(tensors))
	files := map[string]string{}
	for i, half := range [][]string{names[:9], names[9:]} {
		shards[i] = assemble(t, half, tensors, func(name string) []byte { return data[tensors[name].Offsets[0]:tensors[name].Offsets[1]] })
		for _, name := range half {
			files[name] = []string{"a.safetensors", "b.safetensors"}[i]
		}
	}
	index, err := json.Marshal(map[string]any{"weight_map": files})
	if err != nil {
		t.Fatal(err)
	}
	return shards, index
}

// twoTowers adds a text tower to a checkpoint, in name order as transformers writes one, so that the vision tower lies in
// two places.
func twoTowers(t *testing.T, file []byte) []byte {
	t.Helper()
	tensors, data := header(t, file)
	delete(tensors, "__metadata__")
	text := map[string]int{"logit_scale": 4, "text_model.encoder.layers.0.mlp.fc1.weight": 40_000, "text_projection.weight": 8_000, "vision_model_not.weight": 400}
	for name, size := range text {
		tensors[name] = tensor{DType: "F32", Shape: []int{size / 4}}
	}
	return assemble(t, slices.Sorted(maps.Keys(tensors)), tensors, func(name string) []byte {
		if size, ok := text[name]; ok {
			return bytes.Repeat([]byte{0x7f}, size)
		}
		return data[tensors[name].Offsets[0]:tensors[name].Offsets[1]]
	})
}

func TestVisionOnly(t *testing.T) {
	files := repository()
	tower := files["model.safetensors"]
	files["model.safetensors"] = twoTowers(t, tower)
	f := newFakeHub(t, files)
	c, _ := f.client()
	p := pulled(t, c, Request{ID: id, VisionOnly: true})
	folder := filepath.Join(c.Cache, "models--org--tower/vision", commit)
	if last := p.Files[len(p.Files)-1]; p.Folder != folder || last.Name != "model.vision.safetensors" || last.Sum || last.There {
		t.Errorf("%+v", p)
	}
	opens(t, c, "org/tower")
	file, err := os.ReadFile(filepath.Join(folder, "model.vision.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	tensors, _ := header(t, file)
	meta := tensors["__metadata__"]
	if meta.Origin != "org/tower@"+commit+"/model.safetensors" || meta.ETag != etag("model.safetensors", files["model.safetensors"]) || meta.Format != "pt" {
		t.Errorf("__metadata__ is %+v", meta)
	}
	if len(tensors) != 41 || tensors["text_projection.weight"].DType != "" {
		t.Errorf("%d entries in the header, want 40 tensors and the metadata", len(tensors))
	}
	// Two requests for the header, one for each of the two places.
	if gets := f.gets("model.safetensors"); len(gets) != 4 || gets[0] != "bytes=0-7" {
		t.Errorf("asked for %q", gets)
	}
	if got := tree(t, filepath.Join(c.Cache, "models--org--tower")); len(got) != 5 || got["snapshots/"+commit+"/config.json"] == "" || got["vision/"+commit+"/config.json"] == "" {
		t.Errorf("the repository's folder holds %v", got)
	}
	if p := pulled(t, c, Request{ID: id, VisionOnly: true}); !p.Files[1].There {
		t.Errorf("pulled again: %+v", p.Files)
	}

	// The whole file comes first once it is there.
	pulled(t, c, Request{ID: id})
	t.Setenv("HF_HUB_CACHE", c.Cache)
	m, err := loader.OpenModel("org/tower")
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if got := m.Files(); len(got) != 1 || filepath.Base(got[0]) != "model.safetensors" {
		t.Errorf("opened %v", got)
	}
}

// A repository without a configuration leaves no snapshot beside the part.
func TestVisionOnlyWithoutConfiguration(t *testing.T) {
	f := newFakeHub(t, map[string][]byte{"model.safetensors": twoTowers(t, tiny())})
	c, _ := f.client()
	p := pulled(t, c, Request{ID: id, VisionOnly: true})
	if len(p.Files) != 1 {
		t.Errorf("pulled %+v", p.Files)
	}
	opens(t, c, "org/tower")
	opens(t, c, "org/tower@"+commit)
}

// Files of one name in two folders have a part each, though of the same size.
func TestVisionOnlyOfFilesOfOneName(t *testing.T) {
	other := slices.Clone(tiny())
	other[len(other)-1] ^= 1
	f := newFakeHub(t, map[string][]byte{"a/model.safetensors": twoTowers(t, tiny()), "b/model.safetensors": twoTowers(t, other)})
	c, _ := f.client()
	parts := map[string]string{}
	for _, dir := range []string{"a", "b"} {
		p := pulled(t, c, Request{ID: id, File: dir + "/model.safetensors", VisionOnly: true})
		part := p.Files[len(p.Files)-1]
		folder := filepath.Join(c.Cache, "models--org--tower/vision", commit, dir)
		if p.Folder != folder || part.Path != filepath.Join(folder, "model.vision.safetensors") || part.Name != dir+"/model.vision.safetensors" || part.There {
			t.Errorf("%+v", p)
		}
		content, err := os.ReadFile(part.Path)
		if err != nil {
			t.Fatal(err)
		}
		parts[dir] = string(content)
	}
	if parts["a"] == parts["b"] {
		t.Error("both parts are of the same file")
	}
	opens(t, c, filepath.Join(c.Cache, "models--org--tower/vision", commit, "a"))
}

func TestVisionOnlyResumesAndRefuses(t *testing.T) {
	files := repository()
	files["model.safetensors"] = twoTowers(t, files["model.safetensors"])
	f := newFakeHub(t, files)
	c, notes := f.client()
	cut := 2
	f.answer = func(w http.ResponseWriter, r *http.Request, content []byte) bool {
		if cut == 0 || r.Header.Get("Range") == "" || len(f.gets("model.safetensors")) < 3 {
			return false
		}
		cut--
		return cutAfter(w, r, content, 100_000)
	}
	pulled(t, c, Request{ID: id, VisionOnly: true})
	if len(*notes) != 2 || !strings.Contains((*notes)[0], "org/tower/model.safetensors: 127.0.0.1") {
		t.Errorf("noted %q", *notes)
	}
	opens(t, c, "org/tower")

	refuse := func(answer func(w http.ResponseWriter, r *http.Request, content []byte) bool, want ...string) {
		t.Helper()
		f := newFakeHub(t, files)
		f.answer = answer
		c, _ := f.client()
		failed(t, c, Request{ID: id, VisionOnly: true}, want...)
		for name := range tree(t, c.Cache) {
			if strings.HasSuffix(name, incomplete) || strings.HasSuffix(name, ".vision.safetensors") {
				t.Errorf("%s is left", name)
			}
		}
	}
	noRanges := func(w http.ResponseWriter, r *http.Request, content []byte) bool {
		r.Header.Del("Range")
		return false
	}
	refuse(noRanges, "does not send parts of files", "leave out --vision-only")
	seen := 0
	refuse(func(w http.ResponseWriter, r *http.Request, content []byte) bool {
		if seen++; seen > 3 {
			w.Header().Set("ETag", `"another"`)
			r.Header.Del("If-Range")
		}
		return false
	}, "changed the file while it was pulled")
	refuse(func(w http.ResponseWriter, r *http.Request, content []byte) bool {
		if r.Header.Get("Range") != "" {
			r.Header.Set("Range", "bytes=1-8")
		}
		return false
	}, "tried 6 times", `sends "bytes 1-8/`, `asked for "bytes 0-7/`)
	files["model.safetensors"] = assemble(t, nil, nil, nil)
	refuse(nil, "no CLIP vision tower")
	files["model.safetensors"] = []byte("PK\x03\x04 but short")
	refuse(nil, "a zip archive")
}

// What an earlier pull left of a part is gone on with if it starts with the same header.
func TestVisionOnlyAfterAnEarlierPull(t *testing.T) {
	files := repository()
	files["model.safetensors"] = twoTowers(t, files["model.safetensors"])
	f := newFakeHub(t, files)
	c, _ := f.client()
	path := pulled(t, c, Request{ID: id, VisionOnly: true}).Files[1].Path
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	all := f.gets("model.safetensors")
	again := func(left []byte) (asked []string) {
		t.Helper()
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path+incomplete, left, 0o644); err != nil {
			t.Fatal(err)
		}
		f.requests = nil
		pulled(t, c, Request{ID: id, VisionOnly: true})
		if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d bytes, %v; want the %d of the first pull", len(got), err, len(want))
		}
		return f.gets("model.safetensors")
	}
	last := all[3]
	var from, to int
	fmt.Sscanf(last, "bytes=%d-%d", &from, &to)
	if got, want := again(want[:len(want)-100]), []string{all[0], all[1], fmt.Sprintf("bytes=%d-%d", to-99, to)}; !slices.Equal(got, want) {
		t.Errorf("asked for %q, want %q", got, want)
	}
	if got := again(want); !slices.Equal(got, all[:2]) {
		t.Errorf("asked for %q, want the header alone", got)
	}
	other := slices.Clone(want[:len(want)-100])
	other[100] ^= 1
	for _, left := range [][]byte{other, want[:50], append(slices.Clone(want), 0)} {
		if got := again(left); !slices.Equal(got, all) {
			t.Errorf("asked for %q, want %q", got, all)
		}
	}
}

// cutAfter sends the asked range but closes the connection after n bytes of it.
func cutAfter(w http.ResponseWriter, r *http.Request, content []byte, n int) bool {
	from, to := 0, len(content)-1
	status := http.StatusOK
	if s := r.Header.Get("Range"); s != "" {
		fmt.Sscanf(s, "bytes=%d-%d", &from, &to)
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, to, len(content)))
		status = http.StatusPartialContent
	}
	w.Header().Set("Content-Length", fmt.Sprint(to-from+1))
	w.WriteHeader(status)
	w.Write(content[from:min(from+n, to+1)])
	w.(http.Flusher).Flush()
	panic(http.ErrAbortHandler)
}

// What a server does to the third of the requests below, and what becomes of the pull.
func TestBadServers(t *testing.T) {
	files := repository()
	content := files["model.safetensors"]
	size := len(content)
	other := slices.Clone(content)
	other[size-1] ^= 1
	type server func(n int, w http.ResponseWriter, r *http.Request) bool // n counts requests for the weights from 1
	run := func(s server) (*fakeHub, *Client, *[]string) {
		f := newFakeHub(t, files)
		n := 0
		f.answer = func(w http.ResponseWriter, r *http.Request, b []byte) bool {
			if len(b) != size {
				return false
			}
			n++
			return s(n, w, r)
		}
		c, notes := f.client()
		return f, c, notes
	}
	survives := func(s server, ranges []string, note string) {
		t.Helper()
		f, c, notes := run(s)
		pulled(t, c, Request{ID: id})
		opens(t, c, "org/tower")
		if got := f.gets("model.safetensors"); !slices.Equal(got, ranges) {
			t.Errorf("asked for %q, want %q", got, ranges)
		}
		if len(*notes) == 0 || !strings.Contains(strings.Join(*notes, "\n"), note) {
			t.Errorf("noted %q, want %q", *notes, note)
		}
	}
	from := func(n int) string { return fmt.Sprintf("bytes=%d-%d", n, size-1) }
	cut := func(w http.ResponseWriter, r *http.Request) bool { return cutAfter(w, r, content, 1_000_000) }

	// Cut connections, with and without ranges.
	survives(func(n int, w http.ResponseWriter, r *http.Request) bool { return n <= 2 && cut(w, r) },
		[]string{"", from(1_000_000), from(2_000_000)}, "cut the connection, 1.93 MB are missing; trying again in 500ms")
	survives(func(n int, w http.ResponseWriter, r *http.Request) bool {
		r.Header.Del("Range")
		return n == 1 && cut(w, r)
	}, []string{"", from(1_000_000)}, "cut the connection")
	// A body that ends early without a length to tell.
	survives(func(n int, w http.ResponseWriter, r *http.Request) bool {
		if n == 1 {
			w.WriteHeader(http.StatusOK)
			w.(http.Flusher).Flush()
			w.Write(content[:5000])
		}
		return n == 1
	}, []string{"", from(5000)}, "cut the connection")
	// More bytes than there are, without a length to tell.
	survives(func(n int, w http.ResponseWriter, r *http.Request) bool {
		if n == 1 {
			w.(http.Flusher).Flush()
			w.Write(content)
			w.Write(content)
		}
		return n == 1
	}, []string{"", ""}, "sends more than the 2930648 bytes")
	// A length that is not the hub's.
	survives(func(n int, w http.ResponseWriter, r *http.Request) bool {
		if n == 1 {
			w.Header().Set("Content-Length", "7")
			w.Write(content[:7])
		}
		return n == 1
	}, []string{"", ""}, "sends 7 bytes, the hub says 2930648")
	// Another range than the one asked for.
	survives(func(n int, w http.ResponseWriter, r *http.Request) bool {
		if n == 2 {
			r.Header.Set("Range", from(999_999))
		}
		return n == 1 && cut(w, r)
	}, []string{"", from(1_000_000), from(1_000_000)}, `sends "bytes 999999-2930647/2930648"`)
	// Other content meanwhile: If-Range makes the server send all of it, and one that ignores it is found out by its ETag.
	changing := func(ignore bool) server {
		return func(n int, w http.ResponseWriter, r *http.Request) bool {
			if n == 1 {
				w.Header().Set("ETag", `"older"`)
				return cutAfter(w, r, other, 1_000_000)
			}
			if ignore {
				r.Header.Del("If-Range")
			}
			return false
		}
	}
	survives(changing(false), []string{"", from(1_000_000), ""}, "changed the file between two requests")
	survives(changing(true), []string{"", from(1_000_000), ""}, "changed the file between two requests")
	// Nothing where the rest should be.
	survives(func(n int, w http.ResponseWriter, r *http.Request) bool {
		if n == 2 {
			w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
		}
		return n == 2 || n == 1 && cut(w, r)
	}, []string{"", from(1_000_000), ""}, "has no bytes from 1000000 on")
	// An error in between, whose page has an ETag of its own.
	survives(func(n int, w http.ResponseWriter, r *http.Request) bool {
		if n == 2 {
			w.Header().Set("ETag", `"error-page"`)
			w.WriteHeader(http.StatusBadGateway)
		}
		return n == 2 || n == 1 && cut(w, r)
	}, []string{"", from(1_000_000), from(1_000_000)}, "502 Bad Gateway")
	// Overload, and links that expire.
	status := func(code int, header ...string) server {
		return func(n int, w http.ResponseWriter, r *http.Request) bool {
			if n == 1 {
				for pair := range slices.Chunk(header, 2) {
					w.Header().Set(pair[0], pair[1])
				}
				w.WriteHeader(code)
			}
			return n == 1
		}
	}
	survives(status(429, "Retry-After", "7"), []string{"", ""}, "answers 429 Too Many Requests; trying again in 7s")
	survives(status(503, "Retry-After", "0"), []string{"", ""}, "answers 503 Service Unavailable; trying again in 500ms")
	survives(status(500), []string{"", ""}, "answers 500 Internal Server Error")
	survives(status(403), []string{"", ""}, "answers 403 Forbidden")

	fails := func(s server, left bool, want ...string) {
		t.Helper()
		_, c, _ := run(s)
		failed(t, c, Request{ID: id}, want...)
		found := tree(t, filepath.Join(c.Cache, "models--org--tower"))
		if found["blobs/"+etag("model.safetensors", content)] != "" || found["refs/main"] != "" || found["snapshots/"+commit+"/model.safetensors"] != "" {
			t.Errorf("a failed pull left %v", found)
		}
		if got := found["blobs/"+etag("model.safetensors", content)+incomplete] != ""; got != left {
			t.Errorf("left for the next time: %v, want %v", got, left)
		}
	}
	always := func(f func(w http.ResponseWriter, r *http.Request)) server {
		return func(_ int, w http.ResponseWriter, r *http.Request) bool {
			f(w, r)
			return true
		}
	}
	fails(always(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Write([]byte("Welcome! Please log in."))
	}), false, "answers with a web page in place of the file", "HTTPS_PROXY")
	fails(always(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set("Content-Length", fmt.Sprint(size))
		w.Write(append([]byte("\n<!DOCTYPE HTML>"), content[16:]...))
	}), false, "answers with a web page in place of the file")
	fails(always(func(w http.ResponseWriter, r *http.Request) { w.Write(other) }), false,
		"has sha256 "+etag("model.safetensors", other)+", the hub says "+etag("model.safetensors", content)+": it is removed")
	fails(always(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(404) }), false, "answers 404 Not Found for model.safetensors")
	fails(always(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(502) }), false, "tried 6 times", "502 Bad Gateway")
	fails(always(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Retry-After", "3600")
		w.WriteHeader(429)
	}), false, "asks to wait 1h0m0s")
	fails(always(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.String(), 302) }), false, "more than 10 redirects")
	fails(always(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "file:///etc/passwd", 302) }), false, "no web address")
	fails(func(n int, w http.ResponseWriter, r *http.Request) bool {
		if n == 1 {
			return cut(w, r)
		}
		w.WriteHeader(500)
		return true
	}, true, "tried 6 times", "it goes on where it stopped")
}

func TestRefusals(t *testing.T) {
	f := newFakeHub(t, repository())
	refuse := func(r Request, token string, code int, errorCode string, want ...string) {
		t.Helper()
		f.head = func(w http.ResponseWriter, r *http.Request, name string) bool {
			if code != 0 {
				w.Header().Set("X-Error-Code", errorCode)
				w.Header().Set("X-Error-Message", "you sent "+r.Header.Get("Authorization"))
				w.WriteHeader(code)
			}
			return code != 0
		}
		c, _ := f.client()
		c.Token = token
		r.ID = cmp.Or(r.ID, id)
		failed(t, c, r, want...)
		if got := tree(t, c.Cache); len(got) != 0 {
			t.Errorf("the cache holds %v", got)
		}
	}
	refuse(Request{}, "", 401, "GatedRepo", "org/tower: the repository is gated", "accept its conditions on "+f.hub.URL+"/org/tower", "HF_TOKEN")
	refuse(Request{}, token, 403, "GatedRepo", "gated, and the account of the token has no access yet")
	refuse(Request{}, "", 401, "", "401 Unauthorized for model.safetensors", "no such repository, or it is private", "HF_TOKEN")
	refuse(Request{}, token, 401, "", "401 Unauthorized", "is wrong or has expired")
	refuse(Request{}, token, 403, "", "403 Forbidden", "the account has no right")
	refuse(Request{}, "", 451, "", "451 Unavailable For Legal Reasons")
	refuse(Request{ID: loader.HubID{Org: "org", Name: "towel", Revision: "main"}}, "", 0, "", "org/towel", "no such repository")
	refuse(Request{ID: loader.HubID{Org: "org", Name: "tower", Revision: "v2"}}, "", 0, "", "no revision v2")

	// Something else than a hub.
	f.head = func(w http.ResponseWriter, r *http.Request, name string) bool {
		w.Header().Set("Content-Type", "text/html")
		return true
	}
	c, _ := f.client()
	failed(t, c, Request{ID: id}, "answers with a web page")
	f.head = func(w http.ResponseWriter, r *http.Request, name string) bool { return true }
	failed(t, c, Request{ID: id}, "does not say the file's commit, ETag and length")
	f.head = func(w http.ResponseWriter, r *http.Request, name string) bool {
		w.Header().Set("X-Repo-Commit", commit)
		w.Header().Set("X-Linked-Etag", `"../../../outside"`)
		return true
	}
	failed(t, c, Request{ID: id}, "does not say the file's commit, ETag and length")
	f.hub.Close()
	failed(t, c, Request{ID: id}, "tried 6 times", "connection refused", "HF_ENDPOINT")
	c.transport = unreachable{}
	failed(t, c, Request{ID: id}, f.hub.Listener.Addr().String()+": cannot be reached", "no such host", "HTTPS_PROXY")
}

// An unreachable transport knows no hosts.
type unreachable struct{}

func (unreachable) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, &net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", Name: "hub", IsNotFound: true}}
}

// The hub of today redirects small files within itself, and a renamed repository to its new name: the token goes along.
// Nobody else is sent it, nor the hub again once another host has led back to it.
func TestToken(t *testing.T) {
	f := newFakeHub(t, repository())
	var seen []string
	f.head = func(w http.ResponseWriter, r *http.Request, name string) bool {
		seen = append(seen, r.URL.RawQuery+" "+r.Header.Get("Authorization"))
		switch r.URL.RawQuery {
		case "":
			http.Redirect(w, r, r.URL.Path+"?step=1", 307)
		case "step=1":
			http.Redirect(w, r, f.storage.URL+r.URL.Path, 307)
		case "step=2":
			w.WriteHeader(404)
		}
		return true
	}
	old := f.storage.Config.Handler
	f.storage.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodHead {
			if got := r.Header.Get("Authorization"); got != "" {
				t.Errorf("another host was sent %q", got)
			}
			http.Redirect(w, r, f.hub.URL+r.URL.Path+"?step=2", 307)
			return
		}
		old.ServeHTTP(w, r)
	})
	c, _ := f.client()
	failed(t, c, Request{ID: id, File: "x.safetensors"}, "has no file x.safetensors")
	if want := []string{" Bearer " + token, "step=1 Bearer " + token, "step=2 "}; !slices.Equal(seen, want) {
		t.Errorf("the hub saw %q, want %q", seen, want)
	}
}

func TestResumeOfAnEarlierPull(t *testing.T) {
	files := repository()
	content := files["model.safetensors"]
	f := newFakeHub(t, files)
	partial := func(c *Client, b []byte) {
		t.Helper()
		name := filepath.Join(c.Cache, "models--org--tower/blobs", etag("model.safetensors", content)+incomplete)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	check := func(b []byte, want ...string) {
		t.Helper()
		f.requests = nil
		c, _ := f.client()
		partial(c, b)
		pulled(t, c, Request{ID: id})
		opens(t, c, "org/tower")
		if got := f.gets("model.safetensors"); !slices.Equal(got, want) {
			t.Errorf("asked for %q, want %q", got, want)
		}
	}
	check(content[:1234], fmt.Sprintf("bytes=1234-%d", len(content)-1))
	check(content)
	check(append(slices.Clone(content), 0), "")
	c, _ := f.client()
	partial(c, make([]byte, 1234))
	failed(t, c, Request{ID: id}, "it is removed")
	pulled(t, c, Request{ID: id})
	opens(t, c, "org/tower")
}

func TestDiskSpace(t *testing.T) {
	f := newFakeHub(t, repository())
	c, _ := f.client()
	c.free = func(dir string) (int64, error) { return 2_000_000, nil }
	failed(t, c, Request{ID: id}, "2.93 MB are needed, the disk of "+c.Cache+" has 2 MB left", "HF_HUB_CACHE")
	if gets := f.gets("model.safetensors"); len(gets) != 0 {
		t.Errorf("asked for %q", gets)
	}
}

// Two pulls at once fetch once.
func TestLock(t *testing.T) {
	f := newFakeHub(t, repository())
	first, _ := f.client()
	second, _ := f.client()
	second.Cache = first.Cache
	waits := make(chan struct{})
	second.Notify = func(text string) {
		if !strings.Contains(text, "another process pulls it") {
			t.Errorf("noted %q", text)
		}
		close(waits)
	}
	held, started := make(chan error, 1), false
	f.answer = func(w http.ResponseWriter, r *http.Request, content []byte) bool {
		if large(r.URL.Path) && !started {
			started = true
			go func() {
				_, err := second.Pull(t.Context(), Request{ID: id})
				held <- err
			}()
			<-waits
		}
		return false
	}
	pulled(t, first, Request{ID: id})
	if err := <-held; err != nil {
		t.Error(err)
	}
	if gets := f.gets("model.safetensors"); len(gets) != 1 {
		t.Errorf("asked for %q", gets)
	}
}

func TestCancel(t *testing.T) {
	f := newFakeHub(t, repository())
	c, _ := f.client()
	ctx, cancel := context.WithCancel(t.Context())
	f.answer = func(w http.ResponseWriter, r *http.Request, content []byte) bool {
		if !large(r.URL.Path) {
			return false
		}
		w.Header().Set("Content-Length", fmt.Sprint(len(content)))
		w.Write(content[:1000])
		w.(http.Flusher).Flush()
		cancel()
		<-r.Context().Done()
		return true
	}
	if _, err := c.Pull(ctx, Request{ID: id}); err != context.Canceled {
		t.Errorf("a cancelled pull returned %v", err)
	}
}

func TestFromEnvironment(t *testing.T) {
	home := t.TempDir()
	for _, name := range []string{"HF_ENDPOINT", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_PATH", "HF_HUB_CACHE"} {
		t.Setenv(name, "")
	}
	t.Setenv("HF_HOME", home)
	check := func(endpoint, token, cache string) {
		t.Helper()
		c, err := FromEnvironment()
		if err != nil {
			t.Fatal(err)
		}
		if c.Endpoint.String() != endpoint || c.Token != token || c.Cache != cache {
			t.Errorf("%s, token %q, cache %s; want %s, %q, %s", c.Endpoint, c.Token, c.Cache, endpoint, token, cache)
		}
	}
	check("https://huggingface.co", "", filepath.Join(home, "hub"))
	if err := os.WriteFile(filepath.Join(home, "token"), []byte("of the file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	check("https://huggingface.co", "of the file", filepath.Join(home, "hub"))
	t.Setenv("HF_TOKEN", " of the variable ")
	t.Setenv("HF_ENDPOINT", "http://127.0.0.1:9/mirror/")
	t.Setenv("HF_HUB_CACHE", "/cache")
	check("http://127.0.0.1:9/mirror", "of the variable", "/cache")
	for _, bad := range []string{"huggingface.co", "ftp://huggingface.co", "https://"} {
		t.Setenv("HF_ENDPOINT", bad)
		if _, err := FromEnvironment(); err == nil || !strings.Contains(err.Error(), "HF_ENDPOINT") {
			t.Errorf("HF_ENDPOINT=%s: %v", bad, err)
		}
	}
}
