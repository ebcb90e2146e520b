package builtins

import (
	"errors"
	"fmt"
	"strings"

	"starbook/builtins/dataset"
)

// filled is a template with the columns of a row.
func filled(template string, r Row) (string, error) { return fill(template, r, nil) }

// fill replaces each {name} of a template by that value, or by the column of r; "{{" and "}}"
// stand for braces.
func fill(template string, r Row, values map[string]string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(template); i++ {
		c := template[i]
		if (c == '{' || c == '}') && i+1 < len(template) && template[i+1] == c {
			b.WriteByte(c)
			i++
			continue
		}
		if c != '{' {
			b.WriteByte(c)
			continue
		}
		name, _, ok := strings.Cut(template[i+1:], "}")
		if !ok {
			return "", errors.New("a { without its }: write {{ for the brace itself")
		}
		v, ok := values[name]
		if !ok {
			v, ok = dataset.Text(r, name)
		}
		if !ok {
			known := map[string]bool{}
			for key := range values {
				known[key] = true
			}
			for key := range r {
				known[key] = true
			}
			return "", fmt.Errorf("no text in column %q to fill in: there are %s; {{ stands for a brace", name, strings.Join(sortedKeys(known), ", "))
		}
		b.WriteString(v)
		i += len(name) + 1
	}
	return b.String(), nil
}
