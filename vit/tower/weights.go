package tower

import "fmt"

// A Tensor is a weight of a tower: its name in Hugging Face's CLIPVisionModelWithProjection, which is the one spelling
// used throughout, and its shape, outermost dimension first, as PyTorch stores it.
type Tensor struct {
	Name  string
	Shape []int
}

// Names of the weights outside the transformer blocks. "pre_layrnorm" is spelled as in the checkpoints.
const (
	ClassEmbedding    = "vision_model.embeddings.class_embedding"           // [Width]
	PatchEmbedding    = "vision_model.embeddings.patch_embedding.weight"    // [Width, 3, Patch, Patch]
	PositionEmbedding = "vision_model.embeddings.position_embedding.weight" // [Tokens, Width]
	PreLayerNorm      = "vision_model.pre_layrnorm"                         // .weight, .bias [Width]
	PostLayerNorm     = "vision_model.post_layernorm"                       // .weight, .bias [Width]
	VisualProjection  = "visual_projection.weight"                          // [Projection, Width]
)

// Layer returns the name of a module in transformer block i: Layer(3, "mlp.fc1") is "vision_model.encoder.layers.3.mlp.fc1".
func Layer(i int, module string) string {
	return fmt.Sprintf("vision_model.encoder.layers.%d.%s", i, module)
}

// Tensors lists the weights of the tower in the order of a Hugging Face checkpoint.
func (c Config) Tensors() []Tensor {
	d := c.Width
	var list []Tensor
	add := func(name string, shape ...int) { list = append(list, Tensor{name, shape}) }
	affine := func(name string) {
		add(name+".weight", d)
		add(name+".bias", d)
	}
	linear := func(name string, out, in int) {
		add(name+".weight", out, in)
		add(name+".bias", out)
	}
	add(ClassEmbedding, d)
	add(PatchEmbedding, d, 3, c.Patch, c.Patch)
	add(PositionEmbedding, c.Tokens(), d)
	affine(PreLayerNorm)
	for i := range c.Layers {
		affine(Layer(i, "layer_norm1"))
		for _, proj := range []string{"q_proj", "k_proj", "v_proj", "out_proj"} {
			linear(Layer(i, "self_attn."+proj), d, d)
		}
		affine(Layer(i, "layer_norm2"))
		linear(Layer(i, "mlp.fc1"), c.MLP, d)
		linear(Layer(i, "mlp.fc2"), d, c.MLP)
	}
	affine(PostLayerNorm)
	if c.Projection > 0 {
		add(VisualProjection, c.Projection, d)
	}
	return list
}
