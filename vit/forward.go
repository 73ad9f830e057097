package vit

import (
	"fmt"
	"math"

	"vith/kernels"
	"vith/kernels/tensor"
	"vith/vit/tower"
)

// Mean and standard deviation of the training images, of samples scaled to [0, 1], in the order red, green, blue.
// Source: OpenAI's CLIP; every tower of the family keeps them.
var (
	mean = [3]float64{0.48145466, 0.4578275, 0.40821073}
	std  = [3]float64{0.26862954, 0.26130258, 0.27577711}
)

// centre is the integer nearest to each channel's mean sample. Patches are centred on it, which keeps them small and
// exact in every float type; what is left of the normalisation is in the patch weights and their bias.
func centre() (c [3]float32) {
	for i, m := range mean {
		c[i] = float32(math.Round(255 * m))
	}
	return c
}

// patchAlign makes a row of patch samples a multiple of 16 elements: 32 bytes in the 16-bit types.
const patchAlign = 16

// A model writes the programs of one tower. Its weights are the same objects in all of them.
type model struct {
	tower.Config
	types      kernels.Precision
	activation kernels.Activation
	weights    *weights
}

func newModel(c tower.Config, o Options, w *weights) *model {
	m := &model{c, o.Precision, activations[c.Activation], w}
	if o.TanhGELU && c.Activation == tower.GELU {
		m.activation = kernels.GELUTanh
	}
	return m
}

// program is the forward pass of a batch of images to one output, in float32. Normalize scales the rows of pooled and
// projected outputs to unit length.
func (m *model) program(batch int, o Output, normalize bool) *kernels.Program {
	p, w := kernels.NewProgram(), m.weights
	cols := (m.PatchValues() + patchAlign - 1) / patchAlign * patchAlign

	pixels := p.Input("pixels", tensor.U8, batch, 3*m.Image*m.Image)
	patches := p.Patches(pixels, m.types.Activation, m.Image, m.Patch, cols, centre())
	x := p.Linear(patches, p.Weight(w.patches(cols)), w.patchBias(), 1./255, m.types.Stream)
	x = p.Embed(x, p.Weight(w.vector(tower.ClassEmbedding, m.Width)), p.Weight(w.positions()), batch)
	x = m.norm(p, x, tower.PreLayerNorm, m.types.Stream)
	for i := range m.Layers - 1 {
		x = m.layer(p, x, i, batch)
	}
	switch o {
	case Penultimate:
		if m.types.Stream != tensor.F32 {
			x = p.Cast(x, tensor.F32)
		}
	case Pooled:
		x = m.norm(p, m.lastLayer(p, x, batch), tower.PostLayerNorm, tensor.F32)
	case Projected:
		x = m.norm(p, m.lastLayer(p, x, batch), tower.PostLayerNorm, m.types.Activation)
		x = p.Linear(x, p.Weight(w.matrix(tower.VisualProjection, m.Projection, m.Width)), nil, 1, tensor.F32)
	}
	if normalize {
		x = p.L2Norm(x)
	}
	p.Output(x)
	return p
}

// layer is a transformer block on every token: attention, then the MLP, each on the normalised stream and added to it.
func (m *model) layer(p *kernels.Program, x kernels.Buf, i, batch int) kernels.Buf {
	y := m.norm(p, x, tower.Layer(i, "layer_norm1"), m.types.Activation)
	qkv := m.project(p, y, i, m.types.Activation, "q_proj", "k_proj", "v_proj")
	q, k, v := qkv.Columns(0, m.Width), qkv.Columns(m.Width, m.Width), qkv.Columns(2*m.Width, m.Width)
	return m.finish(p, x, p.Attention(q, k, v, batch, m.Heads, m.scale()), i)
}

// lastLayer is the last block as far as the class tokens need it: keys and values of every token, the rest of the class
// tokens only. It returns their rows.
func (m *model) lastLayer(p *kernels.Program, x kernels.Buf, batch int) kernels.Buf {
	i, tokens := m.Layers-1, m.Tokens()
	y := m.norm(p, x, tower.Layer(i, "layer_norm1"), m.types.Activation)
	q := m.project(p, y.Every(tokens), i, m.types.Activation, "q_proj")
	kv := m.project(p, y, i, m.types.Activation, "k_proj", "v_proj")
	k, v := kv.Columns(0, m.Width), kv.Columns(m.Width, m.Width)
	return m.finish(p, x.Every(tokens), p.Attention(q, k, v, batch, m.Heads, m.scale()), i)
}

// finish adds attention's output projection to x, then the MLP of the sum.
func (m *model) finish(p *kernels.Program, x, attention kernels.Buf, i int) kernels.Buf {
	x = p.Add(x, m.project(p, attention, i, m.types.Stream, "out_proj"))
	y := m.norm(p, x, tower.Layer(i, "layer_norm2"), m.types.Activation)
	y = m.linear(p, y, tower.Layer(i, "mlp.fc1"), m.MLP, m.types.Activation)
	y = p.Activate(m.activation, y)
	return p.Add(x, m.linear(p, y, tower.Layer(i, "mlp.fc2"), m.Width, m.types.Stream))
}

var activations = map[tower.Activation]kernels.Activation{tower.GELU: kernels.GELU, tower.QuickGELU: kernels.QuickGELU}

// scale is 1/√head_dim.
func (m *model) scale() float32 { return float32(1 / math.Sqrt(float64(m.HeadDim()))) }

func (m *model) norm(p *kernels.Program, x kernels.Buf, name string, t tensor.DType) kernels.Buf {
	gamma, beta := m.weights.vector(name+".weight", m.Width), m.weights.vector(name+".bias", m.Width)
	return p.LayerNorm(x, gamma, beta, float32(m.Epsilon), t)
}

func (m *model) linear(p *kernels.Program, x kernels.Buf, name string, n int, t tensor.DType) kernels.Buf {
	return p.Linear(x, p.Weight(m.weights.matrix(name+".weight", n, x.Cols)), m.weights.vector(name+".bias", n), 1, t)
}

// project applies the named Width x Width projections of block i's attention side by side, as one product.
func (m *model) project(p *kernels.Program, x kernels.Buf, i int, t tensor.DType, names ...string) kernels.Buf {
	weight, bias := m.weights.projections(tower.Layer(i, "self_attn."), names, m.Width)
	return p.Linear(x, p.Weight(weight), bias, 1, t)
}

// Program is the forward pass of a tower for a batch of images as an Engine with these Options runs it, lowered for a
// backend. It can be looked at and counted, and not run: its weights have no source.
func Program(c tower.Config, o Options, output Output, batch int, caps kernels.Caps) (*kernels.Program, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("vit: %w", err)
	}
	if _, err := output.Shape(c); err != nil {
		return nil, err
	}
	m := newModel(c, o, newWeights(c, o.Precision, nil, nil))
	return kernels.Lower(m.program(batch, output, o.Normalize), caps)
}
