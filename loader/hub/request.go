package hub

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"vith/loader"
)

const (
	maxRedirects = 10
	stallAfter   = 30 * time.Second // without a byte
	maxAttempts  = 6                // in a row that bring nothing
	firstPause   = 500 * time.Millisecond
	longestPause = 30 * time.Second
	longestWait  = 5 * time.Minute // that a server may ask for
)

// A transient is an error that may pass.
type transient struct {
	err   error
	after time.Duration // that the server asks to wait; 0: it does not
}

func (t *transient) Error() string { return t.err.Error() }
func (t *transient) Unwrap() error { return t.err }

func transientf(format string, args ...any) error {
	return &transient{err: fmt.Errorf(format, args...)}
}

// errStalled is why an attempt ends that hears nothing.
var errStalled = fmt.Errorf("no byte for %v", stallAfter)

// retry calls attempt until it succeeds, fails for good, or has failed too often in a row without getting on; attempt
// reports whether it did. Its context ends unless alive is called again and again.
func (c *Client) retry(ctx context.Context, name string, attempt func(ctx context.Context, alive func()) (progress bool, err error)) error {
	for failures := 0; ; {
		progress, err := watched(ctx, attempt)
		passing, ok := errors.AsType[*transient](err)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case !ok:
			return err
		case progress:
			failures = 0
		}
		if failures++; failures == maxAttempts {
			return &loader.Error{File: name, Problem: fmt.Sprintf("cannot download, tried %d times", failures), Err: err,
				Remedy: "check the connection and HF_ENDPOINT, and run the command again: it goes on where it stopped"}
		}
		pause := min(firstPause<<(failures-1), longestPause)
		if passing.after > longestWait {
			return &loader.Error{File: name, Problem: fmt.Sprintf("the server asks to wait %v", passing.after), Err: err, Remedy: "run the command again then: it goes on where it stopped"}
		}
		pause = max(pause, passing.after)
		c.notify("%s: %v; trying again in %v", name, err, pause)
		if err := c.pause(ctx, pause); err != nil {
			return err
		}
	}
}

func watched(ctx context.Context, attempt func(ctx context.Context, alive func()) (bool, error)) (bool, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watch := time.AfterFunc(stallAfter, func() { cancel(errStalled) })
	defer watch.Stop()
	progress, err := attempt(ctx, func() { watch.Reset(stallAfter) })
	if err != nil && context.Cause(ctx) == errStalled {
		err = &transient{err: errStalled}
	}
	return progress, err
}

// send makes a request and follows redirects until stop says that a response, redirects included, is what is wanted; nil:
// the first that is no redirect. The caller closes its body. Network errors are transient.
//
// The token goes to the endpoint only, and to nobody once a redirect has led away from it.
func (c *Client) send(ctx context.Context, method string, at *url.URL, header http.Header, stop func(*http.Response) bool) (*http.Response, error) {
	home := true
	for range maxRedirects {
		req, err := http.NewRequestWithContext(ctx, method, at.String(), nil)
		if err != nil {
			return nil, err
		}
		req.Header = header.Clone()
		req.Header.Set("User-Agent", "vith")
		req.Header.Set("Accept-Encoding", "identity") // lengths and ranges are those of the file
		if home = home && at.Scheme == c.Endpoint.Scheme && at.Host == c.Endpoint.Host; home && c.Token != "" {
			req.Header.Set("Authorization", "Bearer "+c.Token)
		}
		resp, err := c.transport.RoundTrip(req)
		if err != nil {
			return nil, networkError(at.Host, err)
		}
		location := resp.Header.Get("Location")
		if resp.StatusCode/100 != 3 || location == "" || stop != nil && stop(resp) {
			return resp, nil
		}
		resp.Body.Close()
		next, err := at.Parse(location)
		if err != nil || next.Scheme != "http" && next.Scheme != "https" || next.Host == "" {
			return nil, fmt.Errorf("%s redirects to something that is no web address", at.Host)
		}
		at = next
	}
	return nil, fmt.Errorf("%s: more than %d redirects", c.Endpoint.Host, maxRedirects)
}

// networkError says what became of a connection to host. What cannot pass by itself is not transient.
func networkError(host string, err error) error {
	dns, isDNS := errors.AsType[*net.DNSError](err)
	_, unknown := errors.AsType[x509.UnknownAuthorityError](err)
	_, another := errors.AsType[x509.HostnameError](err)
	if isDNS && dns.IsNotFound || unknown || another {
		return &loader.Error{File: host, Problem: "cannot be reached", Err: err, Remedy: "check the connection, HF_ENDPOINT and HTTPS_PROXY"}
	}
	return transientf("%s: %w", host, err)
}

// refusal is the error for a status that is neither success nor redirect. The file of a repository that is not there is
// fs.ErrNotExist.
func (c *Client) refusal(id loader.HubID, name string, resp *http.Response) error {
	e := &loader.Error{File: id.String(), Problem: fmt.Sprintf("%s answers %d %s for %s", resp.Request.URL.Host, resp.StatusCode, http.StatusText(resp.StatusCode), name)}
	page := c.Endpoint.Redacted() + "/" + id.String()
	code := resp.Header.Get("X-Error-Code")
	storage := resp.Request.URL.Host != c.Endpoint.Host // whose links expire
	switch s := resp.StatusCode; {
	case s == http.StatusRequestTimeout, s == http.StatusTooManyRequests, s >= 500 && s != http.StatusNotImplemented, s == http.StatusForbidden && storage:
		return &transient{err: fmt.Errorf("%s answers %d %s", resp.Request.URL.Host, s, http.StatusText(s)), after: retryAfter(resp.Header)}
	case code == "RevisionNotFound":
		e.Problem, e.Remedy = "the repository has no revision "+id.Revision, "look at its branches, tags and commits on "+page+"/tree/main"
	case code == "GatedRepo":
		e.Problem, e.Remedy = "the repository is gated", "accept its conditions on "+page+", then set HF_TOKEN to a token of that account ("+c.Endpoint.Redacted()+"/settings/tokens)"
		if c.Token != "" {
			e.Problem += ", and the account of the token has no access yet"
		}
	case s == http.StatusUnauthorized && c.Token != "":
		e.Remedy = "the token (HF_TOKEN, or the file that logging in left) is wrong or has expired, or the repository does not exist: see " + page
	case s == http.StatusUnauthorized, code == "RepoNotFound":
		e.Remedy = "there is no such repository, or it is private: check the spelling on " + page + ", and set HF_TOKEN to a token that may read it"
	case s == http.StatusForbidden:
		e.Remedy = "the account has no right to read it: see " + page + ", and set HF_TOKEN to a token that has"
	case s == http.StatusNotFound:
		e.Err, e.Remedy = fs.ErrNotExist, "see "+page+"/tree/"+id.Revision+" for what the repository has"
	default:
		e.Remedy = "check HF_ENDPOINT"
	}
	return e
}

// retryAfter is the wait that a response asks for, in seconds or as a date; 0: none.
func retryAfter(h http.Header) time.Duration {
	value := h.Get("Retry-After")
	if seconds, err := strconv.Atoi(value); err == nil && seconds > 0 {
		return time.Duration(min(seconds, 1e6)) * time.Second
	}
	if date, err := http.ParseTime(value); err == nil {
		return max(0, time.Until(date).Round(time.Second))
	}
	return 0
}

// isPage reports whether a response is a web page, such as the login of a network, by its type.
func isPage(h http.Header) bool { return strings.HasPrefix(h.Get("Content-Type"), "text/html") }

func pageError(name, host string) error {
	return &loader.Error{File: name, Problem: host + " answers with a web page in place of the file",
		Remedy: "look whether the network wants a login or a proxy (HTTPS_PROXY), and whether HF_ENDPOINT is right"}
}
