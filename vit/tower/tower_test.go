package tower

import (
	"slices"
	"strings"
	"testing"
)

func TestVariantsAreValid(t *testing.T) {
	seen := map[string]bool{}
	for _, v := range Variants {
		if err := v.Validate(); err != nil {
			t.Errorf("%s: %v", v.Name, err)
		}
		if seen[v.Name] {
			t.Errorf("%s is listed twice", v.Name)
		}
		seen[v.Name] = true
		if got, ok := Lookup(v.Name); !ok || got != v.Config {
			t.Errorf("Lookup(%q) = %+v, %v", v.Name, got, ok)
		}
		if got := Name(v.Config); got != v.Name {
			t.Errorf("Name of %s is %q", v.Name, got)
		}
	}
	if _, ok := Lookup("vit-h-15"); ok {
		t.Error("Lookup found vit-h-15")
	}
}

// TestParameters holds the weight lists against the parameter counts of the published vision towers.
func TestParameters(t *testing.T) {
	for name, want := range map[string]int{
		"vit-b-32": 87_849_216, "vit-b-16": 86_192_640, "vit-l-14": 303_966_208, "vit-h-14": 632_076_800,
	} {
		c, _ := Lookup(name)
		got := 0
		for _, w := range c.Tensors() {
			n := 1
			for _, d := range w.Shape {
				n *= d
			}
			got += n
		}
		if got != want {
			t.Errorf("%s has %d parameters, want %d", name, got, want)
		}
	}
}

func TestTensorsWithoutProjection(t *testing.T) {
	c, _ := Lookup("vit-tiny")
	all := c.Tensors()
	c.Projection = 0
	if got, want := len(c.Tensors()), len(all)-1; got != want {
		t.Fatalf("%d tensors without a projection, want %d", got, want)
	}
	if slices.ContainsFunc(c.Tensors(), func(w Tensor) bool { return w.Name == VisualProjection }) {
		t.Error("the list still has the projection")
	}
}

func TestValidateNamesFieldAndValue(t *testing.T) {
	f := func(change func(*Config), want string) {
		t.Helper()
		c, _ := Lookup("vit-tiny")
		change(&c)
		err := c.Validate()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	f(func(c *Config) { c.Width = 0 }, "hidden_size is 0")
	f(func(c *Config) { c.Width = 1 << 40 }, "hidden_size is 1099511627776")
	f(func(c *Config) { c.Heads = 3 }, "not a multiple of num_attention_heads 3")
	f(func(c *Config) { c.Heads = 0 }, "num_attention_heads is 0")
	f(func(c *Config) { c.Layers = -1 }, "num_hidden_layers is -1")
	f(func(c *Config) { c.Patch = 57 }, "image_size 56 is smaller than patch_size 57")
	f(func(c *Config) { c.Projection = -1 }, "projection_dim is -1")
	f(func(c *Config) { c.Activation = "relu" }, `hidden_act is "relu"`)
	f(func(c *Config) { c.Epsilon = 0 }, "layer_norm_eps is 0")
}
