package builtins

import (
	"fmt"
	"slices"
	"strings"

	"starbook/runtime"
)

// Manual returns the text that "starbook doc name" prints: of all modules, of
// a module ("lora"), of a built-in ("lora.train") or of a kind of artifact
// ("dataset").
func (h *Host) Manual(name string) (string, error) {
	if name == "" {
		return h.contents(), nil
	}
	var known []string
	for _, m := range h.Modules() {
		if m.Name == name {
			return m.manual(), nil
		}
		known = append(known, m.Name)
	}
	for _, f := range h.Funcs() {
		if f.Name == name {
			return f.manual(), nil
		}
		known = append(known, f.Name)
	}
	for _, k := range h.Kinds() {
		if k.Name == name {
			return k.manual(), nil
		}
		known = append(known, k.Name)
	}
	if near := runtime.Nearest(name, known); near != "" {
		return "", fmt.Errorf("doc: nothing is called %s (did you mean %s?)", name, near)
	}
	return "", fmt.Errorf("doc: nothing is called %s: starbook doc lists what there is", name)
}

// Funcs returns every built-in: of the modules, without a module, and the
// methods of artifacts.
func (h *Host) Funcs() []Func {
	var out []Func
	for _, m := range h.Modules() {
		out = append(out, m.Funcs...)
	}
	out = append(out, h.Globals()...)
	for _, k := range h.Kinds() {
		for _, f := range k.Methods {
			if !slices.ContainsFunc(out, func(g Func) bool { return g.Name == f.Name }) {
				out = append(out, f)
			}
		}
	}
	return out
}

func (h *Host) contents() string {
	var b strings.Builder
	for _, m := range h.Modules() {
		b.WriteString(m.manual() + "\n")
	}
	b.WriteString("without a module\n")
	writeFuncs(&b, h.Globals())
	b.WriteString("\nartifacts\n")
	for _, k := range h.Kinds() {
		fmt.Fprintf(&b, "  %-22s %s\n", k.Name, firstLine(k.Doc))
	}
	b.WriteString("\nFrom Starlark: json, math, time (without a clock), struct.\n")
	return b.String()
}

func (m Module) manual() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n", m.Name, m.Doc)
	writeFuncs(&b, m.Funcs)
	return b.String()
}

func writeFuncs(b *strings.Builder, funcs []Func) {
	for _, f := range funcs {
		fmt.Fprintf(b, "  %-22s %s\n", f.Name, firstLine(f.Doc))
	}
}

func (f Func) manual() string {
	var b strings.Builder
	b.WriteString(signature(f.Name, f.Args) + "\n\n")
	b.WriteString(f.Doc + "\n")
	if f.Step {
		b.WriteString("It is a step: done once, then remembered by its arguments.\n")
	}
	if len(f.Args) > 0 {
		b.WriteString("\n")
	}
	for _, a := range f.Args {
		note := ""
		if a.Unhashed && f.Step {
			note = " (does not change the result)"
		}
		fmt.Fprintf(&b, "  %-18s %s; %s%s\n", a.Name, a.Type, a.Doc, note)
	}
	return b.String()
}

func (k KindDoc) manual() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n", k.Name, k.Doc)
	fmt.Fprintf(&b, "  .%-21s %s\n", "digest", "SHA-256 of its bytes, in hex")
	for _, f := range k.Facts {
		fmt.Fprintf(&b, "  .%-21s %s\n", f.Name, f.Doc)
	}
	for _, f := range k.Methods {
		fmt.Fprintf(&b, "  .%-21s %s\n", f.method()+"()", firstLine(f.Doc))
	}
	return b.String()
}

// signature writes a built-in as a Starlark call: lora.train(model, data, rank = 8).
func signature(name string, args []Arg) string {
	var parts []string
	for _, a := range args {
		switch {
		case a.Named:
			parts = append(parts, "**"+a.Name)
		case a.Rest:
			parts = append(parts, "*"+a.Name)
		case a.Required:
			parts = append(parts, a.Name)
		case a.Type == "string" || a.Type == "path":
			if a.Default == "None" {
				parts = append(parts, a.Name+" = None")
			} else {
				parts = append(parts, fmt.Sprintf("%s = %q", a.Name, a.Default))
			}
		case a.Type == "bool" && a.Default != "None":
			parts = append(parts, a.Name+" = "+strings.ToUpper(a.Default[:1])+a.Default[1:])
		default:
			parts = append(parts, a.Name+" = "+a.Default)
		}
	}
	return name + "(" + strings.Join(parts, ", ") + ")"
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}
