package host

import (
	"unsafe"

	"vith/kernels"
	"vith/kernels/tensor"
)

// compilePatches makes a task of each row of patches of an image. A sample less its channel's centre is looked up: an
// integer, exact in both types.
func compilePatches(c *compiler, call *kernels.Call) step {
	pixels, y := c.operand(call.In[0]), c.operand(call.Out[0])
	if y.kind == tensor.F32 {
		return cutPatches(call, pixels, y, func(x float32) float32 { return x })
	}
	return cutPatches(call, pixels, y, func(x float32) uint16 { return tensor.ToBF16(float64(x)) })
}

// cutPatches is compilePatches for a type of samples, which encode gives.
func cutPatches[T float32 | uint16](call *kernels.Call, pixels, y *operand, encode func(float32) T) step {
	batch, image, patch := call.Dims[0], call.Dims[1], call.Dims[2]
	centred := new([3][256]T)
	for channel, centre := range call.Scalars {
		for sample := range centred[channel] {
			centred[channel][sample] = encode(float32(sample) - centre)
		}
	}
	grid := image / patch
	return step{tasks: batch * grid, run: func(task, _ int) {
		b, i := task/grid, task%grid
		for j := range grid {
			dst := unsafe.Slice((*T)(y.at(task*grid+j, 0)), y.cols)
			for u := range patch {
				src := unsafe.Slice((*byte)(pixels.at(b, ((i*patch+u)*image+j*patch)*3)), 3*patch)
				line := dst[u*3*patch:][:3*patch]
				for v := 0; v < len(src); v += 3 {
					line[v] = centred[0][src[v]]
					line[v+1] = centred[1][src[v+1]]
					line[v+2] = centred[2][src[v+2]]
				}
			}
			clear(dst[3*patch*patch:])
		}
	}}
}
