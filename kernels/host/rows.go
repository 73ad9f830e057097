package host

import (
	"vith/kernels"
	"vith/kernels/tensor"
)

const (
	mostRows  = 32 // of a row-wise kernel in a task
	leastRows = 8  // that are worth handing out
)

// byRows is a step that applies f to every row, some rows a task: as many tasks as threads, or a multiple of it.
func (c *compiler) byRows(rows int, f func(row, worker int)) step {
	threads := c.backend.pool.threads
	tasks := threads * ((rows + threads*mostRows - 1) / (threads * mostRows))
	tasks = min(tasks, (rows+leastRows-1)/leastRows)
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
		return c.byRows(x.rows, func(r, _ int) {
			norm(y.f32(r, 0), x.f32(r, 0), gamma.f32(0, 0), beta.f32(0, 0), x.cols, epsilon)
		})
	}
	scratch := c.need(x.cols)
	return c.byRows(x.rows, func(r, worker int) {
		row := scratch(worker)
		norm(&row[0], x.f32(r, 0), gamma.f32(0, 0), beta.f32(0, 0), x.cols, epsilon)
		c.backend.tier.Narrow(y.u16(r, 0), x.cols, &row[0], x.cols, 1, x.cols)
	})
}

func compileActivation(c *compiler, call *kernels.Call) step {
	t := c.backend.tier
	f := map[string]func(*float32, int, int, int){"gelu": t.GELU, "gelu_tanh": t.GELUTanh, "quick_gelu": t.QuickGELU}[call.Kernel.Name]
	x, y := c.operand(call.In[0]), c.operand(call.Out[0])
	return c.byRows(x.rows, func(r, _ int) {
		copy(y.row(r), x.row(r))
		f(y.f32(r, 0), y.pitch, 1, y.cols)
	})
}

func compileEmbed(c *compiler, call *kernels.Call) step {
	patches, y := c.operand(call.In[0]), c.operand(call.Out[0])
	class, position := c.weight(call.In[1], plain, 1), c.weight(call.In[2], plain, 1)
	tokens := call.Dims[1]
	return c.byRows(y.rows, func(r, _ int) {
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
