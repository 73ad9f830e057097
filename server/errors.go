package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"

	"github.com/valyala/fasthttp"
)

// An apiError is an answer that is not a success. Handlers return one for
// everything that is the client's business; any other error is a 500 whose
// text goes to the log only.
type apiError struct {
	status  int
	code    string
	message string
	param   string // the field at fault, if there is one

	allow      string       // Allow header of a 405
	retryAfter int          // seconds, of a 429 or 503; 0: 1
	data       []failedItem // the images at fault, if they are why
}

func (e *apiError) Error() string { return e.message }

// errType groups codes as OpenAI's API does.
func (e *apiError) errType() string {
	switch {
	case e.status == fasthttp.StatusUnauthorized:
		return "authentication_error"
	case e.status == fasthttp.StatusNotFound:
		return "not_found_error"
	case e.status == fasthttp.StatusTooManyRequests:
		return "rate_limit_error"
	case e.status >= 500:
		return "api_error"
	}
	return "invalid_request_error"
}

// MarshalJSON writes the object under "error".
func (e *apiError) MarshalJSON() ([]byte, error) {
	body := struct {
		Code    string  `json:"code"`
		Message string  `json:"message"`
		Type    string  `json:"type"`
		Param   *string `json:"param"`
	}{Code: e.code, Message: e.message, Type: e.errType()}
	if e.param != "" {
		body.Param = &e.param
	}
	return json.Marshal(body)
}

func badRequest(code, format string, args ...any) *apiError {
	return &apiError{status: fasthttp.StatusBadRequest, code: code, message: fmt.Sprintf(format, args...)}
}

func tooLarge(code, format string, args ...any) *apiError {
	return &apiError{status: fasthttp.StatusRequestEntityTooLarge, code: code, message: fmt.Sprintf(format, args...)}
}

// invalidValue is a well-formed request with a field that is of the wrong type
// or outside its values.
func invalidValue(param, format string, args ...any) *apiError {
	return &apiError{
		status: fasthttp.StatusUnprocessableEntity, code: "invalid_value",
		message: param + " " + fmt.Sprintf(format, args...), param: param,
	}
}

var (
	errUnauthorized = &apiError{
		status: fasthttp.StatusUnauthorized, code: "invalid_api_key",
		message: "this server needs an API key: send Authorization: Bearer KEY",
	}
	errQueueFull = &apiError{
		status: fasthttp.StatusTooManyRequests, code: "queue_full",
		message: "the server has as many images waiting as it takes (--max-queue-size); try again later",
	}
	errMemoryFull = &apiError{
		status: fasthttp.StatusTooManyRequests, code: "memory_full",
		message: "the requests under way hold as much memory as the server gives them; try again later",
	}
	errEngineFailed = &apiError{
		status: fasthttp.StatusServiceUnavailable, code: "engine_failed",
		message: "the model failed on this request, twice; the server's log has the reason",
	}
	errStuck = &apiError{
		status: fasthttp.StatusServiceUnavailable, code: "engine_stuck",
		message: "the model has not come back from an earlier batch; try again later",
	}
	// errAbandoned ends the way of images whose request has failed for another's sake.
	errAbandoned = errors.New("the request failed at another image")

	// errClientGone is for the log: nobody reads the answer. The status is nginx's.
	errClientGone = &apiError{
		status: 499, code: "client_gone",
		message: "the client closed the connection before the answer",
	}
	errDraining = &apiError{
		status: fasthttp.StatusServiceUnavailable, code: "draining",
		message: "the server is shutting down",
	}
	errNotReady = &apiError{
		status: fasthttp.StatusServiceUnavailable, code: "not_ready",
		message: "the model did not answer a forward pass of one image; the server's log has the reason",
	}
	errDeadline = &apiError{
		status: fasthttp.StatusGatewayTimeout, code: "deadline_exceeded",
		message: "the request took longer than the server allows; send fewer images at once",
	}
	errSlowBody = &apiError{
		status: fasthttp.StatusRequestTimeout, code: "request_timeout",
		message: "the request did not arrive in time",
	}
)

// A panicError is a panic that was caught, with the stack it came from.
type panicError struct {
	value any
	stack []byte
}

func (e *panicError) Error() string { return fmt.Sprintf("panic: %v\n%s", e.value, e.stack) }

// catch turns a panic of the surrounding function into *err. It is to be
// deferred.
func catch(err *error) {
	if v := recover(); v != nil {
		*err = &panicError{value: v, stack: debug.Stack()}
	}
}

// asAPIError returns what to tell the client about err.
func asAPIError(err error) *apiError {
	if e, ok := errors.AsType[*apiError](err); ok {
		return e
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return errDeadline
	}
	if errors.Is(err, context.Canceled) { // the server's own end is what cancels requests
		return errDraining
	}
	return &apiError{
		status: fasthttp.StatusInternalServerError, code: "internal_error",
		message: "the server failed; its log has the reason under this answer's x-request-id",
	}
}

// writeError replaces the response by what err is to the client.
func writeError(ctx *fasthttp.RequestCtx, err error) {
	e := asAPIError(err)
	ctx.Response.ResetBody()
	writeJSON(ctx, e.status, struct {
		Error *apiError    `json:"error"`
		Data  []failedItem `json:"data,omitempty"`
	}{e, e.data})
	switch e.status {
	case fasthttp.StatusUnauthorized:
		ctx.Response.Header.Set("WWW-Authenticate", `Bearer realm="vith"`)
	case fasthttp.StatusMethodNotAllowed:
		ctx.Response.Header.Set("Allow", e.allow)
	case fasthttp.StatusTooManyRequests, fasthttp.StatusServiceUnavailable:
		ctx.Response.Header.Set("Retry-After", strconv.Itoa(max(1, e.retryAfter)))
	}
}

// isTimeout reports whether a connection's deadline is what err is about.
func isTimeout(err error) bool {
	e, ok := errors.AsType[interface {
		error
		Timeout() bool
	}](err)
	return ok && e.Timeout()
}

// outputNames lists a model's outputs for a message.
func outputNames(info Info) string {
	names := make([]string, 0, len(info.Outputs))
	for name := range info.Outputs {
		names = append(names, name)
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}
