package server

import (
	"encoding/json"
	"math"

	"github.com/valyala/fasthttp"

	"vith/server/answer"
)

// similarity answers POST /api/similarity: the cosine of every pair of images.
// The row and column of a bad image are null.
func (s *Server) similarity(r *request) error {
	in, o, raw, err := s.readInputs(r)
	if err != nil {
		return err
	}
	o.normalize, o.crop = false, false // a cosine needs no unit vectors
	shape, err := s.check(o)
	if err != nil {
		return err
	}
	if len(shape) > 1 {
		return invalidValue("output", "is %q, which has no single vector to compare", o.output)
	}
	t, err := s.run(r, in, o, shape)
	if err != nil {
		return err
	}
	s.setHeaders(r, t, t.timing(r.start))
	if e := imageFailure(t, o.failFast, raw); e != nil {
		return e
	}
	data := make([]failedItem, len(t.results))
	for i, it := range t.results {
		data[i] = failedItem{it.Index, it.ID, it.Image, it.Err}
	}
	return writeJSON(r.RequestCtx, fasthttp.StatusOK, struct {
		Model         string       `json:"model"`
		ModelDigest   string       `json:"model_digest"`
		Preprocessing string       `json:"preprocessing"`
		Output        string       `json:"output"`
		Synthetic     bool         `json:"synthetic,omitempty"`
		Similarity    matrix       `json:"similarity"`
		Data          []failedItem `json:"data"`
	}{
		s.config.ModelName, s.info.ModelDigest, s.info.Preprocessing, o.output, s.info.Synthetic,
		cosines(t.results), data,
	})
}

// A matrix has rows of equal length; what is not a number is null in JSON.
type matrix [][]float32

func (m matrix) MarshalJSON() ([]byte, error) {
	b := []byte{'['}
	for i, row := range m {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, '[')
		for j, v := range row {
			if j > 0 {
				b = append(b, ',')
			}
			b = answer.AppendFloat(b, v)
		}
		b = append(b, ']')
	}
	return append(b, ']'), nil
}

var _ json.Marshaler = matrix(nil)

// cosines returns the cosine of every pair of embeddings, NaN where either is
// missing or has no direction. Products are summed in float64.
func cosines(items []answer.Item) matrix {
	n := len(items)
	norms := make([]float64, n)
	m := make(matrix, n)
	for i := range items {
		norms[i] = norm(items[i].Embedding)
		m[i] = make([]float32, n)
	}
	for i := range items {
		for j := range i + 1 {
			cos := math.NaN()
			if norms[i] > 0 && norms[j] > 0 {
				cos = dot(items[i].Embedding, items[j].Embedding) / (norms[i] * norms[j])
			}
			m[i][j] = float32(cos)
			m[j][i] = m[i][j]
		}
	}
	return m
}

func dot(a, b []float32) float64 {
	sum := 0.0
	for i, x := range a {
		sum += float64(x) * float64(b[i])
	}
	return sum
}
