package cuda

import (
	"fmt"

	"vith/kernels"
)

// A moduleKey names one text.
type moduleKey struct {
	kernel *kernels.Kernel
	spec   kernels.Spec
}

// A function is a loaded text.
type function struct {
	module Module
	entry  Function
	name   string
	shared int // bytes of dynamic shared memory that launches may ask for
}

// function returns the function of a text, which it loads if it is new.
func (b *Backend) function(k *kernels.Kernel, s kernels.Spec, shared int) (*function, error) {
	key := moduleKey{k, s}
	f := b.modules[key]
	if f == nil {
		form, err := k.Assemble(s)
		if err != nil {
			return nil, err
		}
		if f, err = b.loadModule(form.Text(), k.Entry(s)); err != nil {
			return nil, err
		}
		b.modules[key] = f
	}
	if shared > f.shared {
		if err := b.device.SetMaxDynamicShared(f.entry, shared); err != nil {
			return nil, fmt.Errorf("%s: %w", f.name, err)
		}
		f.shared = shared
	}
	return f, nil
}

func (b *Backend) loadModule(text, name string) (*function, error) {
	m, err := b.device.ModuleLoadData(text)
	if err != nil {
		return nil, fmt.Errorf("load %s: %w", name, err)
	}
	entry, err := b.device.ModuleGetFunction(m, name)
	if err != nil {
		return nil, join(err, b.device.ModuleUnload(m))
	}
	return &function{module: m, entry: entry, name: name}, nil
}
