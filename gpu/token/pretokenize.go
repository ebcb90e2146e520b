package token

import (
	"errors"
	"unicode/utf8"
)

// byteLevel tells whether text reaches the model as spelled bytes.
func (c *component) byteLevel() bool {
	if c == nil {
		return false
	}
	for i := range c.PreTokenizers {
		if c.PreTokenizers[i].byteLevel() {
			return true
		}
	}
	return c.Type == "ByteLevel"
}

// preTokenizers returns the steps that c stands for, ending in next.
func preTokenizers(c *component, next step) (step, error) {
	if c == nil {
		return next, nil
	}
	switch c.Type {
	case "Sequence":
		list := c.PreTokenizers
		for i := len(list) - 1; i >= 0; i-- {
			if list[i].byteLevel() && i != len(list)-1 {
				return nil, errors.New("pre_tokenizer: ByteLevel is not the last of its Sequence")
			}
			var err error
			if next, err = preTokenizers(&list[i], next); err != nil {
				return nil, err
			}
		}
		return next, nil
	case "ByteLevel":
		if is(c.UseRegex, true) {
			next = splitBy(splitGPT2, next)
		}
		if is(c.AddPrefixSpace, true) {
			next = prefixed(" ", false, next)
		}
		return next, nil
	case "Digits":
		return splitBy(splitDigits(c.IndividualDigits), next), nil
	case "Metaspace":
		return c.metaspace(next)
	case "Split":
		return c.split(next)
	}
	return nil, c.unsupported("pre_tokenizer")
}

func (c *component) split(next step) (step, error) {
	isolated := c.Behavior == "Isolated" || c.Behavior == "Removed" && c.Invert
	if f, ok := splitters[c.Pattern.Regex]; ok && isolated { // they leave nothing between matches
		return splitBy(f, next), nil
	}
	if s := c.Pattern.String; s != "" && c.Behavior == "MergedWithPrevious" && !c.Invert {
		return splitBy(func(text string) int { return cutAfter(text, s) }, next), nil
	}
	return nil, c.unsupported("pre_tokenizer")
}

func (c *component) metaspace(next step) (step, error) {
	if utf8.RuneCountInString(c.Replacement) != 1 {
		return nil, errors.New("pre_tokenizer Metaspace: replacement is not one character")
	}
	if is(c.Split, true) {
		next = splitBy(func(s string) int { return cutBefore(s, c.Replacement) }, next)
	}
	switch scheme := c.scheme(); scheme {
	case "always", "first":
		next = prefixed(c.Replacement, scheme == "first", next)
	case "never":
	default:
		return nil, errors.New("pre_tokenizer Metaspace: unknown prepend_scheme " + scheme)
	}
	return replaced(" ", c.Replacement, next), nil
}

// scheme returns Metaspace's prepend_scheme, which older files write as
// add_prefix_space.
func (c *component) scheme() string {
	switch {
	case c.PrependScheme != "":
		return c.PrependScheme
	case is(c.AddPrefixSpace, true):
		return "always"
	}
	return "never"
}

// is returns an optional flag.
func is(flag *bool, or bool) bool {
	if flag == nil {
		return or
	}
	return *flag
}
