package http

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"mime/multipart"
	"net/textproto"
	"net/url"
	"strings"
)

// A Form is how images are sent, or vectors answered.
type Form string

// Forms of requests.
const (
	Raw       Form = "raw"       // the body is the image
	Multipart Form = "multipart" // multipart/form-data, a file an image
	JSON      Form = "json"      // base64 in JSON; as an answer, numbers in JSON
)

// Forms of answers, beside JSON and Raw (application/octet-stream).
const (
	Base64 Form = "base64" // of float32, in JSON
	NPY    Form = "npy"
)

// accepts are the media types of answers.
var accepts = map[Form]string{
	JSON: "application/json", Base64: "application/json", Raw: "application/octet-stream", NPY: "application/x-npy",
}

// A request is what is sent, header included, and the images in it.
type request struct {
	wire   []byte
	images []int // of the mix
}

// A target is where requests go.
type target struct {
	tls    bool
	addr   string // host:port
	host   string
	prefix string // of paths
	key    string
}

func newTarget(base *url.URL, o Options) target {
	t := target{tls: base.Scheme == "https", addr: base.Host, host: base.Host, prefix: strings.TrimSuffix(base.Path, "/"), key: o.APIKey}
	if base.Port() == "" {
		port := "80"
		if t.tls {
			port = "443"
		}
		t.addr = base.Hostname() + ":" + port
	}
	return t
}

// header returns the lines of a request that are the same for all.
func (t *target) header(method, path string) string {
	h := method + " " + t.prefix + path + " HTTP/1.1\r\nHost: " + t.host + "\r\nUser-Agent: vith-bench\r\n"
	if t.key != "" {
		h += "Authorization: Bearer " + t.key + "\r\n"
	}
	return h
}

func (t *target) get(path string) request {
	return request{wire: []byte(t.header("GET", path) + "\r\n")}
}

// embed returns the request for the embeddings of some images.
func (t *target) embed(send, accept Form, m *mix, images []int) (request, error) {
	body, contentType, err := encode(send, m, images)
	if err != nil {
		return request{}, err
	}
	path := "/api/embed"
	if accept == Base64 {
		path += "?encoding_format=base64"
	}
	head := fmt.Sprintf("%sAccept: %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n", t.header("POST", path), accepts[accept], contentType, len(body))
	return request{append([]byte(head), body...), images}, nil
}

// encode returns the body that carries images, and its type.
func encode(send Form, m *mix, images []int) (body []byte, contentType string, err error) {
	switch send {
	case Raw:
		return m.images[images[0]].Data, "application/octet-stream", nil
	case Multipart:
		var b bytes.Buffer
		w := multipart.NewWriter(&b)
		for i, at := range images {
			part, err := w.CreatePart(textproto.MIMEHeader{
				"Content-Disposition": {fmt.Sprintf(`form-data; name="file"; filename="%d"`, i)},
				"Content-Type":        {"application/octet-stream"},
			})
			if err != nil {
				return nil, "", err
			}
			part.Write(m.images[at].Data) // to memory
		}
		w.Close()
		return b.Bytes(), w.FormDataContentType(), nil
	case JSON:
		var in struct {
			Images []string `json:"images"`
		}
		for _, at := range images {
			in.Images = append(in.Images, base64.StdEncoding.EncodeToString(m.images[at].Data))
		}
		body, err := json.Marshal(in)
		return body, "application/json", err
	}
	return nil, "", fmt.Errorf("images cannot be sent as %q; it must be %s, %s or %s", send, Raw, Multipart, JSON)
}

const (
	// Requests are made before they are sent, and sent again and again; so many
	// different ones, within so much memory.
	requestsMade  = 256
	requestMemory = 256 << 20 // bytes
)

// requests makes the requests of a run.
func (t *target) requests(o Options, m *mix) ([]request, error) {
	random := rand.New(rand.NewPCG(o.Seed, 1))
	drawn := m.draw(requestsMade*o.Batch, o.Bad, random)
	var list []request
	memory := 0
	for i := 0; i < len(drawn); i += o.Batch {
		rq, err := t.embed(o.Send, o.Accept, m, drawn[i:i+o.Batch])
		if err != nil {
			return nil, err
		}
		list = append(list, rq)
		if memory += len(rq.wire); memory > requestMemory {
			break
		}
	}
	return list, nil
}
