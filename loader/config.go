package loader

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"vith/vit/tower"
)

// maxConfig bounds the size in bytes of a config.json.
const maxConfig = 1 << 20

// configFiles are the descriptions of a tower that may lie beside its weights, in order of preference. A parser returns
// nil for a file that describes something else.
var configFiles = []struct {
	name  string
	parse func(data []byte) (*tower.Config, error)
}{
	{"config.json", parseHuggingFace},
	{"open_clip_config.json", parseOpenCLIP},
}

// ConfigNames returns the names of the descriptions of a tower that may lie beside its weights, in order of preference.
func ConfigNames() []string {
	var names []string
	for _, f := range configFiles {
		names = append(names, f.name)
	}
	return names
}

// findConfig returns the tower's configuration and where it was found: a file in dir, the metadata of a synthetic
// checkpoint, or the names and shapes of the weights.
func findConfig(dir string, metadata map[string]string, m *match) (tower.Config, string, error) {
	c, source, err := statedConfig(dir, metadata)
	if err == nil && c == nil {
		source = "names and shapes of the tensors"
		c, err = inferConfig(m)
	}
	if err != nil {
		return tower.Config{}, "", err
	}
	if !m.has(tower.VisualProjection) {
		c.Projection = 0
	}
	if err := c.Validate(); err != nil {
		return tower.Config{}, "", &Error{File: m.path, Problem: "this tower cannot be run (configuration from " + source + ")", Err: oneLine(err)}
	}
	return *c, source, nil
}

// oneLine joins the lines of errors.Join.
func oneLine(err error) error {
	return errors.New(strings.ReplaceAll(err.Error(), "\n", ", "))
}

func statedConfig(dir string, metadata map[string]string) (*tower.Config, string, error) {
	for _, f := range configFiles {
		path := filepath.Join(dir, f.name)
		data, err := readSmall(path, maxConfig)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		var c *tower.Config
		if err == nil {
			c, err = f.parse(data)
		}
		if err != nil {
			return nil, "", &Error{File: path, Problem: "cannot read the tower's configuration", Err: cause(err),
				Remedy: "correct the file; without one, known towers are recognised by their shapes"}
		}
		if c != nil {
			return c, path, nil
		}
	}
	if config, _, ok := strings.Cut(syntheticRef(metadata), "/"); ok {
		c, _ := tower.Lookup(config)
		return &c, "__metadata__.synthetic", nil
	}
	return nil, "", nil
}

// syntheticRef returns the CONFIG/SEED in the metadata of a synthetic checkpoint of a known tower, else "".
func syntheticRef(metadata map[string]string) string {
	ref := metadata["synthetic"]
	config, _, err := ParseSynthetic(ref)
	if _, known := tower.Lookup(config); err != nil || !known {
		return ""
	}
	return ref
}

// readSmall reads a file of at most limit bytes.
func readSmall(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("larger than %d bytes", limit)
	}
	return data, err
}

// parseHuggingFace reads a CLIPVisionConfig, on its own or nested in a CLIPConfig, whose projection_dim then counts.
// What a file leaves out has transformers' default, which is CLIP ViT-B/32.
func parseHuggingFace(data []byte) (*tower.Config, error) {
	var outer struct {
		Vision     json.RawMessage `json:"vision_config"`
		Width      json.RawMessage `json:"hidden_size"`
		Patch      json.RawMessage `json:"patch_size"`
		Projection *int            `json:"projection_dim"`
	}
	if err := json.Unmarshal(data, &outer); err != nil {
		return nil, err
	}
	c, _ := tower.Lookup("vit-b-32")
	switch {
	case len(outer.Vision) > 0 && outer.Vision[0] == '{':
		data = outer.Vision
	case outer.Width == nil || outer.Patch == nil:
		return nil, nil
	}
	if err := json.Unmarshal(data, &c); err != nil {
		return nil, err
	}
	if outer.Projection != nil {
		c.Projection = *outer.Projection
	}
	return &c, nil
}

// parseOpenCLIP reads the model_cfg of an open_clip_config.json. What it leaves out has open_clip's default.
func parseOpenCLIP(data []byte) (*tower.Config, error) {
	var outer struct {
		Model struct {
			Vision    json.RawMessage `json:"vision_cfg"`
			Embed     int             `json:"embed_dim"`
			QuickGELU bool            `json:"quick_gelu"`
		} `json:"model_cfg"`
	}
	if err := json.Unmarshal(data, &outer); err != nil {
		return nil, err
	}
	if outer.Model.Vision == nil {
		return nil, nil
	}
	if err := plainTower(outer.Model.Vision); err != nil {
		return nil, err
	}
	v := struct {
		Width     int     `json:"width"`
		Layers    int     `json:"layers"`
		HeadWidth int     `json:"head_width"`
		Patch     int     `json:"patch_size"`
		Image     int     `json:"image_size"`
		MLPRatio  float64 `json:"mlp_ratio"`
	}{Width: 768, Layers: 12, HeadWidth: 64, Patch: 16, Image: 224, MLPRatio: 4}
	if err := json.Unmarshal(outer.Model.Vision, &v); err != nil {
		return nil, err
	}
	if v.HeadWidth < 1 || v.Width%v.HeadWidth != 0 {
		return nil, fmt.Errorf("width %d is not a multiple of head_width %d", v.Width, v.HeadWidth)
	}
	mlp := float64(v.Width) * v.MLPRatio
	if !(math.Abs(mlp) < math.MaxInt32) {
		return nil, fmt.Errorf("mlp_ratio is %g", v.MLPRatio)
	}
	c := tower.Config{Width: v.Width, MLP: int(mlp), Layers: v.Layers, Heads: v.Width / v.HeadWidth, Image: v.Image,
		Patch: v.Patch, Projection: outer.Model.Embed, Activation: tower.GELU, Epsilon: 1e-5}
	if outer.Model.QuickGELU {
		c.Activation = tower.QuickGELU
	}
	return &c, nil
}

// plainTower refuses the settings of open_clip's CLIPVisionCfg that make it compute something else than CLIP's tower.
func plainTower(vision []byte) error {
	var settings map[string]json.RawMessage
	if err := json.Unmarshal(vision, &settings); err != nil {
		return err
	}
	for _, must := range [][2]string{
		{"timm_model_name", "null"}, {"attentional_pool", "false"}, {"ls_init_value", "null"}, {"no_ln_pre", "false"},
		{"pool_type", `"tok"`}, {"final_ln_after_pool", "false"}, {"pos_embed_type", `"learnable"`},
		{"global_average_pool", "false"}, {"input_patchnorm", "false"}, {"act_kwargs", "null"}, {"norm_kwargs", "null"},
	} {
		name, plain := must[0], must[1]
		if value := string(settings[name]); value != "" && value != "null" && value != plain {
			return fmt.Errorf("%s is %.40s: not CLIP's vision transformer", name, value)
		}
	}
	return nil
}

// inferConfig reads the tower's dimensions off its weights. Shapes do not show heads and activation: those are the
// known tower's.
func inferConfig(m *match) (*tower.Config, error) {
	dims := func(name string, rank int) ([]int, *Error) {
		s, err := m.shape(name)
		if err == nil && len(s) != rank {
			err = m.fault(name, fmt.Sprintf("has %d dimensions, a CLIP tower's has %d", len(s), rank))
		}
		return s, err
	}
	class, err1 := dims(tower.ClassEmbedding, 1)
	patch, err2 := dims(tower.PatchEmbedding, 4)
	position, err3 := dims(tower.PositionEmbedding, 2)
	fc1, err4 := dims(tower.Layer(0, "mlp.fc1.weight"), 2)
	for _, err := range []*Error{err1, err2, err3, err4} {
		if err != nil {
			return nil, err
		}
	}
	c := tower.Config{Width: class[0], MLP: fc1[0], Patch: patch[3], Epsilon: 1e-5, Activation: tower.GELU}
	for m.has(tower.Layer(c.Layers, "mlp.fc1.weight")) {
		c.Layers++
	}
	grid := int(math.Sqrt(float64(position[0] - 1)))
	c.Image = grid * c.Patch
	if m.has(tower.VisualProjection) {
		out, err := dims(tower.VisualProjection, 2)
		if err != nil {
			return nil, err
		}
		c.Projection = out[0]
	}
	same := func(v tower.Variant) bool {
		return v.Width == c.Width && v.MLP == c.MLP && v.Layers == c.Layers && v.Patch == c.Patch
	}
	if i := slices.IndexFunc(tower.Variants, same); i >= 0 {
		v := tower.Variants[i]
		c.Heads, c.Activation = v.Heads, v.Activation
		if v.Grid() == grid {
			c.Image = v.Image
		}
		return &c, nil
	}
	for _, v := range tower.Variants {
		if v.Width == c.Width {
			c.Heads = v.Heads
			return &c, nil
		}
	}
	return nil, &Error{File: m.path, Problem: fmt.Sprintf("no config.json, and no known tower has a width of %d: the number of attention heads cannot be told", c.Width),
		Remedy: "put the model's config.json (or open_clip_config.json) beside the weights"}
}
