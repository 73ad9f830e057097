package tower

// A Variant is a known tower under the name that users call it by.
type Variant struct {
	Name string
	Config
}

// Variants are the towers known by name: the published ones, and three small ones of the same family for tests and
// demonstrations (head_dim 80, 64 and 104; exact and quick GELU). Adding a tower is adding a row.
//
// Sources: the config.json of openai/clip-vit-base-patch32, -base-patch16, -large-patch14 and of
// laion/CLIP-ViT-H-14-laion2B-s32B-b79K, -g-14-laion2B-s12B-b42K, -bigG-14-laion2B-39B-b160k.
var Variants = []Variant{
	{"vit-tiny", Config{Width: 160, MLP: 640, Layers: 2, Heads: 2, Image: 56, Patch: 14, Projection: 96, Activation: GELU, Epsilon: 1e-5}},
	{"vit-tiny-b", Config{Width: 128, MLP: 512, Layers: 3, Heads: 2, Image: 64, Patch: 16, Projection: 64, Activation: QuickGELU, Epsilon: 1e-5}},
	{"vit-tiny-g", Config{Width: 208, MLP: 1024, Layers: 2, Heads: 2, Image: 70, Patch: 14, Projection: 160, Activation: GELU, Epsilon: 1e-5}},
	{"vit-b-32", Config{Width: 768, MLP: 3072, Layers: 12, Heads: 12, Image: 224, Patch: 32, Projection: 512, Activation: QuickGELU, Epsilon: 1e-5}},
	{"vit-b-16", Config{Width: 768, MLP: 3072, Layers: 12, Heads: 12, Image: 224, Patch: 16, Projection: 512, Activation: QuickGELU, Epsilon: 1e-5}},
	{"vit-l-14", Config{Width: 1024, MLP: 4096, Layers: 24, Heads: 16, Image: 224, Patch: 14, Projection: 768, Activation: QuickGELU, Epsilon: 1e-5}},
	{"vit-h-14", Config{Width: 1280, MLP: 5120, Layers: 32, Heads: 16, Image: 224, Patch: 14, Projection: 1024, Activation: GELU, Epsilon: 1e-5}},
	{"vit-g-14", Config{Width: 1408, MLP: 6144, Layers: 40, Heads: 16, Image: 224, Patch: 14, Projection: 1024, Activation: GELU, Epsilon: 1e-5}},
	{"vit-bigg-14", Config{Width: 1664, MLP: 8192, Layers: 48, Heads: 16, Image: 224, Patch: 14, Projection: 1280, Activation: GELU, Epsilon: 1e-5}},
}

// Lookup returns the known tower of that name.
func Lookup(name string) (Config, bool) {
	for _, v := range Variants {
		if v.Name == name {
			return v.Config, true
		}
	}
	return Config{}, false
}

// Name returns the name of the known tower with c's shape and activation, or "".
func Name(c Config) string {
	for _, v := range Variants {
		if v.Config == c {
			return v.Name
		}
	}
	return ""
}
