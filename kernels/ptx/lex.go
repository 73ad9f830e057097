package ptx

import "strings"

// A token is a word (a name, a number, a dotted mnemonic), one punctuation character, or "" at the end.
type token struct {
	text      string
	line, col int // from 1; col in bytes
}

func (t token) String() string {
	if t.text == "" {
		return "end of text"
	}
	return "\"" + t.text + "\""
}

// A lexer splits PTX text into tokens and keeps the comments it passes.
type lexer struct {
	rest      string
	line, col int
	comments  []string // since they were last taken
}

func (l *lexer) advance(n int) string {
	s := l.rest[:n]
	l.rest = l.rest[n:]
	l.col += n
	return s
}

func (l *lexer) next() token {
	for l.rest != "" {
		switch c := l.rest[0]; {
		case c == '\n':
			l.advance(1)
			l.line, l.col = l.line+1, 1
		case c == ' ' || c == '\t' || c == '\r':
			l.advance(1)
		case strings.HasPrefix(l.rest, "//"):
			end := strings.IndexByte(l.rest, '\n')
			if end < 0 {
				end = len(l.rest)
			}
			text := strings.TrimPrefix(l.advance(end)[2:], " ")
			l.comments = append(l.comments, strings.TrimRight(text, " \t\r"))
		default:
			t := token{line: l.line, col: l.col}
			t.text = l.advance(max(1, wordLen(l.rest)))
			return t
		}
	}
	return token{line: l.line, col: l.col}
}

// wordLen is the length of the word at the start of s, 0 if there is none.
func wordLen(s string) int {
	n := 0
	if s[0] == '-' {
		n = 1
	}
	for n < len(s) {
		switch c := s[n]; {
		case isLetter(c) || isDigit(c) || c == '_' || c == '$' || c == '%' || c == '.':
			n++
		case strings.HasPrefix(s[n:], "::"):
			n += 2
		default:
			return n
		}
	}
	return n
}

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }
func isDigit(c byte) bool  { return '0' <= c && c <= '9' }

// isIdent tells whether s can name a kernel, a parameter, a shared array or a label.
func isIdent(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !isLetter(c) && c != '_' && c != '$' && (i == 0 || !isDigit(c)) {
			return false
		}
	}
	return s != "" && s != "_" && s != "$"
}
