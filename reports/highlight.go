package reports

import (
	"regexp"
	"strings"
)

// tokens of Starlark, as far as a reader's eye needs them: comments, strings,
// keywords, numbers and calls of a module.
var starlark = regexp.MustCompile(`(?s)(#[^\n]*)` +
	`|((?:\b[rb]{1,2})?(?:"""(?:\\.|[^\\])*?"""|'''(?:\\.|[^\\])*?'''|"(?:\\.|[^"\\\n])*"?|'(?:\\.|[^'\\\n])*'?))` +
	`|\b(and|break|continue|def|elif|else|for|if|in|lambda|load|not|or|pass|return|while|None|True|False)\b` +
	`|\b(\d[\d.]*(?:[eE][+-]?\d+|\w*))` +
	`|\b([a-z_]+(?:\.\w+)*)\(`)

// highlight returns Starlark code as HTML with a class for each kind of token.
func highlight(src string) html {
	var b strings.Builder
	class := [...]string{"", "com", "str", "key", "num", "fun"}
	at := 0
	for _, m := range starlark.FindAllStringSubmatchIndex(src, -1) {
		for g := 1; g < len(class); g++ {
			lo, hi := m[2*g], m[2*g+1]
			if lo < 0 {
				continue
			}
			b.WriteString(escape(src[at:lo]))
			b.WriteString(`<span class="` + class[g] + `">` + escape(src[lo:hi]) + `</span>`)
			at = hi
		}
	}
	b.WriteString(escape(src[at:]))
	return html(b.String())
}
