package host

import (
	"vith/kernels"
	"vith/kernels/tensor"
)

// rowsPerTask is how many rows of a row-wise kernel make a task worth handing out.
const rowsPerTask = 32

// byRows is a step that applies f to every row, some rows a task.
func byRows(rows int, f func(row, worker int)) step {
	tasks := (rows + rowsPerTask - 1) / rowsPerTask
	return step{tasks: tasks, run: func(task, worker int) {
		lo, hi := span(rows, tasks, task)
		for r := lo; r < hi; r++ {
			f(r, worker)
		}
	}}
}

func compileLayerNorm(c *compiler, call *kernels.Call) step {
	norm, epsilon := c.backend.tier.LayerNorm, call.Scalars[0]
	x, y := c.operand(call.In[0]), c.operand(call.Out[0])
	gamma, beta := c.weight(call.In[1], plain, 1), c.weight(call.In[2], plain, 1)
	if y.kind == tensor.F32 {
		return byRows(x.rows, func(r, _ int) {
			norm(y.f32(r, 0), x.f32(r, 0), gamma.f32(0, 0), beta.f32(0, 0), x.cols, epsilon)
		})
	}
	scratch := c.need(x.cols)
	return byRows(x.rows, func(r, worker int) {
		row := scratch(worker)
		norm(&row[0], x.f32(r, 0), gamma.f32(0, 0), beta.f32(0, 0), x.cols, epsilon)
		c.backend.tier.Narrow(y.u16(r, 0), x.cols, &row[0], x.cols, 1, x.cols)
	})
}

func compileActivation(c *compiler, call *kernels.Call) step {
	t := c.backend.tier
	f := map[string]func(*float32, int, int, int){"gelu": t.GELU, "gelu_tanh": t.GELUTanh, "quick_gelu": t.QuickGELU}[call.Kernel.Name]
	x, y := c.operand(call.In[0]), c.operand(call.Out[0])
	return byRows(x.rows, func(r, _ int) {
		copy(y.row(r), x.row(r))
		f(y.f32(r, 0), y.pitch, 1, y.cols)
	})
}

func compileEmbed(c *compiler, call *kernels.Call) step {
	patches, y := c.operand(call.In[0]), c.operand(call.Out[0])
	class, position := c.weight(call.In[1], plain, 1), c.weight(call.In[2], plain, 1)
	tokens := call.Dims[1]
	return byRows(y.rows, func(r, _ int) {
		image, token := r/tokens, r%tokens
		x := class.row(0)
		if token > 0 {
			x = patches.row(image*(tokens-1) + token - 1)
		}
		dst, at := y.row(r), position.row(token)
		for i, v := range x {
			dst[i] = v + at[i]
		}
	})
}
