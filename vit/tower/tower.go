// Package tower is the vocabulary of a CLIP vision tower: its configuration, the table of known towers, and the names
// and shapes of its weights. It holds no arithmetic and reads no file, so that the loader, which finds weights, and vit,
// which computes with them, need not know each other.
package tower

import (
	"errors"
	"fmt"
)

// Activation names the nonlinearity of the MLP, as Hugging Face's hidden_act does.
type Activation string

const (
	GELU      Activation = "gelu"       // x · Φ(x), with the error function
	QuickGELU Activation = "quick_gelu" // x · sigmoid(1.702 x), OpenAI's towers
)

// A Config fixes a tower's shape. Its JSON names are those of Hugging Face's CLIPVisionConfig.
type Config struct {
	Width      int        `json:"hidden_size"`         // columns of the residual stream
	MLP        int        `json:"intermediate_size"`   // columns between fc1 and fc2
	Layers     int        `json:"num_hidden_layers"`   // transformer blocks
	Heads      int        `json:"num_attention_heads"` // heads of Width/Heads columns
	Image      int        `json:"image_size"`          // pixels on a side of the input
	Patch      int        `json:"patch_size"`          // pixels on a side of a patch
	Projection int        `json:"projection_dim"`      // columns of the projected output; 0: no projection
	Activation Activation `json:"hidden_act"`
	Epsilon    float64    `json:"layer_norm_eps"`
}

// Grid is the number of patches on a side.
func (c Config) Grid() int { return c.Image / c.Patch }

// Tokens is the number of rows an image has in the residual stream: the class token and its patches.
func (c Config) Tokens() int { return c.Grid()*c.Grid() + 1 }

// HeadDim is the number of columns of one attention head.
func (c Config) HeadDim() int { return c.Width / c.Heads }

// PatchValues is the number of samples in one patch: three channels of Patch x Patch pixels.
func (c Config) PatchValues() int { return 3 * c.Patch * c.Patch }

// Limits on a single dimension. They are far above every published tower and low enough that no product of a few of
// them overflows or asks for absurd memory.
const (
	maxWidth  = 1 << 14
	maxMLP    = 1 << 16
	maxLayers = 1 << 10
	maxImage  = 1 << 12
)

// Validate reports every field that cannot describe a tower, with its value.
func (c Config) Validate() error {
	var errs []error
	check := func(name string, v, hi int) bool {
		if v < 1 || v > hi {
			errs = append(errs, fmt.Errorf("%s is %d, must be 1 to %d", name, v, hi))
			return false
		}
		return true
	}
	width := check("hidden_size", c.Width, maxWidth)
	check("intermediate_size", c.MLP, maxMLP)
	check("num_hidden_layers", c.Layers, maxLayers)
	if check("num_attention_heads", c.Heads, maxWidth) && width && c.Width%c.Heads != 0 {
		errs = append(errs, fmt.Errorf("hidden_size %d is not a multiple of num_attention_heads %d", c.Width, c.Heads))
	}
	if check("image_size", c.Image, maxImage) && check("patch_size", c.Patch, maxImage) && c.Image < c.Patch {
		errs = append(errs, fmt.Errorf("image_size %d is smaller than patch_size %d", c.Image, c.Patch))
	}
	if c.Projection < 0 || c.Projection > maxWidth {
		errs = append(errs, fmt.Errorf("projection_dim is %d, must be 0 to %d", c.Projection, maxWidth))
	}
	if c.Activation != GELU && c.Activation != QuickGELU {
		errs = append(errs, fmt.Errorf("hidden_act is %q, must be %q or %q", c.Activation, GELU, QuickGELU))
	}
	if !(c.Epsilon > 0 && c.Epsilon < 1) {
		errs = append(errs, fmt.Errorf("layer_norm_eps is %g, must be between 0 and 1", c.Epsilon))
	}
	return errors.Join(errs...)
}
