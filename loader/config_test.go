package loader

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"vith/vit/tower"
)

// TestPublishedConfigs reads the fields that count of configurations as they are published.
func TestPublishedConfigs(t *testing.T) {
	lookup := func(name string) tower.Config {
		c, ok := tower.Lookup(name)
		if !ok {
			t.Fatal(name)
		}
		return c
	}
	h, b32, l := lookup("vit-h-14"), lookup("vit-b-32"), lookup("vit-l-14")
	gelu := l
	gelu.Activation = tower.GELU
	large := l
	large.Image = 336
	f := func(parse func([]byte) (*tower.Config, error), text string, want *tower.Config) {
		t.Helper()
		got, err := parse([]byte(text))
		switch {
		case err != nil:
			t.Errorf("%s: %v", text, err)
		case got == nil || want == nil:
			if got != want {
				t.Errorf("%s: got %v, want %v", text, got, want)
			}
		case *got != *want:
			t.Errorf("%s: got %+v, want %+v", text, *got, *want)
		}
	}

	// laion/CLIP-ViT-H-14-laion2B-s32B-b79K: the inner projection_dim is a default that does not count.
	f(parseHuggingFace, `{"model_type":"clip","projection_dim":1024,"logit_scale_init_value":2.6592,"text_config":{"hidden_size":1024,"num_hidden_layers":24},
		"vision_config":{"hidden_act":"gelu","hidden_size":1280,"image_size":224,"intermediate_size":5120,"layer_norm_eps":1e-05,
		"num_attention_heads":16,"num_hidden_layers":32,"patch_size":14,"projection_dim":512},"vision_config_dict":null}`, &h)
	// An image encoder on its own.
	f(parseHuggingFace, `{"architectures":["CLIPVisionModelWithProjection"],"model_type":"clip_vision_model","hidden_act":"gelu","hidden_size":1280,
		"image_size":224,"intermediate_size":5120,"layer_norm_eps":1e-05,"num_attention_heads":16,"num_channels":3,"num_hidden_layers":32,"patch_size":14,"projection_dim":1024}`, &h)
	// What equals the default is left out of a nested configuration.
	f(parseHuggingFace, `{"model_type":"clip","projection_dim":512,"vision_config":{}}`, &b32)
	f(parseHuggingFace, `{"projection_dim":768,"vision_config":{"hidden_size":1024,"intermediate_size":4096,"num_attention_heads":16,"num_hidden_layers":24,"patch_size":14,"image_size":336}}`, &large)
	// Other models, other JSON files.
	f(parseHuggingFace, `{"model_type":"bert","hidden_size":768}`, nil)
	f(parseHuggingFace, `{"vision_config":null}`, nil)
	f(parseHuggingFace, `{}`, nil)

	f(parseOpenCLIP, `{"model_cfg":{"embed_dim":1024,"vision_cfg":{"image_size":224,"layers":32,"width":1280,"head_width":80,"patch_size":14},"text_cfg":{"width":1024}},"preprocess_cfg":{"mean":[0.48]}}`, &h)
	f(parseOpenCLIP, `{"model_cfg":{"embed_dim":768,"vision_cfg":{"image_size":224,"layers":24,"width":1024,"patch_size":14,"timm_model_name":null,"pool_type":"tok"}}}`, &gelu)
	f(parseOpenCLIP, `{"model_cfg":{"embed_dim":768,"quick_gelu":true,"vision_cfg":{"layers":24,"width":1024,"patch_size":14}}}`, &l)
	g := lookup("vit-g-14")
	f(parseOpenCLIP, `{"model_cfg":{"embed_dim":1024,"vision_cfg":{"image_size":224,"layers":40,"width":1408,"head_width":88,"mlp_ratio":4.3637,"patch_size":14}}}`, &g)
	big := lookup("vit-bigg-14")
	f(parseOpenCLIP, `{"model_cfg":{"embed_dim":1280,"vision_cfg":{"image_size":224,"layers":48,"width":1664,"head_width":104,"mlp_ratio":4.9231,"patch_size":14}}}`, &big)
	f(parseOpenCLIP, `{"architecture":"vit_base"}`, nil)
}

// TestWhereConfigsAreFound opens vit-tiny's weights beside different files.
func TestWhereConfigsAreFound(t *testing.T) {
	hf := stateDict(t, "vit-tiny", 1)
	plain := string(encode(t, hf, "", 0))
	marked := string(encode(t, hf, `{"synthetic":"vit-tiny/1"}`, 0))
	const (
		tiny     = `{"vision_config":{"hidden_size":160,"intermediate_size":640,"num_hidden_layers":2,"num_attention_heads":4,"image_size":56,"patch_size":14,"hidden_act":"gelu","projection_dim":96}}`
		openclip = `{"model_cfg":{"embed_dim":96,"vision_cfg":{"width":160,"layers":2,"head_width":20,"patch_size":14,"image_size":56}}}`
	)
	f := func(heads int, source string, namesAndContents ...string) {
		t.Helper()
		dir := t.TempDir()
		write(t, dir, namesAndContents...)
		for _, path := range []string{dir, filepath.Join(dir, namesAndContents[0])} {
			c := open(t, path)
			got, from := c.Config()
			if got.Heads != heads || got.Width != 160 || got.Projection != 96 || strings.TrimPrefix(from, dir+"/") != source {
				t.Errorf("%d heads from %s, want %d from %s", got.Heads, from, heads, source)
			}
			if from == dir+"/"+source != strings.HasSuffix(source, ".json") {
				t.Errorf("the source is %q", from)
			}
		}
	}
	f(2, "names and shapes of the tensors", "x.safetensors", plain)
	f(2, "__metadata__.synthetic", "x.safetensors", marked)
	f(4, "config.json", "x.safetensors", marked, "config.json", tiny, "open_clip_config.json", openclip)
	f(8, "open_clip_config.json", "x.safetensors", plain, "open_clip_config.json", openclip)
	f(8, "open_clip_config.json", "x.safetensors", plain, "open_clip_config.json", openclip, "config.json", `{"name":"of something else"}`)
	f(2, "names and shapes of the tensors", "x.safetensors", string(encode(t, hf, `{"synthetic":"vit-unheard-of/1"}`, 0)))
}

func TestConfigsRefused(t *testing.T) {
	hf := stateDict(t, "vit-tiny", 1)
	plain := string(encode(t, hf, "", 0))
	f := func(file, tensor, want string, namesAndContents ...string) {
		t.Helper()
		dir := t.TempDir()
		write(t, dir, append(namesAndContents, "x.safetensors", plain)...)
		_, err := Open(filepath.Join(dir, "x.safetensors"))
		refused(t, err, filepath.Join(dir, file), tensor, want)
	}
	const shape = `"intermediate_size":640,"num_hidden_layers":2,"num_attention_heads":2,"image_size":56,"patch_size":14,"projection_dim":96`
	f("config.json", "", "cannot read the tower's configuration: invalid character", "config.json", `{"vision_config":{"hidden_size":16`+"\x01")
	f("config.json", "", "cannot unmarshal string into Go struct field", "config.json", `{"vision_config":{"hidden_size":"160"}}`)
	f("config.json", "", "larger than 1048576 bytes", "config.json", strings.Repeat(" ", 1<<20+1))
	f("x.safetensors", "", `this tower cannot be run (configuration from `, "config.json", `{"hidden_size":161,`+shape+`,"hidden_act":"gelu_new"}`)
	f("x.safetensors", "", `hidden_size 161 is not a multiple of num_attention_heads 2, hidden_act is "gelu_new"`, "config.json", `{"hidden_size":161,`+shape+`,"hidden_act":"gelu_new"}`)
	f("x.safetensors", "", "num_hidden_layers is 1000000000000, must be 1 to", "config.json", `{"hidden_size":160,"patch_size":14,"num_hidden_layers":1000000000000}`)
	f("x.safetensors", tower.ClassEmbedding, "the shape [160], but the tower has [320] (from ", "config.json", `{"hidden_size":320,`+shape+`}`)
	f("x.safetensors", tower.Layer(2, "layer_norm1.weight"), "is missing", "config.json", `{"hidden_size":160,`+strings.Replace(shape, "layers\":2", "layers\":3", 1)+`}`)
	f("x.safetensors", tower.Layer(1, "layer_norm1.bias"), "is no weight of a CLIP ViT of 1 layers (from ", "config.json", `{"hidden_size":160,`+strings.Replace(shape, "layers\":2", "layers\":1", 1)+`}`)
	f("open_clip_config.json", "", "timm_model_name is \"vit_base\": not CLIP's vision transformer", "open_clip_config.json", `{"model_cfg":{"vision_cfg":{"timm_model_name":"vit_base"}}}`)
	f("open_clip_config.json", "", "no_ln_pre is true", "open_clip_config.json", `{"model_cfg":{"vision_cfg":{"no_ln_pre":true}}}`)
	f("open_clip_config.json", "", "cannot unmarshal array into Go struct field .layers", "open_clip_config.json", `{"model_cfg":{"vision_cfg":{"layers":[3,4,6,3],"width":64}}}`)
	f("open_clip_config.json", "", "width 160 is not a multiple of head_width 0", "open_clip_config.json", `{"model_cfg":{"vision_cfg":{"width":160,"head_width":0}}}`)
	f("open_clip_config.json", "", "mlp_ratio is 1e+300", "open_clip_config.json", `{"model_cfg":{"vision_cfg":{"mlp_ratio":1e300}}}`)
}

// TestInference reads the dimensions off headers whose data are a hole in the file.
func TestInference(t *testing.T) {
	f := func(c tower.Config) (*Checkpoint, error) {
		t.Helper()
		list, byName := []stored{}, map[string]*stored{}
		for _, w := range c.Tensors() {
			s := stored{name: w.Name, file: "x.safetensors"}
			for _, d := range w.Shape {
				s.shape = append(s.shape, uint64(d))
			}
			list = append(list, s)
		}
		for i := range list {
			byName[list[i].name] = &list[i]
		}
		m, err := findTower("x.safetensors", byName)
		if err != nil {
			t.Fatal(err)
		}
		got, source, err := findConfig(t.TempDir(), nil, m)
		return &Checkpoint{config: got, source: source}, err
	}
	for _, v := range tower.Variants {
		for _, projection := range []int{v.Projection, 0, 333} {
			want := v.Config
			want.Projection = projection
			if got, err := f(want); err != nil || got.config != want {
				t.Errorf("%s: got %+v, %v", v.Name, got, err)
			}
		}
	}
	l, _ := tower.Lookup("vit-l-14")
	l.Image = 336
	if got, err := f(l); err != nil || got.config != l {
		t.Errorf("336 pixels: got %+v, %v", got, err)
	}
	// A known width in an unknown tower has the heads of that width and the plain activation.
	l.Layers, l.Image = 13, 28
	want := l
	want.Activation = tower.GELU
	if got, err := f(l); err != nil || got.config != want {
		t.Errorf("13 layers: got %+v, %v", got, err)
	}
	l.Width = 1032
	_, err := f(l)
	refused(t, err, "x.safetensors", "", "no known tower has a width of 1032: the number of attention heads cannot be told; put the model's config.json")
}

func TestConventionsAreComplete(t *testing.T) {
	c, _ := tower.Lookup("vit-tiny")
	for _, convention := range conventions {
		seen := map[spelling]bool{}
		for _, w := range c.Tensors() {
			s := convention.spell(w.Name)
			if strings.HasSuffix(s.tensor, ".") || seen[s] {
				t.Errorf("%s: %s is spelled %+v", convention.name, w.Name, s)
			}
			seen[s] = true
			if !convention.owns(s.tensor) && w.Name != tower.VisualProjection {
				t.Errorf("%s: %s is outside %v", convention.name, s.tensor, convention.prefixes)
			}
		}
	}
	if slices.ContainsFunc(conventions, func(c convention) bool {
		return c.owns("text_model.embeddings.position_embedding.weight") || c.owns("logit_scale")
	}) {
		t.Error("a convention takes the text tower for its own")
	}
}
