//go:build browser

package server

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// A browser is a headless Chromium that is driven through chromedriver.
// Source: W3C WebDriver, https://www.w3.org/TR/webdriver2/.
type browser struct {
	t       *testing.T
	session string // URL of the session
}

// elementKey is the name under which WebDriver wraps an element's reference.
const elementKey = "element-6066-11e4-a52e-4f735466cecf"

// newBrowser starts chromedriver and a browser with a fresh profile, for the
// duration of the test.
func newBrowser(t *testing.T, flags ...string) *browser {
	t.Helper()
	port := freePort(t)
	driver := exec.Command("chromedriver", fmt.Sprint("--port=", port))
	if err := driver.Start(); err != nil {
		t.Fatalf("start chromedriver (Debian packages chromium and chromium-driver): %v", err)
	}
	t.Cleanup(func() {
		driver.Process.Kill()
		driver.Wait()
	})
	b := &browser{t: t}
	base := fmt.Sprintf("http://127.0.0.1:%d", port)
	for range 100 {
		response, err := http.Get(base + "/status")
		if err == nil {
			response.Body.Close()
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	var created struct{ SessionID string }
	b.do("POST", base+"/session", map[string]any{"capabilities": map[string]any{"alwaysMatch": map[string]any{
		"goog:loggingPrefs": map[string]string{"browser": "ALL"},
		"goog:chromeOptions": map[string]any{"args": append([]string{
			"--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
			"--disable-component-update", "--disable-sync", "--user-data-dir=" + t.TempDir(),
		}, flags...)},
	}}}, &created)
	b.session = base + "/session/" + created.SessionID
	t.Cleanup(func() { b.do("DELETE", b.session, nil, nil) })
	return b
}

func freePort(t *testing.T) int {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().(*net.TCPAddr).Port
}

// do sends one command and stores the value it answers in result.
func (b *browser) do(method, url string, body, result any) {
	b.t.Helper()
	var payload io.Reader
	if method == http.MethodPost {
		encoded, err := json.Marshal(body)
		if err != nil {
			b.t.Fatal(err)
		}
		payload = bytes.NewReader(encoded)
	}
	request, err := http.NewRequest(method, url, payload)
	if err != nil {
		b.t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		b.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		b.t.Fatalf("%s %s: %s %s %v", method, url, response.Status, text, err)
	}
	if result == nil {
		return
	}
	if err := json.Unmarshal(text, &struct{ Value any }{result}); err != nil {
		b.t.Fatalf("%s %s: %v in %s", method, url, err, text)
	}
}

func (b *browser) open(url string) {
	b.t.Helper()
	b.do("POST", b.session+"/url", map[string]any{"url": url}, nil)
}

func (b *browser) element(selector string) string {
	b.t.Helper()
	var found map[string]string
	b.do("POST", b.session+"/element", map[string]any{"using": "css selector", "value": selector}, &found)
	return b.session + "/element/" + found[elementKey]
}

// typeText types into an element; for a file input the text is paths.
func (b *browser) typeText(selector string, text ...string) {
	b.t.Helper()
	b.do("POST", b.element(selector)+"/value", map[string]any{"text": strings.Join(text, "\n")}, nil)
}

func (b *browser) click(selector string) {
	b.t.Helper()
	b.do("POST", b.element(selector)+"/click", struct{}{}, nil)
}

// eval returns the value of a JavaScript expression.
func eval[T any](b *browser, expression string) (value T) {
	b.t.Helper()
	b.do("POST", b.session+"/execute/sync", map[string]any{"script": "return " + expression, "args": []any{}}, &value)
	return value
}

// wait waits until a JavaScript expression is true.
func (b *browser) wait(expression string) {
	b.t.Helper()
	for range 200 {
		if eval[bool](b, expression) {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	b.t.Fatalf("waited in vain for %s; the page shows:\n%s", expression, eval[string](b, "document.body.innerText"))
}

// console returns what the browser logged since the last call: script errors,
// refusals of the content security policy, failed loads.
func (b *browser) console() []string {
	b.t.Helper()
	var entries []struct{ Level, Message string }
	b.do("POST", b.session+"/se/log", map[string]any{"type": "browser"}, &entries)
	var messages []string
	for _, e := range entries {
		messages = append(messages, e.Level+" "+e.Message)
	}
	return messages
}

// screenshot returns the whole page as a PNG, at a window of that width.
func (b *browser) screenshot(width int) []byte {
	b.t.Helper()
	b.do("POST", b.session+"/window/rect", map[string]any{"width": width, "height": 900}, nil)
	height := eval[int](b, "document.documentElement.scrollHeight")
	b.do("POST", b.session+"/window/rect", map[string]any{"width": width, "height": height + 150}, nil)
	var encoded string
	b.do("GET", b.session+"/screenshot", nil, &encoded)
	picture, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		b.t.Fatal(err)
	}
	return picture
}
