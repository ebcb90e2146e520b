package teacher

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"golang.org/x/text/language"
	"golang.org/x/text/message"
)

// Schema is the JSON schema that an answer has to fit. Servers promise that it
// does; it is checked here nevertheless.
type Schema struct {
	raw      json.RawMessage
	compiled *jsonschema.Schema
}

// NewSchema reads a JSON schema. It may refer to its own parts only.
func NewSchema(raw []byte) (*Schema, error) {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		return nil, fmt.Errorf("schema: %w", err)
	}
	c := jsonschema.NewCompiler()
	c.UseLoader(jsonschema.SchemeURLLoader{}) // reads nothing from disk or network
	const name = "schema.json"
	if err := c.AddResource(name, doc); err != nil {
		return nil, fmt.Errorf("schema: %w", err)
	}
	compiled, err := c.Compile(name)
	if err != nil {
		return nil, fmt.Errorf("schema: %w", err)
	}
	var tight bytes.Buffer
	if err := json.Compact(&tight, raw); err != nil {
		return nil, fmt.Errorf("schema: %w", err)
	}
	return &Schema{tight.Bytes(), compiled}, nil
}

// MarshalJSON returns the schema as it was given, without its blanks.
func (s *Schema) MarshalJSON() ([]byte, error) { return s.raw, nil }

// Check says where text does not fit, in the same words each time: they become
// part of a question.
func (s *Schema) Check(text string) error {
	v, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		return errors.New("it is not one JSON value")
	}
	err = s.compiled.Validate(v)
	var bad *jsonschema.ValidationError
	if !errors.As(err, &bad) {
		return err
	}
	var list []string
	english := message.NewPrinter(language.English)
	var leaves func(e *jsonschema.ValidationError)
	leaves = func(e *jsonschema.ValidationError) {
		if len(e.Causes) == 0 {
			list = append(list, "at /"+strings.Join(e.InstanceLocation, "/")+": "+e.ErrorKind.LocalizedString(english))
		}
		for _, c := range e.Causes {
			leaves(c)
		}
	}
	leaves(bad)
	slices.Sort(list)
	return errors.New(strings.Join(slices.Compact(list), "; "))
}
