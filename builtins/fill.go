package builtins

import (
	"errors"
	"fmt"
	"strings"

	"starbook/builtins/dataset"
)

// filled is a template with the columns of a row.
func filled(template string, r Row) (string, error) {
	return fill(template, func(name string) (string, bool) { return dataset.Text(r, name) })
}

// fill replaces each {name} of a template; "{{" and "}}" stand for braces.
func fill(template string, value func(string) (string, bool)) (string, error) {
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
		v, ok := value(name)
		if !ok {
			return "", fmt.Errorf("no field %s to fill in: write {{ for the brace itself", name)
		}
		b.WriteString(v)
		i += len(name) + 1
	}
	return b.String(), nil
}
