package hub

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"vith/loader"
)

// A remote is a file of a repository, at a commit.
type remote struct {
	name   string // with / between folders
	commit string
	etag   string // the hub's name for its content
	size   int64  // bytes
	url    *url.URL
}

var (
	commitPattern = regexp.MustCompile(`^[0-9a-f]{7,64}$`)
	etagPattern   = regexp.MustCompile(`^[\w-][\w.-]{0,127}$`) // becomes a file's name
	sha256Pattern = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

// sum is the sha256 of the file's content in hexadecimal, which is the hub's name for large files; "": it states none.
func (r *remote) sum() string {
	if sha256Pattern.MatchString(r.etag) {
		return r.etag
	}
	return ""
}

// stat asks for a file of a repository. One that the repository does not have is fs.ErrNotExist.
func (c *Client) stat(ctx context.Context, id loader.HubID, name string) (*remote, error) {
	at := c.resolve(id, id.Revision, name)
	r := &remote{name: name, size: -1}
	err := c.retry(ctx, id.String()+"/"+name, func(ctx context.Context, _ func()) (bool, error) {
		resp, err := c.send(ctx, http.MethodHead, at, http.Header{}, r.learn)
		if err != nil {
			return false, err
		}
		resp.Body.Close()
		switch {
		case resp.StatusCode/100 > 3:
			return false, c.refusal(id, name, resp)
		case r.learn(resp):
			return false, nil
		case isPage(resp.Header):
			return false, pageError(id.String()+"/"+name, resp.Request.URL.Host)
		}
		return false, &loader.Error{File: id.String() + "/" + name, Problem: resp.Request.URL.Host + " does not say the file's commit, ETag and length as a hub does",
			Remedy: "check HF_ENDPOINT, and what stands between here and there"}
	})
	if err != nil {
		return nil, err
	}
	// From here on by commit, so that files belong together whatever becomes of the branch.
	r.url = c.resolve(id, r.commit, name)
	return r, nil
}

// resolve is the address of a file at a revision.
func (c *Client) resolve(id loader.HubID, revision, name string) *url.URL {
	return c.Endpoint.JoinPath(id.Org, id.Name, "resolve", url.PathEscape(revision), (&url.URL{Path: name}).EscapedPath())
}

// learn takes what a response says of the file and reports whether all is known. The hub redirects to a storage, and what
// it says on the way counts: the storage has other names for the content.
func (r *remote) learn(resp *http.Response) bool {
	h := resp.Header
	final := resp.StatusCode/100 == 2
	if commit := h.Get("X-Repo-Commit"); r.commit == "" && commitPattern.MatchString(commit) {
		r.commit = commit
	}
	etag := h.Get("X-Linked-Etag")
	if final {
		etag = cmp.Or(etag, h.Get("ETag"))
	}
	if etag = strings.Trim(strings.TrimPrefix(etag, "W/"), `"`); r.etag == "" && etagPattern.MatchString(etag) {
		r.etag = etag
	}
	if size, err := strconv.ParseInt(h.Get("X-Linked-Size"), 10, 64); r.size < 0 && err == nil {
		r.size = size
	}
	if final && r.size < 0 {
		r.size = resp.ContentLength
	}
	return r.commit != "" && r.etag != "" && r.size >= 0
}

// optional is stat, nil for a file that the repository does not have.
func (c *Client) optional(ctx context.Context, id loader.HubID, name string) (*remote, error) {
	r, err := c.stat(ctx, id, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return r, err
}
