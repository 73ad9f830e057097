package loader

import (
	"strings"

	"vith/vit/tower"
)

// A spelling is where a family of files keeps a weight of the tower.
type spelling struct {
	tensor      string
	part, parts int  // the weight is part number part of parts equal slices along dimension 0; 0 parts: the whole
	transposed  bool // stored as [columns, rows]
}

// A convention is how a family of files names a tower.
type convention struct {
	name     string
	prefixes []string // of the tensors that belong to the vision tower
	skipped  string   // the one among them that holds no weight
	spell    func(canonical string) spelling
}

// conventions are the published ones, told apart by the name of the class embedding.
var conventions = []convention{
	{
		name:     "transformers' CLIPModel and CLIPVisionModelWithProjection",
		prefixes: []string{visionModel, "visual_projection."},
		skipped:  visionModel + positionIDs,
		spell:    func(canonical string) spelling { return spelling{tensor: canonical} },
	},
	{
		name:     "transformers 5's CLIPVisionModel",
		prefixes: []string{"embeddings.", "pre_layrnorm.", "encoder.", "post_layernorm."},
		skipped:  positionIDs,
		spell:    func(canonical string) spelling { return spelling{tensor: strings.TrimPrefix(canonical, visionModel)} },
	},
	{
		name:     "open_clip",
		prefixes: []string{"visual."},
		spell:    openCLIP,
	},
}

const (
	visionModel = "vision_model."
	positionIDs = "embeddings.position_ids" // 0, 1, 2, … as older versions of transformers saved them
)

// openCLIPNames maps the tower's names to open_clip's, within a transformer block and outside.
var openCLIPNames = map[string]spelling{
	tower.ClassEmbedding:            {tensor: "visual.class_embedding"},
	tower.PatchEmbedding:            {tensor: "visual.conv1.weight"},
	tower.PositionEmbedding:         {tensor: "visual.positional_embedding"},
	tower.PreLayerNorm + ".weight":  {tensor: "visual.ln_pre.weight"},
	tower.PreLayerNorm + ".bias":    {tensor: "visual.ln_pre.bias"},
	tower.PostLayerNorm + ".weight": {tensor: "visual.ln_post.weight"},
	tower.PostLayerNorm + ".bias":   {tensor: "visual.ln_post.bias"},
	tower.VisualProjection:          {tensor: "visual.proj", transposed: true},

	"layer_norm1.weight":        {tensor: "ln_1.weight"},
	"layer_norm1.bias":          {tensor: "ln_1.bias"},
	"self_attn.q_proj.weight":   {tensor: "attn.in_proj_weight", part: 0, parts: 3},
	"self_attn.k_proj.weight":   {tensor: "attn.in_proj_weight", part: 1, parts: 3},
	"self_attn.v_proj.weight":   {tensor: "attn.in_proj_weight", part: 2, parts: 3},
	"self_attn.q_proj.bias":     {tensor: "attn.in_proj_bias", part: 0, parts: 3},
	"self_attn.k_proj.bias":     {tensor: "attn.in_proj_bias", part: 1, parts: 3},
	"self_attn.v_proj.bias":     {tensor: "attn.in_proj_bias", part: 2, parts: 3},
	"self_attn.out_proj.weight": {tensor: "attn.out_proj.weight"},
	"self_attn.out_proj.bias":   {tensor: "attn.out_proj.bias"},
	"layer_norm2.weight":        {tensor: "ln_2.weight"},
	"layer_norm2.bias":          {tensor: "ln_2.bias"},
	"mlp.fc1.weight":            {tensor: "mlp.c_fc.weight"},
	"mlp.fc1.bias":              {tensor: "mlp.c_fc.bias"},
	"mlp.fc2.weight":            {tensor: "mlp.c_proj.weight"},
	"mlp.fc2.bias":              {tensor: "mlp.c_proj.bias"},
}

func openCLIP(canonical string) spelling {
	inLayer, ok := strings.CutPrefix(canonical, "vision_model.encoder.layers.")
	if !ok {
		return openCLIPNames[canonical]
	}
	layer, module, _ := strings.Cut(inLayer, ".")
	s := openCLIPNames[module]
	s.tensor = "visual.transformer.resblocks." + layer + "." + s.tensor
	return s
}

// owns reports whether a tensor of that name is a weight of the vision tower.
func (c *convention) owns(name string) bool {
	for _, p := range c.prefixes {
		if strings.HasPrefix(name, p) {
			return name != c.skipped
		}
	}
	return false
}
