package answer

import (
	"io"
	"strconv"
)

// WriteOpenAI writes the answer as OpenAI's API does: a list of embeddings. It
// has no place for errors: Data must not have any. An embedding of several
// tokens is flattened. Images are not counted in tokens, so the usage is 0.
//
// Source: OpenAI API reference, "The embedding object".
func (a *Answer) WriteOpenAI(w io.Writer) error {
	s := newStream(w)
	s.b = append(s.b, `{"object":"list","data":[`...)
	for i := range a.Data {
		if i > 0 {
			s.b = append(s.b, ',')
		}
		s.b = append(s.b, `{"object":"embedding","index":`...)
		s.b = strconv.AppendInt(s.b, int64(i), 10)
		s.b = append(s.b, `,"embedding":`...)
		s.values(a.Data[i].Embedding, a.Base64)
		s.b = append(s.b, '}')
	}
	s.b = append(s.b, "],"...)
	s.b = appendStringField(s.b, "model", a.Model)
	s.b = append(s.b, `,"usage":{"prompt_tokens":0,"total_tokens":0}}`...)
	return s.close()
}
