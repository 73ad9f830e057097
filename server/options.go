package server

import (
	"strconv"

	"github.com/valyala/fasthttp"
)

// options are what a request asks for besides its images. They come from the
// query, from fields of a form, or from the JSON that carries the images; what
// comes later wins.
type options struct {
	model      string
	output     string
	normalize  bool
	base64     bool // JSON embeddings as base64
	failFast   bool // the first bad image fails the request
	crop       bool // answer with the pixels that the model saw
	dimensions int  // 0: not given
}

func (s *Server) defaultOptions() options {
	return options{output: s.config.Output, normalize: s.config.Normalize}
}

// optionKinds are the options by name, with the JSON type of their values.
var optionKinds = map[string]kind{
	"model": kindString, "output": kindString, "encoding_format": kindString, "on_error": kindString,
	"normalize": kindBool, "crop": kindBool,
	"dimensions": kindNumber,
}

type kind string

const (
	kindString kind = "a string"
	kindBool   kind = "true or false"
	kindNumber kind = "a number"
)

// set gives the option of that name a value. A name that is no option is
// ignored.
func (o *options) set(name, value string) error {
	choose := func(dst *bool, no, yes string) error {
		if value != no && value != yes {
			return invalidValue(name, "is %q; it must be %s or %s", value, no, yes)
		}
		*dst = value == yes
		return nil
	}
	switch name {
	case "model":
		o.model = value
	case "output":
		o.output = value
	case "normalize":
		return choose(&o.normalize, "false", "true")
	case "crop":
		return choose(&o.crop, "false", "true")
	case "encoding_format":
		return choose(&o.base64, "float", "base64")
	case "on_error":
		return choose(&o.failFast, "item", "fail")
	case "dimensions":
		n, err := strconv.Atoi(value)
		if err != nil || n < 1 {
			return invalidValue(name, "is %q; it must be a positive integer", value)
		}
		o.dimensions = n
	}
	return nil
}

// setQuery takes the options in a request's query.
func (o *options) setQuery(args *fasthttp.Args) error {
	for name, value := range args.All() {
		if err := o.set(string(name), string(value)); err != nil {
			return err
		}
	}
	return nil
}

// check compares the options with the model and returns the shape of the output
// that they name.
func (s *Server) check(o options) (shape []int, err error) {
	if o.model != "" && o.model != s.config.ModelName {
		return nil, &apiError{
			status: fasthttp.StatusNotFound, code: "model_not_found", param: "model",
			message: "this server has no model " + strconv.Quote(o.model) + "; it has " + s.config.ModelName,
		}
	}
	shape, ok := s.info.Outputs[o.output]
	if !ok {
		return nil, invalidValue("output", "is %q; this model has %s", o.output, outputNames(s.info))
	}
	dim := shape[len(shape)-1]
	if o.dimensions != 0 && o.dimensions != dim {
		e := badRequest("invalid_dimensions", "dimensions is %d; output %s has %d, and cannot be cut", o.dimensions, o.output, dim)
		e.param = "dimensions"
		return nil, e
	}
	if o.normalize && len(shape) > 1 {
		return nil, invalidValue("normalize", `is true; output %s has no single vector to normalise, ask for "normalize":false`, o.output)
	}
	return shape, nil
}
